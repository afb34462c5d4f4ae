/* M4: what a crash leaves in new/ and cur/ are whole messages. */
#include "api/maildir.h"
#include "api/oracle.h"

static void judge_file(const struct maildirs *dirs, const struct history *history,
	const struct oracle_context *context, struct judgement *ret,
	const struct maildir_file *file, uint32_t crash)
{
	const struct ledger *baseline = context->baseline ? context->baseline->ledger : NULL;
	const char *user = maildir_text(dirs, file->user), *base = maildir_text(dirs, file->base);

	switch (maildir_state(dirs, history->ledger, baseline, file)) {
	case COPY_INTACT:
		judgement_holds(ret);
		break;
	case COPY_DAMAGED:
		if (oracle_breach(context, "M4", ret, "maildir crash partial", file->line,
			    "after a crash the file '%s' of '%s' is there with %llu bytes and is "
			    "no "
			    "whole message",
			    base, user, (unsigned long long)file->bytes))
			judgement_line(ret, crash);
		break;
	case COPY_UNSURE:
		if (file->token)
			judgement_cannot_tell(ret, file->line,
				"the file '%s' of '%s' has nothing to be compared with: the "
				"baseline has no such message",
				base, user);
		break;
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	uint32_t crash = maildir_crash_line(history);
	struct maildirs dirs;

	if (!crash)
		return;
	maildirs_build(history, &dirs);
	for (size_t l = 0; l < dirs.look_count; l++) {
		const struct maildir_look *look = &dirs.looks[l];

		for (size_t i = 0; i < look->count && crash < look->line; i++)
			judge_file(
				&dirs, history, context, ret, &dirs.files[look->first + i], crash);
	}
	maildirs_free(&dirs);
}

const struct oracle oracle_m4 = {
	.law = "M4",
	.name = "a crash leaves whole messages",
	.summary = "after a crash every file in new/ and cur/ is a whole message",
	.source = "maildir(5)",
	.judge = judge,
};
