/* M3: a change of flags renames one file: it neither loses nor doubles it. */
#include "api/maildir.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <string.h>

struct pass {
	const struct history *history;
	const struct oracle_context *context;
	struct judgement *judgement;
	struct maildirs dirs;
	uint32_t *seen;	 /* by name: 1 + the last look that has it */
	uint64_t *spent; /* per ledger_who */
};

static const struct ledger_who *who_of(const struct pass *pass, const struct maildir_file *file)
{
	const char *user = maildir_text(&pass->dirs, file->user);
	const struct ledger *ledger = pass->history->ledger;
	uint32_t id = intern_find(&ledger->texts, user, strlen(user));

	return id ? ledger_who(ledger, id) : NULL;
}

/* Did a client change flags of this user's messages between these two moments? */
static bool flags_changed(
	const struct pass *pass, const struct maildir_file *file, double from, double to)
{
	const struct ledger *ledger = pass->history->ledger;
	const char *user = maildir_text(&pass->dirs, file->user);
	uint32_t id = intern_find(&ledger->texts, user, strlen(user));

	for (size_t i = 0; id && i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];

		if (op->user == id && strstr(ledger_text(ledger, op->op), "store") &&
			op->begin < to && !(op->end < from))
			return true;
	}
	return false;
}

/* Removed by the rig, or perhaps: by name, or one of so many nameless ones. */
static bool excused(struct pass *pass, const struct maildir_file *file)
{
	const struct ledger_who *who = who_of(pass, file);
	const struct ledger *ledger = pass->history->ledger;
	const char *token = maildir_text(&pass->dirs, file->token);
	const struct ledger_mail *mail = *token ? ledger_mail(ledger, token) : NULL;
	const struct ledger_rcpt *rcpt;

	if (!who)
		return false;
	if (who->flags & (WHO_REMOVED_ALL | WHO_MULTIPLIED))
		return true;
	rcpt = ledger_rcpt_of(ledger, mail, who->address);
	if (rcpt && rcpt->removed)
		return true;
	return pass->spent[who - ledger->whos]++ < who->removed;
}

/* The same base name twice in one folder at one instant. */
static void judge_doubles(struct pass *pass, size_t l)
{
	const struct maildir_look *look = &pass->dirs.looks[l];

	for (size_t i = look->first; i < look->first + look->count; i++) {
		const struct maildir_file *file = &pass->dirs.files[i];

		if (pass->seen[file->name] == l + 1)
			oracle_breach(pass->context, "M3", pass->judgement, "maildir doubled",
				file->line,
				"the file '%s' of '%s' is there twice, with different flags",
				maildir_text(&pass->dirs, file->base),
				maildir_text(&pass->dirs, file->user));
		pass->seen[file->name] = (uint32_t)l + 1;
		if (file->info)
			judgement_holds(pass->judgement);
	}
}

/* What the look before had, nobody removed, and a change of flags may have lost. */
static void judge_losses(struct pass *pass, size_t l)
{
	const struct maildir_look *look = &pass->dirs.looks[l], *before = look - 1;

	for (size_t i = before->first; i < before->first + before->count; i++) {
		const struct maildir_file *file = &pass->dirs.files[i];

		if (pass->seen[file->name] == l + 1)
			continue;
		if (excused(pass, file)) {
			pass->judgement->excused++;
			continue;
		}
		if (flags_changed(pass, file, before->t, look->t) &&
			oracle_breach(pass->context, "M3", pass->judgement, "maildir lost",
				look->line,
				"the file '%s' of '%s' is gone after a change of flags, and nobody "
				"removed it",
				maildir_text(&pass->dirs, file->base),
				maildir_text(&pass->dirs, file->user)))
			judgement_line(pass->judgement, file->line);
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

	maildirs_build(history, &pass.dirs);
	pass.seen = mem_zero(pass.dirs.name_count, sizeof(uint32_t));
	for (size_t l = 0; l < pass.dirs.look_count; l++) {
		judge_doubles(&pass, l);
		if (l)
			judge_losses(&pass, l);
	}
	free(pass.seen);
	free(pass.spent);
	maildirs_free(&pass.dirs);
}

const struct oracle oracle_m3 = {
	.law = "M3",
	.name = "flags keep the count",
	.summary = "a change of flags neither loses nor doubles a file of the Maildir",
	.source = "maildir(5), RFC 9051 2.3.2",
	.judge = judge,
};
