/*
 * The quota of everybody who owns something on a data disk is used up, root's excepted, whom none binds: real
 * exhaustion, as opposed to an EDQUOT of the fault `errno`. The disk itself has room. It ends with the very limits that
 * were found.
 *
 * `fired` are the system calls that the guest's kernel answered with EDQUOT, as it counts them itself.
 */
#include "api/fault.h"

static const struct fault_param params[] = {
	{"path", true, "a disk of the target with `quota: users`, by name"},
	{"what", false, "bytes (default) or inodes"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	int rc = fault_check_disk(step, target, err);

	if (!rc && !target_disk(target, step->path)->quota)
		rc = err_set(err, -ENOTSUP, "disk '%s' has no quota", step->path);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	return run->bed->ops->bound_quota(run->bed, target_disk(run->target, run->step->path),
		fault_disk_fill(run->step), true, err);
}

static int poll_met(struct fault_run *run, struct err *err)
{
	uint64_t met = 0;
	int rc = run->bed->ops->quota_met(
		run->bed, target_disk(run->target, run->step->path), &met, err);

	if (!rc)
		fault_met(run, met);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->bound_quota(run->bed, target_disk(run->target, run->step->path),
		fault_disk_fill(run->step), false, err);
}

const struct fault fault_quota_full = {
	.name = "quota-full",
	.summary = "the users of a data disk have used up their quota: no byte, or no inode",
	.family = FAMILY_ERRNO,
	.is = FAULT_QUOTA,
	.needs = "a data disk with quota: users; tracepoints of system calls in the guest's kernel",
	.params = params,
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};
