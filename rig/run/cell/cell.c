#include "run/cell/pulse.h"
#include "run/watch/watch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

#define WAIT_SLICE_MS 250 /* an interrupt is noticed within this */

static volatile sig_atomic_t interrupted;

void cell_interrupt(void)
{
	interrupted = 1;
}

bool cell_interrupted(void)
{
	return interrupted;
}

int64_t cell_now(struct cell *cell)
{
	return cell->bed ? cell->bed->ops->clock_ns(cell->bed) - cell->origin_ns : 0;
}

int64_t cell_clock(void *cell)
{
	return cell_now(cell);
}

bool cell_ended(struct cell *cell)
{
	return cell->broken || interrupted;
}

void cell_wait(struct cell *cell, int64_t until_ns)
{
	int64_t slice = deadline_in_ms(WAIT_SLICE_MS);
	int64_t left = until_ns == CLOCK_NEVER ? CLOCK_NEVER : until_ns - cell_now(cell);
	int64_t deadline =
		left == CLOCK_NEVER ? CLOCK_NEVER : clock_mono_ns() + (left > 0 ? left : 0);

	cond_wait(&cell->changed, &cell->lock, deadline < slice ? deadline : slice);
}

void cell_trouble(struct cell *cell, const char *trouble, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	log_line("trouble: %s: %s", trouble, buf_text(&text));
	history_add_at(cell->recorder, cell_now(cell), "rig",
		json_pack("{ss so}", "trouble", trouble, "text", json_text(buf_text(&text))));
	buf_free(&text);
}

void cell_phase(struct cell *cell, const char *name)
{
	log_line("phase %s", name);
	history_add(cell->recorder, "phase", "{ss}", "name", name);
}

/* ---- what the bed tells ---- */

static void bed_broke(struct cell *cell, const char *trouble, const json_t *json)
{
	bool first;

	pthread_mutex_lock(&cell->lock);
	first = !cell->broken;
	cell->broken = true;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
	if (first)
		cell_trouble(cell, trouble, "%s", json_get_text(json, "text", "no text"));
	line_group_cancel(&cell->sessions);
}

/* The bed's clock began with the bed, the cell's with the workload. */
static void shift_time(const struct cell *cell, json_t *object, const char *key)
{
	double origin = (double)cell->origin_ns / (double)NS_PER_SEC;

	if (json_object_get(object, key))
		json_object_set_new(
			object, key, json_real(json_get_real(object, key, origin) - origin));
}

static void record_copy(struct cell *cell, const char *kind, const json_t *json)
{
	int64_t at = json_get_int(json, "cell_ns", INT64_MIN);
	json_t *copy = json_copy((json_t *)json);

	shift_time(cell, copy, "dot_t");
	shift_time(cell, copy, "reply_t");
	shift_time(cell, copy, "since_t");
	json_object_del(copy, "cell_ns");
	history_add_at(cell->recorder, at == INT64_MIN ? cell_now(cell) : at - cell->origin_ns,
		kind, copy);
}

/* A stop sends no such signals, and what died before it, but took until then to be dumped, was not ended by it. */
static bool died_by_rig(const struct cell *cell, const json_t *died, int64_t now_ns)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
	int64_t signal = json_get_int(died, "signal", 0);
	int64_t took_ns = json_get_int(died, "took_ns", 0);

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (own[i] == signal)
			return false;
	return cell->stopping && now_ns - (took_ns > 0 ? took_ns : 0) >= cell->stopping_ns;
}

static void on_died(struct cell *cell, const json_t *json)
{
	json_t *copy = json_copy((json_t *)json);

	json_object_set_new(copy, "by_rig", json_boolean(died_by_rig(cell, json, cell_now(cell))));
	history_add_at(cell->recorder, cell_now(cell), "died", copy);
	watch_died(cell, json);
}

static void on_bed_event(void *arg, enum bed_event event, const json_t *json)
{
	struct cell *cell = arg;

	switch (event) {
	case BED_LOG:
		record_copy(cell, "log", json);
		log_seen(cell, json_get_text(json, "line", ""));
		break;
	case BED_KERNEL:
		record_copy(cell, "kernel", json);
		break;
	case BED_EXITED:
		record_copy(cell, "exited", json);
		break;
	case BED_DIED:
		on_died(cell, json);
		break;
	case BED_CALL:
		record_copy(cell, "call", json);
		watch_call(cell, json);
		pthread_mutex_lock(&cell->lock);
		pthread_cond_broadcast(&cell->changed);
		pthread_mutex_unlock(&cell->lock);
		break;
	case BED_PANIC:
		bed_broke(cell, "panic", json);
		break;
	case BED_GONE:
		bed_broke(cell, "qemu-gone", json);
		break;
	case BED_WIRE:
		moment_seen(cell, json);
		break;
	case BED_WAITED:
		record_copy(cell, "waited", json);
		break;
	case BED_UNHEARD:
		record_copy(cell, "unheard", json);
		break;
	case BED_ATTEMPT:
		record_copy(cell, "attempt", json);
		break;
	}
}

/* ---- the phases ---- */

/* Whoever waits for an agent that was silent may wait for the store's own time-out (law H1). */
int64_t cell_recover_ms(const struct cell *cell)
{
	int64_t silent_ms = cell->target->timers.agent_silent_ms;

	for (size_t i = 0; i < cell->step_count && silent_ms > 0; i++)
		if (cell->steps[i].fault && cell->steps[i].fault->is & FAULT_SILENT)
			return cell->objectives.recover_ms + silent_ms;
	return cell->objectives.recover_ms;
}

/* Nothing is in the way any more and yet nobody gets on: whoever waits now has waited too long. A step of the
 * rig's own clients or an action may be among them. */
static bool stalled(struct cell *cell)
{
	return cell->pending && faults_settled(cell) &&
	       cell_now(cell) - cell->progress_ns >= cell_recover_ms(cell) * NS_PER_MS;
}

/* Lock held. Until the finite workload is over and every step too, or the deadline. Steps that wait for
 * something to meet once the workload is over wait no longer than a recovery may take, from where nothing else goes
 * on by the clock. */
static void wait_workload(struct cell *cell)
{
	int64_t deadline = cell->plan->scenario->deadline_ms * NS_PER_MS;
	int64_t grace = CLOCK_NEVER;

	while (!cell_ended(cell) && cell_now(cell) < deadline) {
		int64_t until = steps_go_on_until(cell);

		if (until > cell_now(cell)) {
			grace = CLOCK_NEVER;
			cell_wait(cell, until < deadline ? until : deadline);
			continue;
		}
		if ((!cell->running_finite && steps_settled(cell)) || stalled(cell))
			return;
		if (!cell->running_finite && grace == CLOCK_NEVER)
			grace = cell_now(cell) + cell->objectives.recover_ms * NS_PER_MS;
		if (grace != CLOCK_NEVER && cell_now(cell) >= grace)
			return;
		cell_wait(cell, grace < deadline ? grace : deadline);
	}
}

static int64_t in_force_until(struct cell *cell)
{
	int64_t until = 0;

	for (size_t i = 0; i < cell->step_count; i++) {
		const struct step_run *step = &cell->steps[i];
		int64_t end;

		if (!step->fault || step->state != STEP_IN_FORCE ||
			step->step->for_ms == TIME_UNSET)
			continue;
		end = step->in_force_ns + step->step->for_ms * NS_PER_MS;
		until = end > until ? end : until;
	}
	return until;
}

/* Lock held. Faults off, then everything pending must come back within `recover`: of the last heal, or, where no fault
 * has been in force since, of whatever moved last. */
static void faults_off(struct cell *cell)
{
	bool heals = fault_in_force(cell);
	int64_t began, limit;

	for (int64_t until; (until = in_force_until(cell)) > cell_now(cell) && !cell_ended(cell);)
		cell_wait(cell, until);
	cell->faults_off = true;
	cell->enough = true;
	pthread_cond_broadcast(&cell->changed);
	for (size_t i = cell->workload_count; i < cell->step_count; i++)
		while (cell->steps[i].fault && cell->steps[i].state != STEP_OVER &&
			cell->steps[i].state != STEP_NEVER && !cell->broken)
			cell_wait(cell, CLOCK_NEVER);
	began = heals || !stalled(cell) ? cell_now(cell) : cell->progress_ns;
	limit = began + cell_recover_ms(cell) * NS_PER_MS;
	while (cell->pending && cell_now(cell) < limit && !cell_ended(cell))
		cell_wait(cell, limit);
	history_add(cell->recorder, "recovered", "{sb sf si}", "all", (int)(cell->pending == 0),
		"took_s", (double)(cell_now(cell) - began) / (double)NS_PER_SEC, "pending",
		(int)cell->pending);
}

static void hurt(struct cell *cell)
{
	struct err err = {0};
	int rc = steps_start(cell, &err);

	if (rc)
		cell_trouble(cell, "set-up", "%s", err.text);
	pthread_mutex_lock(&cell->lock);
	if (!rc)
		wait_workload(cell);
	cell_phase(cell, "faults-off");
	faults_off(cell);
	if (cell->pending && !cell_ended(cell)) {
		pthread_mutex_unlock(&cell->lock);
		watch_evidence(
			cell, "not-recovered", "operations are pending after the heal", true);
		pthread_mutex_lock(&cell->lock);
	}
	while (cell->asks_queue) /* it has a deadline of its own */
		cell_wait(cell, CLOCK_NEVER);
	cell->cut = true;
	pthread_mutex_unlock(&cell->lock);
	line_group_cancel(&cell->sessions);
	steps_join(cell);
	order_record(cell);
}

/* True when everything was read back. A store that does not stop, or does not start again, is left as it is. */
static bool settle(struct cell *cell)
{
	if (cell->down)
		return false;
	cell_phase(cell, "drain");
	cell_drain(cell);
	cell_ask_services(cell);
	cell_residue(cell);
	/* After a power cut another stop and start would be an operator's help (law U4). */
	if (cell->rebooted) {
		cell_phase(cell, "read-back");
		cell_read_back(cell);
		cell_phase(cell, "stop");
		cell_stop_store(cell);
		return true;
	}
	cell_phase(cell, "stop");
	if (cell_stop_store(cell))
		return false;
	files_look(cell, false);
	cell_phase(cell, "start");
	if (cell_start_store(cell))
		return false;
	cell_phase(cell, "read-back");
	cell_read_back(cell);
	return true;
}

static void close_wire(struct cell *cell)
{
	struct err err = {0};

	if (bed_has(cell->bed, wire_flush) && !cell->broken &&
		cell->bed->ops->wire_flush(cell->bed, deadline_in_ms(5000), &err))
		cell_trouble(cell, "capture-lost", "%s", err.text);
	if (bed_has(cell->bed, frames_lost) && cell->bed->ops->frames_lost(cell->bed))
		cell_trouble(cell, "capture-lost", "the capture lost %llu frames",
			(unsigned long long)cell->bed->ops->frames_lost(cell->bed));
}

static void live(struct cell *cell)
{
	struct pulse *pulse;
	struct err err = {0};
	bool whole = false;

	watch_open(cell);
	cell->origin_ns = cell->bed->ops->clock_ns(cell->bed);
	pulse = pulse_start(cell);
	watch_start(cell);
	history_add(cell->recorder, "bed", "{ss ss sf}", "bed", cell->bed->ops->name, "accelerator",
		bed_has(cell->bed, describe) ? cell->bed->ops->describe(cell->bed) : "none",
		"origin_s", (double)cell->origin_ns / (double)NS_PER_SEC);
	cell_phase(cell, "workload");
	if (steps_prepare(cell, &err))
		cell_trouble(cell, "set-up", "%s", err.text);
	else
		hurt(cell);
	if (!cell_ended(cell))
		whole = settle(cell);
	watch_stop(cell);
	pulse_stop(pulse);
	close_wire(cell);
	if (interrupted)
		cell_trouble(cell, "interrupted", "the run was interrupted");
	else if (!cell->broken && whole)
		cell_phase(cell, "end");
	watch_adjudicate(cell);
	watch_close(cell);
}

/* What is left of a life that was cut short by a power cut. */
static void live_on(struct cell *cell)
{
	struct pulse *pulse;
	bool whole = false;

	cell->origin_ns =
		cell->bed->ops->clock_ns(cell->bed) - (int64_t)(cell->past_s * (double)NS_PER_SEC);
	cell->rebooted = true;
	pulse = pulse_start(cell);
	cell_tell_power_back(cell);
	cell_phase(cell, "start");
	if (!cell_start_store(cell) && !cell_ended(cell))
		whole = settle(cell);
	pulse_stop(pulse);
	close_wire(cell);
	if (!cell->broken && whole && !interrupted)
		cell_phase(cell, "end");
}

static int run_cell(const struct plan *plan, const char *dir, const struct history *past,
	double past_s, bed_open_fn open, void *open_arg, struct err *err)
{
	struct cell *cell = mem_zero(1, sizeof(*cell));
	auto_free char *path = path_join(dir, "history.jsonl");
	struct err why = {0};
	int rc;

	cell->plan = plan;
	cell->target = plan->target;
	cell->dir = dir;
	cell->past = past;
	cell->past_s = past_s;
	cell->objectives =
		objectives_resolve(&plan->scenario->objectives, &plan->target->objectives);
	pthread_mutex_init(&cell->lock, NULL);
	cond_init(&cell->changed);
	cond_init(&cell->watch_tick);
	line_group_init(&cell->sessions);
	rc = recorder_open(&cell->recorder, path, cell_clock, cell, err);
	if (rc)
		goto out;
	if (past)
		cell_tell_past(cell);
	else
		cell_phase(cell, "set-up");
	rc = open(&cell->bed, plan, dir, on_bed_event, cell, open_arg, &why);
	if (rc)
		cell_trouble(cell, "set-up", "%s", why.text);
	else if (past)
		live_on(cell);
	else
		live(cell);
	if (cell->bed)
		cell->bed->ops->close(cell->bed);
	cell->bed = NULL;
	rc = recorder_close(cell->recorder, err);
out:
	line_group_fini(&cell->sessions);
	pthread_cond_destroy(&cell->changed);
	pthread_cond_destroy(&cell->watch_tick);
	pthread_mutex_destroy(&cell->lock);
	free(cell);
	return rc;
}

int cell_run(
	const struct plan *plan, const char *dir, bed_open_fn open, void *open_arg, struct err *err)
{
	return run_cell(plan, dir, NULL, 0, open, open_arg, err);
}

int cell_run_after(const struct plan *plan, const char *dir, const struct history *past,
	double at_s, bed_open_fn open, void *open_arg, struct err *err)
{
	return run_cell(plan, dir, past, at_s, open, open_arg, err);
}
