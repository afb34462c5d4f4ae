/*
 * The dialogue is the same however its bytes were cut, repeated, overlapped, shuffled and wrapped.
 */
#include "tests/check/check.h"
#include "tests/fake/mail_gen.h"
#include "tests/unit/net_tell.h"

#include <pcap/dlt.h>

#define TALKS 60

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL},
	{143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL},
};

static char *told(const struct gen *gen)
{
	struct buf out = {0};

	tell_capture(gen, ports, ARRAY_SIZE(ports), tell_event, &out);
	return buf_steal(&out);
}

/* Nearby frames change places, whichever way they go, the handshake's apart; some are doubled. */
static void shuffle(struct gen *gen, struct rng *rng)
{
	for (size_t i = 3; i + 4 < gen->count; i++) {
		if (rng_below(rng, 4) == 0)
			gen_swap(gen, i, i + 1 + (size_t)rng_below(rng, 3));
		if (rng_below(rng, 10) == 0)
			gen_double(gen, i, i + (size_t)rng_below(rng, 4));
	}
}

static char *send_as(const struct talk *talk, uint64_t seed, int link_type,
	const struct nasty *nasty, bool shuffled)
{
	struct rng rng = rng_stream(seed, "send");
	struct gen_conn conn =
		gen_conn((unsigned int)seed, mail_port(talk->protocol), seed % 3 == 0);
	struct gen gen;
	char *text;

	gen_init(&gen, link_type);
	gen.step_ns = 1000; /* far below the time after which a hole is given up */
	gen.vlan = seed % 2;
	gen.extensions = seed % 6 == 3;
	gen.fragment = nasty && seed % 4 == 1 ? 64 : 0;
	if (nasty) {
		talk_send(talk, &gen, &conn, nasty, &rng);
	} else {
		gen_open(&gen, &conn);
		for (size_t i = 0; i < talk->count; i++)
			gen_send(&gen, &conn, talk->turns[i].from, talk->turns[i].bytes.data,
				talk->turns[i].bytes.len);
		gen_close(&gen, &conn);
	}
	if (shuffled)
		shuffle(&gen, &rng);
	text = told(&gen);
	gen_free(&gen);
	return text;
}

/* Everything but how the connection ended. */
static void cut_end(char *text)
{
	char *end = strstr(text, " closed ");

	if (end)
		*end = '\0';
}

/* What no server or client says: bytes that are others, are gone, or are many. */
static void damage(struct talk *talk, struct rng *rng)
{
	static const char *const noise[] = {"\r\n", "\r", "\n", "\r\n.\r\n", "{9}\r\n", "{3+}\r\n",
		"250-", "+ ", "* ", "BDAT 7 LAST\r\n", "\xff\x80"};

	for (size_t n = 1 + (size_t)rng_below(rng, 6); n; n--) {
		struct buf *bytes = &talk->turns[rng_below(rng, talk->count)].bytes;
		size_t at = bytes->len ? (size_t)rng_below(rng, bytes->len) : 0;
		size_t len = bytes->len - at, gone = (size_t)rng_below(rng, 4);
		struct buf after = {0};

		if (!bytes->len)
			continue;
		buf_add(&after, bytes->data + at, len);
		bytes->len = at;
		buf_add_str(bytes, noise[rng_below(rng, ARRAY_SIZE(noise))]);
		if (rng_below(rng, 3) == 0)
			buf_addc(bytes, (char)rng_below(rng, 256));
		if (gone < after.len)
			buf_add(bytes, after.data + gone, after.len - gone);
		buf_free(&after);
	}
}

static void compare(enum mail_protocol protocol, bool damaged)
{
	static const int links[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL};
	static const struct nasty ways[] = {
		{.segment_max = 1},
		{.segment_max = 7, .again = 20, .overlap = 20, .swap = 30},
		{.segment_max = 100, .again = 30, .overlap = 30, .swap = 50},
		{.segment_max = 1400, .again = 10, .overlap = 10, .swap = 50},
	};

	for (uint64_t seed = 1; seed <= TALKS; seed++) {
		struct rng rng = rng_stream(seed, "talk");
		struct talk talk = talk_make(&rng, protocol);
		auto_free char *want = NULL;

		if (damaged)
			damage(&talk, &rng);
		want = send_as(&talk, seed, DLT_EN10MB, NULL, false);
		cut_end(want);
		CHECK_HAS(want, damaged ? "connected" : "reply");
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
			auto_free char *got = send_as(&talk, seed,
				links[(seed + i) % ARRAY_SIZE(links)], &ways[i], i % 2);

			cut_end(got);
			if (!CHECK_STR(got, want))
				fprintf(stderr, "seed %llu, way %zu\n", (unsigned long long)seed,
					i);
		}
		talk_free(&talk);
	}
}

static void smtp_is_the_same_in_any_segments(void)
{
	compare(MAIL_SMTP, false);
}

static void lmtp_is_the_same_in_any_segments(void)
{
	compare(MAIL_LMTP, false);
}

static void imap_is_the_same_in_any_segments(void)
{
	compare(MAIL_IMAP, false);
}

static void pop3_is_the_same_in_any_segments(void)
{
	compare(MAIL_POP3, false);
}

static void any_bytes_are_the_same_in_any_segments(void)
{
	for (int protocol = 0; protocol < MAIL_PROTOCOLS; protocol++)
		compare((enum mail_protocol)protocol, true);
}

CHECK_MAIN(CHECK_CASE(smtp_is_the_same_in_any_segments),
	CHECK_CASE(lmtp_is_the_same_in_any_segments), CHECK_CASE(imap_is_the_same_in_any_segments),
	CHECK_CASE(pop3_is_the_same_in_any_segments),
	CHECK_CASE(any_bytes_are_the_same_in_any_segments))
