/*
 * From a step of a scenario to a rule for the fault board: the role becomes programs, the path a list of
 * globs, as the target says. Shared by the faults that act on calls.
 */
#pragma once

#include "api/fault.h"

#define CALL_GLOBS_MAX	  16
#define CALL_NAME_MAX	  128 /* of a function, with its NUL */
#define CALL_PROGRAMS_MAX 64

/* The keys that every fault on a call takes beside its `point`, for a table of params: they stand last. */
/* clang-format off */
#define CALL_RULE_PARAMS                                                                            \
	{"role", false, "who, as the target maps it (default: any program of a role)"},             \
	{"path", false, "on what: a path name of the target, or a glob (default: anything)"},       \
	{"user", false, "whose path (default: that of the step named by `step`, else anybody's)"},  \
	{"kind", false, "on what kind of descriptor: file, dir, socket, pipe or other (default: any)"}, \
	{"hit", false, "the n-th matching call (default 1)"},                                       \
	{"calls", false, "how many calls from there on (default 1)"},                               \
	{"caller", false, "the function that makes the call, exported (default: any)"},             \
	{"step", false, "armed before that step begins"},                                           \
	{0},
/* clang-format on */

/*
 * Plan time: does the target know the role and the path, and is there such a point? `known`: it is one of the
 * C library's; any other outside posix/ and libc/ may be a point of the store's own (fiu_fail()).
 */
int call_rule_check(
	const struct step *step, const struct target *target, bool known, struct err *err);

/*
 * Is the step's fault done from outside (ptrace, by the witness) in the programs of its role that the preload does not
 * reach? Its point must be a system call; which function makes it cannot be seen.
 */
bool call_rule_traced(const struct step *step);

/* The globs that the step's `path` means, {user} filled in; at most CALL_GLOBS_MAX, each the caller's. Their count. */
size_t call_rule_globs(const struct fault_run *run, char *ret[static CALL_GLOBS_MAX]);

/* fire, poll and heal of a fault that is one rule of the board. `action`: "park", "fail". */
int call_rule_fire(struct fault_run *run, const char *action, struct err *err);
int call_rule_poll(struct fault_run *run, struct err *err);
int call_rule_heal(struct fault_run *run, struct err *err);
