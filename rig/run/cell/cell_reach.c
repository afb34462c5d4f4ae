/* Whom a fault of a step reaches: what the laws about bystanders (H3, L2) are judged by. */
#include "run/cell/cell_core.h"

#include <string.h>

/* The agent that a fault takes away: the one named, else the delivery agent behind the relay. */
const char *fault_agent(const struct step_run *step)
{
	if (step->fault->family != FAMILY_DISABLED_MTA)
		return NULL;
	if (step->step->agent)
		return step->step->agent;
	return step->fault->is & FAULT_DELIVERY && target_agent(step->cell->target, "delivery")
		       ? "delivery"
		       : NULL;
}

/* The user whose files alone a call fault touches, or NULL. */
const char *fault_user(const struct step_run *step)
{
	const struct path_set *set = step->fault->waits && step->step->path
					     ? target_paths(step->cell->target, step->step->path)
					     : NULL;
	const char *user = step->step->user;

	if (!user && step->run.about)
		user = step->run.about->user;
	for (size_t i = 0; set && i < set->globs.count; i++)
		if (!strstr(set->globs.at[i], "{user}"))
			return NULL;
	return set && set->globs.count ? user : NULL;
}
