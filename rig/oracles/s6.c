/* S6: who sent what failed is told, once, and nobody else. */
#include "api/fault.h"
#include "api/fate.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include <string.h>

#define POSTMASTER "postmaster"

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	uint64_t crashes; /* each may have left one more notification */
};

/* Addresses as the ledger writes them: lower case, without the store's own domain. */
static bool names(const struct ledger *ledger, const struct ledger_notice *notice, const char *to)
{
	const char *at = ledger_text(ledger, notice->failed);
	size_t len = strlen(to);

	if (!*at)
		return true; /* it does not say whom */
	for (; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");

		if (word >= len && !strncasecmp(at, to, len) &&
			(word == len || (word == len + 6 && !strncasecmp(at + len, "@store", 6))))
			return true;
	}
	return false;
}

/* The attempt by which the store gave this recipient up, or NULL. */
static const struct ledger_attempt *last_refusal(
	const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	const struct ledger_attempt *last = NULL;

	for (uint32_t a = rcpt->first_attempt; a != LEDGER_NONE; a = ledger->attempts[a].next)
		if (ledger->attempts[a].hop != HOP_EDGE)
			last = &ledger->attempts[a];
	return last && last->result == RESULT_5YZ ? last : NULL;
}

/* The line that shows it given up, 0 if it was not. Where RCPT is refused no content says which mail it
 * was: then it is this one if it neither arrived nor is queued. */
static uint32_t failed_line(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	const struct ledger_attempt *refusal = last_refusal(ledger, rcpt);
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);

	if (refusal)
		return refusal->line;
	if (!who || !who->given_up || rcpt->first_copy != LEDGER_NONE || rcpt->removed ||
		rcpt->attempts[HOP_OUTBOUND][RESULT_2YZ] || rcpt->attempts[HOP_INNER][RESULT_2YZ] ||
		ledger_unknown(ledger, rcpt, HOP_OUTBOUND) ||
		ledger_unknown(ledger, rcpt, HOP_INNER))
		return 0;
	return rcpt->line;
}

static bool accepted(const struct ledger_rcpt *rcpt)
{
	return rcpt->attempts[HOP_EDGE][RESULT_2YZ] || rcpt->client[OUTCOME_OK];
}

/* Why a notification that was not seen may yet be there, or NULL. */
static const char *doubt(const struct pass *pass, const struct ledger_mail *mail)
{
	const struct ledger_who *who = ledger_who(pass->ledger, mail->from);
	if (strchr(ledger_text(pass->ledger, mail->from), '@')) {
		if (!pass->ledger->sink_asked)
			return "what the store sent on was not captured";
	} else if (!who || !(who->flags & WHO_READ) || who->flags & WHO_UNREADABLE) {
		return "the sender's mailbox was not read back";
	}
	if (who && (who->removed || who->flags & WHO_REMOVED_ALL))
		return "the rig removed mail of the sender";
	if (who && who->flags & WHO_QUEUED)
		return "an entry of the queue that names no token may be it";
	if (who && (who->unsent || who->doubtful))
		return "a message to the return path was refused on its way, or its reply was lost";
	return fate_unlisted(pass->ledger, pass->context->target);
}

/* Recipients may be told of together or one by one, again for each acceptance of the message, each crash
 * and each lost reply. */
static uint64_t allowed(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_mail *mail = &pass->ledger->mails[rcpt->mail];
	const struct ledger_who *who = ledger_who(pass->ledger, mail->from);
	uint64_t times = (uint64_t)rcpt->attempts[HOP_EDGE][RESULT_2YZ] +
			 rcpt->attempts[HOP_EDGE][RESULT_NONE] +
			 ledger_unknown(pass->ledger, rcpt, HOP_EDGE) + pass->crashes +
			 (who ? who->doubtful : 0);

	return times ? times : 1;
}

static void judge_count(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger *ledger = pass->ledger;
	const struct ledger_mail *mail = &ledger->mails[rcpt->mail];
	const struct ledger_who *who = ledger_who(ledger, mail->from);
	const char *to = ledger_text(ledger, rcpt->address);
	uint64_t count = 0;

	for (uint32_t n = mail->first_notice; n != LEDGER_NONE; n = ledger->notices[n].next)
		count += ledger->notices[n].is_final && ledger->notices[n].failed &&
			 ledger->notices[n].found == mail->from &&
			 names(ledger, &ledger->notices[n], to);
	if (count <= allowed(pass, rcpt) || (who && who->flags & WHO_MULTIPLIED))
		return;
	oracle_breach(pass->context, "S6", pass->judgement, "notification twice",
		ledger->notices[mail->first_notice].line,
		"'%s' has %llu notifications about '%s'; %llu can be explained",
		ledger_token(ledger, rcpt), (unsigned long long)count, to,
		(unsigned long long)allowed(pass, rcpt));
}

static void judge_rcpt(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger *ledger = pass->ledger;
	const struct ledger_mail *mail = &ledger->mails[rcpt->mail];
	uint32_t line = failed_line(ledger, rcpt);
	const char *to = ledger_text(ledger, rcpt->address), *why;

	judge_count(pass, rcpt);
	if (!line || !accepted(rcpt) || rcpt->queued)
		return;
	judgement_holds(pass->judgement);
	if (mail->null_path || mail->never || !mail->from)
		return;
	for (uint32_t n = mail->first_notice; n != LEDGER_NONE; n = ledger->notices[n].next)
		if (ledger->notices[n].is_final && names(ledger, &ledger->notices[n], to))
			return;
	why = doubt(pass, mail);
	if (why)
		judgement_cannot_tell(pass->judgement, line,
			"'%s' failed for '%s' and no notification was seen, but %s",
			ledger_token(ledger, rcpt), to, why);
	else
		oracle_breach(pass->context, "S6", pass->judgement, "notification none", line,
			"'%s' was refused for good for '%s' and its sender was not told",
			ledger_token(ledger, rcpt), to);
}

static void judge_notice(
	const struct pass *pass, const struct ledger_mail *mail, const struct ledger_notice *notice)
{
	const struct ledger *ledger = pass->ledger;
	const char *token = ledger_text(ledger, mail->token);
	const char *found = ledger_text(ledger, notice->found);

	judgement_holds(pass->judgement);
	if (notice->from)
		oracle_breach(pass->context, "S6", pass->judgement, "notification sender",
			notice->line,
			"the notification about '%s' has the sender '%s'; it must "
			"be null",
			token, ledger_text(ledger, notice->from));
	if (!strcmp(found, POSTMASTER))
		return; /* he may be told of everything */
	if (mail->null_path)
		oracle_breach(pass->context, "S6", pass->judgement, "notification null-path",
			notice->line, "'%s' had no return path, and '%s' got a notification", token,
			found);
	else if (mail->never)
		oracle_breach(pass->context, "S6", pass->judgement, "notification never",
			notice->line, "'%s' asked for no notification, and '%s' got one", token,
			found);
	else if (mail->from && notice->found && notice->found != mail->from)
		oracle_breach(pass->context, "S6", pass->judgement, "notification astray",
			notice->line,
			"the notification about '%s' went to '%s' instead of its "
			"return path '%s'",
			token, found, ledger_text(ledger, mail->from));
}

static uint64_t count_crashes(const struct history *history)
{
	const struct ledger *ledger = history->ledger;
	uint64_t count = 0;

	for (size_t i = 0; i < history->rare_count; i++)
		count += event_is(history->rare[i], "died");
	for (size_t i = 0; i < ledger->force_count; i++)
		count += (ledger->forces[i].is & FAULT_KILLS) != 0;
	return count;
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;
	struct pass pass = {
		.ledger = ledger,
		.context = context,
		.judgement = ret,
		.crashes = count_crashes(history),
	};

	for (size_t i = 0; i < ledger->rcpt_count; i++)
		if (ledger->rcpts[i].intended)
			judge_rcpt(&pass, &ledger->rcpts[i]);
	for (size_t i = 0; i < ledger->mail_count; i++) {
		const struct ledger_mail *mail = &ledger->mails[i];

		if (mail->first_rcpt == LEDGER_NONE || !ledger->rcpts[mail->first_rcpt].intended)
			continue;
		for (uint32_t n = mail->first_notice; n != LEDGER_NONE; n = ledger->notices[n].next)
			judge_notice(&pass, mail, &ledger->notices[n]);
	}
}

const struct oracle oracle_s6 = {
	.law = "S6",
	.name = "bounces",
	.summary = "a failed recipient is told to the return path, once, with a null sender; never "
		   "for a null return path or NOTIFY=NEVER",
	.source = "RFC 5321 4.5.4, 4.5.5, 6.1; RFC 3461 4.1",
	.needs_end = true,
	.judge = judge,
};
