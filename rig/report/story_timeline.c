#include "report/story_timeline.h"

#include "api/ledger.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

#define TIMELINE_MAX 400 /* lines; the history has the rest */
#define ALIKE_MAX    3	 /* answers of one kind in a phase that are told one by one */
#define OWED_S	     2.0 /* an operation that takes so long is told where it begins */
#define ROW_COLUMN   22
#define ROW_MAX	     240 /* bytes */
#define TOKEN_SHOWN  8
#define LOGS_MAX     40 /* lines: of a store that says more only what a law is about */

void timeline_row(struct teller *t, double at, const char *what, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	if (++t->lines > TIMELINE_MAX)
		return;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	if (text.len > ROW_MAX) {
		text.len = ROW_MAX;
		buf_add_str(&text, "...");
	}
	buf_addf(t->out, "  %8.3f  %-9s ", at, what);
	story_wrap(t->out, buf_text(&text), ROW_COLUMN, ROW_COLUMN);
}

const char *timeline_text(const struct event *event, const char *key)
{
	return json_get_text(event->data, key, "");
}

/* ---- faults and steps ---- */

/* "park of mta at refstore/log/commit, call 3" */
static void add_fault(struct buf *text, const struct event *event)
{
	int64_t hit = json_get_int(event->data, "hit", 1);

	buf_addf(text, "%s: %s", timeline_text(event, "step"), timeline_text(event, "fault"));
	if (*timeline_text(event, "agent"))
		buf_addf(text, " of %s", timeline_text(event, "agent"));
	if (*timeline_text(event, "point"))
		buf_addf(text, " at %s", timeline_text(event, "point"));
	if (hit > 1)
		buf_addf(text, ", call %lld", (long long)hit);
}

static void tell_fault(struct teller *t, const struct event *event)
{
	const char *state = timeline_text(event, "state");
	auto_buf struct buf text = {0};

	if (!strcmp(state, "healing"))
		return; /* what it healed is told at its end */
	add_fault(&text, event);
	if (!strcmp(state, "healed"))
		timeline_row(t, event->t, "HEAL", "%s; fired %lld", buf_text(&text),
			(long long)json_get_int(event->data, "count", 0));
	else
		timeline_row(t, event->t, "FAULT", "%s: %s%s%s", buf_text(&text),
			strcmp(state, "in-force") ? state : "in force",
			*timeline_text(event, "text") ? ", " : "", timeline_text(event, "text"));
}

/* An action of a step, with all users that it is for. */
static void tell_action(struct teller *t, size_t begin)
{
	const struct event *first = &t->history->events[begin];
	auto_buf struct buf users = {0};

	if (t->acting && !strcmp(t->acting, timeline_text(first, "who")))
		return;
	t->acting = timeline_text(first, "who");
	for (size_t i = begin; i < t->history->count; i++) {
		const struct event *event = &t->history->events[i];

		if (event_is(event, "begin") && !strcmp(timeline_text(event, "who"), t->acting) &&
			*timeline_text(event, "user"))
			buf_addf(&users, " %s", timeline_text(event, "user"));
	}
	timeline_row(t, first->t, "step", "%s%s%s%s", timeline_text(first, "op"), buf_text(&users),
		strcmp(t->acting, timeline_text(first, "op")) ? ", step " : "",
		strcmp(t->acting, timeline_text(first, "op")) ? t->acting : "");
}

/* ---- what clients waited for ---- */

static struct alike *alike_of(
	struct teller *t, const char *outcome, const char *op, const char *text)
{
	for (size_t i = 0; i < t->alike_count; i++)
		if (!strcmp(t->alike[i].outcome, outcome) && !strcmp(t->alike[i].op, op) &&
			!strcmp(t->alike[i].text, text))
			return &t->alike[i];
	if (t->alike_count == KINDS_MAX)
		return NULL;
	t->alike[t->alike_count] = (struct alike){outcome, op, text, 0, 0};
	return &t->alike[t->alike_count++];
}

/* False: enough of these were told. */
static bool one_more(
	struct teller *t, double at, const char *outcome, const char *op, const char *text)
{
	struct alike *alike = alike_of(t, outcome, op, text);

	if (!alike)
		return true;
	alike->last = at;
	return ++alike->count <= ALIKE_MAX;
}

/* What was not told one by one, when the next phase begins. */
static void tell_alike(struct teller *t, double at)
{
	for (size_t i = 0; i < t->alike_count; i++)
		if (t->alike[i].count > ALIKE_MAX)
			timeline_row(t, at, t->alike[i].outcome,
				"%zu more of %s like these, the last at %.3f s",
				t->alike[i].count - ALIKE_MAX, t->alike[i].op, t->alike[i].last);
	t->alike_count = 0;
}

/* "writers.1 smtp-message fd8958ad"; an action is called after its step. */
static void add_operation(struct buf *text, const struct event *event)
{
	if (strcmp(timeline_text(event, "who"), timeline_text(event, "op")) != 0)
		buf_addf(text, "%s ", timeline_text(event, "who"));
	buf_add_str(text, timeline_text(event, "op"));
	if (*timeline_text(event, "token"))
		buf_addf(text, " %.*s", TOKEN_SHOWN, timeline_text(event, "token"));
}

static const struct ledger_op *op_begun_at(struct teller *t, const struct event *event)
{
	const struct ledger *ledger = t->history->ledger;

	while (t->op < ledger->op_count && ledger->ops[t->op].begin_line < event->line)
		t->op++;
	return t->op < ledger->op_count && ledger->ops[t->op].begin_line == event->line
		       ? &ledger->ops[t->op]
		       : NULL;
}

/* What is not answered for long is told where it begins: nobody could see it there at its end. */
static void tell_begin(struct teller *t, size_t i)
{
	const struct event *event = &t->history->events[i];
	const struct ledger_op *op = op_begun_at(t, event);
	bool ended = op && op->end_line && !op->gave_up;
	auto_buf struct buf text = {0};

	if (!strcmp(timeline_text(event, "service"), "action"))
		tell_action(t, i);
	if (!op || op_waits_for_work(timeline_text(event, "op"), timeline_text(event, "command")) ||
		(ended && op->end - op->begin < OWED_S) ||
		!one_more(t, event->t, "waits", timeline_text(event, "op"), ""))
		return;
	add_operation(&text, event);
	if (ended && op->outcome != OUTCOME_MAYBE)
		timeline_row(t, event->t, "waits", "%s: answered only after %.1f s",
			buf_text(&text), op->end - op->begin);
	else
		timeline_row(t, event->t, "waits", "%s: is never answered", buf_text(&text));
}

static void tell_end(struct teller *t, const struct event *event)
{
	const char *outcome = timeline_text(event, "outcome"), *says = timeline_text(event, "text");
	auto_buf struct buf text = {0};

	if (!strcmp(outcome, "OK") ||
		!one_more(t, event->t, outcome, timeline_text(event, "op"), says))
		return;
	add_operation(&text, event);
	timeline_row(t, event->t, outcome, "%s: %s", buf_text(&text),
		*says ? says
		: !strcmp(outcome, "MAYBE")
			? "no answer in its time; nobody knows whether it was done"
			: "refused");
}

/* ---- what the rig saw ---- */

/* Who waits for whom in a circle, the first time that it was seen. */
static void tell_waits(struct teller *t, const struct event *event)
{
	const json_t *cycle = json_array_get(json_object_get(event->data, "cycles"), 0);
	auto_buf struct buf text = {0};
	json_t *one;
	size_t i;

	if (t->cycle_told || !json_array_size(cycle))
		return;
	t->cycle_told = true;
	json_array_foreach ((json_t *)cycle, i, one)
		buf_addf(&text, "%s`%s` thread %lld wants %s", i ? "; " : "",
			json_get_text(one, "role", "?"), (long long)json_get_int(one, "tid", 0),
			json_get_text(one, "what", "?"));
	timeline_row(t, event->t, "locks", "a circle: %s", buf_text(&text));
}

static void tell_adjudged(struct teller *t, const struct event *event)
{
	const char *recovery = timeline_text(event, "recovery");

	if (!strcmp(recovery, "after_guest_s"))
		timeline_row(t, event->t, "copy",
			"of %s, run on: recovers %.0f s after its wait began, %s",
			timeline_text(event, "name"),
			json_get_real(event->data, "after_guest_s", 0),
			timeline_text(event, "event"));
	else
		timeline_row(t, event->t, "copy", "of %s, run on: %s, %s",
			timeline_text(event, "name"), recovery, timeline_text(event, "event"));
}

static void tell_call(struct teller *t, const struct event *event)
{
	long long pid = (long long)json_get_int(event->data, "pid", 0),
		  tid = (long long)json_get_int(event->data, "tid", pid);

	if (strcmp(timeline_text(event, "what"), "hit") != 0)
		timeline_row(t, event->t, "call", "%s: thread %lld of process %lld, %s %s",
			timeline_text(event, "what"), tid, pid, timeline_text(event, "exe"),
			timeline_text(event, "path"));
}

static void tell_evidence(struct teller *t, const struct event *event)
{
	const char *why = timeline_text(event, "why");

	timeline_row(t, event->t, "evidence", "saved in evidence/%s/%s%s%s",
		timeline_text(event, "name"), *why ? " (" : "", why, *why ? ")" : "");
}

static void tell_trouble(struct teller *t, const struct event *event)
{
	const char *trouble = timeline_text(event, "trouble");

	if (!strcmp(trouble, "starved") && !one_more(t, event->t, "RIG", trouble, ""))
		return;
	timeline_row(t, event->t, "RIG", "%s: %s", trouble, timeline_text(event, "text"));
}

/* Of the watch; false: it is none of these. */
static bool tell_watch(struct teller *t, const struct event *event)
{
	if (event_is(event, "suspected"))
		timeline_row(t, event->t, t->finding ? "DETECTED" : "suspected",
			"%s: %s has taken %.1f s", timeline_text(event, "why"),
			timeline_text(event, "op"), json_get_real(event->data, "age_s", 0));
	else if (event_is(event, "branched"))
		timeline_row(t, event->t, "copy",
			"of the machine, for %s; it stood still for %.2f s, "
			"which this clock leaves out",
			timeline_text(event, "name"), json_get_real(event->data, "still_s", 0));
	else if (event_is(event, "adjudged"))
		tell_adjudged(t, event);
	else if (event_is(event, "evidence"))
		tell_evidence(t, event);
	else if (event_is(event, "waits"))
		tell_waits(t, event);
	else if (event_is(event, "rig"))
		tell_trouble(t, event);
	else
		return false;
	return true;
}

/* Of what the cell does. */
static void tell_step(struct teller *t, size_t i)
{
	const struct event *event = &t->history->events[i];

	if (event_is(event, "begin"))
		tell_begin(t, i);
	else if (event_is(event, "end"))
		tell_end(t, event);
	else if (event_is(event, "fault"))
		tell_fault(t, event);
	else if (event_is(event, "moment"))
		timeline_row(t, event->t, "moment", "%s starts %s", timeline_text(event, "name"),
			timeline_text(event, "step"));
	else if (event_is(event, "call"))
		tell_call(t, event);
	else if (event_is(event, "window"))
		timeline_row(t, event->t, "deleted", "%s, %lld while %s was in force",
			timeline_text(event, "step"),
			(long long)json_get_int(event->data, "deletions", 0),
			timeline_text(event, "window"));
	else if (event_is(event, "missed"))
		timeline_row(t, event->t, "missed", "%s ended only after %s",
			timeline_text(event, "step"), timeline_text(event, "window"));
	else if (event_is(event, "never"))
		timeline_row(t, event->t, "never", "%s: what it waits for never came",
			timeline_text(event, "step"));
}

static void tell(struct teller *t, size_t i)
{
	const struct event *event = &t->history->events[i];

	if (event_is(event, "phase")) {
		timeline_read_back(t);
		tell_alike(t, event->t);
		timeline_row(t, event->t, "phase", "%s", timeline_text(event, "name"));
		t->settling |= !strcmp(timeline_text(event, "name"), "stop");
	} else if (!tell_watch(t, event) && !timeline_store(t, event)) {
		tell_step(t, i);
	}
}

/* The onset is no event: it was found afterwards, between two looks at the guest. */
static void tell_onset(struct teller *t, double until)
{
	const json_t *onset = t->finding ? json_object_get(t->finding->diagnosis, "onset_s") : NULL;
	double not_yet = json_number_value(json_array_get(onset, 0)),
	       seen = json_number_value(json_array_get(onset, 1));

	if (t->onset_told || json_array_size(onset) != 2 || seen > until)
		return;
	t->onset_told = true;
	timeline_row(t, seen, "onset", "%s; not yet at %.3f s",
		t->finding->hang_class && !strcmp(t->finding->hang_class, "lost-wakeup")
			? "the first culprit waits"
			: "all who make the hang stand",
		not_yet);
}

static size_t logs_of(const struct history *history)
{
	size_t count = 0;

	for (size_t i = 0; i < history->count; i++)
		count += event_is(&history->events[i], "log");
	return count;
}

void story_timeline(const struct history *history, const struct result *result, struct buf *out)
{
	struct teller teller = {.out = out,
		.history = history,
		.result = result,
		.finding = result_finding(result),
		.depth = -1,
		.all_logs = logs_of(history) <= LOGS_MAX};

	buf_add_str(out, "\nTIMELINE  guest seconds\n");
	for (size_t i = 0; i < history->count; i++) {
		if (!history->events[i].data)
			continue;
		if (!event_is(&history->events[i], "attempt"))
			tell_onset(&teller, history->events[i].t);
		tell(&teller, i);
	}
	timeline_read_back(&teller);
	tell_alike(&teller, history->count ? history->events[history->count - 1].t : 0);
	if (teller.lines > TIMELINE_MAX)
		buf_addf(out, "  ... %d more in history.jsonl\n", teller.lines - TIMELINE_MAX);
}
