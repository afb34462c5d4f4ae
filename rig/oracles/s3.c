/* S3: no more copies than acceptances and lost replies can explain. */
#include "api/ledger.h"
#include "api/oracle.h"

#include <string.h>

/* The hop behind the queue: the delivery agent's, or for an address elsewhere the one to the next
 * host. A lost reply there is a second copy that nobody can be blamed for. */
static enum hop second_hop(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	return strchr(ledger_text(ledger, rcpt->address), '@') ? HOP_OUTBOUND : HOP_INNER;
}

static bool is_captured(
	const struct ledger *ledger, const struct oracle_context *context, enum hop hop)
{
	const struct service *lmtp =
		context->target ? target_service_by(context->target, PROTOCOL_LMTP) : NULL;

	if (ledger->hop_attempts[hop])
		return true;
	return hop == HOP_INNER && lmtp && lmtp->seen != SEEN_HIDDEN;
}

static uint64_t copies_allowed(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	const uint32_t *edge = rcpt->attempts[HOP_EDGE];

	return (uint64_t)edge[RESULT_2YZ] + edge[RESULT_NONE] +
	       rcpt->attempts[second_hop(ledger, rcpt)][RESULT_NONE] + rcpt->appended;
}

static uint32_t attempts_at_edge(const struct ledger_rcpt *rcpt)
{
	uint32_t sum = 0;

	for (int i = 0; i < RESULT_COUNT; i++)
		sum += rcpt->attempts[HOP_EDGE][i];
	return sum;
}

/* What the last hop answered tells two mechanisms apart: delivered although refused, or twice. */
static const char *scope_of(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	enum hop hop = second_hop(ledger, rcpt);
	const uint32_t *results = rcpt->attempts[hop];

	if (results[RESULT_4YZ] || results[RESULT_5YZ])
		return hop == HOP_INNER ? "inner smtp-message 4yz" : "outbound smtp-message 4yz";
	return hop == HOP_INNER ? "inner smtp-message 2yz" : "outbound smtp-message 2yz";
}

static void blame(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct ledger_rcpt *rcpt, uint64_t allowed)
{
	uint32_t copy = rcpt->last_copy;

	if (!oracle_breach(context, "S3", ret, scope_of(ledger, rcpt), ledger->copies[copy].line,
		    "'%s' has %u copies for '%s'; %llu can be explained by acceptances and lost "
		    "replies",
		    ledger_token(ledger, rcpt), rcpt->copies, ledger_text(ledger, rcpt->address),
		    (unsigned long long)allowed))
		return;
	for (copy = rcpt->first_copy; copy != rcpt->last_copy; copy = ledger->copies[copy].next)
		judgement_line(ret, ledger->copies[copy].line);
}

static void judge_rcpt(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);
	const char *token = ledger_token(ledger, rcpt), *why = NULL;
	bool multiplied = who && who->flags & WHO_MULTIPLIED;
	uint64_t allowed = copies_allowed(ledger, rcpt);
	uint64_t hidden = (uint64_t)ledger_unknown(ledger, rcpt, HOP_EDGE) +
			  ledger_unknown(ledger, rcpt, second_hop(ledger, rcpt));

	if (rcpt->copies <= allowed) {
		judgement_holds(ret);
		return;
	}
	if (rcpt->copies <= allowed + hidden)
		return; /* what is hidden explains them, perhaps */
	if (!attempts_at_edge(rcpt) && !rcpt->appended)
		why = "the hop to the store is not captured";
	else if (rcpt->copies > 1 && !is_captured(ledger, context, second_hop(ledger, rcpt)))
		why = "the hop behind the queue is not captured";
	else if (hidden)
		why = "a gap hides how an attempt ended";
	else if (multiplied)
		why = "the rig itself copied messages of this user";
	if (!why)
		blame(ledger, context, ret, rcpt, allowed);
	else if (rcpt->copies > 1)
		/* What the rig did itself is no suspicion against the store: no line is named. */
		judgement_cannot_tell(ret, multiplied ? 0 : ledger->copies[rcpt->last_copy].line,
			"'%s' has %u copies for '%s', but %s", token, rcpt->copies,
			ledger_text(ledger, rcpt->address), why);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;

	for (size_t i = 0; i < ledger->rcpt_count; i++)
		if (ledger->rcpts[i].copies && ledger->rcpts[i].intended)
			judge_rcpt(ledger, context, ret, &ledger->rcpts[i]);
}

const struct oracle oracle_s3 = {
	.law = "S3",
	.name = "bounded duplicates",
	.summary = "copies <= messages accepted + edge attempts without a reply + inner ones",
	.source = "RFC 5321 4.5.3.2.6, RFC 1047",
	.needs_end = true,
	.judge = judge,
};
