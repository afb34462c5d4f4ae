/*
 * A process dies at a libc call: SIGKILL at the n-th hit of a point, before the call is made. What it held
 * (locks, half-written files, the other end of a dialogue) is left as a crash leaves it. There is nothing to
 * heal but the rule: the store's own master has to start another.
 */
#include "api/call_rule.h"
#include "faults/guest/board_points.h"

/* clang-format off */
static const struct fault_param params[] = {
	{"point", true,
		"the call: posix/io/sync/fsync, posix/io/dir/rename ... or a point of the store"},
	CALL_RULE_PARAMS
};
/* clang-format on */

static int check(const struct step *step, const struct target *target, struct err *err)
{
	return call_rule_check(step, target, board_point_find(step->point) >= 0, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "kill", err);
}

const struct fault fault_kill = {
	.name = "kill",
	.summary = "a process is killed at a chosen libc call, before it is made",
	.family = FAMILY_ERRNO,
	.needs = "the preload in the store's processes",
	.params = params,
	.check = check,
	.fire = fire,
	.waits = true,
	.poll = call_rule_poll,
	.heal = call_rule_heal,
};
