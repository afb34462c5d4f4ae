/*
 * The administrator's own switch: an agent is told to do nothing, mail for it waits in the queue, nothing is
 * stopped. The target says which setting that is.
 */
#include "api/store_command.h"

static const struct fault_param params[] = {
	{"agent", true, "which: an agent of the target"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	static const char *const needed[] = {"queue_list", NULL};
	const struct agent *agent = target_agent(target, step->agent);

	if (!agent)
		return err_set(err, -ENOTSUP, "no agent '%s'", step->agent);
	if (!agent->switch_off || !agent->switch_on)
		return err_set(err, -ENOTSUP, "agent '%s' has no switch", step->agent);
	return store_command_check(target, needed, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	int rc = store_queued(run, "deferred", &run->mark, err);

	return rc ? rc : store_command(run, agent->switch_off, "switch_off", err);
}

/* Messages put off since the switch was turned. */
static int poll_deferred(struct fault_run *run, struct err *err)
{
	uint64_t deferred = 0;
	int rc = store_queued(run, "deferred", &deferred, err);

	if (!rc && deferred > run->mark && deferred - run->mark > run->fired)
		run->fired = deferred - run->mark;
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return store_command(
		run, target_agent(run->target, run->step->agent)->switch_on, "switch_on", err);
}

const struct fault fault_mta_switched_off = {
	.name = "mta-switched-off",
	.summary = "an agent is disabled by the administrator's own switch",
	.family = FAMILY_DISABLED_MTA,
	.is = FAULT_DELIVERY,
	.needs = "an agent with switch_off and switch_on, command queue_list",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = poll_deferred,
	.heal = heal,
};
