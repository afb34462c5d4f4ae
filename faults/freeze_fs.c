/*
 * Freeze a file system as a snapshot does: the QEMU guest agent's fsfreeze, hook scripts included. Whoever
 * writes to it waits until the thaw (Linux: in __sb_start_write, uninterruptible).
 */
#include "api/fault.h"

#include <string.h>

static const struct fault_param params[] = {
	{"path", false, "a disk of the target, by name (default: all data disks)"},
	{0},
};

static const struct disk *disk_named(const struct target *target, const char *name)
{
	for (size_t i = 0; i < target->disk_count; i++)
		if (!strcmp(target->disks[i].name, name))
			return &target->disks[i];
	return NULL;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	if (!target->disk_count)
		return err_set(err, -ENOTSUP, "no data disk to freeze");
	if (step->path && !disk_named(target, step->path))
		return err_set(err, -ENOTSUP, "no disk '%s'", step->path);
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct disk *disk = run->step->path ? disk_named(run->target, run->step->path) : NULL;
	const char *const mounts[] = {disk ? disk->mount : NULL, NULL};

	return run->bed->ops->freeze(run->bed, disk ? mounts : NULL, err);
}

/* Operations that wait while tasks of the guest are stuck on the frozen file system met the freeze. */
static int poll_blocked(struct fault_run *run, struct err *err)
{
	uint32_t blocked = 0, pending;
	int rc = run->bed->ops->frozen(run->bed, &blocked, err);

	if (rc)
		return rc;
	pending = run->pending(run->arg);
	if (blocked && pending > run->fired)
		run->fired = pending;
	return 0;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->thaw(run->bed, err);
}

const struct fault fault_freeze_fs = {
	.name = "freeze-fs",
	.summary = "a file system is frozen as for a snapshot: writers wait until the thaw",
	.family = FAMILY_FREEZE,
	.needs = "the QEMU guest agent, a data disk",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = poll_blocked,
	.heal = heal,
};
