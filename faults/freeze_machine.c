/*
 * The whole machine stands still (QMP stop) and goes on: what a hypervisor does while it saves or moves a guest.
 * To the guest no time passes; its clients wait, and their time does pass: it is the cell clock's.
 */
#include "api/fault.h"

static int fire(struct fault_run *run, struct err *err)
{
	return run->bed->ops->halt(run->bed, true, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->halt(run->bed, false, err);
}

/* Nothing can come back from a machine that stands still: whatever waits, waits for it. */
const struct fault fault_freeze_machine = {
	.name = "freeze-machine",
	.summary = "the whole machine stands still, as while a hypervisor saves or moves it",
	.family = FAMILY_FREEZE,
	.is = FAULT_HALTS,
	.needs = "nothing",
	.check = fault_any_target,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};
