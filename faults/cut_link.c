/*
 * The cable of the machine's network card is pulled and put back: packets are lost in silence in both
 * directions, connections stay and go on by retransmission.
 */
#include "api/fault.h"

static int fire(struct fault_run *run, struct err *err)
{
	return run->bed->ops->cut_link(run->bed, true, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->cut_link(run->bed, false, err);
}

/* All clients are on the far side of the cable: an operation that has not come back by now waits for it. */
const struct fault fault_cut_link = {
	.name = "cut-link",
	.summary = "the network cable is pulled and put back: silence, then retransmission",
	.family = FAMILY_FREEZE,
	.needs = "nothing",
	.check = fault_any_target,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};
