/* A libc call fails with a chosen errno: the n-th hit, so many times, without being made. */
#include "api/call_rule.h"
#include "faults/guest/board_points.h"

#include <string.h>

/* clang-format off */
static const struct fault_param params[] = {
	{"point", true,
		"the call: posix/io/sync/fsync, posix/io/rw/write ... or a point of the store"},
	{"errno", true, "what it returns: EIO, ENOSPC ..."},
	CALL_RULE_PARAMS
};
/* clang-format on */

/* The given errno is always the one the store sees, so it must be one that the call may return. */
static int check_errno(const struct step *step, int point, struct err *err)
{
	for (const int *e = board_point_rows[point].errnos; *e; e++)
		if (strerrorname_np(*e) && !strcmp(strerrorname_np(*e), step->errno_name))
			return 0;
	return err_set(err, -EINVAL, "'errno: %s' is nothing that '%s' can return",
		step->errno_name, step->point);
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);
	int rc = point >= 0 ? check_errno(step, point, err) : 0;

	return rc ? rc : call_rule_check(step, target, point >= 0, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "fail", err);
}

const struct fault fault_errno = {
	.name = "errno",
	.summary = "a chosen libc call fails with a chosen errno",
	.family = FAMILY_ERRNO,
	.needs = "the preload in the store's processes",
	.params = params,
	.check = check,
	.fire = fire,
	.waits = true,
	.poll = call_rule_poll,
	.heal = call_rule_heal,
};
