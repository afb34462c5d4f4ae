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

static void tell_copy(const json_t *recovery, const struct history *history, struct buf *out)
{
	const char *from = json_get_text(recovery, "recovery_from", "");
	const json_t *event = adjudged(history, from);
	int64_t seconds = json_get_int(recovery, "recovers_after_s", -1);
	auto_buf struct buf text = {0};

	if (!json_object_get(event, "guest_s"))
		return;
	if (seconds >= 0)
		buf_addf(&text, "That is %lld h %lld min %lld s after its wait began. ",
			(long long)seconds / 3600, (long long)seconds / 60 % 60,
			(long long)seconds % 60);
	buf_addf(&text,
		"A copy of the machine as it was in evidence/%s, %s and on a network with nobody "
		"else "
		"on it, was run on with idle time skipped: %.0f s of guest time in %.1f s.",
		from,
		json_get_bool(recovery, "recovery_in_force", false) ? "with the fault in force"
								    : "with no fault in force",
		json_get_real(event, "guest_s", 0), json_get_real(event, "host_s", 0));
	buf_add_str(out, "  ");
	story_wrap(out, buf_text(&text), 2, 2);
}

/* What the heal of the last fault did for those who waited. */
static void tell_cell(const struct history *history, struct buf *out)
{
	double healed = NAN;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "fault") &&
			!strcmp(json_get_text(event->data, "state", ""), "healed"))
			healed = event->t;
		if (!event_is(event, "recovered") || isnan(healed))
			continue;
		buf_addf(out, "  In this cell the faults were off at %.2f s: ", healed);
		if (json_get_bool(event->data, "all", false))
			buf_addf(out, "nothing was pending at %.2f s.\n", event->t);
		else
			buf_addf(out, "%lld operations were still pending at %.2f s.\n",
				(long long)json_get_int(event->data, "pending", 0), event->t);
		return;
	}
}

void story_recovery(const struct result *result, const struct history *history, struct buf *out)
{
	bool any = false;

	for (size_t i = 0; i < result->finding_count; i++) {
		const struct finding *finding = &result->findings[i];
		auto_buf struct buf text = {0};

		buf_add_str(&text, "recovery: ");
		if (!finding_recovery(finding, &text))
			continue;
		if (!any)
			buf_add_str(out, "\nDOES IT END?\n");
		if (finding != result_finding(result))
			buf_addf(out, "  of %s\n", finding->signature);
		any = true;
		buf_add_str(out, "  ");
		story_wrap(out, buf_text(&text), 2, 2);
		tell_copy(finding->recovery, history, out);
	}
	if (any)
		tell_cell(history, out);
}
