/* S2: what was refused, or never came whole, leaves no copy. */
#include "api/ledger.h"
#include "api/oracle.h"

#include <stdio.h>
#include <string.h>

/* The reply class that refused every attempt, or NULL where one may have been accepted. */
static const char *refused_by(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	const uint32_t *edge = rcpt->attempts[HOP_EDGE];

	if (edge[RESULT_2YZ] || edge[RESULT_NONE] || ledger_unknown(ledger, rcpt, HOP_EDGE))
		return NULL;
	if (edge[RESULT_4YZ])
		return "4yz";
	if (edge[RESULT_5YZ])
		return "5yz";
	if (edge[RESULT_NOT_SENT])
		return "not-sent";
	/* Not captured: a NO that the rig's own client read says the same. */
	if (!ledger->hop_attempts[HOP_EDGE] && rcpt->client[OUTCOME_NO] &&
		!rcpt->client[OUTCOME_OK] && !rcpt->client[OUTCOME_MAYBE])
		return "refused";
	return NULL;
}

/* An address that is no user of the target has no mailbox that could have been read. */
static bool was_read(const struct ledger *ledger, const struct oracle_context *context,
	const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);

	if (who && who->flags & (WHO_READ | WHO_UNREADABLE))
		return !(who->flags & WHO_UNREADABLE);
	return context->target &&
	       !text_list_has(&context->target->users, ledger_text(ledger, rcpt->address));
}

static void judge_rcpt(const struct ledger *ledger, const struct oracle_context *context,
	struct judgement *ret, const struct ledger_rcpt *rcpt, const char *class)
{
	const char *token = ledger_token(ledger, rcpt);
	const char *to = ledger_text(ledger, rcpt->address);
	char scope[64];

	/* A body cut short is no copy by the letter, and just what this law is about. */
	if (rcpt->copies + rcpt->partial > rcpt->appended) {
		snprintf(scope, sizeof(scope), "edge smtp-message %s", class);
		if (oracle_breach(context, "S2", ret, scope, ledger->copies[rcpt->first_copy].line,
			    "'%s' was %s for '%s' in every attempt, and there is a copy", token,
			    !strcmp(class, "not-sent") ? "never sent whole" : "refused", to))
			judgement_line(ret, rcpt->line);
		return;
	}
	if (was_read(ledger, context, rcpt))
		judgement_holds(ret);
	else
		judgement_cannot_tell(ret, rcpt->line,
			"'%s' was refused for '%s', whose mailbox was not read back", token, to);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;

	for (size_t i = 0; i < ledger->rcpt_count; i++) {
		const struct ledger_rcpt *rcpt = &ledger->rcpts[i];
		const char *class = refused_by(ledger, rcpt);

		if (class)
			judge_rcpt(ledger, context, ret, rcpt, class);
	}
}

const struct oracle oracle_s2 = {
	.law = "S2",
	.name = "refused means refused",
	.summary = "a message answered only 4yz or 5yz, or whose dot never arrived, leaves no copy",
	.source = "RFC 5321 4.2.5, 4.1.1.10",
	.needs_end = true,
	.judge = judge,
};
