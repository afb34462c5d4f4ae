/* U2: without a successful fsync there is no acknowledgement. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

#define RULES_MAX 64

/* One time in which every call of that kind failed, whoever of the store made it. */
struct rule {
	const char *step;
	size_t kind;
	double from, to;
	uint32_t line;
	int64_t calls;
};

/* What makes the bytes of a file durable, of what can be made to fail. */
static const char *const kinds[] = {"posix/io/sync/fsync", "posix/io/sync/fdatasync"};

struct rules {
	struct rule at[RULES_MAX];
	size_t count;
};

static void add_rule(struct rules *rules, const struct event *event)
{
	const json_t *data = event->data;
	const char *point = json_get_text(data, "point", "");

	/* A rule that lets some calls succeed proves nothing: who writes what for whom is not known. */
	if (rules->count == RULES_MAX || !*json_get_text(data, "errno", "") ||
		*json_get_text(data, "role", "") || *json_get_text(data, "path", "") ||
		json_get_int(data, "hit", 1) > 1)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(point, kinds[i]))
			rules->at[rules->count++] = (struct rule){
				.step = json_get_text(data, "step", ""),
				.kind = i,
				.from = event->t,
				.to = NAN,
				.line = event->line,
				.calls = json_get_int(data, "calls", 1),
			};
}

/* It holds until it is being healed, unless it ran out of calls before: nobody knows when. */
static void end_rule(struct rules *rules, const struct event *event)
{
	for (size_t i = 0; i < rules->count; i++) {
		struct rule *rule = &rules->at[i];

		if (isnan(rule->to) && !strcmp(rule->step, json_get_text(event->data, "step", "?")))
			rule->to = event->t;
	}
}

static void exhaust_rule(struct rules *rules, const struct event *event)
{
	for (size_t i = 0; i < rules->count; i++) {
		struct rule *rule = &rules->at[i];

		if (!strcmp(rule->step, json_get_text(event->data, "step", "?")) &&
			json_get_int(event->data, "count", INT64_MAX) >= rule->calls)
			rule->to = rule->from;
	}
}

static void collect(const struct history *history, struct rules *rules)
{
	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];
		const char *state;

		if (!event_is(event, "fault"))
			continue;
		state = json_get_text(event->data, "state", "");
		if (!strcmp(state, "armed"))
			add_rule(rules, event);
		else if (!strcmp(state, "healing"))
			end_rule(rules, event);
		else if (!strcmp(state, "healed"))
			exhaust_rule(rules, event);
	}
}

/* The line of the rule by which from then on, until `to`, nothing could be flushed; 0: something could. */
static uint32_t none_flushed(const struct rules *rules, double from, double to)
{
	uint32_t line = 0;

	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		const struct rule *found = NULL;

		for (size_t i = 0; i < rules->count && !found; i++) {
			const struct rule *rule = &rules->at[i];

			if (rule->kind == kind && rule->from <= from && rule->to >= to)
				found = rule;
		}
		if (!found)
			return 0;
		line = found->line;
	}
	return line;
}

static void judge_attempt(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct rules *rules, const struct ledger_attempt *attempt)
{
	char scope[64];
	uint32_t line;

	if (attempt->hop == HOP_OUTBOUND || attempt->result == RESULT_UNKNOWN ||
		isnan(attempt->dot_t) || isnan(attempt->reply_t))
		return;
	line = none_flushed(rules, attempt->dot_t, attempt->reply_t);
	if (!line)
		return;
	judgement_holds(ret);
	if (attempt->result != RESULT_2YZ)
		return;
	snprintf(scope, sizeof(scope), "%s 2yz unflushed", hop_name((enum hop)attempt->hop));
	oracle_breach(context, "U2", ret, scope, attempt->line,
		"%s was answered %u while every fsync and fdatasync of the store failed",
		attempt->rcpt == LEDGER_NONE ? "a message"
					     : ledger_token(ledger, &ledger->rcpts[attempt->rcpt]),
		attempt->code);
	judgement_line(ret, line);
}

static void judge_append(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct rules *rules, const struct ledger_op *op)
{
	uint32_t line;

	if (!op->end_line || strcmp(ledger_text(ledger, op->op), "imap-append") != 0)
		return;
	line = none_flushed(rules, op->begin, op->end);
	if (!line)
		return;
	judgement_holds(ret);
	if (op->outcome != OUTCOME_OK)
		return;
	oracle_breach(context, "U2", ret, "imap-append OK unflushed", op->end_line,
		"an APPEND was answered OK while every fsync and fdatasync of the store failed");
	judgement_line(ret, line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;
	struct rules rules = {0};

	collect(history, &rules);
	for (size_t i = 0; rules.count && i < ledger->attempt_count; i++)
		judge_attempt(ledger, context, ret, &rules, &ledger->attempts[i]);
	for (size_t i = 0; rules.count && i < ledger->op_count; i++)
		judge_append(ledger, context, ret, &rules, &ledger->ops[i]);
}

const struct oracle oracle_u2 = {
	.law = "U2",
	.name = "no reply without a flush",
	.summary = "while no fsync of the store succeeds, no message is acknowledged",
	.source = "RFC 5321 4.2.5; POSIX.1-2017 fsync()",
	.judge = judge,
};
