/* P3: whoever is gone holds no lock on the maildrop. */
#include "api/maildrop.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>

#define LOOK_AHEAD_MAX 256 /* sessions that asked at the same time */

/* What is known of one user's maildrop while the sessions are walked through. */
struct holder {
	double last_end;	/* of the sessions begun so far, NAN: none has ended */
	uint32_t last_end_line; /* 0: none */
	double open_until;	/* the latest end of any of them; INFINITY: one is open still */
	bool imap;		/* IMAP sessions used the mailbox too */
};

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct maildrops drops;
	struct holder *holders; /* by user text */
};

/* Another protocol's session may have locked the mailbox too: then nobody can be blamed. */
static void note_imap(struct pass *pass)
{
	for (size_t i = 0; i < pass->ledger->op_count; i++) {
		const struct ledger_op *op = &pass->ledger->ops[i];
		const char *user = ledger_text(pass->ledger, op->user);
		uint32_t id = *user ? intern_find(&pass->drops.texts, user, strlen(user)) : 0;

		if (id && !strncmp(ledger_text(pass->ledger, op->op), "imap-", 5))
			pass->holders[id].imap = true;
	}
}

/* One that asked at the same time and got it: its answer may have been told later. */
static bool taken_beside(const struct pass *pass, size_t index)
{
	const struct maildrop_session *session = &pass->drops.sessions[index];

	for (size_t i = index + 1; i < pass->drops.session_count && i < index + LOOK_AHEAD_MAX;
		i++) {
		const struct maildrop_session *other = &pass->drops.sessions[i];

		if (other->user == session->user && !other->refused && other->since <= session->t)
			return true;
	}
	return false;
}

static void judge_refusal(struct pass *pass, size_t index)
{
	const struct maildrop_session *session = &pass->drops.sessions[index];
	const struct holder *holder = &pass->holders[session->user];
	const char *user = maildrop_text(&pass->drops, session->user);
	double limit = (double)pass->context->objectives.recover_ms / 1000, waited;

	judgement_holds(pass->judgement);
	if (holder->open_until > session->since)
		return; /* it is in use */
	waited = holder->last_end_line
			 ? ledger_free_seconds(pass->ledger, holder->last_end, session->since)
			 : INFINITY;
	if (waited <= limit || taken_beside(pass, index))
		return;
	if (holder->last_end_line && ledger_starved(pass->ledger, holder->last_end, session->since))
		judgement_cannot_tell(pass->judgement, session->line,
			"the maildrop of '%s' was refused as in use, but the host starved the "
			"guest",
			user);
	else if (holder->imap)
		judgement_cannot_tell(pass->judgement, session->line,
			"the maildrop of '%s' was refused as in use, but IMAP sessions used it "
			"too",
			user);
	else if (!holder->last_end_line)
		oracle_breach(pass->context, "P3", pass->judgement, "pop3-session lock unowned",
			session->line, "the maildrop of '%s' was refused as in use before any use",
			user);
	else if (oracle_breach(pass->context, "P3", pass->judgement, "pop3-session lock stays",
			 session->line,
			 "the maildrop of '%s' was refused as in use %.1f s after the last session "
			 "ended (limit %.1f s)",
			 user, waited, limit))
		judgement_line(pass->judgement, holder->last_end_line);
}

static void judge_session(struct pass *pass, size_t index)
{
	const struct maildrop_session *session = &pass->drops.sessions[index];
	struct holder *holder = &pass->holders[session->user];

	if (session->refused) {
		judge_refusal(pass, index);
		return;
	}
	if (session->entered)
		judgement_holds(pass->judgement);
	if (session->end == MAILDROP_OPEN)
		holder->open_until = INFINITY;
	else if (session->end_t > holder->open_until)
		holder->open_until = session->end_t;
	if (session->end != MAILDROP_OPEN &&
		(!holder->last_end_line || session->end_t > holder->last_end)) {
		holder->last_end = session->end_t;
		holder->last_end_line = session->end_line;
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.ledger = history->ledger, .context = context, .judgement = ret};
	size_t users;

	maildrops_build(history, &pass.drops);
	users = pass.drops.texts.count + 1;
	pass.holders = mem_zero(users, sizeof(*pass.holders));
	for (size_t i = 0; i < users; i++)
		pass.holders[i] = (struct holder){.last_end = NAN, .open_until = -INFINITY};
	note_imap(&pass);
	for (size_t i = 0; i < pass.drops.session_count; i++)
		judge_session(&pass, i);
	free(pass.holders);
	maildrops_free(&pass.drops);
}

const struct oracle oracle_p3 = {
	.law = "P3",
	.name = "maildrop lock",
	.summary = "the lock on a maildrop is released at QUIT, at the connection's end, or at "
		   "autologout",
	.source = "RFC 1939 4, 6",
	.judge = judge,
};
