/*
 * The real test bed: a clone of the target's template in QEMU, its witness and guest agent, the capture of
 * its NIC, the forwarder in front of its delivery agent and the sink behind it. See api/bed.h.
 */
#pragma once

#include "api/bed.h"
#include "run/plan.h"

/* bed_open_fn (run/cell.h); `arg` is unused. Must be called from a thread that outlives the bed. */
int bed_vm_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *arg, struct err *err);

/* Make image and template of a target unless they are in the cache. `say` gets a line at each step. */
int bed_vm_prepare(const struct target *target, void (*say)(void *arg, const char *line), void *arg,
	struct err *err);

/* The exact QEMU command line of a clone, for --dry-run; starts nothing. */
int bed_vm_command_line(const struct target *target, struct buf *out, struct err *err);
