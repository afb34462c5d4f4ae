/* P4: a unique-id names one message, as long as that is there. */
#include "api/maildrop.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	const struct history *history;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct maildrops drops;
	uint32_t *seen;	    /* by message: 1 + session that lists it */
	uint32_t *identity; /* by message: as that session knows it */
	uint64_t *spent;    /* per ledger_who */
};

/* Two of one listing may share a UIDL only if their content is the same. */
static void judge_listing(struct pass *pass, uint32_t index)
{
	const struct maildrops *drops = &pass->drops;
	const struct maildrop_session *session = &drops->sessions[index];

	for (size_t i = 0; i < session->item_count; i++) {
		const struct maildrop_item *item = &drops->items[session->first_item + i];
		const char *uidl = maildrop_text(drops, drops->messages[item->message].uidl);
		uint32_t other = pass->identity[item->message];

		judgement_holds(pass->judgement);
		if (pass->seen[item->message] != index + 1) {
			pass->seen[item->message] = index + 1;
			pass->identity[item->message] = item->identity;
		} else if (!item->identity || !other) {
			judgement_cannot_tell(pass->judgement, session->list_line,
				"two messages of '%s' share the UIDL '%s', and were not both "
				"retrieved",
				maildrop_text(drops, session->user), uidl);
		} else if (item->identity != other) {
			oracle_breach(pass->context, "P4", pass->judgement,
				"pop3-session uidl shared", session->list_line,
				"two messages of '%s' with different content share the UIDL '%s'",
				maildrop_text(drops, session->user), uidl);
		}
	}
}

static void judge_loss(struct pass *pass, const struct maildrop_loss *loss)
{
	const struct maildrops *drops = &pass->drops;
	const struct maildrop_message *message = &drops->messages[loss->message];
	const struct maildrop_session *session = &drops->sessions[loss->session];

	if (maildrop_fate(drops, pass->history->ledger, loss, pass->spent) != FATE_RENAMED)
		return;
	if (oracle_breach(pass->context, "P4", pass->judgement, "pop3-session uidl changed",
		    session->list_line,
		    "the message with the UIDL '%s' of '%s' is still there, under another UIDL",
		    maildrop_text(drops, message->uidl), maildrop_text(drops, message->user)))
		judgement_line(pass->judgement, drops->sessions[session->previous].list_line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {
		.history = history,
		.context = context,
		.judgement = ret,
		.spent = mem_zero(history->ledger->who_count, sizeof(uint64_t)),
	};

	maildrops_build(history, &pass.drops);
	pass.seen = mem_zero(pass.drops.message_count, sizeof(uint32_t));
	pass.identity = mem_zero(pass.drops.message_count, sizeof(uint32_t));
	for (size_t i = 0; i < pass.drops.session_count; i++)
		if (pass.drops.sessions[i].listed)
			judge_listing(&pass, (uint32_t)i);
	for (size_t i = 0; i < pass.drops.loss_count; i++)
		judge_loss(&pass, &pass.drops.losses[i]);
	free(pass.seen);
	free(pass.identity);
	free(pass.spent);
	maildrops_free(&pass.drops);
}

const struct oracle oracle_p4 = {
	.law = "P4",
	.name = "stable UIDL",
	.summary = "the UIDL of a message stays while it is there, and only messages with the same "
		   "content share one",
	.source = "RFC 1939 7",
	.judge = judge,
};
