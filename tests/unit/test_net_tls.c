/*
 * Dialogues inside TLS: with the session's secrets they are the same as in the clear, however the bytes were cut
 * and whenever the secrets came; without them they are opaque, and nothing is guessed.
 */
#include "base/clock.h"
#include "net/pcapng_secrets.h"
#include "net/tls_keys.h"
#include "tests/check/check.h"
#include "tests/fake/tls_gen.h"
#include "tests/unit/net_tell.h"

#include <byteswap.h>
#include <pcap/dlt.h>

#define TALKS	8
#define CLOSING 4 /* at least so many frames end a connection */

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL},
	{143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL},
	{993, DIALOGUE_PROTOCOL_TLS, NULL},
};

#define ECDSA "ECDHE-ECDSA-"
static const struct tls_way ways[] = {
	{"1.2 AES-128-GCM", false, ECDSA "AES128-GCM-SHA256", .resume = false},
	{"1.2 AES-256-GCM", false, ECDSA "AES256-GCM-SHA384", .resume = false},
	{"1.2 ChaCha20", false, ECDSA "CHACHA20-POLY1305", .resume = false},
	{"1.2 resumed", false, ECDSA "AES128-GCM-SHA256", .resume = true},
	{"1.3 AES-128-GCM", true, "TLS_AES_128_GCM_SHA256", .resume = false},
	{"1.3 AES-256-GCM", true, "TLS_AES_256_GCM_SHA384", .resume = false},
	{"1.3 ChaCha20", true, "TLS_CHACHA20_POLY1305_SHA256", .resume = false},
	{"1.3 another group", true, "TLS_AES_128_GCM_SHA256", .retry = true},
	{"1.3 new keys on the way", true, "TLS_AES_256_GCM_SHA384", .rekey = true},
	{"1.3 resumed", true, "TLS_AES_256_GCM_SHA384", .resume = true},
	{"1.3 from the first byte", true, "TLS_AES_256_GCM_SHA384", .bare = true},
};

/* When the secrets are told. */
enum when { AT_ONCE, LATE, LINE_BY_LINE, AFTER_THE_END, NEVER, NEVER_ALL };

struct telling {
	struct buf out;
	struct tls_keys *keys;
	struct dialogue_set *set;
};

static void tell_line(struct telling *t, const struct buf *keys, size_t *told)
{
	size_t end = *told + strcspn(keys->data + *told, "\n");

	tls_keys_line(t->keys, keys->data + *told, end - *told);
	*told = end + 1;
	dialogue_set_retry(t->set);
}

/* One key line a frame, later than the records that need it; all of them before the connection is closed, or all
 * afterwards. */
static void feed(const struct gen *gen, struct telling *t, enum when when, const struct buf *keys)
{
	struct decoder *decoder = decoder_new(gen->link_type);
	struct reassembly *reassembly = reassembly_new(&dialogue_reassembly_ops, t->set);
	size_t told = when == AT_ONCE ? keys->len : 0;
	struct segment segment;

	if (told)
		CHECK(tls_keys_text(t->keys, buf_text(keys), keys->len) > 0);
	for (size_t i = 0; i < gen->count; i++) {
		const struct gen_frame *frame = &gen->frames[i];

		if (decoder_frame(decoder, (const uint8_t *)frame->bytes.data, frame->captured,
			    frame->bytes.len, &segment))
			reassembly_segment(reassembly, &segment, frame->ns);
		if (when == LINE_BY_LINE && i > 12 && told < keys->len)
			tell_line(t, keys, &told);
		while (when <= LINE_BY_LINE && i + 1 + CLOSING == gen->count && told < keys->len)
			tell_line(t, keys, &told);
	}
	if (when == AFTER_THE_END) {
		CHECK_INT(dialogue_set_late(t->set), 1);
		while (told < keys->len)
			tell_line(t, keys, &told);
		CHECK_INT(dialogue_set_late(t->set), 0);
	}
	reassembly_finish(reassembly);
	CHECK_INT(dialogue_set_late(t->set), 0);
	reassembly_free(reassembly);
	decoder_free(decoder);
}

static char *told(const struct gen *gen, enum when when, const struct buf *keys)
{
	struct telling t = {.keys = tls_keys_new(when == AT_ONCE || when == NEVER_ALL)};

	t.set = dialogue_set_new(ports, ARRAY_SIZE(ports), false, tell_event, &t.out);
	dialogue_set_keys(t.set, t.keys);
	feed(gen, &t, when, keys);
	dialogue_set_free(t.set);
	tls_keys_free(t.keys);
	return buf_steal(&t.out);
}

static void send_plain(const struct talk *talk, struct gen *gen, uint16_t port)
{
	struct gen_conn conn = gen_conn(1, port, false);

	gen_init(gen, DLT_EN10MB);
	gen->step_ns = 1000;
	gen_open(gen, &conn);
	for (size_t i = 0; i < talk->count; i++)
		gen_send(gen, &conn, talk->turns[i].from, talk->turns[i].bytes.data,
			talk->turns[i].bytes.len);
	gen_close(gen, &conn);
}

static void send_cut(
	const struct talk *talk, struct gen *gen, uint16_t port, size_t max, struct rng *rng)
{
	struct gen_conn conn = gen_conn(1, port, true);

	gen_init(gen, DLT_EN10MB);
	gen->step_ns = 1000;
	gen_open(gen, &conn);
	for (size_t i = 0; i < talk->count; i++)
		gen_cut(gen, &conn, talk->turns[i].from, talk->turns[i].bytes.data,
			talk->turns[i].bytes.len, max, rng);
	gen_close(gen, &conn);
}

/* Behind the greeting's reply, and behind the beginning of TLS: what must be equal. */
static const char *after(const char *text, const char *mark)
{
	const char *at = strstr(text, mark);

	return at ? at + strcspn(at, "\n") : "(nothing)";
}

static void compare(const struct tls_way *way, enum mail_protocol protocol, uint64_t seed)
{
	struct rng rng = rng_stream(seed, "talk");
	struct talk talk = talk_make(&rng, protocol), wrapped;
	uint16_t port = mail_port(protocol), tls_port = way->bare ? 993 : port;
	auto_buf struct buf keys = {0};
	struct gen plain, sealed, cut;
	auto_free char *want = NULL;
	const char *mark = way->bare ? "connected" : " reply '' ''";
	const char *expected;

	tls_wrap(&talk, way, &wrapped, &keys);
	send_plain(&talk, &plain, port);
	send_plain(&wrapped, &sealed, tls_port);
	send_cut(&wrapped, &cut, tls_port, 1 + seed * seed * 7, &rng);
	want = told(&plain, NEVER, &keys);
	expected = after(want, mark);
	for (enum when when = AT_ONCE; when <= AFTER_THE_END; when++) {
		auto_free char *whole = told(&sealed, when, &keys);
		auto_free char *pieces = told(&cut, when, &keys);

		/* With TLS from the first byte the protocol of LMTP is found out only by its LHLO. */
		if (way->bare && protocol == MAIL_LMTP)
			continue;
		if (!CHECK_STR(after(whole, " tls\n"), expected))
			fprintf(stderr, "in way '%s', protocol %d, seed %d, when %d\n", way->name,
				(int)protocol, (int)seed, (int)when);
		CHECK_STR(after(pieces, " tls\n"), expected);
	}
	gen_free(&plain);
	gen_free(&sealed);
	gen_free(&cut);
	talk_free(&talk);
	talk_free(&wrapped);
}

static void with_the_secrets_it_is_as_in_the_clear(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		for (int protocol = 0; protocol < MAIL_PROTOCOLS; protocol++)
			for (uint64_t seed = 0; seed < TALKS; seed++)
				compare(&ways[i], (enum mail_protocol)protocol, seed);
}

static char *without(const struct tls_way *way, enum when when, const struct buf *false_keys)
{
	struct rng rng = rng_stream(3, "talk");
	struct talk talk = talk_make(&rng, MAIL_SMTP), wrapped;
	auto_buf struct buf keys = {0};
	struct gen gen;
	char *text;

	tls_wrap(&talk, way, &wrapped, &keys);
	send_plain(&wrapped, &gen, 25);
	text = told(&gen, when, false_keys ? false_keys : &keys);
	gen_free(&gen);
	talk_free(&talk);
	talk_free(&wrapped);
	return text;
}

static void without_them_it_is_opaque_and_says_that_it_hides(void)
{
	static const struct tls_way cbc = {
		"1.2 CBC", false, "ECDHE-ECDSA-AES128-SHA", .bare = false};
	auto_free char *waited = without(&ways[0], NEVER, NULL);
	auto_free char *none = without(&ways[5], NEVER_ALL, NULL);
	auto_free char *unknown_suite = without(&cbc, AT_ONCE, NULL);
	static char others[] = "CLIENT_RANDOM "
			       "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff "
			       "0011\n";
	struct buf false_keys = {.data = others, .len = sizeof(others) - 1};
	auto_free char *of_another = without(&ways[4], AT_ONCE, &false_keys);

	CHECK_STR(strstr(waited, "1 tls\n"), "1 tls\n1 closed fin unknown\n");
	CHECK_STR(strstr(none, "1 tls\n"), "1 tls\n1 closed fin unknown\n");
	CHECK_STR(strstr(unknown_suite, "1 tls\n"), "1 tls\n1 closed fin unknown\n");
	CHECK_STR(strstr(of_another, "1 tls\n"), "1 tls\n1 closed fin unknown\n");
}

/* A connection in TLS by port `number`, from `ns` on, that is over and whose secrets nobody told. */
static void add_secretive(struct gen *gen, unsigned int number, int64_t ns)
{
	struct rng rng = rng_stream(3, "talk");
	struct talk talk = talk_make(&rng, MAIL_SMTP), wrapped;
	struct gen_conn conn = gen_conn(number, 25, false);
	auto_buf struct buf keys = {0};

	tls_wrap(&talk, &ways[4], &wrapped, &keys);
	gen->ns = ns;
	gen_open(gen, &conn);
	for (size_t i = 0; i < wrapped.count; i++)
		gen_send(gen, &conn, wrapped.turns[i].from, wrapped.turns[i].bytes.data,
			wrapped.turns[i].bytes.len);
	gen_close(gen, &conn);
	talk_free(&talk);
	talk_free(&wrapped);
}

static size_t waiting_of(const struct gen *gen, struct buf *out)
{
	struct tls_keys *keys = tls_keys_new(false);
	struct dialogue_set *set =
		dialogue_set_new(ports, ARRAY_SIZE(ports), false, tell_event, out);
	struct decoder *decoder = decoder_new(gen->link_type);
	struct reassembly *reassembly = reassembly_new(&dialogue_reassembly_ops, set);
	struct segment segment;
	size_t late;

	dialogue_set_keys(set, keys);
	for (size_t i = 0; i < gen->count; i++)
		if (decoder_frame(decoder, (const uint8_t *)gen->frames[i].bytes.data,
			    gen->frames[i].captured, gen->frames[i].bytes.len, &segment))
			reassembly_segment(reassembly, &segment, gen->frames[i].ns);
	late = dialogue_set_late(set);
	dialogue_set_free(set); /* what still waits is told to nobody */
	reassembly_free(reassembly);
	decoder_free(decoder);
	tls_keys_free(keys);
	return late;
}

static void secrets_are_waited_for_so_long_and_by_so_many(void)
{
	auto_buf struct buf after_a_while = {0};
	auto_buf struct buf of_many = {0};
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen.step_ns = 1000;
	add_secretive(&gen, 1, 0);
	add_secretive(&gen, 2, DIALOGUE_LATE_NS / 2);
	add_secretive(&gen, 3, DIALOGUE_LATE_NS + NS_PER_SEC / 10);
	CHECK_INT(waiting_of(&gen, &after_a_while), 2);
	CHECK_HAS(buf_text(&after_a_while), "\n1 closed fin unknown\n");
	CHECK(!strstr(buf_text(&after_a_while), "\n2 closed"));
	gen_free(&gen);

	gen_init(&gen, DLT_EN10MB);
	gen.step_ns = 1;
	for (unsigned int i = 0; i < DIALOGUE_LATE_MAX + 3; i++)
		add_secretive(&gen, 1 + i, gen.ns);
	CHECK_INT(waiting_of(&gen, &of_many), DIALOGUE_LATE_MAX);
	CHECK_HAS(buf_text(&of_many), "\n3 closed fin unknown\n");
	CHECK(!strstr(buf_text(&of_many), "\n4 closed"));
	gen_free(&gen);
}

/* STARTTLS, and then nothing, or only a ClientHello: there is nothing to hide. */
static void a_handshake_that_stalls_hides_nothing(void)
{
	struct rng rng = rng_stream(3, "talk");
	struct talk talk = talk_make(&rng, MAIL_SMTP), wrapped;
	auto_buf struct buf keys = {0};
	auto_free char *text = NULL;
	struct gen gen;

	tls_wrap(&talk, &ways[4], &wrapped, &keys);
	for (size_t i = 6; i < wrapped.count; i++)
		buf_free(&wrapped.turns[i].bytes);
	wrapped.count = 6;
	send_plain(&wrapped, &gen, 25);
	text = told(&gen, NEVER, &keys);
	CHECK_STR(strstr(text, "1 tls\n"), "1 tls\n1 closed fin\n");
	gen_free(&gen);
	talk_free(&talk);
	talk_free(&wrapped);
}

/* Whatever was told up to a lost frame is as it was; after it replies are unknown, and it is said so. */
static void a_gap_inside_it_ends_what_is_known(void)
{
	struct rng rng = rng_stream(5, "talk");
	struct talk talk = talk_make(&rng, MAIL_SMTP), wrapped;
	auto_buf struct buf keys = {0};
	struct gen whole;
	auto_free char *all = NULL;

	tls_wrap(&talk, &ways[5], &wrapped, &keys);
	send_plain(&wrapped, &whole, 25);
	all = told(&whole, AT_ONCE, &keys);
	for (size_t drop = 14; drop + 4 < whole.count; drop++) {
		struct gen gen;
		auto_free char *text = NULL;
		const char *gap;

		send_plain(&wrapped, &gen, 25);
		gen_drop(&gen, drop);
		text = told(&gen, AT_ONCE, &keys);
		gap = strstr(text, " gap ");
		if (gap) {
			CHECK(strstr(gap, "closed"));
			CHECK_HAS(gap, "unknown\n");
			CHECK(!strncmp(text, all, (size_t)(gap - text) - 2));
		}
		gen_free(&gen);
	}
	gen_free(&whole);
	talk_free(&talk);
	talk_free(&wrapped);
}

/* A bit on the wire is another: nothing false is told, nothing breaks. */
static void damaged_records_are_never_taken_for_content(void)
{
	struct rng rng = rng_stream(7, "talk");
	struct talk talk = talk_make(&rng, MAIL_SMTP), wrapped;
	auto_buf struct buf keys = {0};

	tls_wrap(&talk, &ways[5], &wrapped, &keys);
	for (int round = 0; round < 300; round++) {
		size_t i = 5 + (size_t)rng_below(&rng, wrapped.count - 5);
		struct buf *bytes = &wrapped.turns[i].bytes;
		size_t at = (size_t)rng_below(&rng, bytes->len);
		auto_free char *text = NULL;
		struct gen gen;

		bytes->data[at] ^= (char)(1 << rng_below(&rng, 8));
		send_plain(&wrapped, &gen, 25);
		text = told(&gen, AT_ONCE, &keys);
		CHECK_HAS(text, "closed");
		gen_free(&gen);
		if (round % 4 == 0) { /* damage adds up, to a point */
			talk_free(&wrapped);
			keys.len = 0;
			tls_wrap(&talk, round % 8 ? &ways[0] : &ways[5], &wrapped, &keys);
		}
	}
	talk_free(&talk);
	talk_free(&wrapped);
}

static void key_lines_are_read_as_hostile(void)
{
#define R32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	static const struct {
		const char *line;
		bool good;
	} lines[] = {
		{"CLIENT_RANDOM " R32 " " R32 "00112233445566778899aabbccddeeff", true},
		{"CLIENT_TRAFFIC_SECRET_0 " R32 " " R32 "\r", true},
		{"CLIENT_TRAFFIC_SECRET_0 " R32 " " R32 R32, true},
		{"CLIENT_TRAFFIC_SECRET_0 " R32 " " R32 R32 "00", false},
		{"CLIENT_TRAFFIC_SECRET_0 " R32 " " R32 "0", false},
		{"CLIENT_TRAFFIC_SECRET_0 " R32 " ", false},
		{"CLIENT_TRAFFIC_SECRET_0 " R32, false},
		{"CLIENT_TRAFFIC_SECRET_0", false},
		{"CLIENT_TRAFFIC_SECRET_0 00 " R32, false},
		{"CLIENT_TRAFFIC_SECRET_0 zz" R32 " " R32, false},
		{"EXPORTER_SECRET " R32 " " R32, false},
		{"# a comment", false},
		{"", false},
	};
	struct tls_keys *keys = tls_keys_new(true);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (!CHECK_INT(tls_keys_line(keys, lines[i].line, strlen(lines[i].line)),
			    lines[i].good))
			fprintf(stderr, "in '%s'\n", lines[i].line);
	tls_keys_free(keys);
}

/* ---- secrets in a capture file ---- */

#define SESSION "CLIENT_RANDOM " R32 " " R32 "\n"

static void add_word(struct buf *out, uint32_t value, bool swapped)
{
	if (swapped)
		value = bswap_32(value);
	buf_add(out, &value, sizeof(value));
}

/* A section, a block that is passed by, and secrets whose text is said to have `len` bytes. */
static void make_file(struct buf *out, bool swapped, uint32_t magic, uint32_t len)
{
	static const char text[] = SESSION;
	uint32_t room = (uint32_t)(sizeof(text) - 1 + 3) / 4 * 4;

	add_word(out, 0x0a0d0d0a, swapped);
	add_word(out, 28, swapped);
	add_word(out, magic, swapped);
	for (int i = 0; i < 4; i++)
		add_word(out, i == 3 ? 28 : 0, swapped);
	for (int i = 0; i < 5; i++)
		add_word(out, i == 1 || i == 4 ? 20 : 6, swapped);
	add_word(out, 10, swapped);
	add_word(out, 20 + room, swapped);
	add_word(out, 0x544c534b, swapped);
	add_word(out, len, swapped);
	buf_add(out, text, sizeof(text) - 1);
	buf_add(out, "   ", room - (sizeof(text) - 1));
	add_word(out, 20 + room, swapped);
}

static bool finds(const struct buf *file, size_t piece)
{
	struct tls_keys *keys = tls_keys_new(true);
	struct pcapng_secrets *secrets = pcapng_secrets_new(keys);
	uint8_t random[TLS_RANDOM_SIZE];
	bool told = false, known;

	for (size_t at = 0; at < file->len; at += piece)
		told |= pcapng_secrets_feed(
			secrets, file->data + at, file->len - at < piece ? file->len - at : piece);
	for (size_t i = 0; i < TLS_RANDOM_SIZE; i++)
		random[i] = (uint8_t)(0x11 * (i % 16));
	known = tls_keys_find(keys, random, TLS_MASTER);
	CHECK_INT(told, known);
	pcapng_secrets_free(secrets);
	tls_keys_free(keys);
	return known;
}

static void secrets_of_a_file_are_found_in_passing(void)
{
	static const struct {
		const char *name;
		bool swapped;
		uint32_t magic, len;
		size_t cut;
		bool want;
	} rows[] = {
		{"as written here", false, 0x1a2b3c4d, sizeof(SESSION) - 1, 0, true},
		{"in the other byte order", true, 0x1a2b3c4d, sizeof(SESSION) - 1, 0, true},
		{"no section of pcapng", false, 0x1a2b3c4e, sizeof(SESSION) - 1, 0, false},
		{"a text longer than its block", false, 0x1a2b3c4d, 4000000000, 0, false},
		{"cut off inside", false, 0x1a2b3c4d, sizeof(SESSION) - 1, 30, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t piece = 1; piece < 40; piece += 6) {
			auto_buf struct buf file = {0};

			make_file(&file, rows[i].swapped, rows[i].magic, rows[i].len);
			file.len -= rows[i].cut;
			if (!CHECK_INT(finds(&file, piece), rows[i].want))
				fprintf(stderr, "in '%s'\n", rows[i].name);
		}
}

CHECK_MAIN(CHECK_CASE(with_the_secrets_it_is_as_in_the_clear),
	CHECK_CASE(without_them_it_is_opaque_and_says_that_it_hides),
	CHECK_CASE(secrets_are_waited_for_so_long_and_by_so_many),
	CHECK_CASE(a_handshake_that_stalls_hides_nothing),
	CHECK_CASE(a_gap_inside_it_ends_what_is_known),
	CHECK_CASE(damaged_records_are_never_taken_for_content),
	CHECK_CASE(key_lines_are_read_as_hostile),
	CHECK_CASE(secrets_of_a_file_are_found_in_passing))
