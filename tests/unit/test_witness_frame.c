#include "base/buf.h"
#include "base/json.h"
#include "tests/check/check.h"
#include "vm/witness_frame.h"
#include "vm/witness_wire.h"

#include <string.h>

#define MARK "\xff\xff\xff\xff\xff\xff\xff\xff"

struct got {
	struct buf text; /* the frames, one a line */
	size_t count;
};

static void take(void *arg, json_t *json)
{
	auto_free char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	struct got *got = arg;

	buf_add_str(&got->text, text);
	buf_addc(&got->text, '\n');
	got->count++;
	json_decref(json);
}

static void add_frame(struct buf *out, const char *json)
{
	unsigned char head[4];

	witness_put_length(head, (uint32_t)strlen(json));
	buf_add(out, head, sizeof(head));
	buf_add_str(out, json);
}

/* Fed in pieces of `piece` bytes. */
static int feed(const struct buf *bytes, size_t piece, struct got *got, struct err *err)
{
	struct witness_frames frames = {0};
	int rc = 0;

	for (size_t i = 0; i < bytes->len && !rc; i += piece) {
		size_t n = bytes->len - i < piece ? bytes->len - i : piece;

		rc = witness_frames_feed(&frames, bytes->data + i, n, take, got, err);
	}
	witness_frames_free(&frames);
	return rc;
}

static void check_stream(const struct buf *bytes, int want_rc, const char *want)
{
	for (size_t piece = 1; piece <= bytes->len; piece++) {
		struct got got = {0};

		if (!CHECK_INT(feed(bytes, piece, &got, NULL), want_rc) ||
			!CHECK_STR(buf_text(&got.text), want)) {
			fprintf(stderr, "in pieces of %zu\n", piece);
			piece = bytes->len;
		}
		buf_free(&got.text);
	}
}

static void frames_come_out_whole_however_they_are_cut(void)
{
	auto_buf struct buf bytes = {0};

	buf_add(&bytes, MARK, 8);
	add_frame(&bytes, "{\"a\":1}");
	add_frame(&bytes, "{\"b\":\"two\"}");
	add_frame(&bytes, "{}");
	check_stream(&bytes, 0, "{\"a\":1}\n{\"b\":\"two\"}\n{}\n");
}

static void what_stands_before_the_first_mark_is_another_connections(void)
{
	auto_buf struct buf bytes = {0};

	add_frame(&bytes, "{\"old\":1}");
	buf_add(&bytes, "\x20\x00\x00\x00{\"half", 10);
	buf_add(&bytes, MARK, 8);
	add_frame(&bytes, "{\"new\":1}");
	check_stream(&bytes, 0, "{\"new\":1}\n");
}

/* At every place of a frame: within its length, within its JSON, and just before its end. */
static void a_mark_drops_the_frame_it_cuts_short_at_any_byte(void)
{
	for (size_t cut = 0; cut < 4 + strlen("{\"cut\":1}"); cut++) {
		auto_buf struct buf bytes = {0};

		buf_add(&bytes, MARK, 8);
		add_frame(&bytes, "{\"cut\":1}");
		bytes.len = 8 + cut;
		buf_add(&bytes, MARK, 8);
		add_frame(&bytes, "{\"whole\":1}");
		check_stream(&bytes, 0, "{\"whole\":1}\n");
	}
}

static void a_frame_of_255_bytes_is_padded_and_comes_through(void)
{
	char filler[300];

	for (size_t n = 230; n < 260; n++) {
		auto_json json_t *json = json_object();
		auto_buf struct buf bytes = {0};
		struct got got = {0};

		memset(filler, 'x', n);
		json_object_set_new(json, "t", json_stringn(filler, n));
		buf_add(&bytes, MARK, 8);
		CHECK_INT(witness_frame_add(&bytes, json, WITNESS_FRAME_MAX, NULL), 0);
		CHECK((unsigned char)bytes.data[8] != WITNESS_RESET_BYTE);
		CHECK_INT(feed(&bytes, 7, &got, NULL), 0);
		CHECK_INT(got.count, 1);
		buf_free(&got.text);
	}
}

static void nonsense_breaks_the_stream_with_a_reason(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *why;
	} rows[] = {
		{MARK "\0\0\0\0", 12, "no length"},
		{MARK "\x01\0\x80\0{", 13, "longer than the limit"},
		{MARK "\x01\xff\xff\xff\x01{", 14, "longer than the limit"},
		{MARK "\x02\0\0\0[]", 14, "no JSON object"},
		{MARK "\x02\0\0\0{x", 14, "no JSON object"},
		{MARK "\x04\0\0\0\"a\0\"", 16, "no JSON object"},
		{MARK "\x0d\0\0\0{\"a\":1,\"a\":2}", 25, "no JSON object"},
		{MARK "\x07\0\0\0{\"a\":1\xff{}", 21, "no JSON object"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf bytes = {.data = (char *)rows[i].bytes, .len = rows[i].len};
		struct got got = {0};
		struct err err = {0};

		CHECK_INT(feed(&bytes, bytes.len, &got, &err), -EPROTO);
		CHECK_HAS(err.text, rows[i].why);
		check_stream(&bytes, -EPROTO, "");
		buf_free(&got.text);
	}
}

static void a_broken_stream_stays_broken(void)
{
	struct witness_frames frames = {0};
	struct got got = {0};

	CHECK_INT(witness_frames_feed(&frames, MARK "\0\0\0\0", 12, take, &got, NULL), -EPROTO);
	CHECK_INT(witness_frames_feed(&frames, MARK "\x02\0\0\0{}", 14, take, &got, NULL), -EPROTO);
	CHECK_INT(got.count, 0);
	witness_frames_free(&frames);
}

static void a_request_above_the_limit_is_refused_before_it_is_sent(void)
{
	auto_json json_t *json = json_pack("{s:s}", "text", "0123456789");
	auto_buf struct buf out = {0};

	CHECK_INT(witness_frame_add(&out, json, 16, NULL), -EMSGSIZE);
	CHECK_INT(out.len, 0);
}

CHECK_MAIN(CHECK_CASE(frames_come_out_whole_however_they_are_cut),
	CHECK_CASE(what_stands_before_the_first_mark_is_another_connections),
	CHECK_CASE(a_mark_drops_the_frame_it_cuts_short_at_any_byte),
	CHECK_CASE(a_frame_of_255_bytes_is_padded_and_comes_through),
	CHECK_CASE(nonsense_breaks_the_stream_with_a_reason),
	CHECK_CASE(a_broken_stream_stays_broken),
	CHECK_CASE(a_request_above_the_limit_is_refused_before_it_is_sent))
