/* H2: the store can be stopped. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

#include <string.h>

/* How the stop went wrong: the scope of its signature, or NULL when it did not. */
static const char *wrong(const json_t *stop, double limit_s)
{
	if (!json_get_bool(stop, "ended", true))
		return "stop hangs";
	if (json_array_size(json_object_get(stop, "killed")))
		return "stop forced";
	if (json_array_size(json_object_get(stop, "left")))
		return "stop leaves processes";
	if (json_get_real(stop, "took_s", 0) > limit_s)
		return "stop late";
	return NULL;
}

static void judge_stop(const struct history *history, const struct oracle_context *context,
	struct judgement *ret, const struct event *event)
{
	const json_t *left = json_object_get(event->data, "left");
	const json_t *killed = json_object_get(event->data, "killed");
	double took = json_get_real(event->data, "took_s", 0);
	double limit = (double)context->objectives.stop_ms / 1000;
	const char *scope = wrong(event->data, limit), *first, *victim;

	judgement_holds(ret);
	if (!scope)
		return;
	first = json_string_value(json_array_get(left, 0));
	victim = json_string_value(json_array_get(killed, 0));
	if ((!strcmp(scope, "stop late") || !strcmp(scope, "stop hangs")) &&
		ledger_starved(history->ledger, event->t - took, event->t))
		judgement_cannot_tell(ret, event->line,
			"the stop took %.1f s, but the host starved the guest", took);
	else if (!strcmp(scope, "stop leaves processes"))
		oracle_breach(context, "H2", ret, scope, event->line,
			"the stop left %zu processes, the first is '%s'", json_array_size(left),
			first ? first : "?");
	else if (!strcmp(scope, "stop forced"))
		oracle_breach(context, "H2", ret, scope, event->line,
			"the stop ended after %.1f s only by force: %zu processes were killed, the "
			"first is '%s'",
			took, json_array_size(killed), victim ? victim : "?");
	else
		oracle_breach(context, "H2", ret, scope, event->line,
			"the stop %s after %.1f s (limit %.0f s)",
			!strcmp(scope, "stop late") ? "ended only" : "had not ended", took, limit);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "stop"))
			judge_stop(history, context, ret, history->rare[i]);
}

const struct oracle oracle_h2 = {
	.law = "H2",
	.name = "shutdown",
	.summary =
		"the stop ends within the objective `stop`, without force, and leaves no process",
	.source = "KB 892514, Q279798",
	.judge = judge,
};
