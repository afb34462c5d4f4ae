/* I1: UIDs ascend, and stay. */
#include "api/imap_walk.h"
#include "api/marks.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct marks_table uidnext; /* by box */
};

static void judge_fetch(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	const struct view_slot *slot = &view->slots[item->number - 1], *end;

	end = view->slots + view->count;
	judgement_holds(pass->judgement);
	if (slot->uid == item->uid)
		return;
	if (slot->uid) {
		/* If another number has that UID, the numbers are wrong: that is I5. */
		if (!view_find(view, item->uid) &&
			oracle_breach(pass->context, "I1", pass->judgement, "imap uid changed",
				item->line, "message %u had UID %u and has UID %u now",
				item->number, slot->uid, item->uid))
			judgement_line(pass->judgement, slot->line);
		return;
	}
	if (item->uid <= slot->floor)
		oracle_breach(pass->context, "I1", pass->judgement, "imap uid not-above",
			item->line,
			"message %u is new and has UID %u, and UID %u was shown before it came",
			item->number, item->uid, slot->floor);
	else if ((slot > view->slots && slot[-1].uid >= item->uid) ||
		 (slot + 1 < end && slot[1].uid && slot[1].uid <= item->uid))
		oracle_breach(pass->context, "I1", pass->judgement, "imap uid order", item->line,
			"message %u has UID %u, out of order with its neighbours", item->number,
			item->uid);
}

/* An APPEND that began after UIDNEXT was told gets no UID below it. */
static void judge_append(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);
	const char *code = trace_text(pass->walk.trace, item->code);
	unsigned int validity, uid;
	const struct mark *told;
	uint32_t box;

	if (!pending || pending->command->verb != VERB_APPEND || item->status != OUTCOME_OK ||
		sscanf(code, "APPENDUID %u %u", &validity, &uid) != 2)
		return;
	box = walk_box(&pass->walk, view->session->user, pending->command->mailbox, validity);
	told = marks_before(marks_of(&pass->uidnext, box), pending->sent->line);
	if (!told)
		return;
	judgement_holds(pass->judgement);
	if (uid >= told->high)
		return;
	if (oracle_breach(pass->context, "I1", pass->judgement, "imap append uidnext", item->line,
		    "an appended message got UID %u, and UIDNEXT was told as %llu before", uid,
		    (unsigned long long)told->high))
		judgement_line(pass->judgement, told->line);
}

static void note_status(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	uint32_t box;

	if (!item->uidnext || !item->uidvalidity)
		return;
	box = walk_box(&pass->walk, view->session->user, item->mailbox, item->uidvalidity);
	marks_add(marks_of(&pass->uidnext, box), item->line, item->uidnext);
}

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	if (view->selecting && view->box != TRACE_NONE && view->uidnext)
		marks_add(marks_of(&pass->uidnext, view->box), item->line, view->uidnext);
	judge_append(pass, view, item);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (!view)
			continue;
		if (item->kind == TRACE_FETCH && item->uid && view->mailbox && view->sure &&
			!(view->resync && view->selecting) && item->number &&
			item->number <= view->count)
			judge_fetch(&pass, view, item);
		else if (item->kind == TRACE_DONE)
			judge_done(&pass, view, item);
		else if (item->kind == TRACE_STATUS)
			note_status(&pass, view, item);
	}
	marks_table_free(&pass.uidnext);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i1 = {
	.law = "I1",
	.name = "UIDs ascend",
	.summary = "a new message's UID is not below any UIDNEXT told before it came and above "
		   "every UID "
		   "shown before; UIDs never change in a session",
	.source = "RFC 9051 2.3.1.1; RFC 3501 2.3.1.1",
	.judge = judge,
};
