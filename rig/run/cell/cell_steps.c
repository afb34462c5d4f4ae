#include "run/watch/watch.h"

#include "base/clock.h"

#include <string.h>

#define WATCH_MS 1000 /* between two looks at what meets a fault in force */

static const char *const state_names[] = {"waiting", "due", "armed", "in-force", "over", "never"};

const char *step_state_name(enum step_state state)
{
	return state_names[state];
}

void step_set(struct step_run *step, enum step_state state)
{
	step->state = state;
	step->cell->progress_ns = cell_now(step->cell);
	pthread_cond_broadcast(&step->cell->changed);
}

struct step_run *cell_step(struct cell *cell, const char *label)
{
	for (size_t i = 0; label && i < cell->step_count; i++)
		if (!strcmp(cell->steps[i].step->label, label))
			return &cell->steps[i];
	return NULL;
}

bool step_is_over(const struct step_run *step)
{
	return step->state == STEP_OVER || step->state == STEP_NEVER;
}

/* ---- what faults call back ---- */

static uint32_t on_pending(void *arg)
{
	return op_pending(((struct step_run *)arg)->cell);
}

static uint32_t on_delayed(void *arg)
{
	return op_delayed(((struct step_run *)arg)->cell);
}

static uint32_t on_refused(void *arg)
{
	return op_refused(((struct step_run *)arg)->cell);
}

static uint32_t on_acted(void *arg, const struct text_list *commands)
{
	return actions_run(((struct step_run *)arg)->cell, commands);
}

bool step_must_end(struct step_run *step)
{
	return step->cell->faults_off || cell_ended(step->cell);
}

/* A note in the capture, so that Wireshark shows the fault among the packets. Lock not held. */
static void mark(struct step_run *step, const char *what)
{
	struct bed *bed = step->cell->bed;
	auto_free char *text = text_fmt("%s: %s (%s)", what, step->step->label, step->fault->name);

	if (bed_has(bed, mark))
		bed->ops->mark(bed, text);
}

/* ---- triggers ---- */

/* A call fault that names a step and no trigger is armed when that step is due, before it begins. */
static bool arms_before(const struct step_run *step)
{
	return step->fault && step->fault->waits && step->step->step && step->step->trigger.implied;
}

bool step_came(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;
	struct step_run *other;

	if (arms_before(step)) {
		other = cell_step(step->cell, step->step->step);
		return other && other->state != STEP_WAITING && other->state != STEP_NEVER;
	}
	switch (trigger->kind) {
	case TRIGGER_AT:
		return cell_now(step->cell) >= trigger->at_ms * NS_PER_MS;
	case TRIGGER_MOMENT:
	case TRIGGER_LOG:
		return step->triggered;
	case TRIGGER_WHILE:
		other = cell_step(step->cell, trigger->label);
		return other && other->state == STEP_IN_FORCE;
	case TRIGGER_AFTER:
		other = cell_step(step->cell, trigger->label);
		return other && other->state == STEP_OVER;
	}
	return false;
}

static bool trigger_hopeless(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;
	struct step_run *other = NULL;

	if (trigger->kind == TRIGGER_WHILE || trigger->kind == TRIGGER_AFTER)
		other = cell_step(step->cell, trigger->label);
	if (!other)
		return false;
	return other->state == STEP_NEVER ||
	       (trigger->kind == TRIGGER_WHILE && other->state == STEP_OVER);
}

/* Lock held. True: go. False: it will never come. */
static bool wait_trigger(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;
	int64_t until;

	while (!step_came(step)) {
		if (step_must_end(step) || trigger_hopeless(step))
			return false;
		cell_wait(step->cell, trigger->kind == TRIGGER_AT && !arms_before(step)
					      ? trigger->at_ms * NS_PER_MS
					      : CLOCK_NEVER);
	}
	until = cell_now(step->cell) + trigger->delay_ms * NS_PER_MS;
	while (cell_now(step->cell) < until && !step_must_end(step))
		cell_wait(step->cell, until);
	return !step_must_end(step);
}

/* Lock held: call faults that act on this step's work are armed before it begins. */
static void wait_armed(struct step_run *step)
{
	struct cell *cell = step->cell;

	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *other = &cell->steps[i];

		if (!arms_before(other) || strcmp(other->step->step, step->step->label))
			continue;
		while (other->state < STEP_ARMED && !step_must_end(step))
			cell_wait(cell, CLOCK_NEVER);
	}
}

/* ---- a fault's life ---- */

static bool until_came(struct step_run *step)
{
	struct step_run *other = cell_step(step->cell, step->step->until);

	return other && step_is_over(other);
}

/* Lock held on entry and exit. The heal polls again and tells what went wrong. */
static void watch(struct step_run *step)
{
	struct err err = {0};

	pthread_mutex_unlock(&step->cell->lock);
	step->fault->poll(&step->run, &err);
	pthread_mutex_lock(&step->cell->lock);
}

/* Lock held on entry and exit. Stay in force as long as the scenario says. */
static void hold(struct step_run *step)
{
	int64_t until = CLOCK_NEVER, look = CLOCK_NEVER;

	if (step->step->for_ms != TIME_UNSET)
		until = step->in_force_ns + step->step->for_ms * NS_PER_MS;
	if (step->fault->watch)
		look = step->in_force_ns;
	while (!step_must_end(step) &&
		(step->cell->plan->order.count
				? order_holds(step)
				: !until_came(step) && cell_now(step->cell) < until)) {
		if (cell_now(step->cell) >= look) {
			watch(step);
			look = cell_now(step->cell) + WATCH_MS * NS_PER_MS;
		}
		cell_wait(step->cell, until < look ? until : look);
	}
}

/* Lock held on entry and exit. A call fault is in force once it met something. */
static int wait_met(struct step_run *step, struct err *err)
{
	int rc = 0;

	while (!step->run.fired && !step_must_end(step) && !rc) {
		cell_wait(step->cell, CLOCK_NEVER);
		pthread_mutex_unlock(&step->cell->lock);
		rc = step->fault->poll(&step->run, err);
		pthread_mutex_lock(&step->cell->lock);
	}
	return rc;
}

static int set_up_fault(struct step_run *step, struct err *err)
{
	int64_t due = step->moment_ns;
	int rc;

	if (due != INT64_MAX)
		due += step->cell->origin_ns + step->step->trigger.delay_ms * NS_PER_MS;
	step->run.due_ns = due;
	rc = step->fault->fire(&step->run, err);
	if (!rc && step->fault->darkens)
		cell_darken(step);
	/* A cut of the power is of the very moment, however late it is made. */
	step->too_late = !rc && step->by_wire && step->run.at_ns < 0 &&
			 fault_late_ns(step) > step->step->trigger.within_ms * NS_PER_MS;
	if (!rc) {
		fault_record(step, "armed", NULL);
		mark(step, "fault");
	}
	return rc;
}

static void heal_fault(struct step_run *step)
{
	struct err err = {0};
	int rc = step->fault->poll(&step->run, &err);

	if (rc == -ETIMEDOUT)
		history_add(step->cell->recorder, "note", "{so}", "text", json_text(err.text));
	else if (rc)
		cell_trouble(step->cell, "heal-failed", "cannot count what met '%s': %s",
			step->step->label, err.text);
	if (step->step->point)
		fault_record(step, "healing", NULL);
	if (step->fault->darkens_late && step->run.fired)
		cell_darken(step);
	rc = step->fault->heal(&step->run, &err);
	fault_record(step, rc ? "heal-failed" : "healed", rc ? err.text : step->run.text);
	mark(step, rc ? "heal failed" : "healed");
	if (rc)
		cell_trouble(step->cell, "heal-failed", "'%s' could not be healed: %s",
			step->step->label, err.text);
	if ((step->fault->darkens || step->fault->darkens_late) && step->cell->dark)
		cell_lighten(step, !rc);
}

/* Lock held on entry and exit. What the store and its queue look like just before the heal is kept. */
static void stay_in_force(struct step_run *step)
{
	auto_free char *name = text_fmt("%s-before-heal", step->step->label);

	step->in_force_ns = cell_now(step->cell);
	fault_record(step, "in-force", NULL);
	step_set(step, STEP_IN_FORCE);
	if (step->fault->instant)
		return;
	hold(step);
	pthread_mutex_unlock(&step->cell->lock);
	cell_queue_depth(step->cell);
	watch_evidence(step->cell, name, "just before the heal", false);
	pthread_mutex_lock(&step->cell->lock);
}

/* Lock held on entry and exit. */
static void run_fault(struct step_run *step)
{
	struct cell *cell = step->cell;
	struct err err = {0};
	int rc;

	pthread_mutex_unlock(&cell->lock);
	rc = set_up_fault(step, &err);
	pthread_mutex_lock(&cell->lock);
	if (!rc && step->fault->waits) {
		step_set(step, STEP_ARMED);
		rc = wait_met(step, &err);
	}
	if (!rc && (!step->fault->waits || step->run.fired))
		stay_in_force(step);
	pthread_mutex_unlock(&cell->lock);
	if (rc)
		cell_trouble(cell, "set-up", "fault '%s' could not be set up: %s",
			step->step->label, err.text);
	heal_fault(step);
	pthread_mutex_lock(&cell->lock);
	step->failed = rc != 0;
}

/* An action, workload or deletion that was to happen while another step is in force must have ended inside it;
 * where an order is wanted it has its own say. */
static void check_window(struct step_run *step)
{
	const struct trigger *trigger = &step->step->trigger;
	bool deletes = step->fault && step->fault->family == FAMILY_CONCURRENT_DELETE &&
		       step->fault->instant;
	struct step_run *other;

	if ((step->fault && !deletes) || trigger->kind != TRIGGER_WHILE)
		return;
	if (deletes)
		step->deletions = step->run.fired;
	other = cell_step(step->cell, trigger->label);
	step->missed = other && other->state != STEP_IN_FORCE && !step->cell->plan->order.count;
	if (step->missed)
		history_add(step->cell->recorder, "missed", "{ss ss}", "step", step->step->label,
			"window", trigger->label);
	else if (step->deletions && other && other->fault && other->state == STEP_IN_FORCE)
		history_add(step->cell->recorder, "window", "{ss ss si}", "step", step->step->label,
			"window", trigger->label, "deletions", (int)step->deletions);
}

static void *step_main(void *arg)
{
	struct step_run *step = arg;
	struct cell *cell = step->cell;

	pthread_mutex_lock(&cell->lock);
	if (!wait_trigger(step)) {
		history_add(cell->recorder, "never", "{ss ss}", "step", step->step->label, "do",
			step->step->what);
		step_set(step, STEP_NEVER);
		pthread_mutex_unlock(&cell->lock);
		return NULL;
	}
	step_set(step, STEP_DUE);
	if (step->fault) {
		wait_armed(step);
		run_fault(step);
		check_window(step);
	} else {
		wait_armed(step);
		step->in_force_ns = cell_now(cell);
		step_set(step, STEP_IN_FORCE);
		pthread_mutex_unlock(&cell->lock);
		if (work_known(step->step->what))
			work_run(step);
		else
			action_run(step);
		pthread_mutex_lock(&cell->lock);
		check_window(step);
	}
	step_set(step, STEP_OVER);
	pthread_mutex_unlock(&cell->lock);
	return NULL;
}

/* ---- all of them ---- */

static int prepare_one(struct cell *cell, const struct step *step, bool workload, struct err *err)
{
	struct step_run *run = &cell->steps[cell->step_count];

	if (cell->step_count == CELL_STEPS_MAX)
		return err_set(err, -E2BIG, "more than %d steps and workloads", CELL_STEPS_MAX);
	*run = (struct step_run){
		.cell = cell, .step = step, .is_workload = workload, .moment_ns = INT64_MAX};
	run->fault = fault_find(step->what);
	run->run = (struct fault_run){
		.bed = cell->bed,
		.target = cell->target,
		.step = step,
		.slot = (unsigned int)cell->step_count + 1,
		.pending = on_pending,
		.delayed = on_delayed,
		.refused = on_refused,
		.acted = on_acted,
		.remove = deletion_do,
		.arg = run,
		.seed = cell->plan->seed,
		.due_ns = INT64_MAX,
		.at_ns = -1,
	};
	cell->step_count++;
	return 0;
}

int steps_prepare(struct cell *cell, struct err *err)
{
	const struct scenario *scenario = cell->plan->scenario;
	int rc = 0;

	for (size_t i = 0; i < scenario->workload_count && !rc; i++)
		rc = prepare_one(cell, &scenario->workload[i], true, err);
	cell->workload_count = cell->step_count;
	for (size_t i = 0; i < scenario->step_count && !rc; i++)
		rc = prepare_one(cell, &scenario->steps[i], false, err);
	for (size_t i = 0; i < cell->step_count && !rc; i++) {
		const struct trigger *trigger = &cell->steps[i].step->trigger;
		struct step_run *held = cell_step(cell, trigger->label);

		if (trigger->kind == TRIGGER_WHILE && held && held->fault)
			cell->steps[i].run.held = &held->run;
		held = cell_step(cell, cell->steps[i].step->step);
		cell->steps[i].run.about = held ? held->step : NULL;
	}
	if (!rc)
		order_prepare(cell);
	return rc;
}

int steps_start(struct cell *cell, struct err *err)
{
	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];
		int rc;

		if (step->is_workload && work_finite(step->step))
			cell->running_finite++;
		rc = pthread_create(&step->thread, NULL, step_main, step);
		if (rc)
			return err_sys(
				err, rc, "cannot start a thread for step '%s'", step->step->label);
		step->started = true;
	}
	return 0;
}

void steps_join(struct cell *cell)
{
	for (size_t i = 0; i < cell->step_count; i++)
		if (cell->steps[i].started)
			pthread_join(cell->steps[i].thread, NULL);
}
