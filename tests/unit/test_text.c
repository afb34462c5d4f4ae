/* The small ones of base: buf, err, json, hash, rng, log. */
#include "tests/check/check.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"

#include <string.h>

static void a_buffer_is_always_text(void)
{
	struct buf buf = {0};
	char *text;

	CHECK_STR(buf_text(&buf), "");
	buf_add(&buf, NULL, 0);
	CHECK_STR(buf_text(&buf), "");
	buf_addf(&buf, "%d-%s", 7, "x");
	buf_addc(&buf, '!');
	CHECK_STR(buf_text(&buf), "7-x!");
	buf_consume(&buf, 2);
	CHECK_STR(buf_text(&buf), "x!");
	buf_reserve(&buf, 100000)[0] = 'y';
	buf.len++;
	buf_add_str(&buf, "z");
	CHECK_STR(buf_text(&buf), "x!yz");
	text = buf_steal(&buf);
	CHECK_STR(text, "x!yz");
	CHECK_INT(buf.len, 0);
	free(text);
	text = buf_steal(&buf);
	CHECK_STR(text, "");
	free(text);
	buf_free(&buf);
	buf_free(NULL);
	CHECK(text_dup(NULL) == NULL);
}

static void what_a_terminal_would_obey_is_escaped(void)
{
	static const struct {
		const char *in;
		size_t len;
		const char *want;
	} table[] = {
		{"plain ~", 7, "plain ~"},
		{"a\nb\tc\r", 6, "a\\nb\\tc\\r"},
		{"\033[31m\x7f", 6, "\\x1b[31m\\x7f"},
		{"nul\0!", 5, "nul\\x00!"},
		{"caf\xc3\xa9", 5, "caf\xc3\xa9"},
		{"\xc2\x9b", 2, "\\xc2\\x9b"}, /* CSI as C1 */
		{"\xff\xfe", 2, "\\xff\\xfe"},
		{"\xe2\x82", 2, "\\xe2\\x82"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		auto_buf struct buf buf = {0};

		buf_add_escaped(&buf, table[i].in, table[i].len);
		CHECK_STR(buf_text(&buf), table[i].want);
	}
}

static void only_wellformed_characters_are_utf8(void)
{
	static const struct {
		const char *in;
		size_t len, want;
	} table[] = {
		{"a", 1, 1},
		{"", 0, 0},
		{"\xc3\xa9", 2, 2},
		{"\xe2\x82\xac", 3, 3},
		{"\xf0\x9f\x93\xa7", 4, 4},
		{"\xc0\x80", 2, 0}, /* overlong */
		{"\xe0\x80\x80", 3, 0},
		{"\xf0\x80\x80\x80", 4, 0},
		{"\xed\xa0\x80", 3, 0},	    /* surrogate */
		{"\xf4\x90\x80\x80", 4, 0}, /* above U+10FFFF */
		{"\xf5\x80\x80\x80", 4, 0},
		{"\xc3", 1, 0},
		{"\xc3(", 2, 0},
		{"\x80", 1, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		CHECK_INT(utf8_char(table[i].in, table[i].len), table[i].want);
}

static void an_error_is_one_sentence_that_grows_outwards(void)
{
	struct err err = {0};
	char endless[2000];

	CHECK_INT(err_set(&err, -EINVAL, "'%s' is bad", "x"), -EINVAL);
	CHECK_STR(err.text, "'x' is bad");
	CHECK_INT(err_wrap(&err, -EIO, "cell '%d'", 5), -EIO);
	CHECK_STR(err.text, "cell '5': 'x' is bad");
	CHECK_INT(err_sys(&err, ENOENT, "cannot open '%s'", "f"), -ENOENT);
	CHECK_STR(err.text, "cannot open 'f': No such file or directory");
	CHECK_INT(err_sys(&err, -ENOENT, "x"), -ENOENT);
	CHECK_INT(err_set(NULL, -EIO, "nobody listens"), -EIO);
	CHECK_INT(err_sys(NULL, EIO, "nobody listens"), -EIO);
	CHECK_INT(err_wrap(NULL, -EIO, "nobody listens"), -EIO);
	memset(endless, 'e', sizeof(endless));
	endless[sizeof(endless) - 1] = '\0';
	err_set(&err, -EIO, "%s", endless);
	err_wrap(&err, -EIO, "%s", endless);
	err_sys(&err, EIO, "%s", endless);
	CHECK_INT(strlen(err.text), ERR_TEXT_MAX - 1);
}

static void json_getters_never_trust_a_type(void)
{
	auto_json json_t *json =
		json_pack("{s:s, s:i, s:f, s:b}", "t", "text", "i", 7, "r", 0.5, "b", 1);

	CHECK_STR(json_get_text(json, "t", "-"), "text");
	CHECK_STR(json_get_text(json, "i", "-"), "-");
	CHECK_STR(json_get_text(NULL, "t", "-"), "-");
	CHECK_INT(json_get_int(json, "i", -1), 7);
	CHECK_INT(json_get_int(json, "t", -1), -1);
	CHECK_INT(json_get_int(json, "r", -1), -1);
	CHECK(json_get_real(json, "r", -1) == 0.5);
	CHECK(json_get_real(json, "i", -1) == 7);
	CHECK(json_get_real(json, "none", -1) == -1);
	CHECK(json_get_bool(json, "b", false));
	CHECK(json_get_bool(json, "i", true));
	CHECK(!json_get_bool(NULL, "b", false));
}

static void json_is_saved_and_loaded_in_order(void)
{
	auto_free char *file = path_join(check_dir(), "x.json");
	auto_json json_t *json = json_pack("{s:i, s:[s], s:i}", "z", 1, "list", "e", "a", 2);
	auto_json json_t *back = NULL;
	auto_buf struct buf text = {0};
	struct err err = {0};

	CHECK_INT(json_save_path(file, json, &err), 0);
	fs_read(file, 1000, &text, &err);
	CHECK_STR(
		buf_text(&text), "{\n  \"z\": 1,\n  \"list\": [\n    \"e\"\n  ],\n  \"a\": 2\n}\n");
	back = json_load_path(file, 1000, &err);
	CHECK(json_equal(json, back));
	CHECK(json_load_path(file, 5, &err) == NULL);
	CHECK_HAS(err.text, "is larger than 5 bytes");
	CHECK(json_load_path("/no/such/file", 5, &err) == NULL);
}

static void broken_json_is_refused_with_its_line(void)
{
	static const struct {
		const char *text, *want;
	} table[] = {{"{\n\"a\": 1,\n}", "line 3 is no JSON"}, {"", "line 1 is no JSON"},
		{"{\"a\":1,\"a\":2}", "duplicate object key"}, {"[1] 2", "is no JSON"},
		{"\"\xff\"", "is no JSON"}};
	auto_free char *file = path_join(check_dir(), "x.json");

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct err err = {0};

		fs_write_atomic(file, table[i].text, strlen(table[i].text), NULL);
		CHECK(json_load_path(file, 1000, &err) == NULL);
		CHECK_HAS(err.text, table[i].want);
	}
}

static void hostile_bytes_become_json_text(void)
{
	auto_json json_t *bad = json_text_n("a\xff\0z", 4), *good = json_text("caf\xc3\xa9\n");
	auto_json json_t *empty = json_text_n(NULL, 0);

	CHECK_STR(json_string_value(bad), "a\\xff\\x00z");
	CHECK_STR(json_string_value(good), "caf\xc3\xa9\n");
	CHECK_STR(json_string_value(empty), "");
}

static void sha256_has_its_published_values(void)
{
	auto_free char *file = path_join(check_dir(), "f");
	char hex[HASH_HEX_SIZE], other[HASH_HEX_SIZE];
	struct hash *a = hash_new(), *b = hash_new();
	struct err err = {0};

	/* FIPS 180-4, example "abc" */
	hash_bytes("abc", 3, hex);
	CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	fs_write_atomic(file, "abc", 3, NULL);
	CHECK_INT(hash_file(file, other, &err), 0);
	CHECK_STR(other, hex);
	CHECK_INT(hash_file("/no/such/file", other, &err), -ENOENT);
	hash_add_str(a, "ab");
	hash_add_str(a, "c");
	hash_add_str(b, "a");
	hash_add_str(b, "bc");
	hash_hex(a, hex);
	hash_hex(b, other);
	CHECK(strcmp(hex, other) != 0);
	hash_free(a);
	hash_free(b);
	hash_free(NULL);
}

static void a_stream_is_its_seeds_and_its_names_alone(void)
{
	struct rng a = rng_stream(1, "smtp.writers.1"), b = rng_stream(1, "smtp.writers.1");
	struct rng c = rng_stream(1, "smtp.writers.2"), d = rng_stream(2, "smtp.writers.1");
	uint64_t first = rng_u64(&a);

	CHECK(first == rng_u64(&b));
	CHECK(first != rng_u64(&c));
	CHECK(first != rng_u64(&d));
}

/* A changed generator would silently change every recorded seed. */
static void a_seed_gives_the_same_draws_in_every_version(void)
{
	struct rng rng = {{1, 2, 3, 4}}; /* xoshiro256**, reference implementation */

	CHECK(rng_u64(&rng) == UINT64_C(11520));
	CHECK(rng_u64(&rng) == UINT64_C(0));
	CHECK(rng_u64(&rng) == UINT64_C(1509978240));
	CHECK(rng_u64(&rng) == UINT64_C(1215971899390074240));
}

static void draws_stay_below_their_bound_and_reach_all_of_it(void)
{
	struct rng rng = rng_stream(3, "x");
	unsigned int seen[7] = {0};
	unsigned char bytes[13] = {0};
	unsigned int set = 0;

	for (int i = 0; i < 7000; i++) {
		uint64_t x = rng_below(&rng, 7);

		CHECK(x < 7);
		seen[x]++;
	}
	for (int i = 0; i < 7; i++)
		CHECK(seen[i] > 800);
	CHECK_INT(rng_below(&rng, 1), 0);
	for (int i = 0; i < 20; i++) {
		rng_bytes(&rng, bytes, sizeof(bytes));
		set |= bytes[12];
	}
	CHECK(set != 0);
}

static void the_diary_holds_one_line_a_call(void)
{
	auto_free char *file = path_join(check_dir(), "rig.log");
	auto_buf struct buf text = {0};
	struct err err = {0};
	size_t lines = 0;

	log_line("before it is open: nowhere");
	CHECK_INT(log_open(file, &err), 0);
	log_line("the guest said %s", "a\nb\033[2J");
	log_line("second");
	log_close();
	log_line("after");
	CHECK_INT(fs_read(file, 1000, &text, &err), 0);
	CHECK_HAS(buf_text(&text), " the guest said a\\nb\\x1b[2J\n");
	for (size_t i = 0; i < text.len; i++)
		lines += text.data[i] == '\n';
	CHECK_INT(lines, 2);
	CHECK_INT(log_open("/no/such/dir/x", &err), -ENOENT);
}

CHECK_MAIN(CHECK_CASE(a_buffer_is_always_text), CHECK_CASE(what_a_terminal_would_obey_is_escaped),
	CHECK_CASE(only_wellformed_characters_are_utf8),
	CHECK_CASE(an_error_is_one_sentence_that_grows_outwards),
	CHECK_CASE(json_getters_never_trust_a_type), CHECK_CASE(json_is_saved_and_loaded_in_order),
	CHECK_CASE(broken_json_is_refused_with_its_line),
	CHECK_CASE(hostile_bytes_become_json_text), CHECK_CASE(sha256_has_its_published_values),
	CHECK_CASE(a_stream_is_its_seeds_and_its_names_alone),
	CHECK_CASE(a_seed_gives_the_same_draws_in_every_version),
	CHECK_CASE(draws_stay_below_their_bound_and_reach_all_of_it),
	CHECK_CASE(the_diary_holds_one_line_a_call))
