/*
 * A clone: a machine that starts where a template was saved. Its memory is a private mapping of the
 * template's file (copy on write, by the kernel), its disks are layers of its own, its sockets,
 * capture and network are its own: clones share nothing that they can change, and any number may
 * run at once.
 *
 * Two clones of one template have the same entropy pool; seed the guest before it draws (witness
 * `seed`). The guest's wall clock goes on from the template's time, see template_clock_offset_ns().
 * Needs QEMU 7.2 or later.
 */
#pragma once

#include "base/err.h"
#include "vm/machine.h"
#include "vm/template.h"
#include "vm/write_log.h"

/* The machine runs when this returns; p50 under 80 ms with TCG on two cores, whatever its memory.
 */
int clone_open(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err);

/* As clone_open(), but boot cold from the template's disks: when the state cannot be loaded. */
int clone_boot(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err);

/*
 * After machine_cut(): make the clone's layers anew, holding what the template's disks held and what of the
 * logged writes survives the cut of each disk (`cuts`, in the order of the disks; read-only ones are passed
 * over). `tallies` (may be NULL) says of each disk what was lost.
 */
int clone_cut_layers(const struct template *tmpl, struct machine *machine,
	const struct write_cut *cuts, struct write_tally *tallies, struct err *err);

/* A machine of its own that boots cold from what such a cut left of another one, whose logs of writes are in
 * `log_dir`. */
int clone_boot_cut(const struct template *tmpl, const struct machine_options *options,
	const char *log_dir, const struct write_cut *cuts, struct machine **ret, struct err *err);
