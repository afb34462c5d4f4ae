/* S7: once the agent is back, the queue empties by itself. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

/* Where the target does not say when it tries again: a little more than the longest of the common
 * defaults (Postfix's 4000 s). */
#define RETRY_DEFAULT_MS 5400000

static void judge_drain(const struct history *history, const struct oracle_context *context,
	struct judgement *ret, const struct event *event)
{
	const struct target *target = context->target;
	int64_t retry_ms = target ? target->timers.retry_longest_ms : TIME_UNSET;
	double took = json_get_real(event->data, "took_s", 0), limit;
	long long depth = json_get_int(event->data, "depth", 0);

	limit = (double)((retry_ms > 0 ? retry_ms : RETRY_DEFAULT_MS) +
			 context->objectives.drain_ms) /
		1000;
	judgement_holds(ret);
	if (json_get_bool(event->data, "empty", false) && took <= limit)
		return;
	if (ledger_starved(history->ledger, event->t - took, event->t))
		judgement_cannot_tell(ret, event->line,
			"the queue took %.0f s, but the host starved the guest", took);
	else if (!json_get_bool(event->data, "told", true))
		judgement_cannot_tell(ret, event->line,
			"after %.0f s the queue did not tell how much was in it; %lld messages "
			"were "
			"the last that it told",
			took, depth);
	else if (json_get_bool(event->data, "empty", false))
		oracle_breach(context, "S7", ret, "inner queue late", event->line,
			"the queue took %.0f s to empty; the store's own next retry and the "
			"objective `drain` give it %.0f s",
			took, limit);
	else if (took < limit)
		judgement_cannot_tell(ret, event->line,
			"%lld messages were queued after %.0f s; the store's own next retry and "
			"the objective `drain` give it %.0f s",
			depth, took, limit);
	else
		oracle_breach(context, "S7", ret, "inner queue stays", event->line,
			"%lld messages were still queued after %.0f s; the store's own next retry "
			"and the objective `drain` give it %.0f s",
			depth, took, limit);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "drained"))
			judge_drain(history, context, ret, history->rare[i]);
}

const struct oracle oracle_s7 = {
	.law = "S7",
	.name = "the queue drains",
	.summary =
		"with the faults gone every queued message leaves by the store's own next retry, "
		"without an operator",
	.source = "RFC 5321 4.5.4.1",
	.judge = judge,
};
