/*
 * A libc call stands still: the n-th hit of a point, in the processes of a role, on the paths named. The
 * call has not happened yet; released, it happens as if nothing had been.
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
