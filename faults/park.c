/*
 * A libc call stands still: the n-th hit of a point, in the processes of a role, on the paths named. The
 * call has not happened yet; released, it happens as if nothing had been.
 */
#include "api/call_rule.h"
#include "faults/guest/board_points.h"

static const struct fault_param params[] = {
	{"point", true,
		"the call: posix/io/sync/fsync, posix/io/dir/rename ... or a point of the store"},
	{"role", false, "who, as the target maps it (default: any program of a role)"},
	{"path", false, "on what: a path name of the target, or a glob (default: anything)"},
	{"user", false, "whose path (default: that of the step named by `step`, else anybody's)"},
	{"hit", false, "the n-th matching call (default 1)"},
	{"calls", false, "how many calls from there on (default 1)"},
	{"step", false, "armed before that step begins"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);

	if (point >= 0 && !(board_point_rows[point].can & BOARD_CAN_PARK))
		return err_set(err, -EINVAL, "'point: %s' never blocks, so it cannot be parked",
			step->point);
	return call_rule_check(step, target, point >= 0, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "park", err);
}

const struct fault fault_park = {
	.name = "park",
	.summary = "a chosen libc call stands still until it is released",
	.family = FAMILY_FREEZE,
	.needs = "the preload in the store's processes",
	.params = params,
	.check = check,
	.fire = fire,
	.waits = true,
	.poll = call_rule_poll,
	.heal = call_rule_heal,
};
