/* The leg from the queue to the delivery agent refuses: each connection is reset at once. */
#include "api/leg.h"

static const struct fault_param params[] = {
	{"agent", false, "the service in front of which it happens (default: the one seen: relay)"},
	{0},
};

static int fire(struct fault_run *run, struct err *err)
{
	return leg_fire(run, LEG_REFUSE, err);
}

const struct fault fault_mta_refuses = {
	.name = "mta-refuses",
	.summary = "connections to the delivery agent are refused",
	.family = FAMILY_DISABLED_MTA,
	.needs = "a service that is seen: relay",
	.params = params,
	.check = leg_check,
	.fire = fire,
	.poll = leg_poll,
	.heal = leg_heal_pass,
};
