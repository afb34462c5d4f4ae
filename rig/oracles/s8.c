/* S8: what was delivered is what was sent. */
#include "api/ledger.h"
#include "api/oracle.h"

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;
	const struct ledger *baseline = context->baseline ? context->baseline->ledger : NULL;

	for (size_t i = 0; i < ledger->copy_count; i++) {
		const struct ledger_copy *copy = &ledger->copies[i];
		const struct ledger_rcpt *rcpt = &ledger->rcpts[copy->rcpt];
		const char *token = ledger_token(ledger, rcpt);
		const char *to = ledger_text(ledger, rcpt->address);
		enum copy_state state;

		if (!rcpt->intended) /* mail of the warm-up, or a stray, which is for S9 */
			continue;
		state = ledger_copy_state(ledger, baseline, copy);
		if (state == COPY_INTACT)
			judgement_holds(ret);
		else if (state == COPY_UNSURE)
			judgement_cannot_tell(ret, copy->line,
				"the copy of '%s' for '%s' has nothing to be compared with: the "
				"baseline has no such message",
				token, to);
		else
			oracle_breach(context, "S8", ret,
				copy->sunk ? "outbound smtp-message damaged"
					   : "inner smtp-message damaged",
				copy->line,
				copy->whole ? "the copy of '%s' for '%s' has another body than "
					      "the one sent"
					    : "the copy of '%s' for '%s' ends inside its header",
				token, to);
	}
}

const struct oracle oracle_s8 = {
	.law = "S8",
	.name = "integrity",
	.summary = "each copy equals the copy the same store makes of the same message without a "
		   "fault",
	.source = "RFC 5321 2.3.1, 4.4, 6.4",
	.needs_end = true,
	.judge = judge,
};
