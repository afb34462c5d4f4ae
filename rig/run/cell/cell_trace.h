/*
 * What an IMAP session said and was told, into the history (kind `imap`). One tracer a connection, on
 * the session's thread. Untagged responses are gathered into one line as long as nothing is sent and
 * no tagged reply comes; tracer_flush() ends it, so that a later one gets its own time.
 */
#pragma once

#include "run/cell/cell_core.h"

struct tracer {
	struct cell *cell;
	uint64_t number; /* of the session; 0: not open */
	json_t *told;	 /* gathered, or NULL */
	size_t told_bytes;
	int64_t told_ns;
	struct imap_watch watch;
};

/* From now on, until the connection is over. `imap` is logged in. */
void tracer_open(struct tracer *tracer, struct cell *cell, struct imap *imap, const char *who,
	const char *user);
void tracer_flush(struct tracer *tracer);
