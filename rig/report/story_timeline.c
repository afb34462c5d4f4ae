#include "report/story_parts.h"

#include "base/json.h"

#include <string.h>

#define TIMELINE_MAX 400 /* lines; the history has the rest */
#define ALIKE_MAX    3	 /* answers of one kind in a phase that are told one by one */
#define KINDS_MAX    16

/* Answers that say the same of the same operation. */
struct alike {
	const char *outcome, *op, *text;
	size_t count;
	double last;
};

struct teller {
	struct buf *out;
	const struct history *history;
	const json_t *diagnosis; /* of the finding the cell is called after, or NULL */
	bool onset_told;
	int lines;
	double read_at; /* of mailboxes that were read back and not yet told */
	int64_t readers, mailboxes, messages;
	struct alike alike[KINDS_MAX];
	size_t alike_count;
};

static void row(struct teller *t, double at, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void row(struct teller *t, double at, const char *what, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	if (++t->lines > TIMELINE_MAX)
		return;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	buf_addf(t->out, "  %8.3f  %-9s ", at, what);
	while (text.len && text.data[text.len - 1] == ' ')
		text.data[--text.len] = '\0';
	story_plain(t->out, buf_text(&text));
	buf_addc(t->out, '\n');
}

static const char *text_of(const struct event *event, const char *key)
{
	return json_get_text(event->data, key, "");
}

static void tell_fault(struct teller *t, const struct event *event)
{
	const char *state = text_of(event, "state");

	if (!strcmp(state, "healing"))
		return; /* what it healed is told at its end */
	if (!strcmp(state, "healed"))
		row(t, event->t, "HEAL", "%s: %s; fired %lld", text_of(event, "step"),
			text_of(event, "fault"), (long long)json_get_int(event->data, "count", 0));
	else
		row(t, event->t, "FAULT", "%s: %s %s %s", text_of(event, "step"),
			text_of(event, "fault"), state, text_of(event, "text"));
}

static struct alike *alike_of(struct teller *t, const struct event *event)
{
	const struct alike one = {
		text_of(event, "outcome"), text_of(event, "op"), text_of(event, "text"), 0, 0};

	for (size_t i = 0; i < t->alike_count; i++)
		if (!strcmp(t->alike[i].outcome, one.outcome) && !strcmp(t->alike[i].op, one.op) &&
			!strcmp(t->alike[i].text, one.text))
			return &t->alike[i];
	if (t->alike_count == KINDS_MAX)
		return NULL;
	t->alike[t->alike_count] = one;
	return &t->alike[t->alike_count++];
}

static void tell_end(struct teller *t, const struct event *event)
{
	struct alike *alike;

	if (!strcmp(text_of(event, "outcome"), "OK"))
		return;
	alike = alike_of(t, event);
	if (alike) {
		alike->last = event->t;
		if (++alike->count > ALIKE_MAX)
			return;
	}
	row(t, event->t, text_of(event, "outcome"), "%s %s %s %s", text_of(event, "who"),
		text_of(event, "op"), text_of(event, "token"), text_of(event, "text"));
}

/* What was not told one by one. */
static void tell_alike(struct teller *t)
{
	for (size_t i = 0; i < t->alike_count; i++)
		if (t->alike[i].count > ALIKE_MAX)
			row(t, t->alike[i].last, t->alike[i].outcome,
				"%zu more of %s like these, the last here",
				t->alike[i].count - ALIKE_MAX, t->alike[i].op);
	t->alike_count = 0;
}

static void tell_stop(struct teller *t, const struct event *event)
{
	const json_t *left = json_object_get(event->data, "left");

	row(t, event->t, "stop", "%s after %.1f s, status %lld, %zu processes left",
		json_get_bool(event->data, "ended", false) ? "ended" : "did not end",
		json_get_real(event->data, "took_s", 0),
		(long long)json_get_int(event->data, "status", 0), json_array_size(left));
}

static void tell_figures(struct teller *t, const struct event *event)
{
	if (event_is(event, "recovered"))
		row(t, event->t, "recovered", "%lld pending after %.3f s",
			(long long)json_get_int(event->data, "pending", 0),
			json_get_real(event->data, "took_s", 0));
	else if (event_is(event, "drained"))
		row(t, event->t, "queue", "%lld left after %.1f s",
			(long long)json_get_int(event->data, "depth", 0),
			json_get_real(event->data, "took_s", 0));
	else if (event_is(event, "queue"))
		row(t, event->t, "queue", "depth %lld",
			(long long)json_get_int(event->data, "depth", 0));
	else if (event_is(event, "start"))
		row(t, event->t, "start", "%s after %.1f s",
			json_get_bool(event->data, "ready", false) ? "ready" : "not ready",
			json_get_real(event->data, "took_s", 0));
}

/* Users are read back one after the other: one line for all of them. */
static void tell_read(struct teller *t)
{
	if (t->readers)
		row(t, t->read_at, "read back", "%lld messages in %lld mailboxes of %lld users",
			(long long)t->messages, (long long)t->mailboxes, (long long)t->readers);
	t->readers = t->mailboxes = t->messages = 0;
}

static void note_read(struct teller *t, const struct event *event)
{
	t->read_at = event->t;
	t->readers++;
	t->mailboxes += json_get_int(event->data, "mailboxes", 0);
	t->messages += json_get_int(event->data, "copies", 0);
}

static void tell_death(struct teller *t, const struct event *event)
{
	int64_t signal = json_get_int(event->data, "signal", 0);

	if (signal)
		row(t, event->t, "DIED", "%s, process %lld, of signal %lld %s",
			text_of(event, "program"), (long long)json_get_int(event->data, "pid", 0),
			(long long)signal, text_of(event, "text"));
	else
		row(t, event->t, "DIED", "%s %s %s", text_of(event, "program"),
			text_of(event, "signal"), text_of(event, "text"));
}

static void tell(struct teller *t, const struct event *event)
{
	if (event_is(event, "read")) {
		note_read(t, event);
		return;
	}
	if (event_is(event, "phase")) {
		tell_read(t);
		tell_alike(t);
	}
	if (event_is(event, "phase"))
		row(t, event->t, "phase", "%s", text_of(event, "name"));
	else if (event_is(event, "fault"))
		tell_fault(t, event);
	else if (event_is(event, "moment"))
		row(t, event->t, "moment", "%s starts %s", text_of(event, "name"),
			text_of(event, "step"));
	else if (event_is(event, "call") && strcmp(text_of(event, "what"), "hit"))
		row(t, event->t, "call", "%s: pid %lld, %s %s", text_of(event, "what"),
			(long long)json_get_int(event->data, "pid", 0), text_of(event, "exe"),
			text_of(event, "path"));
	else if (event_is(event, "end"))
		tell_end(t, event);
	else if (event_is(event, "window"))
		row(t, event->t, "deleted", "%s, %lld while %s was in force",
			text_of(event, "step"),
			(long long)json_get_int(event->data, "deletions", 0),
			text_of(event, "window"));
	else if (event_is(event, "missed") || event_is(event, "never"))
		row(t, event->t, event->kind, "%s", text_of(event, "step"));
	else if (event_is(event, "died"))
		tell_death(t, event);
	else if (event_is(event, "rig"))
		row(t, event->t, "RIG", "%s: %s", text_of(event, "trouble"),
			text_of(event, "text"));
	else if (event_is(event, "suspected"))
		row(t, event->t, "DETECTED", "%s: %s has taken %.1f s", text_of(event, "why"),
			text_of(event, "op"), json_get_real(event->data, "age_s", 0));
	else if (event_is(event, "branched"))
		row(t, event->t, "copy",
			"of the machine, for %s; it stood still for %.2f s, "
			"which this clock leaves out",
			text_of(event, "name"), json_get_real(event->data, "still_s", 0));
	else if (event_is(event, "adjudged"))
		row(t, event->t, "copy", "of %s, run on: %s, %s", text_of(event, "name"),
			text_of(event, "recovery"), text_of(event, "event"));
	else if (event_is(event, "evidence"))
		row(t, event->t, "evidence", "evidence/%s/", text_of(event, "name"));
	else if (event_is(event, "stop"))
		tell_stop(t, event);
	else
		tell_figures(t, event);
}

/* The onset is no event: it was found afterwards, between two looks at the guest. */
static void tell_onset(struct teller *t, double until)
{
	const json_t *onset = json_object_get(t->diagnosis, "onset_s");
	double not_yet = json_number_value(json_array_get(onset, 0)),
	       seen = json_number_value(json_array_get(onset, 1));

	if (t->onset_told || json_array_size(onset) != 2 || seen > until)
		return;
	t->onset_told = true;
	row(t, seen, "onset", "all who make the hang stand; not yet at %.3f", not_yet);
}

void story_timeline(const struct history *history, const struct finding *finding, struct buf *out)
{
	struct teller teller = {
		.out = out, .history = history, .diagnosis = finding ? finding->diagnosis : NULL};

	buf_add_str(out, "\nTIMELINE  guest seconds\n");
	for (size_t i = 0; i < history->count; i++) {
		if (!event_is(&history->events[i], "attempt"))
			tell_onset(&teller, history->events[i].t);
		tell(&teller, &history->events[i]);
	}
	tell_read(&teller);
	tell_alike(&teller);
	if (teller.lines > TIMELINE_MAX)
		buf_addf(out, "  ... %d more in history.jsonl\n", teller.lines - TIMELINE_MAX);
}
