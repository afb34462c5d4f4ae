#include "report/story.h"

#include "api/history.h"
#include "api/oracle.h"
#include "api/verdict.h"
#include "base/fs.h"
#include "base/json.h"

#include <string.h>

#define VERDICT_MAX  (4u << 20)
#define TEXT_SHOWN   110
#define TIMELINE_MAX 400 /* lines; the history has the rest */

/* Bytes of a guest on somebody's terminal: printable ASCII and no more than a line. */
static void add_plain(struct buf *out, const char *text)
{
	size_t shown = 0;

	for (const char *p = text; *p && *p != '\n'; p++, shown++) {
		if (shown == TEXT_SHOWN) {
			buf_add_str(out, "...");
			return;
		}
		buf_addc(out, *p >= 0x20 && *p < 0x7f ? *p : '?');
	}
}

static void head(const struct result *r, struct buf *out)
{
	buf_addf(out, "%s  %s  %s\n", verdict_name(r->verdict),
		r->finding_count ? r->findings[0].signature : "no finding", r->id);
	buf_addf(out, "seed %llu, %s, fired %lld, residue %lld", (unsigned long long)r->seed,
		r->accelerator ? r->accelerator : "no accelerator", (long long)r->fired,
		(long long)r->residue);
	if (r->control)
		buf_addf(out, ", control %s", r->control);
	if (r->tries)
		buf_addf(out, ", again %u of %u", r->hits, r->tries);
	buf_addc(out, '\n');
	if (r->reason && *r->reason) {
		buf_add_str(out, "\n  ");
		add_plain(out, r->reason);
		buf_addc(out, '\n');
	}
}

/* ---- timeline ---- */

struct teller {
	struct buf *out;
	const struct history *history;
	int lines;
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
	add_plain(t->out, buf_text(&text));
	buf_addc(t->out, '\n');
}

static const char *text_of(const struct event *event, const char *key)
{
	return json_get_text(event->data, key, "");
}

static void tell_fault(struct teller *t, const struct event *event)
{
	const char *state = text_of(event, "state");

	if (!strcmp(state, "healed"))
		row(t, event->t, "HEAL", "%s: %s; fired %lld", text_of(event, "step"),
			text_of(event, "fault"), (long long)json_get_int(event->data, "count", 0));
	else
		row(t, event->t, "FAULT", "%s: %s %s %s", text_of(event, "step"),
			text_of(event, "fault"), state, text_of(event, "text"));
}

static void tell_end(struct teller *t, const struct event *event)
{
	if (!strcmp(text_of(event, "outcome"), "OK"))
		return;
	row(t, event->t, text_of(event, "outcome"), "%s %s %s %s", text_of(event, "who"),
		text_of(event, "op"), text_of(event, "token"), text_of(event, "text"));
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
	else if (event_is(event, "read"))
		row(t, event->t, "read back", "%s: %lld messages in %lld mailboxes",
			text_of(event, "user"), (long long)json_get_int(event->data, "copies", 0),
			(long long)json_get_int(event->data, "mailboxes", 0));
}

static void tell(struct teller *t, const struct event *event)
{
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
		row(t, event->t, "DIED", "%s %s %s", text_of(event, "program"),
			text_of(event, "signal"), text_of(event, "text"));
	else if (event_is(event, "rig"))
		row(t, event->t, "RIG", "%s: %s", text_of(event, "trouble"),
			text_of(event, "text"));
	else if (event_is(event, "evidence"))
		row(t, event->t, "evidence", "evidence/%s/", text_of(event, "name"));
	else if (event_is(event, "stop"))
		tell_stop(t, event);
	else
		tell_figures(t, event);
}

/* ---- findings and laws ---- */

static void tell_finding(
	const struct finding *finding, const struct history *history, struct buf *out)
{
	buf_addf(out, "\n%s  %s%s%s\n  ", finding->signature,
		finding->law_count ? finding->laws[0] : "", finding->suspect ? "  suspect" : "",
		finding->baseline ? "  phase=baseline" : "");
	add_plain(out, finding->title ? finding->title : "");
	buf_addc(out, '\n');
	for (size_t i = 0; i < finding->line_count && i < 8; i++) {
		uint32_t line = finding->lines[i];
		auto_free char *text = NULL;

		if (!line || line > history->count)
			continue;
		text = json_dumps(history->events[line - 1].data, JSON_COMPACT);
		buf_addf(out, "    history.jsonl:%u  ", line);
		add_plain(out, text ? text : "");
		buf_addc(out, '\n');
	}
}

static void tell_laws(
	const json_t *laws, const char *ruling, const char *title, bool why, struct buf *out)
{
	const char *law;
	json_t *one;
	bool any = false;

	json_object_foreach ((json_t *)laws, law, one) {
		if (strcmp(json_get_text(one, "ruling", ""), ruling))
			continue;
		if (!any)
			buf_addf(out, "\n%s\n ", title);
		any = true;
		buf_addf(out, " %s", law);
		if (!why)
			continue;
		buf_add_str(out, "  ");
		add_plain(out, json_get_text(one, "text", ""));
		buf_add_str(out, "\n ");
	}
	if (any)
		buf_addc(out, '\n');
}

static void tell_drain(const json_t *drain, struct buf *out)
{
	int64_t empty_ms = json_get_int(drain, "empty_ms", -1);

	if (!drain)
		return;
	buf_add_str(out, "\nDRAIN  after the agent was back\n  ");
	if (empty_ms < 0)
		buf_add_str(out, "the queue was not seen empty");
	else
		buf_addf(out, "the queue was empty after %.1f s", (double)empty_ms / 1000);
	buf_addf(out,
		"; %lld tries, at most %lld within a second; %lld duplicates, %lld out of order\n",
		(long long)json_get_int(drain, "tries", 0),
		(long long)json_get_int(drain, "burst_1s", 0),
		(long long)json_get_int(drain, "duplicates", 0),
		(long long)json_get_int(drain, "reordered", 0));
}

static int load_result(const char *dir, json_t **ret_json, struct result *ret, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");

	*ret_json = json_load_path(path, VERDICT_MAX, err);
	return *ret_json ? result_from_json(*ret_json, ret, err) : -ENOENT;
}

int story_write(const char *dir, struct buf *out, struct err *err)
{
	auto_free char *path = path_join(dir, "history.jsonl");
	struct history *history = NULL;
	auto_json json_t *verdict = NULL;
	struct result result = {0};
	struct teller teller = {.out = out};
	int rc = load_result(dir, &verdict, &result, err);

	if (rc)
		return rc;
	head(&result, out);
	if (fs_exists(path))
		rc = history_load(path, &history, err);
	if (!rc && history) {
		teller.history = history;
		for (size_t i = 0; i < result.finding_count; i++)
			tell_finding(&result.findings[i], history, out);
		buf_add_str(out, "\nTIMELINE  guest seconds\n");
		for (size_t i = 0; i < history->count; i++)
			tell(&teller, &history->events[i]);
		if (teller.lines > TIMELINE_MAX)
			buf_addf(out, "  ... %d more in history.jsonl\n",
				teller.lines - TIMELINE_MAX);
		tell_drain(result.drain, out);
		tell_laws(result.laws, "broken", "BREAKS", true, out);
		tell_laws(result.laws, "holds", "HOLDS", false, out);
		tell_laws(result.laws, "cannot-tell", "CANNOT TELL", true, out);
		tell_laws(result.laws, "not-applicable", "NOT JUDGED", false, out);
	}
	history_free(history);
	result_free(&result);
	return rc;
}
