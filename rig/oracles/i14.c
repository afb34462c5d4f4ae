/* I14: a resynchronisation tells everything that changed while the client was away. */
#include "api/imap_walk.h"
#include "api/oracle.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
};

static void judge_resync(struct pass *pass, const struct view *view, const struct trace_item *done)
{
	const struct box *box = &pass->walk.boxes[view->box];
	uint64_t before = pass->judgement->breaches;

	judgement_holds(pass->judgement);
	for (size_t i = 0; i < box->mail_count; i++) {
		const struct mail *mail = &pass->walk.mails[box->mails[i]];
		enum contradiction found = view_contradicts(view, mail, view->select->line);
		char text[256], scope[64];

		if (found == AGREES)
			continue;
		snprintf(scope, sizeof(scope), "imap qresync %s", contradiction_name(found));
		contradiction_text(&pass->walk, view, mail, found, text, sizeof(text));
		if (oracle_breach(pass->context, "I14", pass->judgement, scope, done->line,
			    "after SELECT with QRESYNC: %s", text))
			judgement_line(pass->judgement, view->select->line);
	}
	if (view->exists != view->count && pass->judgement->breaches == before &&
		oracle_breach(pass->context, "I14", pass->judgement, "imap qresync count",
			done->line,
			"after SELECT with QRESYNC the client has %zu messages, and EXISTS says %u",
			view->count, view->exists))
		judgement_line(pass->judgement, view->select->line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		const struct view *view = walk_view(&pass.walk, item);

		/* `resync`: the view began as the one before, under the same UIDVALIDITY. */
		if (view && item->kind == TRACE_DONE && item->status == OUTCOME_OK &&
			view->resync && view->selecting && view->sure && view->box != TRACE_NONE &&
			view->select->text == item->text)
			judge_resync(&pass, view, item);
	}
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i14 = {
	.law = "I14",
	.name = "QRESYNC loses nothing",
	.summary = "after SELECT with QRESYNC the client has every change that was acknowledged "
		   "while it "
		   "was away",
	.source = "RFC 7162 3.2.5, 3.2.5.1",
	.judge = judge,
};
