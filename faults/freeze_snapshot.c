/*
 * A whole snapshot as its requestor takes one: the store's own freeze, as a VSS writer has one, then the file systems
 * by the guest agent; thawed in reverse. If the store refuses, nothing else is frozen.
 */
#include "api/store_command.h"

static int check(const struct step *step, const struct target *target, struct err *err)
{
	static const char *const needed[] = {"freeze", "thaw", NULL};
	int rc = store_command_check(target, needed, err);

	(void)step;
	if (!rc && !target->disk_count)
		rc = err_set(err, -ENOTSUP, "no data disk to freeze");
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	int rc = run->dirty
			 ? 0
			 : store_command(run, target_command(run->target, "freeze"), "freeze", err);

	run->dirty = true; /* a store that is frozen need not take another freeze */
	return rc ? rc : run->bed->ops->freeze(run->bed, NULL, err);
}

/* Both always: what was not frozen says so and stays. */
static int heal(struct fault_run *run, struct err *err)
{
	int rc = run->bed->ops->thaw(run->bed, err);
	int own = store_command(run, target_command(run->target, "thaw"), "thaw", rc ? NULL : err);

	rc = rc ? rc : own;
	run->dirty = run->dirty && rc;
	return rc;
}

const struct fault fault_freeze_snapshot = {
	.name = "freeze-snapshot",
	.summary = "the store freezes itself, then its file systems are frozen, as for a snapshot",
	.family = FAMILY_FREEZE,
	.is = FAULT_HALTS,
	.needs = "commands freeze and thaw, the QEMU guest agent, a data disk",
	.check = check,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};
