/* P2: POP3 removes nothing that was not marked. */
#include "api/maildrop.h"
#include "api/oracle.h"

#include "base/buf.h"

static void judge_loss(const struct maildrops *drops, const struct history *history,
	const struct oracle_context *context, struct judgement *ret,
	const struct maildrop_loss *loss, uint64_t *spent)
{
	const struct maildrop_message *message = &drops->messages[loss->message];
	const struct maildrop_session *session = &drops->sessions[loss->session];
	enum maildrop_fate fate = maildrop_fate(drops, history->ledger, loss, spent);

	if (fate == FATE_EXCUSED)
		ret->excused++;
	else if (fate == FATE_UNSURE && message->spared == UINT32_MAX)
		judgement_cannot_tell(ret, session->list_line,
			"'%s' of '%s' is gone, but it may have been moved or have another UIDL now",
			maildrop_text(drops, message->uidl), maildrop_text(drops, message->user));
	else if (fate == FATE_KEPT &&
		 oracle_breach(context, "P2", ret, "pop3-session unmarked removed",
			 session->list_line,
			 "'%s' of '%s' was never marked by a session that ended with QUIT, and is "
			 "gone",
			 maildrop_text(drops, message->uidl), maildrop_text(drops, message->user)))
		judgement_line(ret, drops->sessions[session->previous].list_line);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	uint64_t *spent = mem_zero(history->ledger->who_count, sizeof(uint64_t));
	struct maildrops drops;

	maildrops_build(history, &drops);
	for (size_t i = 0; i < drops.session_count; i++)
		if (drops.sessions[i].previous != UINT32_MAX &&
			drops.sessions[drops.sessions[i].previous].item_count)
			judgement_holds(ret);
	for (size_t i = 0; i < drops.loss_count; i++)
		judge_loss(&drops, history, context, ret, &drops.losses[i], spent);
	maildrops_free(&drops);
	free(spent);
}

const struct oracle oracle_p2 = {
	.law = "P2",
	.name = "unmarked stays",
	.summary = "a POP3 session never removes a message that was not marked",
	.source = "RFC 1939 5, 6",
	.judge = judge,
};
