/*
 * TCP connections and their byte streams, from segments (RFC 9293).
 *
 * In order and without a copy where the capture allows it. Retransmissions are dropped, reordered
 * segments wait for their turn, of overlapping bytes the first seen win (`overlaps` counts where new
 * and old met in one segment). A segment that acknowledges bytes of the other side not yet seen waits for
 * them too, so that a reply never overtakes its command, however the capture was shuffled.
 *
 * Bytes that never come are a gap: an event, never a guess. A hole becomes a gap when the receiver has
 * acknowledged it and GAP_WAIT_NS have passed, when the connection ends, or when a limit is reached.
 *
 * Memory is bounded: FLOWS_MAX connections (first the half-open, then the longest idle give way), of
 * which CLOSED_MAX ended ones; FLOW_HELD_MAX bytes and FLOW_SEGMENTS_MAX segments waiting in one
 * direction, HELD_MAX bytes over all. Times are nanoseconds of the caller's clock and never fall within
 * one connection. One thread; callbacks come from inside reassembly_segment() and reassembly_finish()
 * and must not call back in. Each flow gets `open` once before anything else and `close` once at the end.
 */
#pragma once

#include "net/decode.h"

#define FLOWS_MAX	  65536
#define CLOSED_MAX	  4096 /* remembered for what comes late */
#define FLOW_HELD_MAX	  (4u << 20)
#define FLOW_SEGMENTS_MAX 4096
#define HELD_MAX	  (64u << 20)
#define ACK_AHEAD_MAX	  (1u << 20) /* one further ahead needs data to back it */
#define GAP_WAIT_NS	  INT64_C(200000000)

enum flow_side { FLOW_CLIENT, FLOW_SERVER }; /* who sent */

enum flow_end {
	FLOW_FIN,	  /* both sides closed */
	FLOW_RESET,	  /* RST */
	FLOW_REFUSED,	  /* RST instead of SYN-ACK */
	FLOW_HALF_OPEN,	  /* the SYN was never answered */
	FLOW_HALF_CLOSED, /* the capture ended after one side's FIN */
	FLOW_OPEN,	  /* the capture ended first */
	FLOW_REUSED,	  /* the same ports began a new connection */
	FLOW_LIMIT,	  /* given up at FLOWS_MAX */
};
const char *flow_end_name(enum flow_end end); /* "fin" "reset" ... "limit" */

struct flow {
	uint64_t id;		 /* 1.. in the order of first sight */
	struct endpoint side[2]; /* by enum flow_side */
	int64_t first_ns;	 /* its first segment */
	bool midstream;		 /* it was open before the capture began */
	bool established;	 /* the handshake was answered, or data flowed */
	bool client_reset;	 /* it ended by a reset of its client */
	uint32_t overlaps;
	void *user; /* the callbacks' own */
};

struct reassembly_ops {
	void (*open)(void *arg, struct flow *flow, int64_t ns);
	void (*data)(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
		size_t len, int64_t ns);
	/* `bytes` 0: an unknown number, at the beginning: the answer to the SYN was not captured. */
	void (*gap)(void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns);
	void (*fin)(void *arg, struct flow *flow, enum flow_side from,
		int64_t ns); /* no more from there */
	void (*close)(void *arg, struct flow *flow, enum flow_end end, int64_t ns);
	/* Whether a service is known at this port: tells client from server where the SYN is missing. */
	bool (*is_server)(void *arg, const struct endpoint *endpoint);
	void (*finish)(
		void *arg); /* after the last `close` of reassembly_finish(); NULL: nothing */
};

struct reassembly;

struct reassembly *reassembly_new(const struct reassembly_ops *ops, void *arg);
void reassembly_free(
	struct reassembly *reassembly); /* tells nothing; call reassembly_finish() first */
void reassembly_segment(struct reassembly *reassembly, const struct segment *segment, int64_t ns);
void reassembly_finish(
	struct reassembly *reassembly); /* the capture is over: close all that is open */

struct reassembly_stats {
	size_t flows;	   /* in memory, the ended ones that are remembered included */
	size_t held_bytes; /* waiting out of order */
};
struct reassembly_stats reassembly_stats(const struct reassembly *reassembly);
