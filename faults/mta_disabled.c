/* An agent of the store is stopped by the target's own command, or crashes as a whole; it is started to heal. */
#include "api/leg.h"
#include "api/store_command.h"

#include <string.h>

static const struct fault_param params[] = {
	{"agent", true, "which: an agent of the target"},
	{0},
};

static bool crashes(const struct step *step)
{
	return !strcmp(step->what, "mta-crashed");
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const struct agent *agent = target_agent(target, step->agent);

	if (!agent)
		return err_set(err, -ENOTSUP, "no agent '%s'", step->agent);
	if (!agent->start || (crashes(step) ? !agent->crash : !agent->stop))
		return err_set(err, -ENOTSUP, "agent '%s' cannot be %s and started", step->agent,
			crashes(step) ? "crashed" : "stopped");
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	bool crash = crashes(run->step);
	int rc = store_command(
		run, crash ? agent->crash : agent->stop, crash ? "crash" : "stop", true, err);

	leg_mark(run);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return store_command(
		run, target_agent(run->target, run->step->agent)->start, "start", true, err);
}

#define AGENT_FAULT(fault_name, text, wants)                                            \
	{                                                                               \
		.name = (fault_name), .summary = (text), .family = FAMILY_DISABLED_MTA, \
		.needs = (wants), .params = params, .check = check, .fire = fire,       \
		.poll = leg_poll, .heal = heal,                                         \
	}

/* clang-format off */
const struct fault fault_mta_disabled = AGENT_FAULT("mta-disabled",
	"an agent of the store is stopped by its own command",
	"an agent with stop and start");
const struct fault fault_mta_crashed = AGENT_FAULT("mta-crashed",
	"an agent of the store crashes as a whole, and nobody starts it again",
	"an agent with crash and start");
/* clang-format on */
