#include "tests/check/check.h"
#include "tests/fake/nasty_gen.h"
#include "tests/unit/net_tell.h"

#include "base/fs.h"
#include "base/json.h"
#include "net/ledger.h"
#include "net/spool.h"
#include "net/transcript.h"

#include <errno.h>
#include <pcap/dlt.h>

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, NULL},
	{24, DIALOGUE_PROTOCOL_LMTP, NULL},
	{143, DIALOGUE_PROTOCOL_IMAP, NULL},
	{110, DIALOGUE_PROTOCOL_POP3, NULL},
};

static char *printed(const struct gen *gen, bool json, const char *trouble)
{
	struct wire_ledger_end end = {.frames = gen->count, .trouble = trouble};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct wire_ledger *ledger = wire_ledger_new(out, json);

	wire_ledger_epoch(ledger, gen->frames[0].ns);
	tell_capture(gen, ports, ARRAY_SIZE(ports), wire_ledger_event, ledger);
	CHECK_INT(wire_ledger_close(ledger, &end, NULL), 0);
	fclose(out);
	return text;
}

static void a_delivery(struct gen *gen)
{
	struct gen_conn conn = gen_conn(1, 24, false);

	gen_init(gen, DLT_EN10MB);
	gen_open(gen, &conn);
	gen_text(gen, &conn, GEN_SERVER, "220 hi\r\n");
	gen_text(gen, &conn, GEN_CLIENT, "LHLO me\r\n");
	gen_text(gen, &conn, GEN_SERVER, "250 ok\r\n");
	gen_text(gen, &conn, GEN_CLIENT,
		"MAIL FROM:<a\"\xff@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<c@y>\r\nDATA\r\n");
	gen_text(gen, &conn, GEN_SERVER, "250 1\r\n250 2\r\n550 3\r\n354 4\r\n");
	gen_text(gen, &conn, GEN_CLIENT, "X-Mailrig-Token: t1\r\n\r\n.\r\n");
	gen_text(gen, &conn, GEN_SERVER, "250 queued\r\n");
	gen_reset(gen, &conn, GEN_CLIENT);
}

static void prints_the_json_that_scripts_rely_on(void)
{
	auto_free char *text = NULL;
	struct gen gen;

	a_delivery(&gen);
	text = printed(&gen, true, NULL);
	CHECK_STR(text,
		"{\"connections\":[\n"
		"{\"protocol\":\"lmtp\",\"client\":\"10.0.0.2:20001\",\"server\":\"10.1.0.1:24\","
		"\"begin_s\":0.000100,\"end_s\":0.001000,\"commands\":["
		"{\"verb\":\"\",\"sent_s\":0.000100,\"reply_code\":220,\"reply_s\":0.000300},"
		"{\"verb\":\"LHLO\",\"sent_s\":0.000400,\"reply_code\":250,\"reply_s\":0.000500},"
		"{\"verb\":\"MAIL\",\"sent_s\":0.000600,\"reply_code\":250,\"reply_s\":0.000700},"
		"{\"verb\":\"RCPT\",\"sent_s\":0.000600,\"reply_code\":250,\"reply_s\":0.000700},"
		"{\"verb\":\"RCPT\",\"sent_s\":0.000600,\"reply_code\":550,\"reply_s\":0.000700},"
		"{\"verb\":\"DATA\",\"sent_s\":0.000600,\"reply_code\":354,\"reply_s\":0.000700},"
		"{\"verb\":\".\",\"sent_s\":0.000800,\"reply_code\":250,\"reply_s\":0.000900}],"
		"\"messages\":[{\"from\":\"a\\\"\\\\xff@x\",\"to\":[\"b@y\"],\"bytes\":23,"
		"\"sha256\":"
		"\"6cebb74e1eb5777ed1ae24f2aa155313ddfb2b466ded4524d5a00cec2f1f7a50\","
		"\"token\":\"t1\",\"dot_s\":0.000800,\"recipients\":["
		"{\"to\":\"b@y\",\"result\":\"2yz\",\"rcpt_code\":250,\"reply_code\":250},"
		"{\"to\":\"c@y\",\"result\":\"not-sent\",\"rcpt_code\":550}],\"reply_code\":250}],"
		"\"gaps\":0,\"gap_bytes\":0,\"midstream\":false,\"tls\":false,\"decrypted\":false,"
		"\"ended\":\"reset\"}"
		"\n"
		"],\"frames\":11,\"dropped\":0,\"trouble\":null}\n");
	gen_free(&gen);
}

static void prints_a_dialogue_that_people_read(void)
{
	auto_free char *text = NULL;
	struct gen gen;

	a_delivery(&gen);
	text = printed(&gen, false, "'x' is cut off");
	CHECK_HAS(text, "lmtp  10.0.0.2:20001 to 10.1.0.1:24\n");
	CHECK_HAS(text, "   0.0003 S: 220 hi\n   0.0004 C: LHLO me\n   0.0005 S: 250 ok\n");
	CHECK_HAS(text, "C: MAIL FROM:<a\"\\xff@x>\n");
	CHECK_HAS(text, "   0.0008 C: (mail: 23 bytes, sha256 ");
	CHECK_HAS(text, ", token t1)\n   0.0008 C: .\n   0.0009 S: 250 queued\n");
	CHECK_HAS(text, "to <b@y>: 2yz 250, 0.0001 s after the dot\n");
	CHECK_HAS(text, "to <c@y>: not-sent (RCPT 550)\n");
	CHECK_HAS(text, "1 connections, 11 frames; 'x' is cut off\n");
	gen_free(&gen);
}

static void prints_valid_json_of_any_capture(void)
{
	for (size_t i = 0; i < BATCHES; i++) {
		auto_buf struct buf hashes = {0};
		auto_free char *text = NULL;
		auto_json json_t *json = NULL;
		json_error_t why;
		struct gen gen;

		make_batch(&gen, &batches[i], false, &hashes);
		text = printed(&gen, true, NULL);
		json = json_loads(text, JSON_REJECT_DUPLICATES, &why);
		CHECK_STR(json ? "" : why.text, "");
		CHECK(json_array_size(json_object_get(json, "connections")) > CAPTURES_PER_BATCH);
		gen_free(&gen);
	}
}

/* Frames lost, cut short and with bytes turned over: still one whole story, and no crash. */
static void spoil(struct gen *gen, struct rng *rng)
{
	for (size_t i = 0; i < gen->count; i++) {
		struct gen_frame *frame = &gen->frames[i];

		if (rng_below(rng, 20) == 0)
			frame->captured = (size_t)rng_below(rng, frame->captured + 1);
		for (size_t n = rng_below(rng, 4) ? 0 : rng_below(rng, 4); n; n--)
			frame->bytes.data[rng_below(rng, frame->bytes.len)] ^=
				(char)(1 << rng_below(rng, 8));
	}
	for (size_t n = gen->count / 50; n; n--)
		gen_drop(gen, (size_t)rng_below(rng, gen->count - 1) + 1);
}

static void prints_valid_json_of_spoilt_captures(void)
{
	for (size_t i = 0; i < 3 * BATCHES; i++) {
		auto_buf struct buf hashes = {0};
		auto_free char *text = NULL;
		auto_json json_t *json = NULL;
		struct rng rng = rng_stream(i, "spoil");
		json_error_t why;
		struct gen gen;

		make_batch(&gen, &batches[i % BATCHES], false, &hashes);
		spoil(&gen, &rng);
		text = printed(&gen, true, NULL);
		json = json_loads(text, JSON_REJECT_DUPLICATES, &why);
		CHECK_STR(json ? "" : why.text, "");
		gen_free(&gen);
	}
}

static void keeps_long_texts_out_of_memory(void)
{
	struct spool *spool = spool_new();
	struct spooled a = {0}, b = {0};
	auto_buf struct buf want_a = {0};
	auto_buf struct buf want_b = {0};
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 20000; i++) {
		buf_addf(&a.tail, "a%d ", i);
		buf_addf(&want_a, "a%d ", i);
		spool_trim(spool, &a);
		buf_addf(&b.tail, "b%d ", i);
		buf_addf(&want_b, "b%d ", i);
		spool_trim(spool, &b);
		CHECK(a.tail.len <= SPOOL_MEMORY_MAX + 16 && b.tail.size <= 4 * SPOOL_MEMORY_MAX);
	}
	spool_print(spool, &b, out);
	spool_print(spool, &a, out);
	fclose(out);
	buf_add(&want_b, want_a.data, want_a.len);
	CHECK(!strcmp(text, want_b.data));
	CHECK_INT(spool_error(spool, NULL), 0);
	spool_free(spool);
	free(text);
}

static void keeps_one_transcript_per_mail_connection(void)
{
	const char *dir = check_dir();
	struct transcripts *transcripts;
	auto_free char *path = path_join(dir, "lmtp-0001.txt");
	auto_buf struct buf text = {0};
	struct gen gen;

	a_delivery(&gen);
	transcripts = transcripts_new(dir, gen.frames[0].ns);
	tell_capture(&gen, ports, ARRAY_SIZE(ports), transcripts_event, transcripts);
	CHECK_INT(transcripts_close(transcripts, NULL), 0);
	CHECK_INT(fs_read(path, 1 << 20, &text, NULL), 0);
	CHECK_HAS(buf_text(&text), "   0.0009 S: 250 queued\n");
	gen_free(&gen);
}

static void tells_when_a_transcript_cannot_be_written(void)
{
	struct transcripts *transcripts;
	struct err err = {0};
	struct gen gen;

	a_delivery(&gen);
	transcripts = transcripts_new("/nowhere", 0);
	tell_capture(&gen, ports, ARRAY_SIZE(ports), transcripts_event, transcripts);
	CHECK_INT(transcripts_close(transcripts, &err), -ENOENT);
	CHECK_HAS(err.text, "cannot write a transcript in '/nowhere'");
	gen_free(&gen);
}

CHECK_MAIN(CHECK_CASE(prints_the_json_that_scripts_rely_on),
	CHECK_CASE(prints_a_dialogue_that_people_read),
	CHECK_CASE(prints_valid_json_of_any_capture),
	CHECK_CASE(prints_valid_json_of_spoilt_captures),
	CHECK_CASE(keeps_long_texts_out_of_memory),
	CHECK_CASE(keeps_one_transcript_per_mail_connection),
	CHECK_CASE(tells_when_a_transcript_cannot_be_written))
