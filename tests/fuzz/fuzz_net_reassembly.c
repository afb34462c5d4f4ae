/*
 * Reassembly alone, with segments that a fuzzer can aim: records of 6 bytes (connection and side, flags,
 * sequence and acknowledgement numbers as small offsets, length, time step). What is told must be
 * consistent: open first, close last, nothing after, each byte of a stream is the one its sequence
 * number stands for.
 */
#include "net/reassembly.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

#define CONNS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct watch {
	bool closed;
	int64_t last_ns;
	uint64_t at[2]; /* bytes told and skipped */
	bool based[2];
	uint8_t base[2];
};

static void on_open(void *arg, struct flow *flow, int64_t ns)
{
	struct watch *watch = mem_zero(1, sizeof(*watch));

	(void)arg;
	assert(!flow->user);
	watch->last_ns = ns;
	flow->user = watch;
}

static struct watch *watch_of(struct flow *flow, int64_t ns)
{
	struct watch *watch = flow->user;

	assert(watch && !watch->closed && ns >= watch->last_ns);
	watch->last_ns = ns;
	return watch;
}

/* A byte's value is the low byte of its sequence number. */
static void on_data(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
	size_t len, int64_t ns)
{
	struct watch *watch = watch_of(flow, ns);

	(void)arg;
	assert(len);
	if (!watch->based[from])
		watch->base[from] = (uint8_t)(bytes[0] - watch->at[from]);
	watch->based[from] = true;
	for (size_t i = 0; i < len; i++)
		assert(bytes[i] == (uint8_t)(watch->base[from] + watch->at[from] + i));
	watch->at[from] += len;
}

static void on_gap(void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns)
{
	(void)arg;
	watch_of(flow, ns)->at[from] += bytes;
}

static void on_fin(void *arg, struct flow *flow, enum flow_side from, int64_t ns)
{
	(void)arg;
	(void)from;
	watch_of(flow, ns);
}

static void on_close(void *arg, struct flow *flow, enum flow_end end, int64_t ns)
{
	(void)arg;
	(void)end;
	watch_of(flow, ns);
	free(flow->user);
	flow->user = NULL;
}

static bool is_server(void *arg, const struct endpoint *endpoint)
{
	(void)arg;
	return endpoint->port < 100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct reassembly_ops ops = {
		on_open, on_data, on_gap, on_fin, on_close, is_server, NULL};
	struct reassembly *r = reassembly_new(&ops, NULL);
	uint8_t payload[512];
	int64_t ns = 1;

	for (; size >= 6; data += 6, size -= 6) {
		bool server = data[0] & 4;
		struct endpoint ends[2] = {
			{.port = (uint16_t)(1000 + data[0] % CONNS), .family = 4},
			{.port = 25, .family = 4}};
		struct segment seg = {
			.src = ends[server],
			.dst = ends[!server],
			.seq = (uint32_t)(int8_t)data[2] * 3,
			.ack = (uint32_t)(int8_t)data[3] * 3,
			.flags = data[1] & 0x17,
			.data = payload,
			.len = data[4],
		};

		if (data[0] & 8)
			seg.seq += 1u << 30;
		seg.captured = data[0] & 16 ? seg.len / 2 : seg.len;
		for (size_t i = 0; i < seg.captured; i++)
			payload[i] = (uint8_t)(seg.seq + (seg.flags & TCP_SYN ? 1 : 0) + i);
		ns += (int64_t)(int8_t)data[5] * 10000000;
		reassembly_segment(r, &seg, ns);
	}
	reassembly_finish(r);
	assert(!reassembly_stats(r).held_bytes);
	reassembly_free(r);
	return 0;
}
