/* The rows of a timeline: what they share. Private to rig/report/story_timeline*.c. */
#pragma once

#include "report/story_parts.h"

#include <jansson.h>

#define KINDS_MAX 16

/* Answers that say the same of the same operation. */
struct alike {
	const char *outcome, *op, *text;
	size_t count;
	double last;
};

struct teller {
	struct buf *out;
	const struct history *history;
	const struct result *result;
	const struct finding *finding; /* the cell is called after it, or NULL */
	size_t op;		       /* of the ledger, the next that begins */
	const char *acting;	       /* whose actions are all told */
	int64_t depth;		       /* of the queue as told, -1: not yet */
	const json_t *figures;	       /* as told */
	bool onset_told, cycle_told, all_logs, settling;
	int lines;
	double read_at; /* of mailboxes that were read back and not yet told */
	int64_t readers, mailboxes, messages;
	struct alike alike[KINDS_MAX];
	size_t alike_count;
};

/* A line of the timeline, wrapped; none once there are too many. */
void timeline_row(struct teller *t, double at, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
const char *timeline_text(const struct event *event, const char *key); /* "": none */

/* story_timeline_store.c: what the store did and said; false: the event is none of that */
bool timeline_store(struct teller *t, const struct event *event);
void timeline_read_back(struct teller *t); /* what was read back so far, as one line */
