/*
 * A data disk has no room: every free byte or inode is taken by a file of the rig's, the reserve for root included.
 * Real exhaustion, as opposed to an ENOSPC of the fault `errno`: whatever the store does about it meets it.
 */
#include "api/store_command.h"

static const struct fault_param params[] = {
	{"path", true, "a disk of the target, by name"},
	{"what", false, "bytes (default) or inodes"},
	{0},
};

/* Who met it: operations that were refused, and messages that the queue puts off since. Postfix refuses nobody who
 * finds no inode: it tries again after ten seconds, and who waits for it has met it too. */
static int count_met(struct fault_run *run, uint64_t *ret, struct err *err)
{
	uint64_t deferred = 0;
	int rc = target_command(run->target, "queue_list")
			 ? store_queued(run, "deferred", &deferred, err)
			 : 0;

	*ret = deferred + run->refused(run->arg);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	int rc = count_met(run, &run->mark, err);

	return rc ? rc
		  : run->bed->ops->fill_disk(run->bed, target_disk(run->target, run->step->path),
			    fault_disk_fill(run->step), true, err);
}

static int poll_refused(struct fault_run *run, struct err *err)
{
	uint64_t met = 0;
	int rc = count_met(run, &met, err);

	met = rc || met < run->mark ? 0 : met - run->mark + run->delayed(run->arg);
	fault_met(run, met);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->fill_disk(run->bed, target_disk(run->target, run->step->path),
		fault_disk_fill(run->step), false, err);
}

const struct fault fault_fill_disk = {
	.name = "fill-disk",
	.summary = "a data disk has no room left: no byte, or no inode",
	.family = FAMILY_ERRNO,
	.needs = "a data disk",
	.params = params,
	.check = fault_check_disk,
	.fire = fire,
	.watch = true,
	.poll = poll_refused,
	.heal = heal,
};
