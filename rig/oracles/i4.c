/* I4: UIDNEXT says whether something was added. */
#include "api/imap_walk.h"
#include "api/marks.h"
#include "api/oracle.h"

#include "base/buf.h"

/* What was told of a mailbox of one UIDVALIDITY. */
struct told {
	struct marks uidnext; /* by the line of the reply */
	struct marks added;   /* UIDs of acknowledged additions, by the line of the OK */
	uint32_t last, last_sent, last_line; /* the last UIDNEXT; its command; itself */
};

/* What may have been added to a mailbox, whatever its UIDVALIDITY. */
struct adding {
	uint32_t under_way; /* commands */
	uint32_t last_line; /* at which one began or ended */
	bool mail;	    /* mail may come at any time */
};

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	const struct ledger *ledger;
	struct judgement *judgement;
	struct told *told; /* by box */
	size_t told_count;
	struct adding *adding; /* by name */
	size_t adding_count;
	struct key_map names;
};

static struct told *told_of(struct pass *pass, uint32_t box)
{
	while (box >= pass->told_count) {
		pass->told = mem_grow(pass->told, pass->told_count + 1, sizeof(*pass->told));
		pass->told[pass->told_count++] = (struct told){0};
	}
	return &pass->told[box];
}

/* Was mail sent to that user? Then any message may come, and late ones too. */
static bool gets_mail(const struct pass *pass, uint32_t user)
{
	for (size_t i = 0; i < pass->ledger->rcpt_count; i++) {
		const struct ledger_rcpt *rcpt = &pass->ledger->rcpts[i];
		const uint32_t(*tries)[RESULT_COUNT] = rcpt->attempts;

		if (rcpt->address != user)
			continue;
		for (int result = 0; result < RESULT_COUNT; result++)
			if (tries[HOP_EDGE][result] || tries[HOP_INNER][result])
				return true;
		if (rcpt->client[OUTCOME_OK] || rcpt->client[OUTCOME_MAYBE])
			return true;
	}
	return false;
}

static struct adding *adding_of(struct pass *pass, uint32_t user, uint32_t mailbox)
{
	uint64_t key = (uint64_t)user << 32 | mailbox;
	uint32_t index = key_map_put(&pass->names, key, (uint32_t)pass->adding_count);

	if (index == pass->adding_count) {
		pass->adding =
			mem_grow(pass->adding, pass->adding_count + 1, sizeof(*pass->adding));
		pass->adding[pass->adding_count++] = (struct adding){.mail = gets_mail(pass, user)};
	}
	return &pass->adding[index];
}

static void judge_uidnext(struct pass *pass, uint32_t box, uint32_t uidnext, uint32_t sent,
	const struct trace_item *item)
{
	struct told *told = told_of(pass, box);
	const struct box *of = &pass->walk.boxes[box];
	const struct adding *adding = adding_of(pass, of->user, of->mailbox);
	const struct mark *mark = marks_before(&told->uidnext, sent);
	const struct mark *added = marks_before(&told->added, sent);

	judgement_holds(pass->judgement);
	if (mark && uidnext < mark->high) {
		if (oracle_breach(pass->context, "I4", pass->judgement, "imap uidnext falls",
			    item->line, "UIDNEXT is %u and was %llu", uidnext,
			    (unsigned long long)mark->high))
			judgement_line(pass->judgement, mark->line);
	} else if (added && uidnext <= added->high) {
		if (oracle_breach(pass->context, "I4", pass->judgement, "imap uidnext added",
			    item->line, "UIDNEXT is %u, and UID %llu was given before", uidnext,
			    (unsigned long long)added->high))
			judgement_line(pass->judgement, added->line);
	} else if (told->last && told->last_line < sent && uidnext > told->last &&
		   !adding->under_way && !adding->mail && adding->last_line < told->last_sent) {
		if (oracle_breach(pass->context, "I4", pass->judgement, "imap uidnext unmoved",
			    item->line, "UIDNEXT went from %u to %u, and nothing was added",
			    told->last, uidnext))
			judgement_line(pass->judgement, told->last_line);
	}
	marks_add(&told->uidnext, item->line, uidnext);
	told->last = uidnext;
	told->last_sent = sent;
	told->last_line = item->line;
}

static bool adds(const struct trace_command *command)
{
	return command->verb == VERB_APPEND || command->verb == VERB_COPY ||
	       command->verb == VERB_MOVE || command->verb == VERB_RENAME;
}

static void note_sent(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	const struct trace_command *command = walk_command(&pass->walk, item);
	struct adding *adding;

	if (!adds(command))
		return;
	adding = adding_of(pass, view->session->user, command->mailbox);
	adding->under_way++;
	adding->last_line = item->line;
}

static void note_added(struct pass *pass, const struct view *view,
	const struct trace_command *command, const struct trace_item *item)
{
	unsigned int validity, uid;

	if (item->status != OUTCOME_OK || command->verb != VERB_APPEND ||
		sscanf(trace_text(pass->walk.trace, item->code), "APPENDUID %u %u", &validity,
			&uid) != 2)
		return;
	marks_add(&told_of(pass,
			  walk_box(&pass->walk, view->session->user, command->mailbox, validity))
			   ->added,
		item->line, uid);
}

static void judge_done(struct pass *pass, struct view *view, const struct trace_item *item)
{
	const struct view_pending *pending = view_pending(view, item->text);

	if (!pending)
		return;
	if (adds(pending->command)) {
		struct adding *adding =
			adding_of(pass, view->session->user, pending->command->mailbox);

		adding->under_way--;
		adding->last_line = item->line;
		note_added(pass, view, pending->command, item);
	}
	if (pending->sent == view->select && view->box != TRACE_NONE && view->uidnext &&
		item->status == OUTCOME_OK)
		judge_uidnext(pass, view->box, view->uidnext, pending->sent->line, item);
}

static void judge_item(struct pass *pass, const struct trace_item *item)
{
	struct view *view = walk_view(&pass->walk, item);

	if (view && item->kind == TRACE_SENT)
		note_sent(pass, view, item);
	else if (view && item->kind == TRACE_DONE)
		judge_done(pass, view, item);
	else if (item->uidnext && item->uidvalidity && view && item->kind == TRACE_STATUS &&
		 view->pending_count)
		judge_uidnext(pass,
			walk_box(
				&pass->walk, view->session->user, item->mailbox, item->uidvalidity),
			item->uidnext, view->pending[0].sent->line, item);
	else if (item->uidnext && item->uidvalidity && item->kind == TRACE_BOX)
		judge_uidnext(pass,
			walk_box(&pass->walk, item->user, item->mailbox, item->uidvalidity),
			item->uidnext, item->line, item);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .ledger = history->ledger, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));)
		judge_item(&pass, item);
	for (size_t i = 0; i < pass.told_count; i++) {
		marks_free(&pass.told[i].uidnext);
		marks_free(&pass.told[i].added);
	}
	free(pass.told);
	free(pass.adding);
	key_map_free(&pass.names);
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i4 = {
	.law = "I4",
	.name = "UIDNEXT tells of additions",
	.summary = "while UIDVALIDITY stays UIDNEXT never falls, is larger once a message was "
		   "added, and "
		   "the same where none was (a failed APPEND or COPY may raise it)",
	.source = "RFC 9051 2.3.1.1, 6.3.12, 6.4.7; RFC 3501 2.3.1.1",
	.judge = judge,
};
