#include "net/reassembly.h"

#include "base/buf.h"
#include "net/reassembly_priv.h"

#define RST_NEAR  (1 << 20)  /* a reset further from the stream than this is stale or forged */
#define LATE_NEAR (16 << 20) /* what comes this near after the end belongs to what ended */

const char *flow_end_name(enum flow_end end)
{
	static const char *const names[] = {
		[FLOW_FIN] = "fin",
		[FLOW_RESET] = "reset",
		[FLOW_REFUSED] = "refused",
		[FLOW_HALF_OPEN] = "half-open",
		[FLOW_HALF_CLOSED] = "half-closed",
		[FLOW_OPEN] = "open",
		[FLOW_REUSED] = "reused",
		[FLOW_LIMIT] = "limit",
	};

	return names[end];
}

struct reassembly *reassembly_new(const struct reassembly_ops *ops, void *arg)
{
	struct reassembly *r = mem_zero(1, sizeof(*r));

	r->ops = *ops;
	r->arg = arg;
	flow_table_init(&r->table);
	return r;
}

void reassembly_free(struct reassembly *r)
{
	if (!r)
		return;
	flow_table_free(&r->table);
	free(r);
}

struct reassembly_stats reassembly_stats(const struct reassembly *r)
{
	return (struct reassembly_stats){.flows = r->table.count, .held_bytes = r->held_bytes};
}

static void establish(struct reassembly *r, struct conn *conn)
{
	conn->flow.established = true;
	flow_table_touch(&r->table, conn, CONN_OPEN);
	stream_open(r, conn);
}

/* ---- ending ---- */

static void end(struct reassembly *r, struct conn *conn, enum flow_end how)
{
	if (conn->state == CONN_CLOSED)
		return;
	stream_open(r, conn);
	stream_flush(r, conn);
	r->ops.close(r->arg, &conn->flow, how, conn->last_ns);
	flow_table_touch(&r->table, conn, CONN_CLOSED);
}

static enum flow_end how_left(const struct conn *conn)
{
	if (conn->state == CONN_SYN)
		return FLOW_HALF_OPEN;
	if (conn->half[0].closed && conn->half[1].closed)
		return FLOW_FIN;
	return conn->half[0].closed || conn->half[1].closed ? FLOW_HALF_CLOSED : FLOW_OPEN;
}

void reassembly_finish(struct reassembly *r)
{
	for (int state = CONN_SYN; state <= CONN_OPEN; state++)
		while (r->table.list[state].oldest) {
			struct conn *conn = r->table.list[state].oldest;

			stream_open(r, conn);
			stream_flush(r, conn);
			end(r, conn, how_left(conn));
		}
	if (r->ops.finish)
		r->ops.finish(r->arg);
}

static void make_room(struct reassembly *r)
{
	const struct conn_list *list = r->table.list;
	struct conn *conn = list[CONN_CLOSED].oldest;

	if (list[CONN_CLOSED].count > CLOSED_MAX) {
		flow_table_remove(&r->table, conn);
		return;
	}
	if (r->table.count < FLOWS_MAX)
		return;
	if (!conn)
		conn = list[CONN_SYN].oldest;
	if (!conn)
		conn = list[CONN_OPEN].oldest;
	end(r, conn, conn->state == CONN_SYN ? FLOW_HALF_OPEN : FLOW_LIMIT);
	flow_table_remove(&r->table, conn);
}

/* ---- beginning ---- */

static struct conn *begin(struct reassembly *r, const struct endpoint *client,
	const struct endpoint *server, enum conn_state state, int64_t ns)
{
	struct conn *conn;

	make_room(r);
	conn = flow_table_add(&r->table, client, server, state);
	conn->flow.id = ++r->ids;
	conn->flow.first_ns = conn->last_ns = ns;
	return conn;
}

static struct conn *begin_midstream(struct reassembly *r, const struct segment *seg, int64_t ns)
{
	bool to_server = r->ops.is_server(r->arg, &seg->dst);
	struct conn *conn;

	if (!to_server && !r->ops.is_server(r->arg, &seg->src))
		to_server = seg->dst.port <= seg->src.port;
	conn = to_server ? begin(r, &seg->src, &seg->dst, CONN_OPEN, ns)
			 : begin(r, &seg->dst, &seg->src, CONN_OPEN, ns);
	conn->flow.midstream = true;
	return conn;
}

static struct conn *begin_syn(struct reassembly *r, const struct segment *seg, int64_t ns)
{
	struct conn *conn;

	if (!(seg->flags & TCP_ACK)) {
		conn = begin(r, &seg->src, &seg->dst, CONN_SYN, ns);
		stream_begin(&conn->half[FLOW_CLIENT], seg->seq + 1);
		return conn;
	}
	conn = begin(r, &seg->dst, &seg->src, CONN_OPEN, ns);
	stream_begin(&conn->half[FLOW_CLIENT], seg->ack);
	stream_begin(&conn->half[FLOW_SERVER], seg->seq + 1);
	return conn;
}

static enum flow_side side_of(const struct conn *conn, const struct segment *seg)
{
	return __builtin_memcmp(&conn->flow.side[FLOW_CLIENT], &seg->src, sizeof(seg->src))
		       ? FLOW_SERVER
		       : FLOW_CLIENT;
}

/* Whether the segment is the first of another connection between the same endpoints. */
static bool begins_another(const struct conn *conn, const struct segment *seg)
{
	const struct half *half = &conn->half[side_of(conn, seg)];

	if (seg->flags & TCP_SYN)
		return half->start && (uint32_t)half->start != seg->seq + 1;
	if (conn->state != CONN_CLOSED || !seg->len || seg->flags & TCP_RST || !half->next)
		return false;
	return llabs((int64_t)(stream_unwrap(half, seg->seq) - half->next)) > LATE_NEAR;
}

static struct conn *find_or_begin(struct reassembly *r, const struct segment *seg, int64_t ns)
{
	struct conn *conn = flow_table_find(&r->table, &seg->src, &seg->dst);

	if (conn && begins_another(conn, seg)) {
		end(r, conn, FLOW_REUSED);
		flow_table_remove(&r->table, conn);
		conn = NULL;
	}
	if (conn || seg->flags & TCP_RST)
		return conn;
	if (seg->flags & TCP_SYN)
		return begin_syn(r, seg, ns);
	return seg->len ? begin_midstream(r, seg, ns) : NULL;
}

/* ---- one segment ---- */

/* Note what the segment acknowledges. Returns what has to be seen first, 0 if it was. */
static uint64_t note_ack(struct conn *conn, enum flow_side side, const struct segment *seg)
{
	struct half *other = &conn->half[!side];
	const struct held *tail = other->held.tail;
	uint64_t ack;

	if (!(seg->flags & TCP_ACK))
		return 0;
	if (!other->next) {
		stream_begin(other, seg->ack);
		other->guessed = !conn->flow.midstream;
		return 0;
	}
	ack = stream_unwrap(other, seg->ack);
	if (ack <= other->next)
		return 0;
	if (ack - other->next > ACK_AHEAD_MAX && !(tail && ack <= tail->seq + tail->len + 1))
		return 0;
	if (ack > other->acked)
		other->acked = ack;
	return other->closed ? 0 : ack;
}

static void on_reset(struct reassembly *r, struct conn *conn, const struct segment *seg)
{
	enum flow_side side = side_of(conn, seg);
	const struct half *half = &conn->half[side];

	if (conn->state == CONN_SYN) {
		end(r, conn, side == FLOW_SERVER ? FLOW_REFUSED : FLOW_RESET);
	} else if (conn->state == CONN_OPEN) {
		if (!half->next ||
			llabs((int64_t)(stream_unwrap(half, seg->seq) - half->next)) <= RST_NEAR) {
			note_ack(conn, side,
				seg); /* what it has seen and the capture has not is a gap */
			conn->flow.client_reset = side == FLOW_CLIENT;
			end(r, conn, FLOW_RESET);
		}
	}
}

static void on_payload(struct reassembly *r, struct conn *conn, enum flow_side side,
	const struct segment *seg, uint64_t ack, int64_t ns)
{
	struct half *half = &conn->half[side];
	uint32_t first = seg->seq + (seg->flags & TCP_SYN ? 1 : 0);
	struct held held = {.ack = ack, .ns = ns, .len = seg->captured};
	const uint8_t *data = seg->data;

	if (!half->next)
		return;
	held.seq = stream_unwrap(half, first);
	if (seg->flags & TCP_FIN && !half->fin && held.seq + seg->len >= half->next)
		half->fin = held.seq + seg->len;
	if (half->fin && held.seq + held.len > half->fin)
		held.len = held.seq < half->fin ? (size_t)(half->fin - held.seq) : 0;
	if (half->closed || held.seq + held.len <= half->next || !held.len)
		return;
	if (held.seq < half->next) {
		size_t old = (size_t)(half->next - held.seq);

		conn->flow.overlaps++;
		held.seq += old;
		held.len -= old;
		data += old;
	}
	if (!conn->told && half->held.head)
		return; /* one segment of data with the SYN (RFC 7413) is enough to keep */
	if (conn->told && held.seq == half->next && !half->held.head && !ack)
		stream_tell(r, conn, side, data, held.len, ns);
	else
		stream_hold(r, conn, side, &held, data);
}

/* A SYN-ACK tells where the server's stream begins; any other answer shows that there was one. */
static void on_handshake(struct conn *conn, enum flow_side side, const struct segment *seg)
{
	struct half *half = &conn->half[side];
	bool answer =
		side == FLOW_SERVER ? seg->flags & TCP_SYN || seg->len : !(seg->flags & TCP_SYN);

	if (!half->next && seg->flags & TCP_SYN) {
		stream_begin(half, seg->seq + 1);
	} else if (!half->next && (seg->len || seg->flags & TCP_FIN)) {
		stream_begin(half, seg->seq);
		half->guessed = !conn->flow.midstream;
	}
	if (conn->state == CONN_SYN && answer)
		conn->flow.established = true;
}

void reassembly_segment(struct reassembly *r, const struct segment *seg, int64_t ns)
{
	struct conn *conn = find_or_begin(r, seg, ns);
	enum flow_side side;
	uint64_t ack;

	if (!conn || conn->state == CONN_CLOSED)
		return;
	if (ns > conn->last_ns)
		conn->last_ns = ns;
	if (seg->flags & TCP_RST) {
		on_reset(r, conn, seg);
		return;
	}
	side = side_of(conn, seg);
	on_handshake(conn, side, seg);
	ack = note_ack(conn, side, seg);
	flow_table_touch(&r->table, conn, conn->state);
	if (conn->state == CONN_OPEN || conn->flow.established)
		establish(r, conn);
	on_payload(r, conn, side, seg, ack, ns);
	if (!conn->told)
		return;
	stream_advance(r, conn);
	stream_look_for_gaps(r, conn, ns);
	if (conn->half[0].closed && conn->half[1].closed)
		end(r, conn, FLOW_FIN);
}
