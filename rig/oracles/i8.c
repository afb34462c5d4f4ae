/* I8: CLOSE expunges, silently; nothing else does so by the way. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct key_map
		spared;	     /* mail with \Deleted -> item of the LOGOUT, SELECT ... that left it */
	struct key_map read; /* mails that the read-back showed */
	struct key_map boxes; /* mailboxes that were read back */
};

/* ---- CLOSE ---- */

static void judge_silence(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	for (size_t i = 0; i < view->pending_count; i++)
		if (view->pending[i].command->verb != VERB_CLOSE)
			return;
	if (!view->pending_count)
		return;
	if (oracle_breach(pass->context, "I8", pass->judgement, "imap close told", item->line,
		    "%s was sent while CLOSE was answered",
		    item->kind == TRACE_EXPUNGE ? "EXPUNGE" : "VANISHED"))
		judgement_line(pass->judgement, view->pending[0].sent->line);
}

static void judge_kept(struct pass *pass, const struct mail *mail, uint32_t line)
{
	judgement_holds(pass->judgement);
	if (oracle_breach(pass->context, "I8", pass->judgement, "imap close kept", line,
		    "UID %u had \\Deleted when CLOSE was answered with OK, and is still there",
		    mail->uid))
		judgement_line(pass->judgement, mail->closed->line);
}

/* ---- LOGOUT, SELECT, UNSELECT, and CLOSE after EXAMINE ---- */

static bool ends_without_expunge(const struct view *view, const struct trace_command *command)
{
	switch (command->verb) {
	case VERB_LOGOUT:
	case VERB_SELECT:
	case VERB_EXAMINE:
	case VERB_UNSELECT:
		return true;
	case VERB_CLOSE:
		return view->read_only;
	default:
		return false;
	}
}

/* Before the models follow it: a SELECT forgets the mailbox that it leaves. */
static void note_spared(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	if (!view->mailbox || !view->sure || view->box == TRACE_NONE ||
		!ends_without_expunge(view, walk_command(&pass->walk, item)))
		return;
	for (size_t i = 0; i < view->count; i++) {
		const struct mail *mail =
			walk_mail_find(&pass->walk, view->box, view->slots[i].uid);

		if (mail && mail_is_here(mail) && mail_certain(mail, FLAG_DELETED) &&
			mail->flags & FLAG_DELETED)
			key_map_put(&pass->spared, (uint64_t)(mail - pass->walk.mails),
				(uint32_t)(item - pass->walk.trace->items));
	}
}

/* A message with \Deleted that nobody expunged is there, unless \Deleted did not mean it any more.
 * `before`: where the session began that looks. */
static void judge_spared(struct pass *pass, const struct mail *mail, uint32_t before, uint32_t line)
{
	uint32_t item = key_map_get(&pass->spared, (uint64_t)(mail - pass->walk.mails));

	if (item == UINT32_MAX || !mail_is_here(mail) || mail->closed ||
		pass->walk.trace->items[item].line >= before)
		return;
	judgement_holds(pass->judgement);
	if (!line)
		return;
	if (oracle_breach(pass->context, "I8", pass->judgement, "imap left expunged", line,
		    "UID %u had \\Deleted when the mailbox was left by %s, and is gone", mail->uid,
		    trace_verb_name((enum trace_verb)walk_command(
			    &pass->walk, &pass->walk.trace->items[item])
					    ->verb)))
		judgement_line(pass->judgement, pass->walk.trace->items[item].line);
}

/* ---- what later sessions see ---- */

static void judge_listing(struct pass *pass, const struct view *view, const struct trace_item *done)
{
	const struct box *box = &pass->walk.boxes[view->box];

	for (size_t i = 0; i < box->mail_count; i++) {
		const struct mail *mail = &pass->walk.mails[box->mails[i]];
		bool shown = view_find(view, mail->uid);

		if (mail->closed && mail->closed->line < view->select->line) {
			judgement_holds(pass->judgement);
			if (shown)
				judge_kept(pass, mail, done->line);
		}
		judge_spared(pass, mail, view->select->line, shown ? 0 : done->line);
	}
}

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);

	if (!pending || item->status != OUTCOME_OK)
		return;
	if (pending->command->verb == VERB_CLOSE && !view->read_only)
		judgement_holds(pass->judgement);
	if (pending->command->verb == VERB_FETCH && pending->command->lists && !view->listed &&
		view->select && view->sure && !view->unknown && !view->resync &&
		view->box != TRACE_NONE)
		judge_listing(pass, view, item);
}

static void judge_copy(struct pass *pass, const struct trace_item *item)
{
	uint32_t box = walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity);
	const struct mail *mail;

	if (item->kind == TRACE_BOX)
		key_map_put(&pass->boxes, box, item->line);
	if (item->kind == TRACE_BOX || !item->uid)
		return;
	mail = walk_mail(&pass->walk, box, item->uid);
	key_map_put(&pass->read, (uint64_t)(mail - pass->walk.mails), 1);
	if (mail->closed)
		judge_kept(pass, mail, item->line);
}

static void judge_end(struct pass *pass)
{
	for (size_t i = 0; i < pass->walk.mail_count; i++) {
		const struct mail *mail = &pass->walk.mails[i];
		uint32_t line = key_map_get(&pass->boxes, mail->box);

		if (line != UINT32_MAX)
			judge_spared(pass, mail, UINT32_MAX,
				key_map_get(&pass->read, i) == UINT32_MAX ? line : 0);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (view && item->kind == TRACE_SENT)
			note_spared(&pass, view, item);
		else if (view && item->kind == TRACE_DONE)
			judge_done(&pass, view, item);
		else if (view && (item->kind == TRACE_EXPUNGE || item->kind == TRACE_VANISHED) &&
			 !item->earlier)
			judge_silence(&pass, view, item);
		else if (item->kind == TRACE_COPY || item->kind == TRACE_BOX)
			judge_copy(&pass, item);
	}
	if (history_reached_end(history))
		judge_end(&pass);
	key_map_free(&pass.spared);
	key_map_free(&pass.read);
	key_map_free(&pass.boxes);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i8 = {
	.law = "I8",
	.name = "CLOSE expunges",
	.summary = "CLOSE expunges silently, but not after EXAMINE; LOGOUT, SELECT and UNSELECT do "
		   "not "
		   "expunge",
	.source = "RFC 9051 6.4.1, 6.4.2, 6.3.2; RFC 3501 6.4.2",
	.judge = judge,
};
