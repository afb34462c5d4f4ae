/* Notifications: what hangs on the mail it is about, and what may be one. */
#include "api/ledger_build.h"

#include <string.h>

/* What has no token of ours may be a notification. */
void build_nameless(struct ledger *ledger, const struct tape_value *data, int hop, int result)
{
	struct ledger_who *who;

	if (result == RESULT_UNKNOWN && !*tape_text(data, "to", "")) {
		ledger->hidden[hop]++;
		return;
	}
	if (result != RESULT_UNKNOWN && (hop == HOP_EDGE || result == RESULT_2YZ))
		return;
	who = build_who(ledger, build_address(ledger, tape_text(data, "to", NULL)));
	if (result == RESULT_UNKNOWN) {
		who->unknown[hop]++;
		who->doubtful += hop != HOP_EDGE;
	} else if (result == RESULT_NONE) {
		who->doubtful++;
	} else {
		who->unsent++;
		who->given_up += result == RESULT_5YZ;
		who->untold += result == RESULT_5YZ && !*tape_text(data, "from", "?");
	}
}

/* Whose copy it is: the mailbox's owner, or the first recipient. */
static uint32_t first_address(struct ledger *ledger, const struct tape_value *data)
{
	const char *user = tape_text(data, "user", NULL);
	const char *to = tape_string(tape_first(tape_get(data, "to")));

	return build_address(ledger, user ? user : to);
}

/* A notification hangs on the mail it is about. True if the line was one. */
bool build_notice(struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	uint32_t index = build_mail(ledger, tape_text(data, "bounce_of", NULL), event->line);
	struct ledger_notice *notice;
	struct ledger_mail *mail;

	if (index == LEDGER_NONE)
		return false;
	mail = &ledger->mails[index];
	notice = APPEND(ledger, ROOM_NOTICE, notices, notice_count);
	*notice = (struct ledger_notice){
		.t = event->t,
		.line = event->line,
		.found = first_address(ledger, data),
		.failed = build_key(ledger, data, "failed"),
		.from = build_address(ledger, tape_text(data, "from", NULL)),
		.next = mail->first_notice,
		.is_final = strcmp(tape_text(data, "action", ""), "delayed") != 0,
	};
	mail->first_notice = (uint32_t)ledger->notice_count - 1;
	if (notice->is_final && !mail->bounces++) {
		mail->bounce_line = event->line;
		mail->bounce_t = event->t;
	}
	return true;
}
