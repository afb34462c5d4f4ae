/* M1: whoever looks into a mailbox sees whole messages only. */
#include "api/maildir.h"
#include "api/oracle.h"

static void judge_file(const struct maildirs *dirs, const struct history *history,
	const struct oracle_context *context, struct judgement *ret,
	const struct maildir_file *file)
{
	const struct ledger *baseline = context->baseline ? context->baseline->ledger : NULL;
	enum copy_state state = maildir_state(dirs, history->ledger, baseline, file);
	const char *user = maildir_text(dirs, file->user), *base = maildir_text(dirs, file->base);

	if (state == COPY_INTACT)
		judgement_holds(ret);
	else if (state == COPY_DAMAGED)
		oracle_breach(context, "M1", ret, "maildir partial", file->line,
			"the file '%s' of '%s' was there with %llu bytes and is no whole message",
			base, user, (unsigned long long)file->bytes);
	else if (file->token)
		judgement_cannot_tell(ret, file->line,
			"the file '%s' of '%s' has nothing to be compared with: the baseline has "
			"no "
			"such message",
			base, user);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	uint32_t crash = maildir_crash_line(history);
	struct maildirs dirs;

	maildirs_build(history, &dirs);
	for (size_t l = 0; l < dirs.look_count; l++) {
		const struct maildir_look *look = &dirs.looks[l];

		/* What a crash leaves behind is for M4. */
		for (size_t i = 0; i < look->count && !(crash && crash < look->line); i++)
			judge_file(&dirs, history, context, ret, &dirs.files[look->first + i]);
	}
	maildirs_free(&dirs);
}

const struct oracle oracle_m1 = {
	.law = "M1",
	.name = "no partial message",
	.summary = "no file in new/ or cur/ is ever seen with less than a whole message in it",
	.source = "maildir(5)",
	.judge = judge,
};
