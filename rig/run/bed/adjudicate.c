#include "run/bed/adjudicate.h"

#include "base/clock.h"
#include "base/json.h"

#include <string.h>

void adjudication_free(struct adjudication *a)
{
	free(a->cause);
	free(a->answer);
	*a = (struct adjudication){0};
}

double adjudication_limit_s(const struct timers *timers)
{
	const int64_t ms[] = {
		timers->retry_longest_ms, timers->agent_silent_ms, timers->stuck_worker_ms};
	double limit = ADJUDICATE_LIMIT_S;

	for (size_t i = 0; i < ARRAY_SIZE(ms); i++) {
		double enough = ms[i] > 0 ? (double)ms[i] / 1000 * 1.2 : 0;

		limit = enough > limit ? enough : limit;
	}
	return limit < ADJUDICATE_LIMIT_MAX ? limit : ADJUDICATE_LIMIT_MAX;
}

/* ---- what happens ---- */

static const char *program_of(const json_t *json)
{
	const char *exe = json_get_text(json, "exe", ""), *slash = strrchr(exe, '/');

	return slash && slash[1] ? slash + 1 : json_get_text(json, "comm", "?");
}

/* How long the thread had waited when the machine was saved; negative: not known. */
static double waited_s(const struct adjudication *a, int64_t tid)
{
	json_t *task;
	size_t i;

	json_array_foreach (a->tasks, i, task)
		if (json_get_int(task, "tid", -1) == tid)
			return (double)json_get_int(task, "waited_ns", -NS_PER_SEC) /
			       (double)NS_PER_SEC;
	return -1;
}

static bool take_thread(struct adjudication *a, const char *what, const json_t *json, double at_s)
{
	int64_t tid = json_get_int(json, "tid", 0);

	if (a->caused)
		return false;
	a->caused = true;
	a->cause_s = at_s;
	a->waited_s = waited_s(a, tid);
	a->cause = text_fmt("thread %lld of `%s` %s", (long long)tid, program_of(json), what);
	return !a->owed;
}

bool adjudication_informs(const char *text)
{
	bool any = false;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncasecmp(line, "* OK ", 5) != 0 && strncasecmp(line, "* NO ", 5) != 0 &&
			strncasecmp(line, "* BAD ", 6) != 0)
			return false;
		any = true;
	}
	return any;
}

static bool is_settled(const struct adjudication *a)
{
	return a->caused || !json_array_size(a->tasks);
}

/* The first line of what was sent, without its end. */
static bool take_answer(struct adjudication *a, const json_t *json, double at_s)
{
	const char *text = json_get_text(json, "text", "");
	int len = (int)strcspn(text, "\r\n");

	a->answered = true;
	a->answer_s = at_s;
	if (json_get_int(json, "bytes", 0) > 0)
		a->answer = text_fmt("port %lld answers '%.*s'",
			(long long)json_get_int(json, "port", 0), len, text);
	else
		a->answer = text_fmt("port %lld closes the connection",
			(long long)json_get_int(json, "port", 0));
	return is_settled(a);
}

/* Nobody was served: the thread went from one wait into the next. */
static void forget_cause(struct adjudication *a, double now_s)
{
	if (!a->caused || !a->owed || now_s - a->cause_s < ADJUDICATE_GRACE_S)
		return;
	a->caused = false;
	free(a->cause);
	a->cause = NULL;
}

/* That a thread left its wait is told when it sleeps again: mostly after the answer that it gave. */
static bool take_late(struct adjudication *a, const char *name, const json_t *json, double at_s)
{
	bool before = at_s <= a->answer_s && at_s >= a->answer_s - ADJUDICATE_GRACE_S;

	if (before && !strcmp(name, "left"))
		take_thread(a, "leaves its wait", json, at_s);
	else if (before && !strcmp(name, "ended"))
		take_thread(a, "ends", json, at_s);
	return is_settled(a) || at_s > a->answer_s + ADJUDICATE_LATE_S;
}

bool adjudication_event(
	struct adjudication *a, const char *name, const json_t *json, int64_t elapsed_ns)
{
	double at_s = (double)elapsed_ns / (double)NS_PER_SEC;

	if (a->answered)
		return take_late(a, name, json, at_s);
	forget_cause(a, at_s);
	if (!strcmp(name, "left"))
		return take_thread(a, "leaves its wait", json, at_s);
	if (!strcmp(name, "ended"))
		return take_thread(a, "ends", json, at_s);
	if (!strcmp(name, "sent"))
		return take_answer(a, json, at_s);
	return false;
}

/* ---- what it means ---- */

/* A client sees the answer; the thread behind it, where there is one, has waited longer. */
static double recovery_s(const struct adjudication *a)
{
	if (a->caused && a->waited_s >= 0)
		return a->waited_s + a->cause_s;
	return a->owed_s + (a->caused ? a->cause_s : a->answer_s);
}

static char *event_text(const struct adjudication *a)
{
	if (a->caused && a->answered)
		return text_fmt(
			"%s; %.1f s later %s", a->cause, a->answer_s - a->cause_s, a->answer);
	return text_dup(a->caused ? a->cause : a->answer);
}

json_t *adjudication_result(const struct adjudication *a, double guest_s, const char *stopped)
{
	auto_free char *text = NULL;

	if (a->answered || (a->caused && !a->owed)) {
		json_t *json;

		text = event_text(a);
		json = json_pack("{ss sI so}", "recovery", "after_guest_s", "after_guest_s",
			(json_int_t)(recovery_s(a) + 0.5), "event", json_text(text));
		if (a->answered)
			json_object_set_new(json, "answer_s", json_real(a->answer_s));
		return json;
	}
	if (stopped)
		return json_pack("{ss so}", "recovery", "not-judged", "event", json_text(stopped));
	text = text_fmt("nothing moved in %.1f h of guest time", guest_s / 3600);
	return json_pack("{ss so}", "recovery", "permanent", "event", json_text(text));
}
