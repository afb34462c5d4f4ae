/* The leg from the queue to the delivery agent accepts and is silent; healed, the waiting ones are served late. */
#include "api/leg.h"

static const struct fault_param params[] = {
	{"agent", false, "the service in front of which it happens (default: the one seen: relay)"},
	{0},
};

static int fire(struct fault_run *run, struct err *err)
{
	return leg_fire(run, LEG_SILENT, err);
}

const struct fault fault_mta_silent = {
	.name = "mta-silent",
	.summary = "the delivery agent accepts connections and says nothing",
	.family = FAMILY_DISABLED_MTA,
	.needs = "a service that is seen: relay",
	.params = params,
	.check = leg_check,
	.fire = fire,
	.poll = leg_poll,
	.heal = leg_heal_pass,
};
