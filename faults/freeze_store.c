/* The store's own freeze and thaw, as a snapshot requestor calls them: the counterpart of a VSS writer. */
#include "api/fault.h"

#define COMMAND_MS 60000

static int check(const struct step *step, const struct target *target, struct err *err)
{
	(void)step;
	if (!target_command(target, "freeze"))
		return err_set(err, -ENOTSUP, "no freeze");
	if (!target_command(target, "thaw"))
		return err_set(err, -ENOTSUP, "no thaw");
	return 0;
}

static int command(struct fault_run *run, const char *name, struct err *err)
{
	struct command_result result = {0};
	int rc = run->bed->ops->run(
		run->bed, target_command(run->target, name), NULL, COMMAND_MS, false, &result, err);

	if (!rc && result.timed_out)
		rc = err_set(err, -ETIMEDOUT, "command '%s' did not end", name);
	else if (!rc && result.status)
		rc = err_set(err, -EIO, "command '%s' ended with %d", name, result.status);
	buf_free(&result.output);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	return command(run, "freeze", err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return command(run, "thaw", err);
}

const struct fault fault_freeze_store = {
	.name = "freeze-store",
	.summary = "the store is frozen by its own command, as before a snapshot",
	.family = FAMILY_FREEZE,
	.needs = "commands freeze and thaw",
	.check = check,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};
