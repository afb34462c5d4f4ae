/*
 * Does a hang end by itself, after how long, and by what? What the events of a branch with skipped idle
 * time (vm/warp.h) say about it.
 *
 * An answer on a connection that owed one, or its end, is the recovery: that is what a client sees. A watched
 * thread that leaves its wait, or ends, shortly before is its cause, and dates it: from the moment at which
 * that wait began. Where nothing is owed, the thread is all there is. A thread that moves on and serves
 * nobody within ADJUDICATE_GRACE_S has recovered nothing.
 *
 * Pure: no I/O, no clock. Events may come from another thread than the result is asked from, not at
 * the same time.
 */
#pragma once

#include "api/target.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ADJUDICATE_HOST_MS \
	120000 /* host time for all hangs of a cell; what was not seen by then is not judged */
#define ADJUDICATE_GRACE_S   120 /* guest time between a cause and what comes of it */
#define ADJUDICATE_LATE_S    1	 /* after an answer: whoever gave it has gone to sleep by then */
#define ADJUDICATE_FIRST_S   (3 * 3600) /* doubled, up to the limit */
#define ADJUDICATE_LIMIT_S   (6 * 3600) /* unless the store has longer timers of its own */
#define ADJUDICATE_LIMIT_MAX (48 * 3600)

struct adjudication {
	size_t owed;   /* connections that are watched */
	double owed_s; /* how long the oldest of them had been owed an answer at the save */
	const json_t *
		tasks; /* "tasks" of witness_wire.h's `watch`, of the machine that was saved; borrowed */

	bool caused, answered;
	double cause_s, waited_s, answer_s; /* after the save; of the cause before it */
	char *cause, *answer;
};

void adjudication_free(struct adjudication *a); /* what it holds */

/* Guest seconds from the save that are worth trying: the store's own timers, and a fifth more. */
double adjudication_limit_s(const struct timers *timers);

/* Whether a server that said this has answered nobody: untagged OK, NO and BAD of IMAP tell how it is (RFC 3501,
 * 7.1), the command's own reply is still to come. Not for a greeting. */
bool adjudication_informs(const char *text);

/* True once nothing more needs to be known. */
bool adjudication_event(
	struct adjudication *a, const char *name, const json_t *json, int64_t elapsed_ns);

/* The keys recovery, after_guest_s, event and answer_s of history.h's `adjudged`; `guest_s` have passed, and
 * `stopped` says why no more did, or is NULL: the limit was reached. New reference. */
json_t *adjudication_result(const struct adjudication *a, double guest_s, const char *stopped);
