/*
 * Real mail: a folder of message files, as `make corpus` fills it from packaged test corpora
 * (FOLDER/PACKAGE/FILE, one message each). Read once into a sorted list of names; the messages themselves are
 * read when they are asked for. What the files hold is hostile: sizes and their number are bounded, links
 * are not followed, and no byte of a message is understood.
 *
 * A corpus that is open does not change and may be used by many threads.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

#define CORPUS_FILES_MAX   20000
#define CORPUS_MESSAGE_MAX (16u << 20) /* bytes; larger files are left out */

struct corpus;

/* Where `make corpus` leaves it, below the rig's cache. Caller frees. */
char *corpus_default_dir(void);

/* -ENOENT where the folder holds no message. */
int corpus_open(struct corpus **ret, const char *dir, struct err *err);
void corpus_close(struct corpus *corpus);

size_t corpus_count(const struct corpus *corpus);

/* Message `index % count`: its bytes are added to `out`; the name ("PACKAGE/FILE") is the corpus's. */
int corpus_read(const struct corpus *corpus, size_t index, struct buf *out, const char **ret_name,
	struct err *err);
