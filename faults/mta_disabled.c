/* An agent of the store is stopped by the target's own command, and started again to heal. */
#include "api/leg.h"
#include "api/store_command.h"

static const struct fault_param params[] = {
	{"agent", true, "which: an agent of the target"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const struct agent *agent = target_agent(target, step->agent);

	if (!agent)
		return err_set(err, -ENOTSUP, "no agent '%s'", step->agent);
	if (!agent->stop || !agent->start)
		return err_set(
			err, -ENOTSUP, "agent '%s' cannot be stopped and started", step->agent);
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	int rc = store_command(
		run, target_agent(run->target, run->step->agent)->stop, "stop", true, err);

	leg_mark(run);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return store_command(
		run, target_agent(run->target, run->step->agent)->start, "start", true, err);
}

const struct fault fault_mta_disabled = {
	.name = "mta-disabled",
	.summary = "an agent of the store is stopped by its own command",
	.family = FAMILY_DISABLED_MTA,
	.needs = "an agent with stop and start",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = leg_poll,
	.heal = heal,
};
