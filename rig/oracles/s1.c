/* S1: what was accepted is delivered, or still queued, or its sender was told. */
#include "api/fate.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <string.h>

struct pass {
	const struct ledger *ledger, *baseline;
	const struct oracle_context *context;
	struct judgement *judgement;
	uint64_t *missing;    /* per ledger_who: nameless removals used up */
	uint64_t *untold;     /* per ledger_who: refused notifications used up */
	const char *unlisted; /* why the queue is not known, or NULL */
};

static bool is_remote(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	return strchr(ledger_text(pass->ledger, rcpt->address), '@');
}

/* The reply that obliges is the one on the wire. Where that hop was not captured, or its reply is hidden, an OK
 * that the rig's own client read is no less; its MAYBE leaves the question open. */
static bool accepted(const struct pass *pass, const struct ledger_rcpt *rcpt, bool *ret_unsure)
{
	const uint32_t *edge = rcpt->attempts[HOP_EDGE];
	uint32_t tried =
		edge[RESULT_NOT_SENT] + edge[RESULT_4YZ] + edge[RESULT_5YZ] + edge[RESULT_NONE];
	bool hidden = ledger_unknown(pass->ledger, rcpt, HOP_EDGE);

	*ret_unsure = false;
	if (edge[RESULT_2YZ] || (tried && !hidden))
		return edge[RESULT_2YZ];
	*ret_unsure =
		rcpt->client[OUTCOME_MAYBE] && (hidden || !pass->ledger->hop_attempts[HOP_EDGE]);
	return rcpt->client[OUTCOME_OK];
}

static uint32_t accept_line(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	for (uint32_t a = rcpt->first_attempt; a != LEDGER_NONE; a = pass->ledger->attempts[a].next)
		if (pass->ledger->attempts[a].hop == HOP_EDGE &&
			pass->ledger->attempts[a].result == RESULT_2YZ)
			return pass->ledger->attempts[a].line;
	return rcpt->line;
}

/* Any copy that counts; else the best there is, in *ret_best. */
static bool has_copy(
	const struct pass *pass, const struct ledger_rcpt *rcpt, enum copy_state *ret_best)
{
	*ret_best = COPY_DAMAGED;
	for (uint32_t c = rcpt->first_copy; c != LEDGER_NONE; c = pass->ledger->copies[c].next) {
		enum copy_state state =
			ledger_copy_state(pass->ledger, pass->baseline, &pass->ledger->copies[c]);

		if (state < *ret_best)
			*ret_best = state;
	}
	return *ret_best == COPY_INTACT;
}

/* Why a copy that was not seen may yet be there, or NULL. */
static const char *doubt(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_mail *mail = &pass->ledger->mails[rcpt->mail];
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);
	const struct ledger_who *sender = ledger_who(pass->ledger, mail->from);

	if (is_remote(pass, rcpt)) {
		if (!pass->ledger->hop_attempts[HOP_OUTBOUND] && !pass->ledger->sunk_copies)
			return "what the store sent on was not captured";
		if (ledger_unknown(pass->ledger, rcpt, HOP_OUTBOUND))
			return "a gap hides how an attempt to send it on ended";
	} else if (!who || !(who->flags & WHO_READ) || who->flags & WHO_UNREADABLE) {
		return "the mailbox was not read back";
	}
	if (pass->unlisted)
		return pass->unlisted;
	if ((who && who->flags & WHO_QUEUED) ||
		(mail->from && sender && sender->flags & WHO_QUEUED))
		return "an entry of the queue that names no token may be it";
	return NULL;
}

static bool is_excused(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);

	if (rcpt->removed)
		return true;
	if (!ledger_may_be_removed(who, pass->ledger->mails[rcpt->mail].line))
		return false;
	if (who->flags & WHO_REMOVED_ALL)
		return true;
	return pass->missing[who - pass->ledger->whos]++ < who->removed;
}

/* Where it was to go next it was refused for good, or mail to that address was. */
static bool given_up(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);

	return rcpt->attempts[HOP_INNER][RESULT_5YZ] || rcpt->attempts[HOP_OUTBOUND][RESULT_5YZ] ||
	       (who && who->given_up);
}

/* Its sender wants, or can have, no notification (RFC 5321 4.5.5, RFC 3461 4.1). */
static bool nobody_to_tell(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_mail *mail = &pass->ledger->mails[rcpt->mail];

	return (mail->null_path || mail->never) && given_up(pass, rcpt);
}

/* Its sender's own server refused for good to hear of it, and a notification is not notified about (RFC 5321 4.5.5).
 * Which mail each was about is not known, as it was never sent. */
static bool told_in_vain(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_mail *mail = &pass->ledger->mails[rcpt->mail];
	const struct ledger_who *sender = ledger_who(pass->ledger, mail->from);

	return sender && given_up(pass, rcpt) &&
	       pass->untold[sender - pass->ledger->whos]++ < sender->untold;
}

static void judge_rcpt(struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const char *token = ledger_token(pass->ledger, rcpt), *why;
	const char *to = ledger_text(pass->ledger, rcpt->address);
	const struct ledger_mail *mail = &pass->ledger->mails[rcpt->mail];
	uint32_t line = accept_line(pass, rcpt);
	enum copy_state best;
	bool unsure, owed = accepted(pass, rcpt, &unsure);

	if (unsure && !owed && !has_copy(pass, rcpt, &best))
		judgement_cannot_tell(pass->judgement, rcpt->line,
			"whether '%s' was accepted for '%s' is not known: the hop is not captured, "
			"or a gap hides the reply",
			token, to);
	if (!owed)
		return;
	judgement_holds(pass->judgement);
	if (has_copy(pass, rcpt, &best) || rcpt->queued || mail->bounces ||
		rcpt->attempts[HOP_OUTBOUND][RESULT_2YZ] || nobody_to_tell(pass, rcpt))
		return;
	why = rcpt->copies && best == COPY_UNSURE
		      ? "the one copy has another body and there is no baseline"
		      : doubt(pass, rcpt);
	if (why) {
		judgement_cannot_tell(pass->judgement, line,
			"'%s' was accepted for '%s' and has no copy, but %s", token, to, why);
	} else if (is_excused(pass, rcpt) || told_in_vain(pass, rcpt)) {
		pass->judgement->excused++;
	} else {
		oracle_breach(pass->context, "S1", pass->judgement, "edge smtp-message 2yz", line,
			"'%s' was accepted for '%s' and has %s, is not queued, and nobody was told",
			token, to,
			rcpt->copies + rcpt->partial ? "only a damaged copy" : "no copy");
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {
		.ledger = history->ledger,
		.baseline = context->baseline ? context->baseline->ledger : NULL,
		.context = context,
		.judgement = ret,
		.missing = mem_zero(history->ledger->who_count, sizeof(uint64_t)),
		.untold = mem_zero(history->ledger->who_count, sizeof(uint64_t)),
		.unlisted = fate_unlisted(history->ledger, context->target),
	};

	for (size_t i = 0; i < pass.ledger->rcpt_count; i++)
		judge_rcpt(&pass, &pass.ledger->rcpts[i]);
	free(pass.missing);
	free(pass.untold);
}

const struct oracle oracle_s1 = {
	.law = "S1",
	.name = "no loss",
	.summary =
		"a message answered 2yz after the dot has a copy, is queued, or its sender is told",
	.source = "RFC 5321 4.2.5, 4.1.1.4, 6.1",
	.needs_end = true,
	.judge = judge,
};
