/*
 * The files of Maildirs as the looks of a history saw them: the facts that the laws M1 to M4 share. Built
 * from `file` and `look` events (api/history.h), owned by the caller, immutable afterwards. Pure; linear in
 * the files listed. A history is hostile: a file of a look that was never finished is left out.
 */
#pragma once

#include "api/ledger.h"

struct maildir_file {
	uint32_t user, folder, base, info, token, sha; /* texts, 0: none */
	uint32_t name; /* index: of this base name in this folder of this user */
	uint32_t line;
	uint64_t bytes;
	bool whole; /* its header ends */
};

struct maildir_look {
	double t;
	uint32_t line;
	bool running;
	size_t first, count; /* of files */
};

struct maildirs {
	struct intern texts;
	struct maildir_file *files;
	struct maildir_look *looks; /* in their order */
	size_t file_count, look_count, name_count;
};

void maildirs_build(const struct history *history, struct maildirs *ret);
void maildirs_free(struct maildirs *dirs); /* what it holds */

static inline const char *maildir_text(const struct maildirs *dirs, uint32_t id)
{
	return intern_text(&dirs->texts, id);
}

/* What a file is, next to what was sent (COPY_DAMAGED: not a whole message). A file without token is
 * damaged if not even its header is whole, else COPY_UNSURE. */
enum copy_state maildir_state(const struct maildirs *dirs, const struct ledger *ledger,
	const struct ledger *baseline, const struct maildir_file *file);

/* The line of the first crash (a death by signal, a fault that kills), 0: there was none. */
uint32_t maildir_crash_line(const struct history *history);
