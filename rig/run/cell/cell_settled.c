/* Which steps of a cell have nothing left to do by themselves, and which do something by the clock. */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <string.h>

#define ENDLESS_MS INT64_C(2000) /* that a cell lasts in which nothing would end: for some rounds */

/* Over, or in force without an end of its own: that one lasts until the faults-off phase. */
static bool step_settled(const struct step_run *step)
{
	if (step_is_over(step))
		return true;
	return step->fault && step->state == STEP_IN_FORCE && step->step->for_ms == TIME_UNSET &&
	       !step->step->until;
}

bool fault_in_force(const struct cell *cell)
{
	for (size_t i = cell->workload_count; i < cell->step_count; i++)
		if (cell->steps[i].fault && cell->steps[i].state == STEP_IN_FORCE)
			return true;
	return false;
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

/* What the store itself takes its time for: it may, as long as it is held to be in order. */
static int64_t store_may_take_ms(const struct step_run *step)
{
	const struct cell *cell = step->cell;
	const struct {
		const char *action;
		int64_t ms;
	} times[] = {
		{"stop", cell->objectives.stop_ms},
		{"dismount", cell->objectives.stop_ms},
		{"start", cell->target->ready_within_ms},
		{"mount", cell->target->ready_within_ms},
	};

	for (size_t i = 0; i < ARRAY_SIZE(times) && !cell->action_hangs; i++)
		if (step->state == STEP_IN_FORCE && !strcmp(step->step->what, times[i].action))
			return times[i].ms;
	return 0;
}

/* It waits for the end of a fault that ends by itself. */
static bool end_is_near(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;
	const struct step_run *other =
		trigger->kind == TRIGGER_AFTER ? cell_step(step->cell, trigger->label) : NULL;

	return other && other->fault && other->state == STEP_IN_FORCE &&
	       other->step->for_ms != TIME_UNSET;
}

/* The latest moment at which this step goes on by itself; what is past: it does not. */
static int64_t goes_on_until(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;

	if (step->state == STEP_WAITING && (step_came(step) || end_is_near(step)))
		return cell_now(step->cell) + (trigger->delay_ms + 1) * NS_PER_MS;
	if (step->state == STEP_WAITING && trigger->kind == TRIGGER_AT && !step->step->step)
		return trigger->at_ms * NS_PER_MS;
	return step->in_force_ns + store_may_take_ms(step) * NS_PER_MS;
}

/* Clients that never end by themselves, and nothing else: a baseline. */
static bool nothing_ends(const struct cell *cell)
{
	for (size_t i = 0; i < cell->workload_count; i++)
		if (work_finite(cell->steps[i].step))
			return false;
	return cell->workload_count && cell->step_count == cell->workload_count;
}

int64_t steps_go_on_until(struct cell *cell)
{
	int64_t until = nothing_ends(cell) ? ENDLESS_MS * NS_PER_MS : 0;

	for (size_t i = cell->workload_count; i < cell->step_count; i++) {
		int64_t one = goes_on_until(&cell->steps[i]);

		until = one > until ? one : until;
	}
	return until;
}
