/* I11: what was acknowledged is what a fresh session sees. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct view *last; /* the read-back at the end, as views, by box */
	size_t last_count;
	struct key_map last_by_box;
};

static bool is_before(const struct trace_item *done, uint32_t line)
{
	return done && done->line < line;
}

static void judge_mail(struct pass *pass, const struct view *view, const struct mail *mail,
	uint32_t before, uint32_t line, const char *scope)
{
	static const char *const words[] = {"", "missing", "lingering", "stale"};
	enum contradiction found = view_contradicts(view, mail, before);
	const struct trace_item *cause = found == MISSING     ? mail->added
					 : found == LINGERING ? mail->removed
							      : mail->stored;
	char text[256], where[64];

	if (is_before(mail->added, before) || is_before(mail->removed, before) ||
		is_before(mail->stored, before))
		judgement_holds(pass->judgement);
	if (found == AGREES)
		return;
	snprintf(where, sizeof(where), "imap %s %s", scope, words[found]);
	contradiction_text(&pass->walk, view, mail, found, text, sizeof(text));
	if (oracle_breach(pass->context, "I11", pass->judgement, where, line,
		    "in a fresh session of '%.40s': %s",
		    trace_text(pass->walk.trace, pass->walk.boxes[mail->box].mailbox), text) &&
		cause)
		judgement_line(pass->judgement, cause->line);
}

static void judge_view(struct pass *pass, const struct view *view, uint32_t before, uint32_t line,
	const char *scope)
{
	const struct box *box = &pass->walk.boxes[view->box];

	for (size_t i = 0; i < box->mail_count; i++)
		judge_mail(pass, view, &pass->walk.mails[box->mails[i]], before, line, scope);
}

/* The first listing of all messages since the SELECT. */
static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);

	if (!pending || item->status != OUTCOME_OK || pending->command->verb != VERB_FETCH ||
		!pending->command->lists || view->listed || view->resync || !view->select ||
		!view->sure || view->unknown || view->box == TRACE_NONE)
		return;
	judge_view(pass, view, view->select->line, item->line, "fresh-session");
}

/* ---- the read-back at the end ---- */

static struct view *last_view(struct pass *pass, const struct trace_item *item)
{
	uint32_t box = walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity), index;

	index = key_map_put(&pass->last_by_box, box, (uint32_t)pass->last_count);
	if (index < pass->last_count)
		return &pass->last[index];
	pass->last = mem_grow(pass->last, pass->last_count + 1, sizeof(*pass->last));
	pass->last[pass->last_count] = (struct view){.box = box, .select = item, .sure = true};
	return &pass->last[pass->last_count++];
}

static void note_copy(struct pass *pass, const struct trace_item *item)
{
	struct view *view = last_view(pass, item);

	if (item->kind == TRACE_BOX || !item->uid)
		return;
	if (view->count && view->slots[view->count - 1].uid >= item->uid)
		view->sure = false;
	if (view->count == view->room) {
		view->room = view->room ? view->room * 2 : 64;
		view->slots = mem_grow(view->slots, view->room, sizeof(*view->slots));
	}
	view->slots[view->count++] = (struct view_slot){.uid = item->uid, .flags = item->flags};
}

static void judge_last(struct pass *pass, const struct ledger *ledger)
{
	for (size_t i = 0; i < pass->last_count; i++) {
		const struct view *view = &pass->last[i];
		const char *user = trace_text(pass->walk.trace, pass->walk.boxes[view->box].user);
		uint32_t id = intern_find(&ledger->texts, user, __builtin_strlen(user));
		const struct ledger_who *who = ledger_who(ledger, id);

		if (who && who->flags & WHO_UNREADABLE)
			judgement_cannot_tell(pass->judgement, 0,
				"the mailboxes of '%.40s' could not be read back", user);
		else if (view->sure)
			judge_view(pass, view, view->select->line, view->select->line, "read-back");
		view_end(&pass->last[i]);
	}
	free(pass->last);
	key_map_free(&pass->last_by_box);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (view && item->kind == TRACE_DONE)
			judge_done(&pass, view, item);
		else if (item->kind == TRACE_COPY || item->kind == TRACE_BOX)
			note_copy(&pass, item);
	}
	judge_last(&pass, history->ledger);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i11 = {
	.law = "I11",
	.name = "acknowledged is done",
	.summary = "after OK to APPEND, STORE, EXPUNGE, COPY or MOVE a fresh session sees it, "
		   "unless a "
		   "later command undid it",
	.source = "RFC 9051 6.3.12, 6.4.3, 6.4.6, 6.4.7, 6.4.8",
	.judge = judge,
};
