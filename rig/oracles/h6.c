/* H6: no cycle among exclusive waits, and nobody waits for a client with a lock that others want. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

#include <string.h>

/* The agent that hands mail over to another host waits for that host, who is no client; the lock on a POP3
 * maildrop is to be held (RFC 1939, 4). */
static bool may_hold(const char *role)
{
	return !strcmp(role, "hand_over") || !strcmp(role, "pop");
}

static void judge_cycle(const struct oracle_context *context, struct judgement *ret,
	const struct event *event, const json_t *cycle)
{
	const json_t *first = json_array_get(cycle, 0), *second = json_array_get(cycle, 1);
	char scope[64];

	if (!first)
		return;
	snprintf(scope, sizeof(scope), "cycle %.24s %.24s", json_get_text(first, "role", "?"),
		second ? json_get_text(second, "role", "?") : "itself");
	oracle_breach(context, "H6", ret, scope, event->line,
		"%zu threads wait for each other: '%.40s' waits for %.100s, '%.40s' for %.100s",
		json_array_size(cycle), json_get_text(first, "role", "?"),
		json_get_text(first, "what", "?"),
		json_get_text(second ? second : first, "role", "?"),
		json_get_text(second ? second : first, "what", "?"));
}

static void judge_held(const struct oracle_context *context, struct judgement *ret,
	const struct event *event, const json_t *held)
{
	const json_t *waiters = json_object_get(held, "waiters");
	const char *role = json_get_text(held, "role", "?");
	const char *waiter = json_string_value(json_array_get(waiters, 0));
	char scope[64];

	if (!waiter || may_hold(role))
		return;
	snprintf(scope, sizeof(scope), "held %.28s %.28s", role, waiter);
	oracle_breach(context, "H6", ret, scope, event->line,
		"'%.40s' waits for a client and holds the %.100s that %zu others wait for ('%.40s' "
		"first)",
		role, json_get_text(held, "what", "?"), json_array_size(waiters), waiter);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];
		const json_t *entry;
		size_t k;

		if (!event_is(event, "waits"))
			continue;
		judgement_holds(ret);
		json_array_foreach (json_object_get(event->data, "cycles"), k, entry)
			judge_cycle(context, ret, event, entry);
		json_array_foreach (json_object_get(event->data, "held"), k, entry)
			judge_held(context, ret, event, entry);
	}
}

const struct oracle oracle_h6 = {
	.law = "H6",
	.name = "no deadlock",
	.summary = "no cycle among exclusive waits; no lock that others wait for is held while its "
		   "holder waits for a client",
	.source = "Q279798",
	.judge = judge,
};
