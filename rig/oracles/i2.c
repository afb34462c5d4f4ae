/* I2: a UID names one message for ever. */
#include "api/imap_walk.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
};

static void compare(struct pass *pass, struct mail *mail, const struct trace_item *item)
{
	const struct box *box = &pass->walk.boxes[mail->box];
	bool other_token = mail->token && item->token != mail->token;
	bool other_body = mail->content_line && item->sha != mail->sha;

	judgement_holds(pass->judgement);
	if (other_token || other_body) {
		if (oracle_breach(pass->context, "I2", pass->judgement,
			    item->kind == TRACE_COPY ? "imap read-back" : "imap fetch", item->line,
			    "UID %u of '%.60s' (UIDVALIDITY %u) was one message and is %s now",
			    mail->uid, trace_text(pass->walk.trace, box->mailbox), box->uidvalidity,
			    other_token ? "another" : "of another content"))
			judgement_line(pass->judgement, mail->content_line);
	}
	if (item->kind == TRACE_COPY && !mail->content_line) {
		mail->token = item->token;
		mail->sha = item->sha;
		mail->content_line = item->line;
	}
}

static void judge_fetch(struct pass *pass, struct view *view, const struct trace_item *item)
{
	uint32_t uid = item->uid;
	struct mail *mail;

	if (!view->mailbox || view->box == TRACE_NONE || !view->sure || item->partial ||
		!item->body)
		return;
	if (!uid && item->number && item->number <= view->count)
		uid = view->slots[item->number - 1].uid;
	if (!uid)
		return;
	mail = walk_mail(&pass->walk, view->box, uid);
	if (!mail_may_be_removed(mail))
		compare(pass, mail, item);
}

static void judge_copy(struct pass *pass, const struct trace_item *item)
{
	uint32_t box;

	if (!item->uid || !item->uidvalidity)
		return;
	box = walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity);
	compare(pass, walk_mail(&pass->walk, box, item->uid), item);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	pass.walk.stop_line = 0;
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		struct view *view = walk_view(&pass.walk, item);

		if (view && item->kind == TRACE_FETCH)
			judge_fetch(&pass, view, item);
		else if (item->kind == TRACE_COPY)
			judge_copy(&pass, item);
	}
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i2 = {
	.law = "I2",
	.name = "one message for ever",
	.summary = "mailbox, UIDVALIDITY and UID together name one immutable message for ever",
	.source = "RFC 9051 2.3.1.1; RFC 3501 2.3.1.1",
	.judge = judge,
};
