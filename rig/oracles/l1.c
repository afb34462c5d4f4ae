/* L1: one reply for each accepted recipient, in their order. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>

/* The transaction under way on a connection. */
struct transaction {
	uint32_t mail;
	double dot_t, reply_t;
	uint32_t none_line; /* the first recipient without a reply, 0: none so far */
	uint32_t line;	    /* of its last attempt */
};

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct key_map by_conn; /* hop and connection -> index */
	struct transaction *transactions;
	size_t count;
	uint32_t cut_line; /* of the power cut, that no connection survives; UINT32_MAX: none */
};

static struct transaction *transaction_of(struct pass *pass, const struct ledger_attempt *attempt)
{
	uint64_t key = (uint64_t)attempt->hop << 32 | attempt->conn;
	uint32_t index = key_map_put(&pass->by_conn, key, (uint32_t)pass->count);

	if (index == pass->count)
		pass->transactions[pass->count++] = (struct transaction){.mail = LEDGER_NONE};
	return &pass->transactions[index];
}

static bool is_same(const struct transaction *transaction, uint32_t mail, double dot_t)
{
	return transaction->mail == mail && transaction->dot_t == dot_t;
}

static void judge_attempt(struct pass *pass, const struct ledger_attempt *attempt)
{
	uint32_t mail = attempt->rcpt == LEDGER_NONE ? LEDGER_NONE
						     : pass->ledger->rcpts[attempt->rcpt].mail;
	struct transaction *transaction = transaction_of(pass, attempt);
	struct judgement *ret = pass->judgement;

	if (transaction->line <= pass->cut_line && attempt->line > pass->cut_line)
		*transaction =
			(struct transaction){.mail = LEDGER_NONE}; /* another one of that number */
	if (!is_same(transaction, mail, attempt->dot_t)) {
		if (transaction->none_line)
			oracle_breach(pass->context, "L1", ret, "inner lmtp-message none",
				transaction->none_line,
				"a recipient got no reply, and the connection went on");
		*transaction = (struct transaction){
			.mail = mail, .dot_t = attempt->dot_t, .reply_t = -INFINITY};
	}
	transaction->line = attempt->line;
	judgement_holds(ret);
	if (attempt->extra)
		oracle_breach(pass->context, "L1", ret, "inner lmtp-message extra", attempt->line,
			"%u replies more than accepted recipients", attempt->extra);
	if (attempt->result == RESULT_NONE) {
		if (!transaction->none_line)
			transaction->none_line = attempt->line;
		return;
	}
	if (transaction->none_line || attempt->reply_t < transaction->reply_t)
		oracle_breach(pass->context, "L1", ret, "inner lmtp-message order", attempt->line,
			"a reply came after an earlier recipient's was left out");
	if (!isnan(attempt->reply_t))
		transaction->reply_t = attempt->reply_t;
}

/* Only recipients that the server accepted are owed a reply after the dot. */
static bool is_owed(const struct ledger_attempt *attempt)
{
	return attempt->lmtp && attempt->conn && attempt->result != RESULT_NOT_SENT &&
	       attempt->result != RESULT_UNKNOWN && !isnan(attempt->dot_t) && !attempt->taken_back;
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger_force *cut = ledger_power_cut(history->ledger);
	struct pass pass = {
		.ledger = history->ledger,
		.context = context,
		.judgement = ret,
		.cut_line = cut ? cut->from_line : UINT32_MAX,
		.transactions =
			mem_zero(history->ledger->attempt_count, sizeof(struct transaction)),
	};

	for (size_t i = 0; i < pass.ledger->attempt_count; i++)
		if (is_owed(&pass.ledger->attempts[i]))
			judge_attempt(&pass, &pass.ledger->attempts[i]);
	key_map_free(&pass.by_conn);
	free(pass.transactions);
}

const struct oracle oracle_l1 = {
	.law = "L1",
	.name = "one reply per recipient",
	.summary = "LMTP: after the dot one reply for each accepted recipient, in order, or the "
		   "connection ends",
	.source = "RFC 2033 4.2",
	.judge = judge,
};
