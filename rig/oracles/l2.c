/* L2: over LMTP each recipient's reply tells of that recipient's copy, and of nobody else's trouble. */
#include "api/fault.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include <math.h>
#include <string.h>

struct pass {
	const struct ledger *ledger, *baseline;
	const struct oracle_context *context;
	struct judgement *judgement;
};

/* What the delivery agent answered for one recipient, over all attempts. */
struct answers {
	uint32_t taken, refused, lost;
	uint32_t taken_line, refused_line;
};

static struct answers answers_of(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	struct answers sum = {0};

	for (uint32_t a = rcpt->first_attempt; a != LEDGER_NONE; a = ledger->attempts[a].next) {
		const struct ledger_attempt *attempt = &ledger->attempts[a];

		if (attempt->hop != HOP_INNER || !attempt->lmtp)
			continue;
		if (attempt->result == RESULT_UNKNOWN || isnan(attempt->dot_t))
			continue;
		if (attempt->reply_t > ledger->read_t) {
			sum.lost++; /* the mailbox may have been read before or after */
		} else if (attempt->result == RESULT_2YZ) {
			sum.taken++;
			sum.taken_line = attempt->line;
		} else if (attempt->result == RESULT_4YZ || attempt->result == RESULT_5YZ) {
			sum.refused++;
			sum.refused_line = attempt->line;
		} else {
			sum.lost++;
		}
	}
	return sum;
}

/* 2yz is a promise. */
static void judge_taken(
	const struct pass *pass, const struct ledger_rcpt *rcpt, const struct answers *sum)
{
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);
	const char *token = ledger_token(pass->ledger, rcpt);
	const char *to = ledger_text(pass->ledger, rcpt->address);

	judgement_holds(pass->judgement);
	if (rcpt->copies)
		return;
	if (!who || !(who->flags & WHO_READ) || who->flags & WHO_UNREADABLE)
		judgement_cannot_tell(pass->judgement, sum->taken_line,
			"'%s' was taken for '%s' and has no copy, but the mailbox was not read "
			"back",
			token, to);
	else if (rcpt->removed || ledger_may_be_removed(who, pass->ledger->mails[rcpt->mail].line))
		pass->judgement->excused++;
	else
		oracle_breach(pass->context, "L2", pass->judgement, "inner lmtp-message 2yz lost",
			sum->taken_line, "'%s' was answered 2yz for '%s' over LMTP and has %s",
			token, to, rcpt->partial ? "only a damaged copy" : "no copy");
}

/* 4yz and 5yz say that nothing was kept. */
static void judge_refused(
	const struct pass *pass, const struct ledger_rcpt *rcpt, const struct answers *sum)
{
	const struct ledger_who *who = ledger_who(pass->ledger, rcpt->address);
	uint64_t explained = (uint64_t)sum->taken + sum->lost + rcpt->appended +
			     ledger_unknown(pass->ledger, rcpt, HOP_INNER);

	judgement_holds(pass->judgement);
	if (rcpt->copies <= explained)
		return;
	if (who && who->flags & WHO_MULTIPLIED)
		judgement_cannot_tell(pass->judgement, sum->refused_line,
			"'%s' was refused for '%s' and has %u copies, but the rig itself copied "
			"messages of this user",
			ledger_token(pass->ledger, rcpt), ledger_text(pass->ledger, rcpt->address),
			rcpt->copies);
	else if (oracle_breach(pass->context, "L2", pass->judgement, "inner lmtp-message 4yz kept",
			 sum->refused_line,
			 "'%s' was refused for '%s' over LMTP and left a copy all the same (%u "
			 "copies, %llu explained)",
			 ledger_token(pass->ledger, rcpt), ledger_text(pass->ledger, rcpt->address),
			 rcpt->copies, (unsigned long long)explained))
		judgement_line(pass->judgement, pass->ledger->copies[rcpt->last_copy].line);
}

/* ---- a fault confined to another's mailbox ---- */

/* The fault that hurt one mailbox while this attempt was made, or NULL. */
static const struct ledger_force *confined_at(
	const struct pass *pass, const struct ledger_attempt *attempt)
{
	double end = isnan(attempt->reply_t) ? attempt->t : attempt->reply_t;

	for (size_t i = 0; i < pass->ledger->force_count; i++) {
		const struct ledger_force *force = &pass->ledger->forces[i];

		/* A killed process answers nobody: that is a shared cause. */
		if (!force->user || force->is & FAULT_KILLS)
			continue;
		if (force->from <= end && !(force->to < attempt->dot_t))
			return force;
	}
	return NULL;
}

static bool shared_fault(const struct pass *pass, const struct ledger_attempt *attempt)
{
	double end = isnan(attempt->reply_t) ? attempt->t : attempt->reply_t;

	for (size_t i = 0; i < pass->ledger->force_count; i++) {
		const struct ledger_force *force = &pass->ledger->forces[i];

		if (!force->user && force->from <= end && !(force->to < attempt->dot_t))
			return true;
	}
	return false;
}

/* 1: the same recipient of the same mail was taken in the baseline; 0: it was not; -1: not known. */
static int taken_in_baseline(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	const struct ledger_mail *mail =
		pass->baseline ? ledger_mail(pass->baseline, ledger_token(pass->ledger, rcpt))
			       : NULL;
	const char *address = ledger_text(pass->ledger, rcpt->address);

	for (uint32_t r = mail ? mail->first_rcpt : LEDGER_NONE; r != LEDGER_NONE;
		r = pass->baseline->rcpts[r].next) {
		const struct ledger_rcpt *same = &pass->baseline->rcpts[r];

		if (!strcmp(ledger_text(pass->baseline, same->address), address))
			return same->attempts[HOP_INNER][RESULT_2YZ] != 0;
	}
	return -1;
}

static void judge_bystander(const struct pass *pass, const struct ledger_attempt *attempt)
{
	const struct ledger_force *force = confined_at(pass, attempt);
	const struct ledger_rcpt *rcpt = &pass->ledger->rcpts[attempt->rcpt];
	int before;

	if (!force || force->user == rcpt->address || shared_fault(pass, attempt))
		return;
	judgement_holds(pass->judgement);
	if (attempt->result == RESULT_2YZ)
		return;
	before = taken_in_baseline(pass, rcpt);
	if (before < 0)
		judgement_cannot_tell(pass->judgement, attempt->line,
			"'%s' was not taken for '%s' while the mailbox of '%s' alone was hurt, and "
			"the baseline has no such message",
			ledger_token(pass->ledger, rcpt), ledger_text(pass->ledger, rcpt->address),
			ledger_text(pass->ledger, force->user));
	else if (before)
		oracle_breach(pass->context, "L2", pass->judgement, "inner lmtp-message bystander",
			attempt->line,
			"'%s' was answered %s for '%s' while the mailbox of '%s' alone was hurt",
			ledger_token(pass->ledger, rcpt), attempt_result_name(attempt->result),
			ledger_text(pass->ledger, rcpt->address),
			ledger_text(pass->ledger, force->user));
}

static void judge_rcpt(const struct pass *pass, const struct ledger_rcpt *rcpt)
{
	struct answers sum = answers_of(pass->ledger, rcpt);

	if (sum.taken)
		judge_taken(pass, rcpt, &sum);
	if (sum.refused)
		judge_refused(pass, rcpt, &sum);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {
		.ledger = history->ledger,
		.baseline = context->baseline ? context->baseline->ledger : NULL,
		.context = context,
		.judgement = ret,
	};

	for (size_t i = 0; i < pass.ledger->rcpt_count; i++)
		if (pass.ledger->rcpts[i].intended)
			judge_rcpt(&pass, &pass.ledger->rcpts[i]);
	for (size_t i = 0; i < pass.ledger->attempt_count; i++) {
		const struct ledger_attempt *attempt = &pass.ledger->attempts[i];

		if (attempt->hop == HOP_INNER && attempt->lmtp && attempt->rcpt != LEDGER_NONE &&
			attempt->result != RESULT_UNKNOWN && !isnan(attempt->dot_t))
			judge_bystander(&pass, attempt);
	}
}

const struct oracle oracle_l2 = {
	.law = "L2",
	.name = "each recipient's own reply",
	.summary = "LMTP: 2yz for a recipient only with a copy, 4yz or 5yz only without; one's "
		   "trouble changes no other's reply",
	.source = "RFC 2033 4.2, 6",
	.needs_end = true,
	.judge = judge,
};
