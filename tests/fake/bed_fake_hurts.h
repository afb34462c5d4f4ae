/*
 * What hurts the machine as a whole, and the processes on it, in the fake bed: remembered, without an effect, so that
 * what was not undone is residue. Private to tests/fake.
 */
#pragma once

#include "api/bed.h"

struct fake_hurts {
	struct bed bed; /* first: a bed is one of these */
	bool halted, stopped, slowed, filled, bounded, few, short_of_fds, over_quota, lossy, cut,
		astray;
	uint64_t requests;
};

void fake_hurts_ops(struct bed_ops *ops); /* puts its operations there */
void fake_hurts_residue(const struct fake_hurts *hurts, json_t *ret);
