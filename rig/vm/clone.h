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

/* The machine runs when this returns; p50 under 80 ms with TCG on two cores, whatever its memory.
 */
int clone_open(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err);

/* As clone_open(), but boot cold from the template's disks: when the state cannot be loaded. */
int clone_boot(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err);
