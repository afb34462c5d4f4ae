/* I12: a FETCH of a message that another session expunges shows its own bytes, or none. */
#include "api/imap_walk.h"
#include "api/oracle.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
};

static void judge_fetch(struct pass *pass, struct view *view, const struct trace_item *item)
{
	uint32_t uid = item->uid;
	const struct mail *mail;
	bool other;

	if (!uid && item->number && item->number <= view->count)
		uid = view->slots[item->number - 1].uid;
	mail = uid ? walk_mail_find(&pass->walk, view->box, uid) : NULL;
	if (!mail || !mail_may_be_removed(mail))
		return;
	judgement_holds(pass->judgement);
	/* NIL, and nothing at all, are answers too. */
	if (item->nil || !item->body || item->partial || !item->bytes)
		return;
	other = mail->token && item->token && item->token != mail->token;
	if (!other && (!mail->content_line || item->sha == mail->sha))
		return;
	if (oracle_breach(pass->context, "I12", pass->judgement,
		    other ? "imap fetch another" : "imap fetch mangled", item->line,
		    "FETCH of UID %u, which was being expunged, shows %s", uid,
		    other ? "another message" : "other bytes than it had"))
		judgement_line(pass->judgement,
			mail->told_gone ? mail->told_gone->line : mail->content_line);
}

/* A number or UID that the session was shown is never an error of the client (RFC 2180, 4.1). */
static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);
	cleanup(uid_set_free) struct uid_set set = {0};
	bool hit = false, uid;

	if (!pending || pending->command->verb != VERB_FETCH || view->box == TRACE_NONE ||
		uid_set_parse(&set, trace_text(pass->walk.trace, pending->command->set), 0))
		return;
	uid = pending->command->uid;
	for (size_t i = view_set_next(view, &set, uid, 0); i < view->count && !hit;
		i = view_set_next(view, &set, uid, i + 1)) {
		const struct mail *mail =
			walk_mail_find(&pass->walk, view->box, view->slots[i].uid);

		hit = mail && mail_may_be_removed(mail);
	}
	if (hit)
		judgement_holds(pass->judgement);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (!view || !view->mailbox || view->box == TRACE_NONE || !view->sure)
			continue;
		if (item->kind == TRACE_FETCH)
			judge_fetch(&pass, view, item);
		else if (item->kind == TRACE_DONE)
			judge_done(&pass, view, item);
	}
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i12 = {
	.law = "I12",
	.name = "fetch of the expunged",
	.summary = "a FETCH of a message expunged elsewhere shows its data, NIL or nothing, or is "
		   "refused; never another message's bytes",
	.source = "RFC 9051 7.1 (EXPUNGEISSUED); RFC 2180 4.1",
	.judge = judge,
};
