/* P5: no autologout before ten minutes. */
#include "api/maildrop.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>

#define AUTOLOGOUT_MIN_S 600.0 /* RFC 1939, 3 */
#define CLOSE_SLACK_S	 1.0   /* between a cause and the end of the connection */

/* Operations of the rig's clients; all others are actions that may end sessions. */
static bool by_client(const char *op)
{
	static const char *const clients[] = {"smtp-", "imap-", "pop3-", "http-"};

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		if (!strncmp(op, clients[i], strlen(clients[i])))
			return true;
	return false;
}

/* A time in which something happened that may end a session: an action, a death. */
struct cause {
	double from, to; /* to NAN: it went on to the end */
};

struct pass {
	const struct history *history;
	struct maildrops drops;
	struct cause *causes;
	size_t count;
};

static void add_cause(struct pass *pass, double from, double to)
{
	if (!(pass->count & (pass->count - 1)))
		pass->causes = mem_grow(
			pass->causes, pass->count ? pass->count * 2 : 1, sizeof(*pass->causes));
	pass->causes[pass->count++] = (struct cause){from, to};
}

static void find_causes(struct pass *pass)
{
	const struct ledger *ledger = pass->history->ledger;

	for (size_t i = 0; i < ledger->op_count; i++)
		if (!by_client(ledger_text(ledger, ledger->ops[i].op)))
			add_cause(pass, ledger->ops[i].begin, ledger->ops[i].end);
	for (size_t i = 0; i < pass->history->rare_count; i++)
		if (event_is(pass->history->rare[i], "died"))
			add_cause(pass, pass->history->rare[i]->t, pass->history->rare[i]->t);
}

static bool explained(const struct pass *pass, double from, double to)
{
	const struct ledger *ledger = pass->history->ledger;

	if (ledger_free_seconds(ledger, from, to) < to - from - 0.001)
		return true;
	for (size_t i = 0; i < pass->count; i++)
		if (pass->causes[i].from <= to + CLOSE_SLACK_S &&
			!(pass->causes[i].to < from - CLOSE_SLACK_S))
			return true;
	return to > ledger->settle_t; /* the rig stops the store */
}

static void judge_session(const struct pass *pass, const struct oracle_context *context,
	struct judgement *ret, const struct maildrop_session *session)
{
	if (session->end != MAILDROP_CLOSED || session->idle_s >= AUTOLOGOUT_MIN_S) {
		judgement_holds(ret);
		return;
	}
	if (explained(pass, session->end_t - session->idle_s, session->end_t))
		return;
	if (oracle_breach(context, "P5", ret, "pop3-session autologout", session->end_line,
		    "the session of '%s' was ended by the store after %.0f s without a command "
		    "(600 s at the least)",
		    maildrop_text(&pass->drops, session->user), session->idle_s))
		judgement_line(ret, session->line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.history = history};
	bool looked = false;

	maildrops_build(history, &pass.drops);
	for (size_t i = 0; i < pass.drops.session_count; i++) {
		if (isnan(pass.drops.sessions[i].idle_s))
			continue;
		if (!looked)
			find_causes(&pass);
		looked = true;
		judge_session(&pass, context, ret, &pass.drops.sessions[i]);
	}
	maildrops_free(&pass.drops);
	free(pass.causes);
}

const struct oracle oracle_p5 = {
	.law = "P5",
	.name = "no early autologout",
	.summary = "a POP3 session in TRANSACTION state is not ended for want of commands before "
		   "ten minutes",
	.source = "RFC 1939 3",
	.judge = judge,
};
