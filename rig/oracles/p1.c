/* P1: DELE takes effect at QUIT, and only there. */
#include "api/maildrop.h"
#include "api/oracle.h"

#include "base/buf.h"

struct pass {
	const struct history *history;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct maildrops drops;
	uint64_t *spent; /* per ledger_who */
};

/* Something that was marked, by a session that ended otherwise than by QUIT, is gone. */
static void judge_loss(struct pass *pass, const struct maildrop_loss *loss)
{
	const struct maildrops *drops = &pass->drops;
	const struct maildrop_message *message = &drops->messages[loss->message];
	const struct maildrop_session *session = &drops->sessions[loss->session];
	const char *uidl = maildrop_text(drops, message->uidl);
	const char *user = maildrop_text(drops, message->user);

	switch (maildrop_fate(drops, pass->history->ledger, loss, pass->spent)) {
	case FATE_DELETED:
		judgement_holds(pass->judgement);
		break;
	case FATE_EXCUSED:
		pass->judgement->excused++;
		break;
	case FATE_UNSURE:
		if (message->spared != UINT32_MAX)
			judgement_cannot_tell(pass->judgement, session->list_line,
				"'%s' of '%s' was marked without QUIT and is gone, but it may have "
				"been moved or have another UIDL now",
				uidl, user);
		break;
	case FATE_SPARED:
		if (oracle_breach(pass->context, "P1", pass->judgement, "pop3-session cut removed",
			    session->list_line,
			    "'%s' of '%s' was marked by a session that did not end with QUIT, and "
			    "is gone",
			    uidl, user))
			judgement_line(pass->judgement, drops->sessions[message->spared].end_line);
		break;
	case FATE_KEPT:
	case FATE_RENAMED:
		break;
	}
}

/* Something that is shown although QUIT was answered +OK before this session logged in. */
static void judge_listing(struct pass *pass, const struct maildrop_session *session)
{
	const struct maildrops *drops = &pass->drops;

	for (size_t i = 0; i < session->item_count; i++) {
		const struct maildrop_message *message =
			&drops->messages[drops->items[session->first_item + i].message];
		const struct maildrop_session *quit;

		if (message->quit == UINT32_MAX)
			continue;
		quit = &drops->sessions[message->quit];
		if (quit->end_t > session->since)
			continue;
		if (oracle_breach(pass->context, "P1", pass->judgement, "pop3-session quit kept",
			    session->list_line,
			    "'%s' of '%s' is shown again, though the QUIT that removed it was "
			    "answered +OK",
			    maildrop_text(drops, message->uidl),
			    maildrop_text(drops, message->user)))
			judgement_line(pass->judgement, quit->end_line);
	}
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
	for (size_t i = 0; i < pass.drops.session_count; i++) {
		const struct maildrop_session *session = &pass.drops.sessions[i];

		if (session->marks && session->end != MAILDROP_OPEN)
			judgement_holds(ret);
		if (session->listed)
			judge_listing(&pass, session);
	}
	for (size_t i = 0; i < pass.drops.loss_count; i++)
		judge_loss(&pass, &pass.drops.losses[i]);
	maildrops_free(&pass.drops);
	free(pass.spent);
}

const struct oracle oracle_p1 = {
	.law = "P1",
	.name = "deleted at QUIT",
	.summary = "DELE removes at QUIT alone; after +OK to QUIT the marked are gone; a session "
		   "that ends otherwise removes nothing",
	.source = "RFC 1939 3, 5, 6",
	.judge = judge,
};
