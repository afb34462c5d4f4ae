/*
 * A guest with the witness in it, for tests and benchmarks of what needs it: an ext4 root, an ext4 data disk
 * on /data, busybox, a network, and an init that runs the witness as the image's does. One template;
 * the programs asked for (tests/vm/guest/) lie in /run/rig.
 */
#pragma once

#include "vm/template.h"

#define TINY_WITNESS_PORT 2525 /* declared as a service; nobody listens unless a test makes it so */

struct tiny_witness {
	char *dir, *kernel, *initrd;
	struct accel accel;
	struct machine_disk disks[2]; /* system, mail */
	struct machine_spec machine;
	struct template_spec spec;
	struct template *template;
};

/* From here on $MAILRIG_CACHE lies in the test's folder. Prints and returns non-zero on failure: there is
 * nothing to test then. `programs` are NULL-terminated names. */
int tiny_witness_open(
	struct tiny_witness *guest, enum network_kind kind, const char *const *programs);
void tiny_witness_close(struct tiny_witness *guest);
