/*
 * Standing inside a machine: a cell is run again until the moment that is asked for, the machine is copied there
 * (vm/branch.h), and the copy runs on, with nobody else on its network, for as long as the visitor likes. The cell
 * stands still meanwhile and is given up afterwards. Or a fresh clone of a target, for a look around.
 *
 * Called from a thread that outlives the machines. The visitor is called once, from any thread.
 */
#pragma once

#include "api/target.h"
#include "run/bed/bed_spec.h"
#include "run/plan/plan.h"
#include "vm/machine.h"
#include "vm/witness.h"

#include <stdbool.h>

enum visit_at {
	VISIT_ONSET, /* as soon as the rig sees a hang */
	VISIT_HEAL,  /* the fault is in force and about to be healed */
};

/* What a visitor finds. All of it lives until it returns. */
struct visit_place {
	struct witness *witness;
	struct machine *machine;
	const struct bed_spec *spec;
	const char *evidence; /* folder of the evidence taken at that moment, or NULL */
	double cell_s;	      /* the moment, on the cell clock */
};
typedef void (*visit_fn)(void *arg, const struct visit_place *place);

/* Runs the plan in `dir`. `ret_came`: the moment came and the visitor was called. */
int visit_cell(const struct plan *plan, const char *dir, enum visit_at at, visit_fn fn, void *arg,
	bool *ret_came, struct err *err);
/* A clone in `dir`. `say` gets a line at each step of making what is not in the cache; may be NULL. */
int visit_target(const struct target *target, const char *dir,
	void (*say)(void *arg, const char *line), visit_fn fn, void *arg, struct err *err);
