/* H4: the store's own time limits are kept, and whom they end is gone. */
#include "api/fault.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

#include <string.h>

#define EARLY_S 1.0 /* a wait that ended so much before the limit says nothing of it */

/* Only silence runs against the limit: a reply that drips does not, and what hurts the machine slows its
 * clock as well. */
static bool against_silence(const struct ledger *ledger, double from, double to)
{
	for (size_t i = 0; i < ledger->force_count; i++) {
		const struct ledger_force *force = &ledger->forces[i];

		if (force->from <= to && !(force->to < from) &&
			(!force->agent || force->is & FAULT_DRIPS))
			return false;
	}
	return true;
}

/* True if the limit was seen at work. */
static bool judge_wait(const struct history *history, const struct oracle_context *context,
	struct judgement *ret, const struct event *event, double limit)
{
	double waited = json_get_real(event->data, "waited_s", 0);
	double slack = (double)context->objectives.recover_ms / 1000, from = event->t - waited;
	bool answered = json_get_bool(event->data, "answered", false);

	if (strcmp(json_get_text(event->data, "hop", ""), "inner") || waited < limit - EARLY_S ||
		!against_silence(history->ledger, from, event->t))
		return false;
	if (waited <= limit + slack) {
		judgement_holds(ret);
		return !answered;
	}
	if (ledger_starved(history->ledger, from, event->t))
		judgement_cannot_tell(ret, event->line,
			"the queue waited %.1f s for the delivery agent, but the host starved the "
			"guest",
			waited);
	else
		oracle_breach(context, "H4", ret, "inner wait beyond limit", event->line,
			"the queue waited %.1f s for the delivery agent's reply to '%.40s'; "
			"timers.agent_silent is %.1f s",
			waited, json_get_text(event->data, "verb", ""), limit);
	return false;
}

/* Whom a limit ended must not be found when everything is stopped. */
static void judge_left(const struct history *history, const struct oracle_context *context,
	struct judgement *ret, const struct event *event, uint32_t enforced)
{
	const json_t *left = json_object_get(event->data, "left");
	const char *first = json_string_value(json_array_get(left, 0));
	double took = json_get_real(event->data, "took_s", 0);

	if (first && ledger_starved(history->ledger, event->t - took, event->t))
		judgement_cannot_tell(ret, event->line,
			"the stop left %zu processes, but the host starved the guest",
			json_array_size(left));
	else if (first &&
		 oracle_breach(context, "H4", ret, "limit leaves a child", event->line,
			 "after a time limit was enforced the stop left %zu processes, the "
			 "first is '%s'",
			 json_array_size(left), first))
		judgement_line(ret, enforced);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	int64_t limit_ms = context->target ? context->target->timers.agent_silent_ms : TIME_UNSET;
	uint32_t enforced = 0;

	if (limit_ms <= 0)
		return;
	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];

		if (event_is(event, "waited") &&
			judge_wait(history, context, ret, event, (double)limit_ms / 1000))
			enforced = event->line;
		else if (event_is(event, "stop") && enforced)
			judge_left(history, context, ret, event, enforced);
	}
}

const struct oracle oracle_h4 = {
	.law = "H4",
	.name = "time limits",
	.summary = "the store's configured time limits are enforced and leave no process behind",
	.source = "target.yaml: timers",
	.judge = judge,
};
