#include "tests/fake/nasty_gen.h"

#include "net/decode.h"

#include <pcap/dlt.h>

const struct batch batches[BATCHES] = {
	{"whole segments", DLT_EN10MB, false, false, 0, {.segment_max = 1400}},
	{"a few bytes at a time", DLT_EN10MB, true, false, 0, {.segment_max = 5}},
	{"repeated", DLT_RAW, false, false, 0, {.segment_max = 300, .again = 40}},
	{"overlapping", DLT_EN10MB, false, true, 0, {.segment_max = 200, .overlap = 40}},
	{"reordered", DLT_LINUX_SLL, false, false, 0, {.segment_max = 400, .swap = 50}},
	{"fragmented", DLT_EN10MB, false, false, 64, {.segment_max = 500, .again = 10}},
	{"all at once", DLT_LINUX_SLL2, false, true, 0,
		{.segment_max = 100, .again = 20, .overlap = 20, .swap = 30}},
	{"loopback", DLT_NULL, false, false, 200, {.segment_max = 700, .again = 20, .swap = 20}},
};

static void put(struct gen *all, struct gen_frame frame)
{
	if (all->count == all->size) {
		all->size = all->size ? all->size * 2 : 1024;
		all->frames = mem_grow(all->frames, all->size, sizeof(*all->frames));
	}
	frame.ns = all->ns;
	all->ns += 1000;
	all->frames[all->count++] = frame;
}

/* Frames of all conversations take turns, each conversation in its own order. */
static void interleave(struct gen *all, struct gen *each, struct rng *rng)
{
	size_t left = 0, at[CAPTURES_PER_BATCH] = {0};

	for (size_t i = 0; i < CAPTURES_PER_BATCH; i++)
		left += each[i].count;
	while (left) {
		size_t i = (size_t)rng_below(rng, CAPTURES_PER_BATCH);

		if (at[i] == each[i].count)
			continue;
		put(all, each[i].frames[at[i]++]);
		left--;
	}
	for (size_t i = 0; i < CAPTURES_PER_BATCH; i++) {
		each[i].count = 0; /* the frames have moved */
		gen_free(&each[i]);
	}
}

/* An unanswered SYN, or a refused one. */
static void no_connection(struct gen *gen, uint64_t seed)
{
	struct gen_conn conn = gen_conn((unsigned int)seed + 30000, 25, false);

	gen_raw(gen, &conn, GEN_CLIENT, TCP_SYN, conn.seq[0]++, 0, NULL, 0);
	if (seed % 2)
		gen_raw(gen, &conn, GEN_SERVER, TCP_RST | TCP_ACK, 0, conn.seq[0], NULL, 0);
}

static void one_capture(
	struct gen *gen, const struct batch *batch, uint64_t seed, bool plain, struct buf *hashes)
{
	struct rng words = rng_stream(seed, batch->name);
	struct rng ways = rng_stream(seed, plain ? "plain" : "nasty");

	gen_init(gen, batch->link_type);
	gen->vlan = batch->vlan;
	gen->fragment = plain ? 0 : batch->fragment;
	gen->extensions = batch->extensions;
	gen->ip_id = (uint16_t)(seed * 2000); /* one host sends them all */
	for (uint32_t again = 0; again < (seed % 5 == 0 ? 2 : 1); again++) { /* ports used twice */
		struct talk talk = talk_make(&words, (enum mail_protocol)(seed % MAIL_PROTOCOLS));
		struct nasty plainly = {
			.segment_max = 1 << 30, .lines = talk.protocol == MAIL_IMAP};
		struct gen_conn conn =
			gen_conn((unsigned int)seed, mail_port(talk.protocol), seed % 3 == 0);

		conn.seq[0] += 70000000 * again;
		conn.seq[1] += 90000000 * again;
		talk_send(&talk, gen, &conn, plain ? &plainly : &batch->nasty, &ways);
		buf_add(hashes, talk.hashes.data, talk.hashes.len);
		talk_free(&talk);
	}
	if (seed % 7 == 0)
		no_connection(gen, seed);
}

void make_batch(struct gen *all, const struct batch *batch, bool plain, struct buf *hashes)
{
	struct gen each[CAPTURES_PER_BATCH];
	struct rng rng = rng_stream(1, batch->name);

	gen_init(all, batch->link_type);
	for (uint64_t seed = 0; seed < CAPTURES_PER_BATCH; seed++)
		one_capture(&each[seed], batch, seed, plain, hashes);
	if (!plain) {
		interleave(all, each, &rng);
		return;
	}
	for (size_t i = 0; i < CAPTURES_PER_BATCH; i++) {
		for (size_t n = 0; n < each[i].count; n++)
			put(all, each[i].frames[n]);
		each[i].count = 0;
		gen_free(&each[i]);
	}
}
