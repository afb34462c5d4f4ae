/* S9: nobody finds another's mail. */
#include "api/ledger.h"
#include "api/oracle.h"

/* Was this token sent by the rig in this cell at all? (Mail of the warm-up was not.) */
static bool is_known(const struct ledger *ledger, uint32_t mail)
{
	for (uint32_t r = ledger->mails[mail].first_rcpt; r != LEDGER_NONE;
		r = ledger->rcpts[r].next)
		if (ledger->rcpts[r].intended)
			return true;
	return false;
}

static bool is_owner(const struct ledger *ledger, uint32_t mail, uint32_t user)
{
	const struct ledger_rcpt *rcpt = ledger_rcpt_of(ledger, &ledger->mails[mail], user);

	return rcpt && rcpt->intended;
}

static void judge_copies(
	const struct ledger *ledger, const struct oracle_context *context, struct judgement *ret)
{
	for (size_t i = 0; i < ledger->copy_count; i++) {
		const struct ledger_copy *copy = &ledger->copies[i];
		const struct ledger_rcpt *rcpt = &ledger->rcpts[copy->rcpt];

		if (rcpt->intended)
			judgement_holds(ret);
		else if (is_known(ledger, rcpt->mail))
			oracle_breach(context, "S9", ret,
				copy->sunk ? "outbound smtp-message stray" : "mailbox stray",
				copy->line, "'%s' is found with '%s', to whom it was not sent",
				ledger_token(ledger, rcpt), ledger_text(ledger, rcpt->address));
	}
}

static void judge_sessions(
	const struct ledger *ledger, const struct oracle_context *context, struct judgement *ret)
{
	for (size_t i = 0; i < ledger->shown_count; i++) {
		const struct ledger_shown *shown = &ledger->shown[i];
		const struct ledger_op *op = &ledger->ops[shown->op];

		if (!op->user || !is_known(ledger, shown->mail))
			continue;
		judgement_holds(ret);
		if (!is_owner(ledger, shown->mail, op->user))
			oracle_breach(context, "S9", ret, "session stray", shown->line,
				"'%s' was shown to a session of '%s', to whom it was not sent",
				ledger_text(ledger, ledger->mails[shown->mail].token),
				ledger_text(ledger, op->user));
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	judge_copies(history->ledger, context, ret);
	judge_sessions(history->ledger, context, ret);
}

const struct oracle oracle_s9 = {
	.law = "S9",
	.name = "no mix-up",
	.summary =
		"a message is found only in its recipients' mailboxes and their owners' sessions",
	.source = "RFC 5321 2.1, RFC 9051 11",
	.judge = judge,
};
