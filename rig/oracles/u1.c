/* U1: what was acknowledged survives a power cut. */
#include "api/fate.h"
#include "api/oracle.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAILBOX_MAX 128

struct pass {
	const struct history *history;
	const struct ledger *ledger, *baseline;
	const struct oracle_context *context;
	struct judgement *judgement;
	double at; /* of the cut */
};

static bool promised(const struct pass *pass, const char *what)
{
	return pass->context->target &&
	       text_list_has(&pass->context->target->survives_power_cut, what);
}

/* ---- mail and APPEND: always promised ---- */

static void judge_kept(struct pass *pass, const struct ledger_rcpt *rcpt, uint32_t line,
	const char *scope, const char *verb)
{
	const char *token = ledger_token(pass->ledger, rcpt), *why;
	const char *to = ledger_text(pass->ledger, rcpt->address);

	judgement_holds(pass->judgement);
	switch (fate_of(pass->ledger, pass->baseline, pass->context->target, rcpt, &why)) {
	case FATE_KEPT:
		return;
	case FATE_EXCUSED:
		pass->judgement->excused++;
		return;
	case FATE_UNSURE:
		judgement_cannot_tell(pass->judgement, line,
			"'%s' was %s '%s' before the power cut and is not seen after it, but %s",
			token, verb, to, why);
		return;
	case FATE_LOST:
		oracle_breach(pass->context, "U1", pass->judgement, scope, line,
			"'%s' was %s '%s' before the power cut and is gone after it", token, verb,
			to);
		return;
	}
}

static void judge_mail(struct pass *pass, const struct ledger_rcpt *rcpt)
{
	uint32_t line = fate_taken(pass->ledger, rcpt, HOP_EDGE, pass->at);

	if (line)
		judge_kept(pass, rcpt, line, "edge smtp-message 2yz", "accepted for");
}

/* ---- operations that the rig's own clients saw acknowledged ---- */

static bool op_is(const struct pass *pass, const struct ledger_op *op, const char *name)
{
	const char *text = ledger_text(pass->ledger, op->op);

	return !strncmp(text, "imap-", 5) &&
	       (!strcmp(text + 5, name) ||
		       (!strncmp(text + 5, "uid-", 4) && !strcmp(text + 9, name)));
}

/* "UID COPY 7 Archive", one message, its UID known to be that of a mail: which, and where to. */
static uint32_t copied_mail(const struct pass *pass, const struct ledger_op *op, char *ret_mailbox)
{
	const char *text = ledger_text(pass->ledger, op->command);
	char verb[8], uid[12], *end;
	unsigned long number;

	ret_mailbox[0] = '\0';
	if (sscanf(text, "UID %7[A-Za-z] %11s %127s", verb, uid, ret_mailbox) < 2)
		return LEDGER_NONE;
	number = strtoul(uid, &end, 10);
	if (*end || !number)
		return LEDGER_NONE;
	return key_map_get(&pass->ledger->by_uid, (uint64_t)op->user << 32 | (uint32_t)number);
}

static bool is_there(const struct pass *pass, const struct ledger_op *op, const char *token,
	const char *mailbox, bool *ret_known)
{
	const char *user = ledger_text(pass->ledger, op->user);

	*ret_known = true;
	for (size_t i = 0; i < pass->history->count; i++) {
		const struct event *event = &pass->history->events[i];

		if (!event_is(event, "copy"))
			continue;
		if (!event->data) {
			*ret_known = false; /* too long a history keeps no lines of bulk */
			return false;
		}
		if (!strcasecmp(json_get_text(event->data, "user", ""), user) &&
			!strcmp(json_get_text(event->data, "token", ""), token) &&
			(!mailbox || !strcmp(json_get_text(event->data, "mailbox", ""), mailbox)))
			return true;
	}
	return false;
}

static bool was_read(const struct pass *pass, const struct ledger_op *op)
{
	const struct ledger_who *who = ledger_who(pass->ledger, op->user);

	return who && who->flags & WHO_READ && !(who->flags & WHO_UNREADABLE);
}

/* COPY and MOVE: the message is in the mailbox it was sent to. */
static void judge_copied(struct pass *pass, const struct ledger_op *op, const char *what)
{
	char mailbox[MAILBOX_MAX];
	uint32_t mail = copied_mail(pass, op, mailbox);
	const char *token;
	bool known;

	if (mail == LEDGER_NONE || !*mailbox || !was_read(pass, op))
		return;
	token = ledger_text(pass->ledger, pass->ledger->mails[mail].token);
	judgement_holds(pass->judgement);
	if (!is_there(pass, op, token, mailbox, &known) && known)
		oracle_breach(pass->context, "U1", pass->judgement,
			ledger_text(pass->ledger, op->op), op->end_line,
			"the %s of '%s' to '%s' was acknowledged before the power cut and is "
			"undone after it",
			what, token, mailbox);
}

static void judge_op(struct pass *pass, const struct ledger_op *op)
{
	static const char *const copies[] = {"copy", "move"};

	if (!op->end_line || op->outcome != OUTCOME_OK || !(op->end <= pass->at))
		return;
	if (op_is(pass, op, "append") && op->mail != LEDGER_NONE)
		for (uint32_t r = pass->ledger->mails[op->mail].first_rcpt; r != LEDGER_NONE;
			r = pass->ledger->rcpts[r].next)
			if (pass->ledger->rcpts[r].address == op->user)
				judge_kept(pass, &pass->ledger->rcpts[r], op->end_line,
					"imap-append OK", "appended for");
	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++)
		if (op_is(pass, op, copies[i]) && promised(pass, copies[i]))
			judge_copied(pass, op, copies[i]);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger_force *cut = ledger_power_cut(history->ledger);
	struct pass pass = {
		.history = history,
		.ledger = history->ledger,
		.baseline = context->baseline ? context->baseline->ledger : NULL,
		.context = context,
		.judgement = ret,
	};

	if (!cut)
		return;
	pass.at = cut->at;
	for (size_t i = 0; i < pass.ledger->rcpt_count; i++)
		judge_mail(&pass, &pass.ledger->rcpts[i]);
	for (size_t i = 0; i < pass.ledger->op_count; i++)
		judge_op(&pass, &pass.ledger->ops[i]);
}

const struct oracle oracle_u1 = {
	.law = "U1",
	.name = "acknowledged is durable",
	.summary =
		"accepted mail, an acknowledged APPEND and what else the target promises survive a "
		"power cut at that instant",
	.source = "RFC 5321 4.2.5, 6.1; RFC 9051 6.3.12",
	.needs_end = true,
	.judge = judge,
};
