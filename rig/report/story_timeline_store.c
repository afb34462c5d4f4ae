/* What the store itself did and said, as rows of the timeline. */
#include "report/story_timeline.h"

#include "base/json.h"

#include <string.h>

#define DATE_LEN 10 /* YYYY-MM-DD */

static void tell_stop(struct teller *t, const struct event *event)
{
	size_t left = json_array_size(json_object_get(event->data, "left"));
	double took = json_get_real(event->data, "took_s", 0);
	auto_free char *more = left ? text_fmt(", %zu processes left", left) : text_dup("");

	if (json_get_bool(event->data, "ended", false))
		timeline_row(t, event->t, "stop", "ended after %.1f s, status %lld%s", took,
			(long long)json_get_int(event->data, "status", 0), more);
	else
		timeline_row(t, event->t, "stop", "timed out: the rig ended it after %.1f s%s",
			took, more);
}

static void tell_recovered(struct teller *t, const struct event *event)
{
	long long pending = (long long)json_get_int(event->data, "pending", 0);
	double took = json_get_real(event->data, "took_s", 0);

	if (pending)
		timeline_row(t, event->t, "recovered", "not: %lld operation%s pending after %.1f s",
			pending, pending == 1 ? " is" : "s are", took);
	else
		timeline_row(t, event->t, "recovered", "nothing is pending, after %.3f s", took);
}

static void tell_serving(struct teller *t, const struct event *event)
{
	const json_t *away = json_object_get(event->data, "away");

	for (size_t i = 0; i < json_array_size(away); i++) {
		const char *name = json_string_value(json_array_get(away, i));

		timeline_row(
			t, event->t, "serving", "nobody serves '%s' any more", name ? name : "?");
	}
}

static void tell_queue(struct teller *t, const struct event *event)
{
	int64_t depth = json_get_int(event->data, "depth", 0);

	if (event_is(event, "queue") && depth != t->depth)
		timeline_row(t, event->t, "queue", "depth %lld", (long long)depth);
	else if (event_is(event, "drained") && depth)
		timeline_row(t, event->t, "queue", "%lld left after %.1f s", (long long)depth,
			json_get_real(event->data, "took_s", 0));
	else if (event_is(event, "drained"))
		timeline_row(t, event->t, "queue", "empty after %.1f s",
			json_get_real(event->data, "took_s", 0));
	t->depth = depth;
}

/* What the store counts itself: what is not 0, where it changed. */
static void tell_own_figures(struct teller *t, const struct event *event)
{
	const json_t *figures = json_object_get(event->data, "figures");
	auto_buf struct buf text = {0};
	const char *name;
	json_t *one;

	if (json_equal(figures, t->figures))
		return;
	t->figures = figures;
	json_object_foreach ((json_t *)figures, name, one)
		if (json_integer_value(one))
			buf_addf(&text, "%s%s %lld", text.len ? ", " : "", name,
				(long long)json_integer_value(one));
	timeline_row(t, event->t, "figures", "%s", text.len ? buf_text(&text) : "all 0");
}

/* Users are read back one after the other: one line for all of them. */
void timeline_read_back(struct teller *t)
{
	if (t->readers)
		timeline_row(t, t->read_at, "read back",
			"%lld messages in %lld mailboxes of %lld users", (long long)t->messages,
			(long long)t->mailboxes, (long long)t->readers);
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
		timeline_row(t, event->t, "DIED", "%s, process %lld, of signal %lld %s%s",
			timeline_text(event, "program"),
			(long long)json_get_int(event->data, "pid", 0), (long long)signal,
			timeline_text(event, "text"),
			*timeline_text(event, "core") ? "(told when its core was written)" : "");
	else
		timeline_row(t, event->t, "DIED", "%s %s %s", timeline_text(event, "program"),
			timeline_text(event, "signal"), timeline_text(event, "text"));
}

static bool is_of_a_finding(const struct result *result, uint32_t line)
{
	for (size_t i = 0; i < result->finding_count; i++)
		for (size_t k = 0; k < result->findings[i].line_count; k++)
			if (result->findings[i].lines[k] == line)
				return true;
	return false;
}

static void tell_log(struct teller *t, const struct event *event)
{
	const char *path = timeline_text(event, "path"), *slash = strrchr(path, '/');
	const char *line = timeline_text(event, "line");

	/* Its own time is the guest's wall clock, which is another than this one. */
	if (strspn(line, "0123456789-") == DATE_LEN && line[DATE_LEN] == 'T')
		line += strcspn(line, " ") + (line[strcspn(line, " ")] == ' ');
	if ((t->all_logs && !t->settling) || is_of_a_finding(t->result, event->line))
		timeline_row(t, event->t, "log", "%s: %s", slash ? slash + 1 : path, line);
}

/* Of the store; false: it is none of these. */
bool timeline_store(struct teller *t, const struct event *event)
{
	if (event_is(event, "died"))
		tell_death(t, event);
	else if (event_is(event, "log"))
		tell_log(t, event);
	else if (event_is(event, "stop"))
		tell_stop(t, event);
	else if (event_is(event, "start"))
		timeline_row(t, event->t, "start", "%s after %.1f s",
			json_get_bool(event->data, "ready", false) ? "ready" : "not ready",
			json_get_real(event->data, "took_s", 0));
	else if (event_is(event, "recovered"))
		tell_recovered(t, event);
	else if (event_is(event, "serving"))
		tell_serving(t, event);
	else if (event_is(event, "unlisted"))
		timeline_row(t, event->t, "queue", "%s", timeline_text(event, "text"));
	else if (event_is(event, "queue") || event_is(event, "drained"))
		tell_queue(t, event);
	else if (event_is(event, "figures"))
		tell_own_figures(t, event);
	else if (event_is(event, "read"))
		note_read(t, event);
	else
		return false;
	return true;
}
