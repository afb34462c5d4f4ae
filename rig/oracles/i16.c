/* I16: IDLE pushes, DONE is answered, and who is logged in stays so for half an hour. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>

#define AUTOLOGOUT_S 1800 /* RFC 9051, 5.4 */

/* A session in IDLE, and what it was told. */
struct idler {
	double since;	  /* when the store agreed, or at least began; NAN: not in IDLE */
	double exists_t;  /* of the last EXISTS */
	size_t changes;	  /* of its mailbox, judged so far */
	uint32_t arrival; /* of the user's mail by SMTP, judged so far */
	double last_t;	  /* of anything that its client sent */
	bool bereft; /* its mailbox was taken away, perhaps: the store may say BYE (RFC 2180, 3.3) */
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	const struct ledger *ledger;
	struct judgement *judgement;
	struct idler *idlers; /* by session */
	double push_s, stop_t;
};

/* ---- the push ---- */

static bool is_told(const struct pass *pass, const struct view *view, const struct change *change,
	double exists_t)
{
	const struct mail *mail = &pass->walk.mails[change->mail];

	if (change->kind == CHANGE_ADDED)
		return view_find(view, mail->uid) || exists_t >= change->sent->t;
	return !view_find(view, mail->uid);
}

/* At `now` the session is still in IDLE: was it told in time of all that was done before? */
static void judge_changes(struct pass *pass, const struct view *view, double now, uint32_t line)
{
	struct idler *idler = &pass->idlers[view - pass->walk.views];
	const struct box *box = &pass->walk.boxes[view->box];
	const struct ledger *ledger = pass->ledger;

	for (; idler->changes < box->change_count; idler->changes++) {
		const struct change *change = &box->changes[idler->changes];
		bool added = change->kind == CHANGE_ADDED;

		if (change->done->t < idler->since || change->kind == CHANGE_FLAGS ||
			change->session == (uint32_t)(view - pass->walk.views))
			continue;
		if (now - change->done->t < pass->push_s ||
			ledger_free_seconds(ledger, change->done->t, now) < pass->push_s)
			return;
		judgement_holds(pass->judgement);
		if (is_told(pass, view, change, idler->exists_t))
			continue;
		if (ledger_starved(ledger, change->done->t, now)) {
			judgement_cannot_tell(pass->judgement, line,
				"a push is late, but the host starved the guest");
			continue;
		}
		if (oracle_breach(pass->context, "I16", pass->judgement,
			    added ? "imap idle added" : "imap idle removed", change->done->line,
			    "a session in IDLE was not told within %.1f s that UID %u %s",
			    pass->push_s, pass->walk.mails[change->mail].uid,
			    added ? "came" : "was expunged"))
			judgement_line(pass->judgement, line);
	}
}

/* Mail that the store's delivery agent answered with 2yz is in INBOX. */
static void judge_arrivals(struct pass *pass, const struct view *view, double now, uint32_t line)
{
	struct idler *idler = &pass->idlers[view - pass->walk.views];
	const struct ledger *ledger = pass->ledger;

	if (strcmp(trace_text(pass->walk.trace, view->mailbox), "INBOX") != 0)
		return;
	for (; idler->arrival < ledger->attempt_count; idler->arrival++) {
		const struct ledger_attempt *attempt = &ledger->attempts[idler->arrival];

		if (attempt->line > line)
			return;
		if (attempt->hop != HOP_INNER || attempt->result != RESULT_2YZ ||
			attempt->rcpt == LEDGER_NONE ||
			ledger->rcpts[attempt->rcpt].address != view->session->user ||
			!(attempt->dot_t >= idler->since))
			continue;
		if (ledger_free_seconds(ledger, attempt->reply_t, now) < pass->push_s)
			return;
		judgement_holds(pass->judgement);
		if (idler->exists_t >= attempt->dot_t ||
			ledger_starved(ledger, attempt->dot_t, now))
			continue;
		if (oracle_breach(pass->context, "I16", pass->judgement, "imap idle mail",
			    attempt->line,
			    "a session in IDLE was not told within %.1f s of mail that was "
			    "delivered",
			    pass->push_s))
			judgement_line(pass->judgement, line);
	}
}

/* Before anything new is told to it, or it leaves IDLE. */
static void judge_idle(struct pass *pass, struct view *view, const struct trace_item *item)
{
	struct idler *idler = &pass->idlers[view - pass->walk.views];

	if (isnan(idler->since) || !view->sure || view->box == TRACE_NONE)
		return;
	judge_changes(pass, view, item->t, item->line);
	judge_arrivals(pass, view, item->t, item->line);
}

/* ---- DONE, and the end ---- */

/* Somebody deletes or renames `mailbox` of `user`, or the rig took mail away in another way (`mailbox` 0; user 0:
 * anybody's). */
static void bereave(struct pass *pass, uint32_t user, uint32_t mailbox)
{
	for (size_t i = 0; i < pass->walk.trace->session_count; i++) {
		const struct view *view = &pass->walk.views[i];

		if (view->open && view->mailbox && (!user || view->session->user == user) &&
			(!mailbox || view->mailbox == mailbox))
			pass->idlers[i].bereft = true;
	}
}

static void note_command(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	const struct trace_command *command = walk_command(&pass->walk, item);

	if (command->verb == VERB_SELECT || command->verb == VERB_EXAMINE)
		pass->idlers[item->session].bereft = false;
	if (command->verb == VERB_DELETE || command->verb == VERB_RENAME)
		bereave(pass, view->session->user, command->mailbox);
}

static bool in_idle(const struct view *view, bool *ret_done)
{
	for (size_t i = 0; i < view->pending_count; i++)
		if (view->pending[i].command->verb == VERB_IDLE) {
			*ret_done = view->pending[i].done_sent;
			return true;
		}
	return false;
}

static bool fault_in_force(const struct ledger *ledger, double from, double to)
{
	for (size_t i = 0; i < ledger->force_count; i++)
		if (ledger->forces[i].from <= to &&
			(isnan(ledger->forces[i].to) || ledger->forces[i].to >= from))
			return true;
	return false;
}

/* The store ended it. Half an hour is counted from what the client sent last. */
static void judge_end(struct pass *pass, struct view *view, const struct trace_item *item)
{
	struct idler *idler = &pass->idlers[view - pass->walk.views];
	const char *why = trace_text(pass->walk.trace, item->text);
	bool done = false, idle = in_idle(view, &done);

	if (!strcmp(why, "gave-up") && idle && done)
		oracle_breach(pass->context, "I16", pass->judgement, "imap idle done", item->line,
			"DONE got no answer");
	if (strcmp(why, "store") != 0 || (view->pending_count && !idle) || done)
		return;
	if (!(item->t < pass->stop_t) || item->t - idler->last_t >= AUTOLOGOUT_S || idler->bereft ||
		fault_in_force(pass->ledger, idler->last_t, item->t))
		return;
	if (oracle_breach(pass->context, "I16", pass->judgement, "imap autologout", item->line,
		    "the store ended an authenticated session after %.0f s without a command",
		    item->t - idler->last_t) &&
		view->last)
		judgement_line(pass->judgement, view->last->line);
}

static void judge_item(struct pass *pass, struct view *view, const struct trace_item *item)
{
	struct idler *idler = &pass->idlers[item->session];
	bool done = false, idle = in_idle(view, &done);

	if (idle && !done)
		judge_idle(pass, view, item);
	switch (item->kind) {
	case TRACE_OPEN:
		*idler = (struct idler){.since = NAN, .exists_t = -INFINITY, .last_t = item->t};
		break;
	case TRACE_SENT:
		idler->last_t = item->t;
		note_command(pass, view, item);
		if (walk_command(&pass->walk, item)->verb == VERB_IDLE && view->mailbox) {
			idler->since = item->t;
			idler->exists_t = -INFINITY;
			if (view->box != TRACE_NONE)
				idler->changes = pass->walk.boxes[view->box].change_count;
		}
		break;
	case TRACE_EXISTS:
		idler->exists_t = item->t;
		break;
	case TRACE_DONE:
		if (idle && done) {
			judgement_holds(pass->judgement);
			idler->since = NAN;
		}
		break;
	case TRACE_CLOSED:
		judge_end(pass, view, item);
		idler->since = NAN;
		break;
	default:
		break;
	}
}

/* When the store itself was told to stop, and whether it had reason to end sessions before. */
static double stop_time(const struct history *history)
{
	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];
		const char *name = "";

		if (event_is(event, "died"))
			return event->t;
		if (event_is(event, "phase"))
			name = json_string_value(json_object_get(event->data, "name"));
		if (name && (!strcmp(name, "stop") || !strcmp(name, "drain")))
			return event->t;
	}
	return INFINITY;
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context,
		.ledger = history->ledger,
		.judgement = ret,
		.push_s = (double)context->objectives.idle_push_ms / 1000.0,
		.stop_t = stop_time(history)};

	imap_walk_begin(&pass.walk, history);
	pass.idlers = mem_zero(pass.walk.trace->session_count, sizeof(*pass.idlers));
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));)
		if (item->kind == TRACE_WIPED)
			bereave(&pass, item->user, 0);
		else if (walk_view(&pass.walk, item))
			judge_item(&pass, walk_view(&pass.walk, item), item);
	free(pass.idlers);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i16 = {
	.law = "I16",
	.name = "IDLE pushes",
	.summary = "mail that arrives or is expunged elsewhere is pushed to IDLE within idle_push, "
		   "DONE is "
		   "answered, and no authenticated session is logged out before 30 min",
	.source = "RFC 2177 3; RFC 9051 6.3.13, 5.4",
	.judge = judge,
};
