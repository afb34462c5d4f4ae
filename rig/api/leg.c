#include "api/leg.h"

/* The service an agent stands behind: of its name, else the one the forwarder stands in front of. */
static const struct service *leg_service(const struct step *step, const struct target *target)
{
	const struct service *named = step->agent ? target_service(target, step->agent) : NULL;

	if (named && named->seen == SEEN_RELAY)
		return named;
	for (size_t i = 0; i < target->service_count; i++)
		if (target->services[i].seen == SEEN_RELAY)
			return &target->services[i];
	return NULL;
}

int leg_check(const struct step *step, const struct target *target, struct err *err)
{
	if (!leg_service(step, target))
		return err_set(err, -ENOTSUP, "no service that is seen: relay");
	return 0;
}

uint64_t leg_met(const struct fault_run *run)
{
	const struct service *service = leg_service(run->step, run->target);
	const struct agent *agent =
		run->step->agent ? target_agent(run->target, run->step->agent) : NULL;
	uint64_t met = run->refused(run->arg);

	if (agent && run->acted)
		met += run->acted(run->arg, &agent->needed_by);
	if (service && bed_has(run->bed, leg_met))
		met += run->bed->ops->leg_met(run->bed, service);
	return met;
}

void leg_mark(struct fault_run *run)
{
	run->mark = leg_met(run);
}

int leg_poll(struct fault_run *run, struct err *err)
{
	uint64_t met = leg_met(run);

	(void)err;
	fault_met(run, met - run->mark);
	return 0;
}

int leg_fire(struct fault_run *run, const struct leg_change *change, struct err *err)
{
	leg_mark(run);
	return run->bed->ops->leg_set(run->bed, leg_service(run->step, run->target), change, err);
}

int leg_pass(struct fault_run *run, enum leg_heal heal, struct err *err)
{
	struct leg_change pass = {.mode = LEG_PASS, .heal = heal};

	return run->bed->ops->leg_set(run->bed, leg_service(run->step, run->target), &pass, err);
}
