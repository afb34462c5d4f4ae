/* M2: a base name in a folder is one message's for ever. */
#include "api/maildir.h"
#include "api/oracle.h"

#include "base/buf.h"

/* Are these two files different messages? Unknown where one's header was cut before its token. */
static bool differ(const struct maildir_file *a, const struct maildir_file *b)
{
	if (a->token && b->token)
		return a->token != b->token;
	return a->whole && b->whole && (a->token || b->token || a->sha != b->sha);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct maildir_file **first;
	struct maildirs dirs;

	maildirs_build(history, &dirs);
	first = mem_zero(dirs.name_count, sizeof(*first));
	for (size_t i = 0; i < dirs.file_count; i++) {
		const struct maildir_file *file = &dirs.files[i], *before = first[file->name];

		if (!before) {
			first[file->name] = file;
			judgement_holds(ret);
			continue;
		}
		if (differ(before, file) &&
			oracle_breach(context, "M2", ret, "maildir name reused", file->line,
				"the name '%s' in folder '%s' of '%s' stands for another message "
				"than before",
				maildir_text(&dirs, file->base), maildir_text(&dirs, file->folder),
				maildir_text(&dirs, file->user)))
			judgement_line(ret, before->line);
		/* One that was cut short says less than a later look. */
		if (!before->token && !before->whole)
			first[file->name] = file;
	}
	free(first);
	maildirs_free(&dirs);
}

const struct oracle oracle_m2 = {
	.law = "M2",
	.name = "names are not reused",
	.summary = "within a folder a Maildir base name stands for one message for ever",
	.source = "maildir(5)",
	.judge = judge,
};
