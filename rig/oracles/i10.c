/* I10: a MOVE moves a message or leaves it; it is always somewhere. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

/* A message that MOVE was asked to move, by its token: it is in one mailbox or another. */
struct moved {
	uint32_t user, token, line;
	uint32_t to;	/* mailbox, of its last MOVE */
	bool destroyed; /* perhaps, by something else than MOVE */
	bool seen;	/* read back, anywhere */
};

/* A source UID whose MOVE was answered with OK. */
struct left {
	uint32_t mail, token, line, to; /* `to`: mailbox */
	const struct trace_item *copy;	/* of the source UID, read back */
	bool arrived;			/* a copy is in `to` */
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct moved *moved;
	size_t count, room;
	struct key_map by_token; /* (user, token) */
	struct left *left;
	size_t left_count, left_room;
	struct key_map by_mail;
	struct key_map
		lossy; /* (user, mailbox) where what is not known by its token was perhaps destroyed */
};

static struct moved *moved_of(struct pass *pass, uint32_t user, uint32_t token)
{
	uint32_t index = key_map_get(&pass->by_token, (uint64_t)user << 32 | token);

	return index == UINT32_MAX ? NULL : &pass->moved[index];
}

static void note_move(
	struct pass *pass, uint32_t user, uint32_t token, const struct view_pending *pending)
{
	uint64_t key = (uint64_t)user << 32 | token;
	uint32_t index;

	if (!token)
		return;
	index = key_map_put(&pass->by_token, key, (uint32_t)pass->count);
	if (index < pass->count) {
		pass->moved[index].to = pending->command->mailbox;
		return;
	}
	if (pass->count == pass->room) {
		pass->room = pass->room ? pass->room * 2 : 64;
		pass->moved = mem_grow(pass->moved, pass->room, sizeof(*pass->moved));
	}
	pass->moved[pass->count++] = (struct moved){.user = user,
		.token = token,
		.line = pending->sent->line,
		.to = pending->command->mailbox};
}

static void note_left(struct pass *pass, uint32_t index, const struct view_pending *pending,
	const struct trace_item *done)
{
	const struct mail *mail = &pass->walk.mails[index];

	if (!mail->token ||
		key_map_put(&pass->by_mail, index, (uint32_t)pass->left_count) < pass->left_count)
		return;
	if (pass->left_count == pass->left_room) {
		pass->left_room = pass->left_room ? pass->left_room * 2 : 64;
		pass->left = mem_grow(pass->left, pass->left_room, sizeof(*pass->left));
	}
	pass->left[pass->left_count++] = (struct left){.mail = index,
		.token = mail->token,
		.line = done->line,
		.to = pending->command->mailbox};
}

/* A MOVE that is over, or that never got its reply (`done` NULL). */
static void end_move(struct pass *pass, const struct view *view, const struct view_pending *pending,
	const struct trace_item *done)
{
	if (pending->command->verb != VERB_MOVE)
		return;
	for (size_t i = 0; i < pending->touched_count; i++) {
		note_move(pass, view->session->user, pass->walk.mails[pending->touched[i]].token,
			pending);
		if (done && done->status == OUTCOME_OK && i < pending->in_view)
			note_left(pass, pending->touched[i], pending, done);
	}
}

static void note_copy(struct pass *pass, const struct trace_item *item)
{
	struct moved *moved = moved_of(pass, item->user, item->token);
	uint32_t box = walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity), left;
	const struct mail *mail = walk_mail_find(&pass->walk, box, item->uid);

	if (moved && item->token)
		moved->seen = true;
	if (!mail)
		return;
	left = key_map_get(&pass->by_mail, (uint64_t)(mail - pass->walk.mails));
	if (left != UINT32_MAX)
		pass->left[left].copy = item;
}

/* A second look: is what was left behind also where it was to go? */
static void note_arrivals(struct pass *pass)
{
	for (size_t i = 0; i < pass->walk.trace->count; i++) {
		const struct trace_item *item = &pass->walk.trace->items[i];

		if (item->kind != TRACE_COPY || !item->token)
			continue;
		for (size_t j = 0; j < pass->left_count; j++)
			if (pass->left[j].copy && pass->left[j].token == item->token &&
				pass->left[j].to == item->mailbox && pass->left[j].copy != item)
				pass->left[j].arrived = true;
	}
}

static void keep_suspects(struct pass *pass)
{
	size_t kept = 0;

	for (size_t i = 0; i < pass->left_count; i++)
		if (pass->left[i].copy)
			pass->left[kept++] = pass->left[i];
	pass->left_count = kept;
}

/* EXPUNGE, a mailbox that was deleted, what the rig took away by other means: nobody's loss. */
static void note_destroyed(struct pass *pass)
{
	for (size_t i = 0; i < pass->walk.mail_count; i++) {
		const struct mail *mail = &pass->walk.mails[i];
		const struct box *box = &pass->walk.boxes[mail->box];
		struct moved *moved =
			mail->destroyed ? moved_of(pass, box->user, mail->token) : NULL;

		if (moved)
			moved->destroyed = true;
		else if (mail->destroyed && !mail->token)
			key_map_put(&pass->lossy, (uint64_t)box->user << 32 | box->mailbox, 1);
	}
}

static bool is_lost(const struct pass *pass, const struct moved *moved)
{
	uint64_t to = (uint64_t)moved->user << 32 | moved->to;

	return !moved->seen && !moved->destroyed && key_map_get(&pass->lossy, to) == UINT32_MAX;
}

static void judge_end(struct pass *pass, const struct ledger *ledger)
{
	note_destroyed(pass);
	for (size_t i = 0; i < pass->count; i++) {
		const struct moved *moved = &pass->moved[i];
		const struct ledger_who *who = ledger_who(ledger, moved->user);

		if (!who || !(who->flags & WHO_READ)) {
			judgement_cannot_tell(pass->judgement, 0,
				"the mailboxes of '%.40s' were not read back",
				trace_text(pass->walk.trace, moved->user));
			continue;
		}
		judgement_holds(pass->judgement);
		if (is_lost(pass, moved))
			oracle_breach(pass->context, "I10", pass->judgement, "imap move lost",
				moved->line, "a message is in no mailbox after its MOVE");
	}
	keep_suspects(pass);
	note_arrivals(pass);
	for (size_t i = 0; i < pass->left_count; i++) {
		const struct left *left = &pass->left[i];

		if (!left->arrived)
			continue;
		if (oracle_breach(pass->context, "I10", pass->judgement, "imap move copied",
			    left->copy->line,
			    "a message is in the other mailbox and still where it was moved from "
			    "with OK"))
			judgement_line(pass->judgement, left->line);
	}
}

static void judge_item(struct pass *pass, const struct trace_item *item)
{
	struct view *view = walk_view(&pass->walk, item);

	if (view && item->kind == TRACE_SENT) {
		const struct trace_command *command = walk_command(&pass->walk, item);

		if (command->verb == VERB_DELETE)
			key_map_put(&pass->lossy,
				(uint64_t)view->session->user << 32 | command->mailbox, 1);
	} else if (view && item->kind == TRACE_DONE) {
		const struct view_pending *pending = view_pending(view, item->text);

		if (pending)
			end_move(pass, view, pending, item);
	} else if (view && item->kind == TRACE_CLOSED) {
		for (size_t i = 0; i < view->pending_count; i++)
			end_move(pass, view, &view->pending[i], NULL);
	} else if (item->kind == TRACE_COPY) {
		note_copy(pass, item);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));)
		judge_item(&pass, item);
	if (!pass.walk.stop_line)
		judge_end(&pass, history->ledger);
	free(pass.moved);
	free(pass.left);
	key_map_free(&pass.by_token);
	key_map_free(&pass.by_mail);
	key_map_free(&pass.lossy);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i10 = {
	.law = "I10",
	.name = "MOVE moves or leaves",
	.summary =
		"each message of a MOVE is moved or untouched, and always in at least one mailbox, "
		"also after NO",
	.source = "RFC 9051 6.4.8; RFC 6851 3.3",
	.needs_end = true,
	.judge = judge,
};
