/*
 * A sweep of write boundaries (law U4): a scenario is run once on disks that log what they take; then, for states in
 * which the disks had been at one instant, spread evenly over the run, a machine boots from just that state, its
 * store is started and read back, and the laws judge what was acknowledged by then.
 *
 * Folders: DIR/recording, and DIR/NNNN for each boundary, a cell like any other (`mailrig show DIR/NNNN`); its
 * boundary.json says where its disks come from. Both steps run in a process of their own.
 */
#pragma once

#include "run/plan/plan.h"

#define SWEEP_BOUNDARIES_MAX 10000

/* DIR/recording with its plan.json: the cell without its own power cuts. */
int sweep_plan_recording(const struct plan *plan, const char *dir, struct err *err);
int sweep_record(const struct plan *plan, const char *recording_dir, struct err *err);

/* At most `max` boundaries of DIR/recording, as folders with plan.json and boundary.json. `*ret_states` says of
 * how many different states. Returns their number or a negative errno. */
int sweep_plan_boundaries(const struct plan *plan, const char *dir, uint32_t max,
	uint32_t *ret_states, struct err *err);
int sweep_boundary(const struct plan *plan, const char *boundary_dir, struct err *err);

char *sweep_dir(const char *dir, uint32_t boundary); /* from 1; caller frees */
