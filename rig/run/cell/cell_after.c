/*
 * The history of another cell up to a power cut. What had been said by then is as it was; what was under way is
 * as if its answer had been lost on the way, which excuses either end; what began later never was.
 */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <string.h>

static int64_t ns_of(double seconds)
{
	return (int64_t)(seconds * (double)NS_PER_SEC);
}

static void tell(struct cell *cell, double t, const char *kind, const json_t *data)
{
	json_t *copy = json_deep_copy(data);

	json_object_del(copy, "t");
	json_object_del(copy, "ev");
	history_add_at(cell->recorder, ns_of(t), kind, copy);
}

/* Phases of the rig's own end of a cell, and lines that say what the rig measured there, are not told. */
static bool is_told(const struct event *event)
{
	static const char *const kinds[] = {"bed", "begin", "end", "attempt", "excused", "died",
		"exited", "log", "kernel", "call", "moment", "note", NULL};
	const char *name = json_get_text(event->data, "name", "");

	if (event_is(event, "phase"))
		return !strcmp(name, "set-up") || !strcmp(name, "workload");
	for (const char *const *kind = kinds; *kind; kind++)
		if (event_is(event, *kind))
			return true;
	return false;
}

static bool began(const struct cell *cell, const char *key, const json_t *value)
{
	for (size_t i = 0; i < cell->past->count; i++) {
		const struct event *event = &cell->past->events[i];

		if (event->t <= cell->past_s && event_is(event, "begin") && event->data &&
			json_equal(json_object_get(event->data, key), value))
			return true;
	}
	return false;
}

/* An answer that came after the cut: nobody heard it. */
static void tell_unheard(struct cell *cell, const struct event *event)
{
	double dot_t = event->data ? json_get_real(event->data, "dot_t", cell->past_s) : 0;
	json_t *copy;

	if (event_is(event, "end") && began(cell, "id", json_object_get(event->data, "id"))) {
		copy = json_pack("{sO sO sO ss ss}", "id", json_object_get(event->data, "id"),
			"who", json_object_get(event->data, "who"), "op",
			json_object_get(event->data, "op"), "outcome", "MAYBE", "text",
			"the power was cut");
		history_add_at(cell->recorder, ns_of(cell->past_s), "end", copy);
	} else if (event_is(event, "attempt") && dot_t > cell->past_s &&
		   !strcmp(json_get_text(event->data, "hop", ""), "inner")) {
		return; /* the queue had not tried yet */
	} else if (event_is(event, "attempt") &&
		   began(cell, "token", json_object_get(event->data, "token"))) {
		copy = json_deep_copy(event->data);
		json_object_del(copy, "t");
		json_object_del(copy, "ev");
		json_object_del(copy, "reply_t");
		json_object_set_new(copy, "result", json_string("none"));
		json_object_set_new(copy, "code", json_integer(0));
		json_object_set_new(
			copy, "dot_t", json_real(dot_t < cell->past_s ? dot_t : cell->past_s));
		history_add_at(cell->recorder, ns_of(cell->past_s), "attempt", copy);
	}
}

static void tell_cut(struct cell *cell, double t, const char *state)
{
	json_t *line = json_pack(
		"{ss ss ss si}", "step", "cut", "fault", "power-cut", "state", state, "count", 1);

	fault_is_say(FAULT_CUTS_POWER, line);
	if (!strcmp(state, "in-force"))
		json_object_set_new(line, "at_t", json_real(cell->past_s));
	history_add_at(cell->recorder, ns_of(t), "fault", line);
}

void cell_tell_past(struct cell *cell)
{
	for (size_t i = 0; i < cell->past->count; i++) {
		const struct event *event = &cell->past->events[i];

		if (!event->data)
			continue;
		if (event->t > cell->past_s)
			tell_unheard(cell, event);
		else if (is_told(event))
			tell(cell, event->t, event->kind, event->data);
	}
	tell_cut(cell, cell->past_s, "in-force");
}

void cell_tell_power_back(struct cell *cell)
{
	tell_cut(cell, (double)cell_now(cell) / (double)NS_PER_SEC, "healed");
}

/* ---- darkness: the power is cut ---- */

/* From here on nobody can reach the store. Whoever waits for it learns so at once: a machine without power says
 * nothing, and the time-outs of TCP are not what the cell is about. */
void cell_darken(struct step_run *step)
{
	struct cell *cell = step->cell;

	pthread_mutex_lock(&cell->lock);
	cell->dark = cell->rebooted = true;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
	line_group_end(&cell->sessions);
}

/* The store's own start is all it gets (law U4). */
void cell_lighten(struct step_run *step, bool powered)
{
	struct cell *cell = step->cell;
	bool ready = powered && !cell->broken && !cell_start_store(cell);

	pthread_mutex_lock(&cell->lock);
	cell->dark = false;
	cell->down = !ready;
	cell->enough = cell->enough || !ready;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
}
