/* U3: the queue lets go of a message only after the store has it for good. */
#include "api/fate.h"
#include "api/oracle.h"

static void judge_rcpt(const struct history *history, const struct oracle_context *context,
	struct judgement *ret, const struct ledger_rcpt *rcpt, double at)
{
	const struct ledger *baseline = context->baseline ? context->baseline->ledger : NULL;
	const char *token = ledger_token(history->ledger, rcpt), *why;
	const char *to = ledger_text(history->ledger, rcpt->address);
	uint32_t line = fate_taken(history->ledger, rcpt, HOP_INNER, at);

	if (!line || !fate_taken(history->ledger, rcpt, HOP_EDGE, at))
		return;
	judgement_holds(ret);
	switch (fate_of(history->ledger, baseline, context->target, rcpt, &why)) {
	case FATE_KEPT:
		return;
	case FATE_EXCUSED:
		ret->excused++;
		return;
	case FATE_UNSURE:
		judgement_cannot_tell(ret, line,
			"'%s' was handed over for '%s' before the power cut and is not seen after "
			"it, "
			"but %s",
			token, to, why);
		return;
	case FATE_LOST:
		oracle_breach(context, "U3", ret, "inner hand-over 2yz", line,
			"'%s' was handed over for '%s' before the power cut; after it neither the "
			"queue nor the store has it",
			token, to);
		return;
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger_force *cut = ledger_power_cut(history->ledger);

	for (size_t i = 0; cut && i < history->ledger->rcpt_count; i++)
		judge_rcpt(history, context, ret, &history->ledger->rcpts[i], cut->at);
}

const struct oracle oracle_u3 = {
	.law = "U3",
	.name = "hand-over is durable",
	.summary = "what the delivery agent took before a power cut is in the queue or the store "
		   "after it",
	.source = "RFC 5321 4.2.5, 6.1; RFC 2033 4.2",
	.needs_end = true,
	.judge = judge,
};
