/* I7: a NOOP shows what another session did a while ago. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <string.h>

/* What of a mailbox's changes a session was judged by already. */
struct progress {
	const struct trace_item *select;
	size_t next;
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	const struct ledger *ledger;
	struct judgement *judgement;
	struct progress *progress; /* by session */
};

/* Is the change what is still true, and did a fault leave the store the time it has? */
static bool stands(const struct mail *mail, const struct change *change)
{
	switch (change->kind) {
	case CHANGE_ADDED:
		return mail_is_here(mail) && mail->added == change->done;
	case CHANGE_REMOVED:
		return mail->removed == change->done;
	default:
		return mail->stored == change->done;
	}
}

static void judge_change(struct pass *pass, const struct view *view, const struct change *change,
	const struct trace_item *noop, const struct trace_item *done)
{
	static const char *const scopes[] = {
		"imap noop added", "imap noop removed", "imap noop flags"};
	static const enum contradiction breaks[] = {MISSING, LINGERING, STALE};
	const struct mail *mail = &pass->walk.mails[change->mail];
	enum contradiction found;
	char text[256];

	if (!stands(mail, change))
		return;
	judgement_holds(pass->judgement);
	found = view_contradicts(view, mail, noop->line);
	if (found != breaks[change->kind])
		return;
	contradiction_text(&pass->walk, view, mail, found, text, sizeof(text));
	if (ledger_starved(pass->ledger, change->done->t, noop->t)) {
		judgement_cannot_tell(
			pass->judgement, done->line, "%s, but the host starved", text);
		return;
	}
	if (oracle_breach(pass->context, "I7", pass->judgement, scopes[change->kind], done->line,
		    "after a NOOP that began %.1f s after another session's OK: %s",
		    noop->t - change->done->t, text))
		judgement_line(pass->judgement, change->done->line);
}

static void judge_noop(struct pass *pass, const struct view *view, const struct trace_item *sent,
	const struct trace_item *done)
{
	struct progress *progress = &pass->progress[view - pass->walk.views];
	const struct box *box = &pass->walk.boxes[view->box];
	double push_s = (double)pass->context->objectives.idle_push_ms / 1000.0;

	if (progress->select != view->select)
		*progress = (struct progress){view->select, view->changes_seen};
	for (; progress->next < box->change_count; progress->next++) {
		const struct change *change = &box->changes[progress->next];

		if (change->done->line >= sent->line ||
			ledger_free_seconds(pass->ledger, change->done->t, sent->t) < push_s)
			return;
		if (change->session != (uint32_t)(view - pass->walk.views))
			judge_change(pass, view, change, sent, done);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .ledger = history->ledger, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	pass.progress = mem_zero(pass.walk.trace->session_count, sizeof(*pass.progress));
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);
		struct view_pending *pending;

		if (!view || item->kind != TRACE_DONE || item->status != OUTCOME_OK ||
			!view->mailbox || view->selecting || !view->sure || view->box == TRACE_NONE)
			continue;
		pending = view_pending(view, item->text);
		if (pending && pending->command->verb == VERB_NOOP)
			judge_noop(&pass, view, pending->sent, item);
	}
	free(pass.progress);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i7 = {
	.law = "I7",
	.name = "NOOP shows changes",
	.summary = "a NOOP begun more than idle_push after another session's OK shows that change",
	.source = "RFC 9051 6.1.2, 5.2; RFC 3501 6.1.2",
	.judge = judge,
};
