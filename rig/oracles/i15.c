/* I15: VANISHED names what the session was shown, where EXPUNGE may stand; EARLIER answers a
 * resynchronisation. */
#include "api/imap_walk.h"
#include "api/oracle.h"

struct pass {
	struct imap_walk walk;
	const struct oracle_context *context;
	struct judgement *judgement;
};

static bool asked_for_earlier(const struct view *view)
{
	for (size_t i = 0; i < view->pending_count; i++) {
		const struct trace_command *command = view->pending[i].command;

		if (command->qresync ||
			(command->verb == VERB_FETCH && command->uid && command->vanished))
			return true;
	}
	return false;
}

/* A UID in the set that the session was not shown, or 0. */
static uint32_t not_shown(const struct view *view, const struct uid_set *set)
{
	uint64_t shown = 0;

	for (size_t i = 0; i < view->count; i++)
		shown += uid_set_has(set, view->slots[i].uid);
	if (shown == uid_set_size(set))
		return 0;
	for (size_t i = 0; i < set->count; i++)
		for (uint64_t uid = set->ranges[i].from; uid <= set->ranges[i].to; uid++)
			if (!view_find(view, (uint32_t)uid))
				return (uint32_t)uid;
	return 0;
}

static void judge_plain(struct pass *pass, const struct view *view, const struct trace_item *item)
{
	const char *why = view_forbids_expunge(view);
	cleanup(uid_set_free) struct uid_set set = {0};
	uint32_t uid;

	if (!view->enabled_qresync)
		oracle_breach(pass->context, "I15", pass->judgement, "imap vanished not-enabled",
			item->line, "VANISHED was sent to a session that never enabled QRESYNC");
	if (why)
		oracle_breach(pass->context, "I15", pass->judgement, "imap vanished forbidden",
			item->line, "VANISHED was sent while %s was in progress", why);
	if (!view->sure || view->unknown ||
		uid_set_parse(&set, trace_text(pass->walk.trace, item->text), 0))
		return;
	uid = not_shown(view, &set);
	if (uid)
		oracle_breach(pass->context, "I15", pass->judgement, "imap vanished not-shown",
			item->line, "VANISHED names UID %u, which the session was not shown", uid);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.context = context, .judgement = ret};

	imap_walk_begin(&pass.walk, history);
	for (const struct trace_item *item; (item = imap_walk_next(&pass.walk));) {
		const struct view *view = walk_view(&pass.walk, item);

		if (!view || !view->mailbox)
			continue;
		if (item->kind == TRACE_EXPUNGE && view->enabled_qresync && !view->selecting) {
			oracle_breach(context, "I15", ret, "imap expunge enabled", item->line,
				"EXPUNGE was sent to a session that enabled QRESYNC");
		} else if (item->kind == TRACE_VANISHED) {
			judgement_holds(ret);
			if (!item->earlier)
				judge_plain(&pass, view, item);
			else if (!asked_for_earlier(view))
				oracle_breach(context, "I15", ret, "imap vanished earlier",
					item->line,
					"VANISHED (EARLIER) answers neither SELECT with QRESYNC "
					"nor "
					"UID FETCH with VANISHED");
		}
	}
	imap_walk_end(&pass.walk);
}

const struct oracle oracle_i15 = {
	.law = "I15",
	.name = "VANISHED",
	.summary =
		"VANISHED without EARLIER names only UIDs that the session was shown, never where "
		"EXPUNGE is forbidden; EARLIER answers SELECT QRESYNC or UID FETCH VANISHED",
	.source = "RFC 7162 3.2.10, 3.2.5, 3.2.6",
	.judge = judge,
};
