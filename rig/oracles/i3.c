/* I3: where UIDs are lost, UIDVALIDITY says so. */
#include "api/imap_walk.h"
#include "api/marks.h"
#include "api/oracle.h"

#include "base/buf.h"

/* A message that the read-back shows under another UID than before. */
struct moved {
	uint32_t from; /* mail */
	const struct trace_item *copy;
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct key_map names;	     /* (user, mailbox) -> index in marks */
	struct marks_table validity; /* by name: the highest told so far */
	uint32_t name_count;
	struct key_map copiers; /* users who copied or moved messages */
	struct key_map tokens;	/* (box, token) -> mail */
	struct key_map read;	/* mails that the read-back showed */
	struct moved *moved;
	size_t moved_count;
};

static struct marks *validity_of(struct pass *pass, uint32_t user, uint32_t mailbox)
{
	uint64_t key = (uint64_t)user << 32 | mailbox;
	uint32_t index = key_map_put(&pass->names, key, pass->name_count);

	pass->name_count += index == pass->name_count;
	return marks_of(&pass->validity, index);
}

/* `sent`: the line of the command that asked. */
static void judge_validity(struct pass *pass, uint32_t user, uint32_t mailbox, uint32_t validity,
	uint32_t sent, uint32_t line)
{
	struct marks *marks = validity_of(pass, user, mailbox);
	const struct mark *mark = marks_before(marks, sent);

	judgement_holds(pass->judgement);
	if (mark && validity < mark->high &&
		oracle_breach(pass->context, "I3", pass->judgement, "imap uidvalidity falls", line,
			"UIDVALIDITY of '%.60s' is %u and was %llu",
			trace_text(pass->walk.trace, mailbox), validity,
			(unsigned long long)mark->high))
		judgement_line(pass->judgement, mark->line);
	marks_add(marks, line, validity);
}

/* ---- UIDs that changed under the same UIDVALIDITY ---- */

static void note_uid(struct pass *pass, const struct mail *mail)
{
	if (mail->token)
		key_map_put(&pass->tokens, (uint64_t)mail->box << 32 | mail->token,
			(uint32_t)(mail - pass->walk.mails));
}

static void note_copy(struct pass *pass, const struct trace_item *item)
{
	uint32_t box = walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity);
	const struct mail *mail;
	uint32_t mine, from;

	if (!item->uid || !item->token)
		return;
	mail = walk_mail(&pass->walk, box, item->uid);
	mine = (uint32_t)(mail - pass->walk.mails);
	key_map_put(&pass->read, mine, 1);
	from = key_map_get(&pass->tokens, (uint64_t)box << 32 | item->token);
	if (from == UINT32_MAX || from == mine ||
		key_map_get(&pass->copiers, item->user) != UINT32_MAX)
		return;
	pass->moved = mem_grow(pass->moved, pass->moved_count + 1, sizeof(*pass->moved));
	pass->moved[pass->moved_count++] = (struct moved){from, item};
}

static void judge_moved(struct pass *pass)
{
	for (size_t i = 0; i < pass->moved_count; i++) {
		const struct moved *moved = &pass->moved[i];
		const struct mail *mail = &pass->walk.mails[moved->from];

		if (!mail_is_here(mail) || mail->closed ||
			key_map_get(&pass->read, moved->from) != UINT32_MAX)
			continue;
		if (oracle_breach(pass->context, "I3", pass->judgement, "imap uid lost",
			    moved->copy->line,
			    "a message had UID %u and has UID %u, and UIDVALIDITY is still %u",
			    mail->uid, moved->copy->uid, moved->copy->uidvalidity))
			judgement_line(pass->judgement,
				mail->added ? mail->added->line : mail->content_line);
	}
}

static void note_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);

	if (pending && pending->sent == view->select && view->uidvalidity &&
		item->status == OUTCOME_OK)
		judge_validity(pass, view->session->user, view->mailbox, view->uidvalidity,
			pending->sent->line, item->line);
}

static void judge_item(struct pass *pass, const struct trace_item *item)
{
	struct view *view = walk_view(&pass->walk, item);

	if (view && item->kind == TRACE_SENT) {
		enum trace_verb verb = (enum trace_verb)walk_command(&pass->walk, item)->verb;

		if (verb == VERB_COPY || verb == VERB_MOVE || verb == VERB_RENAME)
			key_map_put(&pass->copiers, view->session->user, 1);
	} else if (view && item->kind == TRACE_DONE) {
		note_done(pass, view, item);
	} else if (view && item->kind == TRACE_STATUS && item->uidvalidity && view->pending_count) {
		judge_validity(pass, view->session->user, item->mailbox, item->uidvalidity,
			view->pending[0].sent->line, item->line);
	} else if (item->kind == TRACE_BOX && item->uidvalidity) {
		judge_validity(
			pass, item->user, item->mailbox, item->uidvalidity, item->line, item->line);
	} else if (item->kind == TRACE_COPY && item->uidvalidity) {
		note_copy(pass, item);
	}
}

/* The models have followed the commands by the time the read-back begins. */
static void note_uids(struct pass *pass)
{
	for (size_t i = 0; i < pass->walk.mail_count; i++)
		note_uid(pass, &pass->walk.mails[i]);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};
	bool reading = false;

	imap_walk_begin(&pass.walk, history);
	pass.walk.stop_line = 0;
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		if (!reading && item->kind == TRACE_COPY) {
			note_uids(&pass);
			reading = true;
		}
		judge_item(&pass, item);
	}
	judge_moved(&pass);
	marks_table_free(&pass.validity);
	free(pass.moved);
	key_map_free(&pass.names);
	key_map_free(&pass.copiers);
	key_map_free(&pass.tokens);
	key_map_free(&pass.read);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i3 = {
	.law = "I3",
	.name = "UIDVALIDITY grows",
	.summary = "where UIDs of an earlier session are lost UIDVALIDITY is larger, and it never "
		   "falls",
	.source = "RFC 9051 2.3.1.1; RFC 3501 2.3.1.1",
	.judge = judge,
};
