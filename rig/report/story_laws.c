/* Which laws were broken, by which lines of the history, and what became of the others. */
#include "report/story_parts.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <string.h>

#define LINES_SHOWN 6 /* of the history, for a law */
#define LAW_COLUMN  6

static const char *name_of(const struct event *event)
{
	return event_is(event, "begin") || event_is(event, "end")
		       ? json_get_text(event->data, "op", event->kind)
		       : event->kind;
}

/* "history.jsonl:44 (smtp-message, 0.607 s), :49 (...)" */
static void add_lines(struct buf *text, const json_t *lines, const struct history *history)
{
	size_t shown = 0;

	for (size_t i = 0; i < json_array_size(lines) && shown < LINES_SHOWN; i++) {
		json_int_t line = json_integer_value(json_array_get(lines, i));
		const struct event *event;

		if (line < 1 || (size_t)line > history->count)
			continue;
		event = &history->events[line - 1];
		buf_addf(text, "%s:%lld (%s, %.3f s)", shown++ ? ", " : "history.jsonl",
			(long long)line, name_of(event), event->t);
	}
	if (shown == LINES_SHOWN && json_array_size(lines) > LINES_SHOWN)
		buf_addf(text, " and %zu more", json_array_size(lines) - LINES_SHOWN);
}

/* The finding by this law, unless the one that the cell is called after is by it too. */
static const struct finding *other_finding(const struct result *r, const char *law)
{
	const struct finding *first = result_finding(r);

	if (first && finding_has_law(first, law))
		return NULL;
	for (size_t i = 0; i < r->finding_count; i++)
		if (finding_has_law(&r->findings[i], law))
			return &r->findings[i];
	return NULL;
}

static void tell_broken(const struct result *r, const char *law, const json_t *one,
	const struct history *history, struct buf *out)
{
	const struct finding *other = other_finding(r, law);
	auto_buf struct buf lines = {0};

	buf_addf(out, "  %-3s ", law);
	story_wrap(out, json_get_text(one, "text", ""), LAW_COLUMN, LAW_COLUMN);
	if (other)
		buf_addf(&lines, "a finding of its own, %s%s%s: ", other->signature,
			other->suspect ? ", suspect" : "",
			other->baseline ? ", phase=baseline" : "");
	add_lines(&lines, json_object_get(one, "lines"), history);
	if (!lines.len)
		return;
	buf_addf(out, "%*s", LAW_COLUMN, "");
	story_wrap(out, buf_text(&lines), LAW_COLUMN, LAW_COLUMN);
}

static void tell_those(const struct result *r, const char *ruling, const char *title,
	const struct history *history, struct buf *out)
{
	bool any = false;
	const char *law;
	json_t *one;

	json_object_foreach (r->laws, law, one) {
		if (strcmp(json_get_text(one, "ruling", ""), ruling) != 0)
			continue;
		if (!any)
			buf_addf(out, "\n%s\n", title);
		any = true;
		if (history) {
			tell_broken(r, law, one, history, out);
			continue;
		}
		buf_addf(out, "  %-3s ", law);
		story_wrap(out, json_get_text(one, "text", ""), LAW_COLUMN, LAW_COLUMN);
	}
}

static void tell_names(
	const struct result *r, const char *ruling, const char *title, struct buf *out)
{
	auto_buf struct buf names = {0};
	const char *law;
	json_t *one;

	json_object_foreach (r->laws, law, one)
		if (!strcmp(json_get_text(one, "ruling", ""), ruling))
			buf_addf(&names, " %s", law);
	if (!names.len)
		return;
	buf_addf(out, "\n%s\n  ", title);
	story_wrap(out, buf_text(&names), 2, 2);
}

void story_laws(const struct result *r, const struct history *history, struct buf *out)
{
	tell_those(r, "broken", "BREAKS", history, out);
	tell_names(r, "holds", "HOLDS", out);
	tell_those(r, "cannot-tell", "CANNOT TELL", NULL, out);
	tell_names(r, "not-applicable", "NOT JUDGED   nothing in this cell is about these", out);
}
