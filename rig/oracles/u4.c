/* U4: after a power cut the store's own start is enough. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

static void judge_start(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct event *event)
{
	int64_t status = json_get_int(event->data, "status", 0);
	double took = json_get_real(event->data, "took_s", 0);

	judgement_holds(ret);
	if (!json_get_bool(event->data, "ready", false) &&
		ledger_starved(ledger, event->t - took, event->t))
		judgement_cannot_tell(ret, event->line,
			"after the power cut the store was not ready %.1f s after its start, but "
			"the "
			"host starved",
			took);
	else if (!json_get_bool(event->data, "ready", false))
		oracle_breach(context, "U4", ret, "start not ready", event->line,
			"after the power cut the store was not ready %.1f s after its start "
			"(status "
			"%lld): %.200s",
			took, (long long)status, json_get_text(event->data, "text", ""));
	else if (status)
		oracle_breach(context, "U4", ret, "start failed", event->line,
			"after the power cut the start ended with %lld: %.200s", (long long)status,
			json_get_text(event->data, "text", ""));
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger_force *cut = ledger_power_cut(history->ledger);

	for (size_t i = 0; cut && i < history->rare_count; i++) {
		const struct event *event = history->rare[i];

		if (event->line <= cut->from_line)
			continue;
		if (event_is(event, "start"))
			judge_start(history->ledger, context, ret, event);
		else if (event_is(event, "unreadable"))
			oracle_breach(context, "U4", ret, "mailbox unreadable", event->line,
				"after the power cut the mailboxes of '%s' cannot be read: %.200s",
				json_get_text(event->data, "user", "?"),
				json_get_text(event->data, "text", ""));
	}
}

const struct oracle oracle_u4 = {
	.law = "U4",
	.name = "start is enough",
	.summary = "after a power cut the store's own start makes it ready, and every mailbox is "
		   "readable",
	.source = "RFC 5321 6.1; the target's own manual",
	.judge = judge,
};
