/*
 * The very file that another step holds at a parked call is removed behind the store's back. It cannot be
 * healed: what was removed is gone, which is the point.
 */
#include "api/fault.h"

static int check(const struct step *step, const struct target *target, struct err *err)
{
	(void)target;
	if (step->trigger.kind != TRIGGER_WHILE)
		return err_set(
			err, -EINVAL, "'unlink' needs 'while:' a park step, whose file it removes");
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	struct call_status status;
	int rc;

	if (!run->held)
		return err_set(err, -EINVAL, "'unlink' holds on to no parked call");
	rc = run->bed->ops->call_status(run->bed, run->held->slot, &status, err);
	if (rc)
		return rc;
	if (!status.parked || status.path[0] != '/')
		return err_set(err, -ENOENT, "no call is parked on a file");
	rc = run->bed->ops->unlink(run->bed, status.path, err);
	run->fired += rc == 0;
	return rc;
}

static int nothing(struct fault_run *run, struct err *err)
{
	(void)run;
	(void)err;
	return 0;
}

const struct fault fault_unlink = {
	.name = "unlink",
	.summary = "the file that a parked call is about to use is removed",
	.family = FAMILY_CONCURRENT_DELETE,
	.is = FAULT_REMOVES,
	.needs = "while: a park step",
	.check = check,
	.fire = fire,
	.instant = true,
	.poll = nothing,
	.heal = nothing,
};
