#include "api/fate.h"

#include <string.h>

static bool has_copy(const struct ledger *ledger, const struct ledger *baseline,
	const struct ledger_rcpt *rcpt, bool *ret_unsure)
{
	*ret_unsure = false;
	for (uint32_t c = rcpt->first_copy; c != LEDGER_NONE; c = ledger->copies[c].next) {
		enum copy_state state = ledger_copy_state(ledger, baseline, &ledger->copies[c]);

		if (state == COPY_INTACT)
			return true;
		*ret_unsure = *ret_unsure || state == COPY_UNSURE;
	}
	return false;
}

const char *fate_unlisted(const struct ledger *ledger, const struct target *target)
{
	if (target && !target_command(target, "queue_list"))
		return "the target has no queue_list, so it may be queued";
	return ledger->unlisted ? "the queue was too long to be listed, so it may be queued" : NULL;
}

/* Why a copy that was not seen may yet be there, or NULL. */
static const char *doubt(
	const struct ledger *ledger, const struct target *target, const struct ledger_rcpt *rcpt)
{
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);
	const char *why = NULL;

	if (strchr(ledger_text(ledger, rcpt->address), '@')) {
		if (!ledger->hop_attempts[HOP_OUTBOUND] && !ledger->sunk_copies)
			return "what the store sent on was not captured";
		if (ledger_unknown(ledger, rcpt, HOP_OUTBOUND))
			return "a gap hides how an attempt to send it on ended";
	} else if (!who || !(who->flags & WHO_READ) || who->flags & WHO_UNREADABLE) {
		return "the mailbox was not read back";
	}
	if (rcpt->attempts[HOP_EDGE][RESULT_2YZ] || rcpt->client[OUTCOME_OK])
		why = fate_unlisted(ledger, target);
	if (why)
		return why;
	if (who && who->flags & WHO_QUEUED)
		return "an entry of the queue that names no token may be it";
	return NULL;
}

enum fate fate_of(const struct ledger *ledger, const struct ledger *baseline,
	const struct target *target, const struct ledger_rcpt *rcpt, const char **ret_why)
{
	const struct ledger_who *who = ledger_who(ledger, rcpt->address);
	bool unsure;

	*ret_why = NULL;
	if (has_copy(ledger, baseline, rcpt, &unsure) || rcpt->queued ||
		ledger->mails[rcpt->mail].bounces || rcpt->attempts[HOP_OUTBOUND][RESULT_2YZ])
		return FATE_KEPT;
	if (rcpt->removed || ledger_may_be_removed(who, ledger->mails[rcpt->mail].line))
		return FATE_EXCUSED;
	*ret_why = unsure ? "its one copy has another body and there is no baseline"
			  : doubt(ledger, target, rcpt);
	return *ret_why ? FATE_UNSURE : FATE_LOST;
}

uint32_t fate_taken(
	const struct ledger *ledger, const struct ledger_rcpt *rcpt, enum hop hop, double until)
{
	for (uint32_t a = rcpt->first_attempt; a != LEDGER_NONE; a = ledger->attempts[a].next) {
		const struct ledger_attempt *attempt = &ledger->attempts[a];

		if (attempt->hop == hop && attempt->result == RESULT_2YZ &&
			attempt->reply_t <= until)
			return attempt->line;
	}
	return 0;
}
