/*
 * A branch: a running machine, memory and disks, copied whole into a folder while it stands still for
 * the moment, and machines that go on from there. The machine that was copied goes on as if nothing had
 * been: its sockets, its network and its layers are its own, and what happens in a branch is not seen
 * anywhere else. So a branch is where anything may be tried: signals, a debugger, hours of waiting.
 *
 * A branch has no network: its NIC ends in a hub with nobody else on it. Whatever the guest sends is
 * lost, and nothing ever comes, not even the reset by which another network would end a connection it
 * knows nothing of. Its disks are layers of its own, written without any care for the host's disk.
 *
 * A branch at BRANCH_WARP skips idle time: its processor is counted by instructions (8 ns each), and
 * while it has nothing to do the guest's clock jumps to the next timer. That needs TCG, also of the
 * machine that was saved, which itself must not count instructions: QEMU 7.2 aborts on a second load.
 *
 * In the folder: state (device state and memory), <disk>.qcow2. Needs room for the guest's used memory.
 * Opening does not change it: any number of branches may be opened from one save, also one after the other.
 *
 * Thread context: as of machine.h; branch_save() may be called from any thread.
 */
#pragma once

#include "base/err.h"
#include "vm/machine.h"

#include <stdint.h>

struct branch_size {
	uint64_t bytes; /* of all files */
	int64_t still_ns; /* how long the machine stood still for it; counted in machine_paused_ns() */
};

/* Copies `machine` into `dir`, made if need be. It runs on, or is paused, as before, also on failure;
 * only if that itself fails is it left paused, and then this fails. `ret` may be NULL. */
int branch_save(struct machine *machine, const char *dir, struct branch_size *ret, struct err *err);

enum branch_pace {
	BRANCH_REAL_TIME, /* as the machine that was saved */
	BRANCH_WARP,	  /* idle time is skipped */
};

/* 0, or -EOPNOTSUPP and why such a machine's branches cannot do that. */
int branch_can(const struct machine_spec *spec, enum branch_pace pace, struct err *err);

/* A machine that runs on from `dir`; `spec` is that of the machine that was saved. It runs when this
 * returns. Its network is NULL: machine_network() must not be asked for. */
int branch_open(const struct machine_spec *spec, const char *dir, enum branch_pace pace,
	const struct machine_options *options, struct machine **ret, struct err *err);
