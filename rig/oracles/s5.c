/* S5: after the dot there is a reply, in time. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>

#define REPLY_MAX_S 600.0 /* RFC 5321, 4.5.3.2.6: the client may give up then */

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	const struct ledger_op **ops; /* per mail: its last operation, NULL if none */
	double reply_s;
};

/* How the wait for a reply ended. */
enum wait_end {
	WAIT_UNKNOWN,  /* nothing says when */
	WAIT_ANSWERED, /* it came */
	WAIT_CLOSED,   /* the client's wait ended without it: connection closed, or given up */
	WAIT_OWED,     /* it was still owed when the rig stopped waiting */
};

static enum wait_end wait_ended(
	const struct pass *pass, const struct ledger_attempt *attempt, double *ret_t)
{
	const struct ledger_op *op = NULL;

	if (attempt->result != RESULT_NONE && !isnan(attempt->reply_t)) {
		*ret_t = attempt->reply_t;
		return WAIT_ANSWERED;
	}
	if (attempt->rcpt != LEDGER_NONE)
		op = pass->ops[pass->ledger->rcpts[attempt->rcpt].mail];
	if (!op)
		return WAIT_UNKNOWN;
	if (isnan(op->end)) {
		*ret_t = pass->ledger->settle_t;
		return WAIT_OWED;
	}
	*ret_t = op->end;
	return op->end >= attempt->dot_t ? WAIT_CLOSED : WAIT_UNKNOWN;
}

static void blame(const struct pass *pass, const struct ledger_attempt *attempt, enum wait_end end,
	double total, double own)
{
	const char *token =
		attempt->rcpt == LEDGER_NONE
			? "?"
			: ledger_token(pass->ledger, &pass->ledger->rcpts[attempt->rcpt]);

	if (ledger_starved(pass->ledger, attempt->dot_t, attempt->dot_t + total))
		judgement_cannot_tell(pass->judgement, attempt->line,
			"the reply to '%s' took %.1f s, but the host starved the guest", token,
			total);
	else
		oracle_breach(pass->context, "S5", pass->judgement,
			end == WAIT_ANSWERED ? "edge smtp-message late" : "edge smtp-message none",
			attempt->line,
			end == WAIT_ANSWERED
				? "the reply to '%s' came %.1f s after its dot, %.1f s "
				  "of them with no fault in force (limit %.0f s)"
				: "no reply to '%s' in the %.1f s after its dot, %.1f s "
				  "of them with no fault in force (limit %.0f s)",
			token, total, own, total > REPLY_MAX_S ? REPLY_MAX_S : pass->reply_s);
}

static void judge_attempt(const struct pass *pass, const struct ledger_attempt *attempt)
{
	enum wait_end end;
	double until, total, own;

	if (attempt->hop != HOP_EDGE || isnan(attempt->dot_t) || attempt->result == RESULT_UNKNOWN)
		return;
	end = wait_ended(pass, attempt, &until);
	if (end == WAIT_UNKNOWN)
		return;
	total = until - attempt->dot_t;
	/* What stood while a fault was in force is for H3; the law's own limit has no excuse. */
	own = ledger_free_seconds(pass->ledger, attempt->dot_t, until);
	if (total > REPLY_MAX_S || own > pass->reply_s)
		blame(pass, attempt, end, total, own);
	else if (end == WAIT_OWED)
		judgement_cannot_tell(pass->judgement, attempt->line,
			"a reply was still owed after %.1f s, when the rig stopped waiting", total);
	else
		judgement_holds(pass->judgement);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;
	struct pass pass = {
		.ledger = ledger,
		.context = context,
		.judgement = ret,
		.ops = mem_zero(ledger->mail_count, sizeof(struct ledger_op *)),
		.reply_s = (double)context->objectives.reply_ms / 1000,
	};

	for (size_t i = 0; i < ledger->op_count; i++)
		if (ledger->ops[i].mail != LEDGER_NONE)
			pass.ops[ledger->ops[i].mail] = &ledger->ops[i];
	for (size_t i = 0; i < ledger->attempt_count; i++)
		judge_attempt(&pass, &ledger->attempts[i]);
	free(pass.ops);
}

const struct oracle oracle_s5 = {
	.law = "S5",
	.name = "reply in time",
	.summary =
		"the dot is answered within 600 s always, and within the objective `reply` when no "
		"fault is in force",
	.source = "RFC 5321 4.5.3.2.6",
	.judge = judge,
};
