/* I5: numbers of messages: EXPUNGE lowers those behind it by one at once, EXISTS never lowers. */
#include "api/imap_walk.h"
#include "api/oracle.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
};

static void judge_exists(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	judgement_holds(pass->judgement);
	if (item->number < view->count)
		oracle_breach(pass->context, "I5", pass->judgement, "imap exists", item->line,
			"an untagged EXISTS says %u messages where there were %zu and none was "
			"expunged",
			item->number, view->count);
}

static void judge_expunge(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	judgement_holds(pass->judgement);
	if (!item->number || item->number > view->count)
		oracle_breach(pass->context, "I5", pass->judgement, "imap expunge", item->line,
			"EXPUNGE %u of a mailbox with %zu messages", item->number, view->count);
}

static void judge_fetch(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	const struct view_slot *slot, *other;

	judgement_holds(pass->judgement);
	if (!item->number || item->number > view->count) {
		oracle_breach(pass->context, "I5", pass->judgement, "imap fetch number", item->line,
			"FETCH %u of a mailbox with %zu messages", item->number, view->count);
		return;
	}
	slot = &view->slots[item->number - 1];
	other = item->uid ? view_find(view, item->uid) : NULL;
	if (!other || other == slot)
		return;
	if (oracle_breach(pass->context, "I5", pass->judgement, "imap fetch number", item->line,
		    "UID %u is shown as message %u, and as expunges were told it is message %zu",
		    item->uid, item->number, (size_t)(other - view->slots) + 1))
		judgement_line(pass->judgement, other->line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		const struct view *view = walk_view(&pass.walk, item);

		if (!view || !view->mailbox || view->selecting || !view->sure)
			continue;
		if (item->kind == TRACE_EXISTS)
			judge_exists(&pass, view, item);
		else if (item->kind == TRACE_EXPUNGE)
			judge_expunge(&pass, view, item);
		else if (item->kind == TRACE_FETCH)
			judge_fetch(&pass, view, item);
	}
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i5 = {
	.law = "I5",
	.name = "message numbers",
	.summary =
		"each EXPUNGE lowers the numbers behind it by one at once, and no untagged EXISTS "
		"is below the current count",
	.source = "RFC 9051 7.5.1, 7.4.1, 5.2; RFC 3501 7.4.1",
	.judge = judge,
};
