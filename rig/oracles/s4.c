/* S4: trouble that passes is answered, if at all, with a reply that says so. */
#include "api/fault.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include <math.h>
#include <string.h>

#define QUOTA_CODE 552 /* a user's own quota may be refused for good: RFC 5321, 4.2.3 */

struct pass {
	const struct ledger *ledger, *baseline;
	const struct oracle_context *context;
	struct judgement *judgement;
	double recover_s;
};

/* Could a fault have caused what happened then? One that `is` one of these; 0: any. */
static bool in_reach_of_fault(const struct pass *pass, double t, uint32_t is)
{
	for (size_t i = 0; i < pass->ledger->force_count; i++) {
		const struct ledger_force *force = &pass->ledger->forces[i];

		if (is && !(force->is & is))
			continue;
		if (t >= force->from && (isnan(force->to) || t <= force->to + pass->recover_s))
			return true;
	}
	return false;
}

/* The same store answers this mail like that when nothing is wrong. */
static bool as_in_baseline(const struct pass *pass, const struct ledger_rcpt *rcpt, enum hop hop)
{
	const char *token = ledger_token(pass->ledger, rcpt);
	const char *address = ledger_text(pass->ledger, rcpt->address);
	const struct ledger_mail *mail = pass->baseline ? ledger_mail(pass->baseline, token) : NULL;

	for (uint32_t r = mail ? mail->first_rcpt : LEDGER_NONE; r != LEDGER_NONE;
		r = pass->baseline->rcpts[r].next)
		if (pass->baseline->rcpts[r].attempts[hop][RESULT_5YZ] &&
			!strcmp(ledger_text(pass->baseline, pass->baseline->rcpts[r].address),
				address))
			return true;
	return false;
}

/* 550 for a user or mailbox that the rig took away is the right answer. */
static bool is_gone(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);

	return who && who->flags & WHO_REMOVED_ALL;
}

static void judge_attempt(const struct pass *pass, const struct ledger_attempt *attempt)
{
	double t = isnan(attempt->reply_t) ? attempt->t : attempt->reply_t;
	const struct ledger_rcpt *rcpt;
	char scope[64];

	if (attempt->hop == HOP_OUTBOUND || attempt->rcpt == LEDGER_NONE ||
		!in_reach_of_fault(pass, t, 0))
		return;
	rcpt = &pass->ledger->rcpts[attempt->rcpt];
	if (attempt->result != RESULT_NOT_SENT && attempt->result != RESULT_NONE &&
		attempt->result != RESULT_UNKNOWN)
		judgement_holds(pass->judgement);
	if (attempt->result != RESULT_5YZ || attempt->code == QUOTA_CODE)
		return;
	if (is_gone(pass, rcpt) || as_in_baseline(pass, rcpt, (enum hop)attempt->hop)) {
		pass->judgement->excused++;
		return;
	}
	snprintf(scope, sizeof(scope), "%s smtp-message 5yz", hop_name((enum hop)attempt->hop));
	oracle_breach(pass->context, "S4", pass->judgement, scope, attempt->line,
		"'%s' for '%s' was answered %u on the %s hop for trouble that passed",
		ledger_token(pass->ledger, rcpt), ledger_text(pass->ledger, rcpt->address),
		attempt->code, hop_name((enum hop)attempt->hop));
}

static bool is_remote(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	return strchr(ledger_text(pass->ledger, rcpt->address), '@');
}

/* Refused for good by the agent, who may: the user's quota was used up then. The queue can only send it back. */
static bool is_over_quota(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_attempt *attempt;

	for (uint32_t a = rcpt->first_attempt; a != LEDGER_NONE; a = attempt->next) {
		attempt = &pass->ledger->attempts[a];
		if (attempt->hop == HOP_INNER && attempt->result == RESULT_5YZ &&
			attempt->code == QUOTA_CODE &&
			in_reach_of_fault(pass, attempt->t, FAULT_QUOTA))
			return true;
	}
	return false;
}

/* Refused for good on this mail's way by somebody else, who may. */
static bool refused_elsewhere(const struct pass *pass, const struct ledger_mail *mail)
{
	for (uint32_t r = mail->first_rcpt; r != LEDGER_NONE; r = pass->ledger->rcpts[r].next) {
		const struct ledger_rcpt *rcpt = &pass->ledger->rcpts[r];

		const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);

		if (rcpt->attempts[HOP_OUTBOUND][RESULT_5YZ] || is_gone(pass, rcpt) ||
			is_over_quota(pass, rcpt) ||
			(is_remote(pass, rcpt) && who && who->given_up) ||
			as_in_baseline(pass, rcpt, HOP_INNER))
			return true;
	}
	return false;
}

static bool bounced_in_baseline(const struct pass *pass, const struct ledger_mail *mail)
{
	const struct ledger_mail *same =
		pass->baseline ? ledger_mail(pass->baseline, ledger_text(pass->ledger, mail->token))
			       : NULL;

	return same && same->bounces;
}

/* The first acceptance of any recipient, NAN if none. */
static double accepted_t(const struct pass *pass, const struct ledger_mail *mail)
{
	double first = NAN;

	for (uint32_t r = mail->first_rcpt; r != LEDGER_NONE; r = pass->ledger->rcpts[r].next) {
		uint32_t a = pass->ledger->rcpts[r].first_attempt;

		for (; a != LEDGER_NONE; a = pass->ledger->attempts[a].next) {
			const struct ledger_attempt *attempt = &pass->ledger->attempts[a];

			if (attempt->hop == HOP_EDGE && attempt->result == RESULT_2YZ &&
				!(attempt->t >= first))
				first = attempt->t;
		}
	}
	return first;
}

static void judge_bounce(const struct pass *pass, const struct ledger_mail *mail)
{
	const struct target *target = pass->context->target;
	int64_t give_up_ms = target ? target->timers.give_up_ms : TIME_UNSET;
	const char *token = ledger_text(pass->ledger, mail->token);
	double accepted = accepted_t(pass, mail), waited;

	if (isnan(accepted) || refused_elsewhere(pass, mail) || bounced_in_baseline(pass, mail))
		return;
	/* A store counts by its wall clock; days that this jumped over have passed for it. */
	waited = mail->bounce_t - accepted + ledger_ahead(pass->ledger, accepted, mail->bounce_t);
	if (give_up_ms <= 0)
		judgement_cannot_tell(pass->judgement, mail->bounce_line,
			"'%s' came back, but the target does not say timers.give_up", token);
	else if (waited < (double)give_up_ms / 1000)
		oracle_breach(pass->context, "S4", pass->judgement, "inner notification 5yz",
			mail->bounce_line,
			"'%s' became a bounce %.0f s after it was accepted; the queue lifetime "
			"is %lld s",
			token, waited, (long long)give_up_ms / 1000);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {
		.ledger = history->ledger,
		.baseline = context->baseline ? context->baseline->ledger : NULL,
		.context = context,
		.judgement = ret,
		.recover_s = (double)context->objectives.recover_ms / 1000,
	};

	if (!pass.ledger->force_count)
		return;
	for (size_t i = 0; i < pass.ledger->attempt_count; i++)
		judge_attempt(&pass, &pass.ledger->attempts[i]);
	for (size_t i = 0; i < pass.ledger->mail_count; i++)
		if (pass.ledger->mails[i].bounces)
			judge_bounce(&pass, &pass.ledger->mails[i]);
}

const struct oracle oracle_s4 = {
	.law = "S4",
	.name = "reply class",
	.summary =
		"a fault that passes is answered 4yz, if at all, and causes no bounce before the "
		"queue lifetime",
	.source = "RFC 5321 4.2.1",
	.judge = judge,
};
