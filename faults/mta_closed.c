/* Nobody listens where the queue hands over: the kernel answers each connection with RST, as for a daemon that
 * is not running. */
#include "api/leg.h"

static const struct fault_param params[] = {
	{"agent", false, "the service in front of which it happens (default: the one seen: relay)"},
	{0},
};

static int fire(struct fault_run *run, struct err *err)
{
	return leg_fire(run, LEG_CLOSED, err);
}

const struct fault fault_mta_closed = {
	.name = "mta-closed",
	.summary = "nobody listens where the delivery agent should",
	.family = FAMILY_DISABLED_MTA,
	.needs = "a service that is seen: relay",
	.params = params,
	.check = leg_check,
	.fire = fire,
	.poll = leg_poll,
	.heal = leg_heal_pass,
};
