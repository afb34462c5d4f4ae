/*
 * What the two parts of the reassembly share: the life of a connection (reassembly.c) and the streams of its
 * two directions (reassembly_stream.c).
 */
#pragma once

#include "net/flow_table.h"

struct reassembly {
	struct reassembly_ops ops;
	void *arg;
	struct flow_table table;
	uint64_t ids;
	size_t held_bytes;
};

/* The connection is there: tell it, and that the beginning of a direction is missing if it is. */
void stream_open(struct reassembly *r, struct conn *conn);
void stream_tell(struct reassembly *r, struct conn *conn, enum flow_side side, const uint8_t *bytes,
	size_t len, int64_t ns);

/* Sequence numbers as 64 bits near what was last told. */
uint64_t stream_unwrap(const struct half *half, uint32_t seq);
void stream_begin(struct half *half, uint32_t seq);

/* Keep a segment until its turn comes, whatever must be given up for the room it takes. */
void stream_hold(struct reassembly *r, struct conn *conn, enum flow_side side,
	const struct held *segment, const uint8_t *data);

/* Tell all that may be told now. */
void stream_advance(struct reassembly *r, struct conn *conn);

/* Give up the holes that were acknowledged GAP_WAIT_NS ago. */
void stream_look_for_gaps(struct reassembly *r, struct conn *conn, int64_t ns);

/* No more segments will come: tell all, with gaps for what is missing. */
void stream_flush(struct reassembly *r, struct conn *conn);
