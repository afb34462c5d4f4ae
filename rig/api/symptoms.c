#include "api/symptoms.h"

#include "api/ledger.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KINDS_MAX    32
#define SILENT_S     2.0 /* without any reply to anybody, while somebody waits */
#define POINTS_MAX   12	 /* of a queue's depth */
#define TIMES_MAX    8	 /* at which a service ended */
#define PROGRAMS_MAX 16
#define FIGURES_TOLD 8
#define NAME_SHOWN   48

static void add_line(json_t *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_line(json_t *lines, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	if (json_array_size(lines) == SYMPTOMS_MAX)
		return;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	json_array_append_new(lines, json_text(buf_text(&text)));
}

/* ---- services ---- */

/* A stretch of time in which operations of one kind waited and none ended. */
struct silence {
	double from, to;
	size_t waiting; /* at its end */
	bool ended;
};

/* From then on no client waits. */
static double work_ends(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		const char *name = event_is(&history->events[i], "phase")
					   ? json_get_text(history->events[i].data, "name", "")
					   : "";

		if (!strcmp(name, "drain") || !strcmp(name, "stop"))
			return history->events[i].t;
	}
	return history->count ? history->events[history->count - 1].t : 0;
}

/* When it had an answer; NAN: never. */
static double answered(const struct ledger_op *op)
{
	return op->end_line && !op->gave_up ? op->end : NAN;
}

/* The first answer to any of that kind after `t`, or `end`. */
static double next_answer(const struct ledger *ledger, uint32_t kind, double t, double end)
{
	double next = end;

	for (size_t i = 0; i < ledger->op_count; i++) {
		double at = answered(&ledger->ops[i]);

		if (ledger->ops[i].op == kind && at > t && at < next)
			next = at;
	}
	return next;
}

static size_t waiting_at(const struct ledger *ledger, uint32_t kind, double t)
{
	size_t count = 0;

	for (size_t i = 0; i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];
		double at = answered(op);

		count += op->op == kind && op->begin < t && (isnan(at) || at >= t);
	}
	return count;
}

/* The longest one of a kind; each begins with the begin of an operation or an answer to another that waited along. */
static struct silence longest(const struct ledger *ledger, uint32_t kind, double end)
{
	struct silence best = {0};

	for (size_t i = 0; i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];
		double to;

		if (op->op != kind || op->begin >= end)
			continue;
		to = next_answer(ledger, kind, op->begin, end);
		if (to - op->begin > best.to - best.from)
			best = (struct silence){
				op->begin, to, waiting_at(ledger, kind, to), to < end};
	}
	return best;
}

/* "SMTP (smtp-message)"; what belongs to no protocol is called by its own name. */
static char *service_of(const char *kind)
{
	static const struct {
		const char *begins, *service;
	} rows[] = {
		{"smtp-", "SMTP"},
		{"lmtp-", "LMTP"},
		{"imap-", "IMAP"},
		{"pop3-", "POP3"},
		{"http-", "web page"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!strncmp(kind, rows[i].begins, strlen(rows[i].begins)))
			return text_fmt("%s (%.*s)", rows[i].service, NAME_SHOWN, kind);
	return text_fmt("%.*s", NAME_SHOWN, kind);
}

static void add_silence(json_t *lines, const char *kind, const struct silence *s)
{
	auto_free char *service = service_of(kind);

	if (s->ended)
		add_line(lines, "%s: silent for %.1f s from %.1f s on, %zu waiting", service,
			s->to - s->from, s->from, s->waiting);
	else
		add_line(lines, "%s: silent for %.1f s from %.1f s on, to the end, %zu waiting",
			service, s->to - s->from, s->from, s->waiting);
}

static void add_services(json_t *lines, const struct history *history)
{
	const struct ledger *ledger = history->ledger;
	double end = work_ends(history);
	uint32_t kinds[KINDS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ledger->op_count && count < KINDS_MAX; i++) {
		const char *name = ledger_text(ledger, ledger->ops[i].op);
		struct silence silence;
		bool known = false;

		for (size_t k = 0; k < count && !known; k++)
			known = kinds[k] == ledger->ops[i].op;
		if (known)
			continue;
		kinds[count++] = ledger->ops[i].op;
		silence = longest(ledger, ledger->ops[i].op, end);
		if (silence.to - silence.from >= SILENT_S)
			add_silence(lines, name, &silence);
	}
}

/* Mails that were offered and got no reply, as the connection ended or there was none. */
static void add_unanswered(json_t *lines, const struct history *history)
{
	const struct ledger *ledger = history->ledger;
	size_t offered = 0, unanswered = 0;
	double first = 0, last = 0;

	for (size_t i = 0; i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];

		if (op->mail == LEDGER_NONE || !op->end_line)
			continue;
		offered++;
		if (op->code || op->gave_up || op->outcome == OUTCOME_OK)
			continue;
		first = unanswered++ ? first : op->end;
		last = op->end;
	}
	if (unanswered)
		add_line(lines,
			"mail: %zu of %zu offered got no reply, the connection ended; "
			"from %.1f to %.1f s",
			unanswered, offered, first, last);
}

/* ---- the queue ---- */

/* Each depth that differs from the one before; of many the first ones and the last. */
static void add_queue(json_t *lines, const struct history *history)
{
	auto_buf struct buf text = {0};
	int64_t last = -1, most = 0;
	size_t points = 0;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];
		int64_t depth = json_get_int(event->data, "depth", 0);

		if (!event_is(event, "queue") || depth == last)
			continue;
		last = depth;
		most = depth > most ? depth : most;
		if (points++ < POINTS_MAX)
			buf_addf(&text, "%s%lld at %.1f s", text.len ? ", " : "", (long long)depth,
				event->t);
	}
	if (most)
		add_line(lines, "queue: %s%s; %lld at most", buf_text(&text),
			points > POINTS_MAX ? ", ..." : "", (long long)most);
}

/* ---- the store's own figures ---- */

static const json_t *figures_of(const struct event *event)
{
	return event_is(event, "figures") ? json_object_get(event->data, "figures") : NULL;
}

/* A figure over time: each value that differs from the one before, and the last. Not told if it was 0 throughout. */
static void add_figure(json_t *lines, const struct history *history, const char *name)
{
	auto_buf struct buf text = {0};
	json_int_t last = 0;
	double told_t = NAN, last_t = NAN;
	bool any = false;
	size_t points = 0;

	for (size_t i = 0; i < history->count; i++) {
		const json_t *one = json_object_get(figures_of(&history->events[i]), name);
		json_int_t value = json_integer_value(one);

		if (!json_is_integer(one))
			continue;
		any |= value != 0;
		last_t = history->events[i].t;
		if (!isnan(told_t) && value == last)
			continue;
		if (points++ < POINTS_MAX)
			buf_addf(&text, "%s%lld at %.1f s", text.len ? ", " : "", (long long)value,
				last_t);
		last = value;
		told_t = last_t;
	}
	if (last_t > told_t)
		buf_addf(&text, "%s still %lld at %.1f s", points > POINTS_MAX ? ", ...," : ",",
			(long long)last, last_t);
	if (any)
		add_line(lines, "figure %.*s: %s", NAME_SHOWN, name, buf_text(&text));
}

/* Named as the first answer names them. */
static void add_figures(json_t *lines, const struct history *history)
{
	size_t told = 0;
	json_t *one;
	const char *name;

	for (size_t i = 0; i < history->count; i++) {
		if (!figures_of(&history->events[i]))
			continue;
		json_object_foreach ((json_t *)figures_of(&history->events[i]), name, one)
			if (told++ < FIGURES_TOLD)
				add_figure(lines, history, name);
		return;
	}
}

/* ---- ends ---- */

struct ends {
	const char *program;
	double at[TIMES_MAX];
	size_t count;
};

static struct ends *ends_of(struct ends *all, size_t *count, const char *program)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(all[i].program, program))
			return &all[i];
	if (*count == PROGRAMS_MAX)
		return NULL;
	all[*count] = (struct ends){.program = program};
	return &all[(*count)++];
}

static void add_ends(json_t *lines, const struct ends *ends)
{
	auto_buf struct buf times = {0};

	for (size_t i = 0; i < ends->count && i < TIMES_MAX; i++)
		buf_addf(&times, "%s%.1f", i ? ", " : "", ends->at[i]);
	add_line(lines, "%.*s: died %zu time%s, at %s%s s", NAME_SHOWN, ends->program, ends->count,
		ends->count == 1 ? "" : "s", buf_text(&times),
		ends->count > TIMES_MAX ? ", ..." : "");
}

static const char *program_of(const json_t *died)
{
	const char *path = json_get_text(died, "exe", ""), *slash = strrchr(path, '/');

	return *path ? (slash ? slash + 1 : path) : json_get_text(died, "comm", "?");
}

static void add_deaths(json_t *lines, const struct history *history)
{
	struct ends all[PROGRAMS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];
		struct ends *ends;

		if (!event_is(event, "died") || json_get_bool(event->data, "by_rig", false) ||
			!json_get_int(event->data, "signal", 0))
			continue;
		ends = ends_of(all, &count, program_of(event->data));
		if (!ends)
			continue;
		if (ends->count < TIMES_MAX)
			ends->at[ends->count] = event->t;
		ends->count++;
	}
	for (size_t i = 0; i < count; i++)
		add_ends(lines, &all[i]);
}

static void add_stop(json_t *lines, const struct history *history)
{
	for (size_t i = 0; i < history->count; i++) {
		const json_t *data = history->events[i].data;

		if (event_is(&history->events[i], "stop") && !json_get_bool(data, "ended", true))
			add_line(lines, "stop: timed out after %.1f s, %zu processes left",
				json_get_real(data, "took_s", 0),
				json_array_size(json_object_get(data, "left")));
		else if (event_is(&history->events[i], "start") &&
			 !json_get_bool(data, "ready", true))
			add_line(lines, "start: not ready after %.1f s",
				json_get_real(data, "took_s", 0));
	}
}

json_t *symptoms_of(const struct history *history)
{
	json_t *lines = json_array();

	if (history->ledger) {
		add_services(lines, history);
		add_unanswered(lines, history);
	}
	add_queue(lines, history);
	add_figures(lines, history);
	add_deaths(lines, history);
	add_stop(lines, history);
	return lines;
}
