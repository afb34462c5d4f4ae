/* The store's own freeze and thaw, as a snapshot requestor calls them: the counterpart of a VSS writer. */
#include "api/store_command.h"

static int check(const struct step *step, const struct target *target, struct err *err)
{
	static const char *const needed[] = {"freeze", "thaw", NULL};

	(void)step;
	return store_command_check(target, needed, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	if (run->dirty) /* a store that is frozen need not take another freeze */
		return 0;
	run->dirty = true;
	return store_command(run, target_command(run->target, "freeze"), "freeze", err);
}

static int heal(struct fault_run *run, struct err *err)
{
	int rc = store_command(run, target_command(run->target, "thaw"), "thaw", err);

	run->dirty = run->dirty && rc;
	return rc;
}

const struct fault fault_freeze_store = {
	.name = "freeze-store",
	.summary = "the store is frozen by its own command, as before a snapshot",
	.family = FAMILY_FREEZE,
	.is = FAULT_HALTS,
	.needs = "commands freeze and thaw",
	.check = check,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};
