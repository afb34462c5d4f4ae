/* I17: a complete command is answered by one tagged reply, unless the connection ends. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <string.h>

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
	bool *logged_out; /* by session: LOGOUT was answered */
};

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const char *tag = trace_text(pass->walk.trace, item->text);
	const struct view_pending *pending = view_pending(view, item->text);

	judgement_holds(pass->judgement);
	if (pending && pending->command->verb == VERB_LOGOUT && item->status == OUTCOME_OK)
		pass->logged_out[view - pass->walk.views] = true;
	if (!pending)
		oracle_breach(pass->context, "I17", pass->judgement, "imap reply extra", item->line,
			"a tagged reply '%.40s' answers no command: none with that tag is pending",
			tag);
}

/* Once LOGOUT was answered, whatever stood before it and was not is unanswered for good. A client that goes without,
 * in the middle of IDLE for one, did not wait for its reply. */
static void judge_closed(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const char *why = trace_text(pass->walk.trace, item->text);
	const struct view_pending *first = view->pending_count ? &view->pending[0] : NULL;

	if (!first || !first->in_progress)
		return;
	if (!strcmp(why, "client") && pass->logged_out[view - pass->walk.views]) {
		oracle_breach(pass->context, "I17", pass->judgement, "imap reply none",
			first->sent->line, "%s got no tagged reply, and LOGOUT did",
			trace_verb_name((enum trace_verb)first->command->verb));
		judgement_line(pass->judgement, item->line);
	} else if (!strcmp(why, "gave-up")) {
		oracle_breach(pass->context, "I17", pass->judgement, "imap reply none",
			first->sent->line,
			"%s got no tagged reply, and the connection stayed open until the client "
			"gave up after %.0f s",
			trace_verb_name((enum trace_verb)first->command->verb),
			item->t - first->sent->t);
		judgement_line(pass->judgement, item->line);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	pass.logged_out = mem_zero(pass.walk.trace->session_count, sizeof(*pass.logged_out));
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (view && item->kind == TRACE_DONE)
			judge_done(&pass, view, item);
		else if (view && item->kind == TRACE_CLOSED)
			judge_closed(&pass, view, item);
	}
	free(pass.logged_out);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i17 = {
	.law = "I17",
	.name = "one tagged reply",
	.summary = "every complete command gets exactly one tagged reply, or BYE or the end of the "
		   "connection",
	.source = "RFC 9051 2.2.2, 7.1; RFC 3501 2.2.2",
	.judge = judge,
};
