/*
 * Known findings (tests/known.yaml): a known one does not turn the night red, until its date. Loaded
 * whole, immutable; known_list_free() releases it.
 */
#pragma once

#include "api/verdict.h"
#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>

#define KNOWN_MAX 1000

struct known {
	char *signature; /* "exhaustion-a41f0c92" */
	char *target;
	char *reason;
	char *link;  /* or NULL */
	char *until; /* YYYY-MM-DD, the last day on which it is known */
	int line;
};

struct known_list {
	struct known *at;
	size_t count;
};

/* As scenario_load(). A file that is not there is -ENOENT. */
int known_load(const char *path, struct buf *complaints, struct known_list *ret, struct err *err);
int known_parse(const char *file, const char *text, size_t len, struct buf *complaints,
	struct known_list *ret, struct err *err);
void known_list_free(struct known_list *list);

/* The entry for this finding on `today` (YYYY-MM-DD), or NULL: not listed, or its date has passed. */
const struct known *known_find(const struct known_list *list, const char *signature,
	const char *target, const char *today);

/* Each finding of the result, and there is one, is listed, and today (UTC) is not past its date. `list` may be NULL. */
bool known_covers(const struct known_list *list, const struct result *result);
