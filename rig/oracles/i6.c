/* I6: EXPUNGE comes only where the client's message numbers may change. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include <stdio.h>

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct imap_walk walk;

	imap_walk_begin(&walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&walk));) {
		const struct view *view = walk_view(&walk, item);
		const char *why;
		char scope[64];

		if (!view || item->kind != TRACE_EXPUNGE || !view->mailbox || view->selecting)
			continue;
		judgement_holds(ret);
		why = view_forbids_expunge(view);
		if (!why)
			continue;
		snprintf(scope, sizeof(scope), "imap expunge in %s", why);
		if (oracle_breach(context, "I6", ret, scope, item->line,
			    "EXPUNGE %u was sent while %s was in progress", item->number, why) &&
			view->pending_count)
			judgement_line(ret, view->pending[0].sent->line);
	}
	imap_walk_end(&walk);
}

const struct oracle oracle_i6 = {
	.law = "I6",
	.name = "when to expunge",
	.summary = "no EXPUNGE when no command is in progress, nor while answering FETCH, STORE or "
		   "SEARCH (their UID forms and IDLE may carry it)",
	.source = "RFC 9051 7.5.1; RFC 3501 7.4.1",
	.judge = judge,
};
