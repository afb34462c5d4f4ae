/*
 * The connections a reassembly remembers: found by their two endpoints, and kept in three lists by
 * state, least recently used first, so that the right one gives way at the limit. One thread. The hash
 * is seeded at random, so that nobody can aim at one bucket.
 */
#pragma once

#include "net/held.h"
#include "net/reassembly.h"

enum conn_state { CONN_SYN, CONN_OPEN, CONN_CLOSED, CONN_STATES };

/* One direction's stream. Sequence numbers are unwrapped to 64 bits; 0 stands for unknown. */
struct half {
	uint64_t start;	    /* the first byte */
	uint64_t next;	    /* all before it was told */
	uint64_t fin;	    /* where it ends */
	uint64_t acked;	    /* the other side claims to have all before this */
	int64_t behind_ns;  /* since when `acked` was seen ahead of `next`, 0: it is not */
	uint64_t behind_to; /* and how far it was ahead then */
	struct held_queue held;
	bool closed;
	bool guessed; /* `start` is no more than the first that was seen, though the SYN was too */
};

struct conn {
	struct flow flow; /* first: the callbacks' view */
	struct half half[2];
	enum conn_state state;
	bool told; /* `open` was called */
	int64_t last_ns;
	struct conn *bucket_next;
	struct conn *older, *newer;
};

struct conn_list {
	struct conn *oldest, *newest;
	size_t count;
};

struct flow_table {
	struct conn **buckets;
	uint64_t seed;
	size_t count;
	struct conn_list list[CONN_STATES];
};

void flow_table_init(struct flow_table *table);
void flow_table_free(struct flow_table *table);

/* The connection between two endpoints, whichever of them sent; NULL if there is none. */
struct conn *flow_table_find(
	const struct flow_table *table, const struct endpoint *a, const struct endpoint *b);
struct conn *flow_table_add(struct flow_table *table, const struct endpoint *client,
	const struct endpoint *server, enum conn_state state);
void flow_table_remove(struct flow_table *table, struct conn *conn); /* and free it */
void flow_table_touch(struct flow_table *table, struct conn *conn, enum conn_state state);
