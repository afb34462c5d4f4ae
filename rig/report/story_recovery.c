/* Whether a hang ends by itself: what a copy of the machine showed, and how it went in this cell. */
#include "report/story_parts.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

static const json_t *adjudged(const struct history *history, const char *name)
{
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "adjudged") &&
			!strcmp(json_get_text(history->events[i].data, "name", ""), name))
			return history->events[i].data;
	return NULL;
}

/* "2 h 30 min 5 s" */
static void add_time(struct buf *text, int64_t seconds)
{
	if (seconds >= 3600)
		buf_addf(text, "%lld h ", (long long)seconds / 3600);
	if (seconds >= 60)
		buf_addf(text, "%lld min ", (long long)seconds / 60 % 60);
	buf_addf(text, "%lld s", (long long)seconds % 60);
}

static void add_answer(struct buf *text, const json_t *recovery)
{
	const char *word = json_get_text(recovery, "recovery", ""),
		   *event = json_get_text(recovery, "recovery_event", "");

	if (!strcmp(word, "permanent")) {
		buf_add_str(text, "No: nothing moved in ");
		add_time(text, json_get_int(recovery, "searched_s", 0));
		buf_add_str(text, " of guest time. ");
	} else if (!strcmp(word, "after_guest_s")) {
		buf_add_str(text, "Yes, by itself, ");
		add_time(text, json_get_int(recovery, "recovers_after_s", 0));
		buf_addf(text, " of guest time after its wait began: %s. ", event);
	} else {
		buf_addf(text, "Not judged: %s. ", event);
	}
}

static void add_copy(struct buf *text, const json_t *recovery, const struct history *history)
{
	const char *from = json_get_text(recovery, "recovery_from", "");
	const json_t *event = adjudged(history, from);

	if (!json_object_get(event, "guest_s"))
		return;
	buf_addf(text,
		"A copy of the machine as it was in evidence/%s, %s and on a network with nobody "
		"else on it, was run on with idle time skipped: %.0f s of guest time in %.1f s.",
		from,
		json_get_bool(recovery, "recovery_in_force", false) ? "with the fault in force"
								    : "with no fault in force",
		json_get_real(event, "guest_s", 0), json_get_real(event, "host_s", 0));
}

/* What the heal of the last fault did for those who waited. */
static void tell_cell(const struct history *history, struct buf *out)
{
	auto_buf struct buf text = {0};
	double healed = NAN;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "fault") &&
			!strcmp(json_get_text(event->data, "state", ""), "healed"))
			healed = event->t;
		if (!event_is(event, "recovered") || isnan(healed))
			continue;
		buf_addf(&text, "In this cell the faults were off at %.2f s: ", healed);
		if (json_get_bool(event->data, "all", false))
			buf_addf(&text, "nothing was pending at %.2f s.", event->t);
		else
			buf_addf(&text, "%lld operation%s still pending at %.2f s.",
				(long long)json_get_int(event->data, "pending", 0),
				json_get_int(event->data, "pending", 0) == 1 ? " was" : "s were",
				event->t);
		buf_add_str(out, "  ");
		story_wrap(out, buf_text(&text), 2, 2);
		return;
	}
}

void story_recovery(const struct result *result, const struct history *history, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; i < result->finding_count; i++) {
		const struct finding *finding = &result->findings[i];
		auto_buf struct buf text = {0};

		if (!finding->recovery)
			continue;
		if (!any)
			buf_add_str(out, "\nDOES IT END?\n");
		if (finding != result_finding(result))
			buf_addf(out, "  of %s\n", finding->signature);
		any = true;
		buf_add_str(out, "  ");
		add_answer(&text, finding->recovery);
		add_copy(&text, finding->recovery, history);
		story_wrap(out, buf_text(&text), 2, 2);
	}
	if (any)
		tell_cell(history, out);
}
