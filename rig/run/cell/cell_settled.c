/* Which steps of a cell have nothing left to do by themselves. */
#include "run/cell/cell_core.h"

/* Over, or in force without an end of its own: that one lasts until the faults-off phase. */
static bool step_settled(const struct step_run *step)
{
	if (step_is_over(step))
		return true;
	return step->fault && step->state == STEP_IN_FORCE && step->step->for_ms == TIME_UNSET &&
	       !step->step->until;
}

bool faults_settled(struct cell *cell)
{
	bool all = true;

	for (size_t i = cell->workload_count; i < cell->step_count; i++)
		all = all &&
		      (step_settled(&cell->steps[i]) ||
			      (!cell->steps[i].fault && cell->steps[i].state == STEP_IN_FORCE));
	return all;
}

bool steps_settled(struct cell *cell)
{
	for (size_t i = cell->workload_count; i < cell->step_count; i++)
		if (!step_settled(&cell->steps[i]))
			return false;
	return true;
}
