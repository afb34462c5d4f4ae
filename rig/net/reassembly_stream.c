#include "net/reassembly_priv.h"

#include "base/buf.h"

#define UNWRAP_BASE (UINT64_C(1) << 32) /* so that unwrapped numbers are never 0 nor negative */

void stream_open(struct reassembly *r, struct conn *conn)
{
	if (!conn->told)
		r->ops.open(r->arg, &conn->flow, conn->last_ns);
	conn->told = true;
	for (int side = 0; side < 2; side++) {
		if (conn->half[side].guessed) /* how much went before is not known */
			r->ops.gap(r->arg, &conn->flow, (enum flow_side)side, 0, conn->last_ns);
		conn->half[side].guessed = false;
	}
}

/* Time never falls within a connection: what waited is told when it could first be read. */
void stream_tell(struct reassembly *r, struct conn *conn, enum flow_side side, const uint8_t *bytes,
	size_t len, int64_t ns)
{
	struct half *half = &conn->half[side];

	if (ns > conn->last_ns)
		conn->last_ns = ns;
	half->next += len;
	r->ops.data(r->arg, &conn->flow, side, bytes, len, conn->last_ns);
}

static void tell_gap(struct reassembly *r, struct conn *conn, enum flow_side side, uint64_t to)
{
	struct half *half = &conn->half[side];
	uint64_t missing = to - half->next;

	half->next = to;
	if (missing)
		r->ops.gap(r->arg, &conn->flow, side, missing, conn->last_ns);
}

uint64_t stream_unwrap(const struct half *half, uint32_t seq)
{
	int32_t ahead = (int32_t)(seq - (uint32_t)half->next);

	return half->next + (uint64_t)(int64_t)ahead;
}

void stream_begin(struct half *half, uint32_t seq)
{
	half->start = half->next = UNWRAP_BASE + seq;
}

static struct held *pop(struct reassembly *r, struct half *half)
{
	size_t before = half->held.bytes;
	struct held *held = held_pop(&half->held);

	r->held_bytes -= before - half->held.bytes;
	return held;
}

static void drop_held(struct reassembly *r, struct half *half)
{
	r->held_bytes -= half->held.bytes;
	held_clear(&half->held);
}

/* Whether the first that waits may be told now. */
static bool ready(const struct conn *conn, enum flow_side side)
{
	const struct held *first = conn->half[side].held.head;

	return first && first->seq <= conn->half[side].next &&
	       (!first->ack || first->ack <= conn->half[!side].next);
}

static bool advance_half(struct reassembly *r, struct conn *conn, enum flow_side side)
{
	struct half *half = &conn->half[side];
	bool moved = false;

	while (ready(conn, side)) {
		struct held *held = pop(r, half);
		uint64_t end = held->seq + held->len;

		if (half->fin && end > half->fin)
			end = half->fin;
		if (end > half->next)
			stream_tell(r, conn, side, held->data + (half->next - held->seq),
				(size_t)(end - half->next), held->ns);
		free(held);
		moved = true;
	}
	if (half->fin && half->next == half->fin && !half->closed) {
		half->closed = true;
		half->next++;	    /* FIN takes a sequence number */
		drop_held(r, half); /* beyond the end */
		r->ops.fin(r->arg, &conn->flow, side, conn->last_ns);
		moved = true;
	}
	return moved;
}

void stream_advance(struct reassembly *r, struct conn *conn)
{
	bool client, server;

	do {
		client = advance_half(r, conn, FLOW_CLIENT);
		server = advance_half(r, conn, FLOW_SERVER);
	} while (client || server);
}

/* Give up on what is missing in front: one hole, or one wait for the other side. */
static void skip(struct reassembly *r, struct conn *conn, enum flow_side side)
{
	struct half *half = &conn->half[side];
	struct held *first = half->held.head;
	const struct held *waits = conn->half[!side].held.head;
	uint64_t to = first ? first->seq : half->acked;

	if (half->acked > half->next && half->acked < to)
		to = half->acked; /* the rest of the hole may still be sent again */
	if (waits && waits->seq <= conn->half[!side].next && waits->ack > half->next &&
		waits->ack < to)
		to = waits->ack; /* then it is the other side's turn */

	if (first && first->seq <= half->next) {
		first->ack = 0;
	} else {
		if (half->fin && to > half->fin)
			to = half->fin;
		if (to > half->next)
			tell_gap(r, conn, side, to);
	}
	stream_advance(r, conn);
}

static bool missing(const struct half *half)
{
	return half->held.head || (half->acked > half->next && !half->closed);
}

/* The connection ends: no more bytes will come to fill a hole. Holes first, waits after. */
void stream_flush(struct reassembly *r, struct conn *conn)
{
	while (missing(&conn->half[0]) || missing(&conn->half[1])) {
		enum flow_side side = FLOW_CLIENT;
		const struct held *first = conn->half[side].held.head;

		if (!missing(&conn->half[side]) || (first && first->seq <= conn->half[side].next &&
							   missing(&conn->half[FLOW_SERVER])))
			side = FLOW_SERVER;
		skip(r, conn, side);
	}
}

void stream_look_for_gaps(struct reassembly *r, struct conn *conn, int64_t ns)
{
	for (int side = 0; side < 2; side++) {
		struct half *half = &conn->half[side];

		if (half->behind_ns && ns - half->behind_ns >= GAP_WAIT_NS)
			while (half->next < half->behind_to && !half->closed)
				skip(r, conn, side);
		if (half->closed || half->next >= half->behind_to)
			half->behind_ns = 0;
		if (!half->closed && !half->behind_ns && half->acked > half->next) {
			half->behind_ns = ns ? ns : 1;
			half->behind_to = half->acked;
		}
	}
}

void stream_hold(struct reassembly *r, struct conn *conn, enum flow_side side,
	const struct held *segment, const uint8_t *data)
{
	struct half *half = &conn->half[side];
	size_t before, cost = HELD_COST(segment->len);

	while (half->held.head && (half->held.bytes + cost > FLOW_HELD_MAX ||
					  half->held.count + 1 > FLOW_SEGMENTS_MAX ||
					  r->held_bytes + cost > HELD_MAX))
		skip(r, conn, side);
	if (segment->seq + segment->len <= half->next)
		return;
	if (!half->held.head && r->held_bytes + cost > HELD_MAX && segment->seq > half->next)
		tell_gap(r, conn, side, segment->seq);
	before = half->held.bytes;
	if (held_add(&half->held, segment, data))
		conn->flow.overlaps++;
	r->held_bytes += half->held.bytes - before;
}
