/*
 * A libc call transfers less than it was asked to, as POSIX allows at any time: the n-th hit of a point, so
 * many times. A store that takes a short write for a whole one loses mail.
 */
#include "api/call_rule.h"
#include "faults/guest/board_points.h"

/* clang-format off */
static const struct fault_param params[] = {
	{"point", true, "the call: posix/io/rw/write, posix/io/net/recv ..."},
	CALL_RULE_PARAMS
};
/* clang-format on */

static int check(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);

	if (point < 0 || !(board_point_rows[point].can & BOARD_CAN_SHORTEN))
		return err_set(
			err, -EINVAL, "'point: %s' transfers no count of bytes", step->point);
	return call_rule_check(step, target, true, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "short", err);
}

const struct fault fault_short = {
	.name = "short",
	.summary = "a chosen libc call reads or writes less than it was asked to",
	.family = FAMILY_ERRNO,
	.needs = "the preload in the store's processes",
	.params = params,
	.check = check,
	.fire = fire,
	.waits = true,
	.poll = call_rule_poll,
	.heal = call_rule_heal,
};
