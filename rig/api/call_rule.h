/*
 * From a step of a scenario to a rule for the fault board: the role becomes programs, the path a list of
 * globs, as the target says. Shared by the faults that act on calls.
 */
#pragma once

#include "api/fault.h"

#define CALL_GLOBS_MAX	  16
#define CALL_PROGRAMS_MAX 64

/*
 * Plan time: does the target know the role and the path, and is there such a point? `known`: it is one of the
 * C library's; any other outside posix/ and libc/ may be a point of the store's own (fiu_fail()).
 */
int call_rule_check(
	const struct step *step, const struct target *target, bool known, struct err *err);

/* fire, poll and heal of a fault that is one rule of the board. `action`: "park", "fail". */
int call_rule_fire(struct fault_run *run, const char *action, struct err *err);
int call_rule_poll(struct fault_run *run, struct err *err);
int call_rule_heal(struct fault_run *run, struct err *err);
