/*
 * A data disk all but stands still: QEMU lets one request a second through. Unlike a frozen file system it
 * holds up readers too, and every flush has a queue of requests before it.
 */
#include "api/fault.h"

static const struct fault_param params[] = {
	{"path", true, "a disk of the target, by name"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	if (!target_disk(target, step->path))
		return err_set(err, -ENOTSUP, "no disk '%s'", step->path);
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct disk *disk = target_disk(run->target, run->step->path);
	int rc = run->bed->ops->slow_disk(run->bed, disk, true, err);

	return rc ? rc : run->bed->ops->disk_requests(run->bed, disk, &run->mark, err);
}

/* Requests to the disk since it was slowed. If fire failed half-way there is no mark to count from. */
static int poll_requests(struct fault_run *run, struct err *err)
{
	uint64_t requests = 0;
	int rc = 0;

	if (run->mark)
		rc = run->bed->ops->disk_requests(
			run->bed, target_disk(run->target, run->step->path), &requests, err);
	if (!rc && run->mark && requests - run->mark > run->fired)
		run->fired = requests - run->mark;
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->slow_disk(
		run->bed, target_disk(run->target, run->step->path), false, err);
}

const struct fault fault_freeze_disk = {
	.name = "freeze-disk",
	.summary = "a data disk all but stands still: one request a second",
	.family = FAMILY_FREEZE,
	.is = FAULT_HALTS,
	.needs = "a data disk",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = poll_requests,
	.heal = heal,
};
