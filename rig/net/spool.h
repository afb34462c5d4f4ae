/*
 * Texts that grow at the same time and are read once each, in bounded memory: of each at most
 * SPOOL_MEMORY_MAX bytes are in memory, the rest waits in one unlinked temporary file ($TMPDIR, /tmp).
 * One thread. A failed write or read is kept, and told by spool_error(); the text is then incomplete.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdio.h>
#include <sys/types.h>

#define SPOOL_MEMORY_MAX 8192

struct spool;

struct spooled {
	struct buf tail;
	struct spool_chunk *chunks; /* in the file, in order */
	size_t count, size;
};

struct spool *spool_new(void); /* the file is made when the first text needs it */
void spool_free(struct spool *spool);

/* To be called after adding to `text->tail`. */
void spool_trim(struct spool *spool, struct spooled *text);
void spool_print(struct spool *spool, struct spooled *text, FILE *out); /* and empty it */
void spooled_free(struct spooled *text);
int spool_error(const struct spool *spool, struct err *err); /* 0, or the first failure */
