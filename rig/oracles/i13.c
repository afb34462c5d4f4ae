/* I13: mod-sequences grow. */
#include "api/imap_walk.h"
#include "api/marks.h"
#include "api/oracle.h"

#include "base/buf.h"

/* A STORE, and what it was told for the messages that it changes for certain. */
struct stored {
	const struct trace_item *sent;
	uint64_t high;
	uint32_t *mails;
	size_t count;
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct marks_table told;     /* by box: the highest of all that was told */
	struct stored *now, *before; /* by session: the STORE under way, the one before */
	struct key_map owners;	     /* (box, modseq) -> the item that told it to a STORE */
};

/* Which messages does this STORE change, by all that is certain? */
static void begin_store(struct pass *pass, const struct view *view, const struct trace_item *sent)
{
	const struct trace_command *command = walk_command(&pass->walk, sent);
	struct stored *now = &pass->now[view - pass->walk.views];
	cleanup(uid_set_free) struct uid_set set = {0};

	now->sent = sent;
	now->high = 0;
	now->count = 0;
	if (view->pending_count || command->conditional || !command->op ||
		uid_set_parse(&set, trace_text(pass->walk.trace, command->set),
			command->uid ? view_last_uid(view) : (uint32_t)view->count))
		return;
	for (size_t i = view_set_next(view, &set, command->uid, 0); i < view->count;
		i = view_set_next(view, &set, command->uid, i + 1)) {
		uint32_t uid = view->slots[i].uid, mask = command->flags & FLAG_SYSTEM;
		const struct mail *mail = walk_mail_find(&pass->walk, view->box, uid);

		if (!mail || !mail_is_here(mail) || command->op == '=' ||
			mail_certain(mail, mask) != mask ||
			(mail->flags & mask) == (command->op == '+' ? mask : 0))
			continue;
		if (!(now->count & (now->count - 1)))
			now->mails = mem_grow(
				now->mails, now->count ? now->count * 2 : 1, sizeof(*now->mails));
		now->mails[now->count++] = (uint32_t)(mail - pass->walk.mails);
	}
}

/* Ascending by UID, as the view is; indices are not. */
static bool changes(const struct stored *store, uint32_t mail)
{
	for (size_t i = 0; i < store->count; i++)
		if (store->mails[i] == mail)
			return true;
	return false;
}

/* Two STOREs never share a mod-sequence. While they overlap one may be told the other's. */
static void judge_shared(struct pass *pass, const struct view *view, const struct trace_item *item,
	const struct stored *store)
{
	uint64_t key = item->modseq ^ (uint64_t)view->box << 48;
	uint32_t mine = (uint32_t)(item - pass->walk.trace->items);
	uint32_t other = key_map_put(&pass->owners, key, mine);
	const struct trace_item *told = &pass->walk.trace->items[other];

	if (told->line >= store->sent->line)
		return;
	if (oracle_breach(pass->context, "I13", pass->judgement, "imap store modseq shared",
		    item->line, "two STOREs got the same mod-sequence %llu",
		    (unsigned long long)item->modseq))
		judgement_line(pass->judgement, told->line);
}

static void judge_store(struct pass *pass, struct view *view, const struct trace_item *item,
	const struct view_slot *slot)
{
	struct stored *now = &pass->now[view - pass->walk.views];
	const struct stored *before = &pass->before[view - pass->walk.views];
	const struct mail *mail = walk_mail_find(&pass->walk, view->box, slot->uid);

	if (!mail || mail->contested || view->pending_count != 1 ||
		view->pending[0].sent != now->sent ||
		!changes(now, (uint32_t)(mail - pass->walk.mails)))
		return;
	now->high = item->modseq > now->high ? item->modseq : now->high;
	if (before->sent && before->high && item->modseq <= before->high) {
		if (oracle_breach(pass->context, "I13", pass->judgement, "imap store modseq order",
			    item->line,
			    "a STORE got mod-sequence %llu, and an earlier one of the session %llu",
			    (unsigned long long)item->modseq, (unsigned long long)before->high))
			judgement_line(pass->judgement, before->sent->line);
	} else {
		judge_shared(pass, view, item, now);
	}
}

static void judge_fetch(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_slot *slot;
	bool changed;

	if (!item->modseq)
		return;
	if (!view->selecting && item->number && item->number <= view->count) {
		slot = &view->slots[item->number - 1];
		changed = slot->flags && item->flags &&
			  (slot->flags ^ item->flags) &
				  (view->permanent ? view->permanent : UINT32_MAX);
		judgement_holds(pass->judgement);
		if (changed && slot->modseq && item->modseq <= slot->modseq)
			oracle_breach(pass->context, "I13", pass->judgement,
				"imap modseq not-above", item->line,
				"message %u changed its flags, and its mod-sequence went from %llu "
				"to %llu",
				item->number, (unsigned long long)slot->modseq,
				(unsigned long long)item->modseq);
		else
			judge_store(pass, view, item, slot);
	}
	marks_add(marks_of(&pass->told, view->box), item->line, item->modseq);
}

static void judge_highest(struct pass *pass, uint32_t box, uint64_t highest, uint32_t sent,
	const struct trace_item *item)
{
	const struct mark *mark = marks_before(marks_of(&pass->told, box), sent);

	if (mark) {
		judgement_holds(pass->judgement);
		if (highest < mark->high &&
			oracle_breach(pass->context, "I13", pass->judgement,
				"imap highestmodseq falls", item->line,
				"HIGHESTMODSEQ is %llu, and mod-sequence %llu was told before",
				(unsigned long long)highest, (unsigned long long)mark->high))
			judgement_line(pass->judgement, mark->line);
	}
	marks_add(marks_of(&pass->told, box), item->line, highest);
}

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);
	size_t session = (size_t)(view - pass->walk.views);

	if (!pending)
		return;
	if (pending->command->verb == VERB_STORE && pass->now[session].sent == pending->sent)
		pass->before[session] =
			(struct stored){.sent = pending->sent, .high = pass->now[session].high};
	if (view->select == pending->sent && view->box != TRACE_NONE) {
		pass->before[session] = (struct stored){0};
		if (view->modseq && item->status == OUTCOME_OK)
			judge_highest(pass, view->box, view->modseq, pending->sent->line, item);
	}
}

static void judge_item(struct pass *pass, struct view *view, const struct trace_item *item)
{
	uint32_t box, sent;

	if (!view && item->kind != TRACE_BOX)
		return;
	if (view && item->kind == TRACE_SENT && view->mailbox && view->box != TRACE_NONE &&
		walk_command(&pass->walk, item)->verb == VERB_STORE) {
		begin_store(pass, view, item);
	} else if (item->kind == TRACE_FETCH && view->mailbox && view->sure &&
		   view->box != TRACE_NONE) {
		judge_fetch(pass, view, item);
	} else if (item->kind == TRACE_DONE) {
		judge_done(pass, view, item);
	} else if ((item->kind == TRACE_STATUS || item->kind == TRACE_BOX) && item->modseq &&
		   item->uidvalidity && (!view || view->pending_count)) {
		box = walk_box(&pass->walk, view ? view->session->user : item->user, item->mailbox,
			item->uidvalidity);
		sent = view ? view->pending[0].sent->line : item->line;
		judge_highest(pass, box, item->modseq, sent, item);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	pass.now = mem_zero(pass.walk.trace->session_count, sizeof(*pass.now));
	pass.before = mem_zero(pass.walk.trace->session_count, sizeof(*pass.before));
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));)
		judge_item(&pass, walk_view(&pass.walk, item), item);
	marks_table_free(&pass.told);
	for (size_t i = 0; i < pass.walk.trace->session_count; i++)
		free(pass.now[i].mails);
	free(pass.now);
	free(pass.before);
	key_map_free(&pass.owners);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i13 = {
	.law = "I13",
	.name = "mod-sequences grow",
	.summary = "each STORE that changes something gets a mod-sequence of its own, later ones "
		   "larger "
		   "ones, and HIGHESTMODSEQ never falls, whatever the clock does",
	.source = "RFC 7162 3.1, 3.1.2.1",
	.judge = judge,
};
