/*
 * The real test bed: a clone of the target's template in QEMU, its witness and guest agent, the capture of
 * its NIC, the forwarder in front of its delivery agent and the sink behind it. See api/bed.h.
 */
#pragma once

#include "api/bed.h"
#include "run/plan/plan.h"

#define BED_VM_DISKS_MAX 12
#define BED_VM_VIEWS	 "views.json" /* beside the machine's logs of writes */

#define BED_VM_BRANCHES \
	"branches" /* in the cell's folder: copies of the machine; gone when the bed is closed */

/* What a bed is opened for beside a plain cell: the arg of bed_vm_open(), NULL for nothing. */
struct bed_vm_wish {
	/* Log what the disks take. States that all of them had at one instant go to BED_VM_VIEWS, an
	 * array of [cell seconds, bytes of each disk's log...]. */
	bool record;
	/* A folder with such logs, or NULL: boot from the disks as they were at these bytes. */
	const char *after;
	uint64_t bytes[BED_VM_DISKS_MAX];
};

/* bed_open_fn (run/cell/cell.h); `arg` is a struct bed_vm_wish or NULL. To be called from a thread that outlives
 * the bed. */
int bed_vm_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *arg, struct err *err);

/* Make image and template of a target unless they are in the cache. `say` gets a line at each step. */
int bed_vm_prepare(const struct target *target, void (*say)(void *arg, const char *line), void *arg,
	struct err *err);

/* The exact QEMU command line of a clone, for --dry-run; starts nothing. */
int bed_vm_command_line(const struct target *target, struct buf *out, struct err *err);
