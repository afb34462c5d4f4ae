#include "base/buf.h"
#include "tests/check/check.h"
#include "tests/check/json_same.h"

#include <math.h>

static struct tape tape;

static const struct tape_value *read_text(const char *text)
{
	const char *why = NULL;
	size_t at = 0;
	const struct tape_value *value = tape_read(&tape, text, strlen(text), &why, &at);

	CHECK(value);
	return value;
}

static void values_stand_in_the_order_of_the_text(void)
{
	const struct tape_value *root = read_text(
		" {\"a\": [1, {\"b\": \"x\"}, []], \"c\": -2.5,\t\"d\": true,\n\"e\": null} ");
	const struct tape_value *list, *one;

	if (!CHECK(root))
		return;
	CHECK_INT(root->len, 4);
	CHECK_INT(
		root->span, 1 + 4 + 1 + (1 + 3 + 1) + 3); /* keys, array, what is in it, the rest */
	list = tape_get(root, "a");
	CHECK_INT(list->len, 3);
	one = tape_first(list);
	CHECK_INT(one->integer, 1);
	one = tape_next(list, one);
	CHECK_STR(tape_text(one, "b", ""), "x");
	one = tape_next(list, one);
	CHECK(one->type == JSON_ARRAY && !tape_first(one));
	CHECK(!tape_next(list, one));
	CHECK(tape_real(root, "c", 0) == -2.5);
	CHECK(tape_bool(root, "d", false));
	CHECK(tape_get(root, "e")->type == JSON_NULL);
	CHECK(!tape_get(root, "b"));
}

static void what_is_not_there_or_of_another_type_is_the_default(void)
{
	const struct tape_value *root = read_text("{\"n\": 7, \"t\": \"x\", \"r\": 1.5}");

	CHECK_STR(tape_text(root, "n", "none"), "none");
	CHECK_INT(tape_int(root, "t", -1), -1);
	CHECK_INT(tape_int(root, "r", -1), -1);
	CHECK(tape_real(root, "n", 0) == 7);
	CHECK(isnan(tape_real(root, "t", NAN)));
	CHECK(tape_bool(root, "n", true));
	CHECK(!tape_get(NULL, "n") && !tape_first(NULL) && !tape_first(root) && !tape_string(root));
	CHECK_INT(tape_int(tape_get(root, "n"), "n", -1), -1);
}

/* RFC 8259, sections 6 to 8, and the limits of a 64-bit integer and a double. */
static void texts_and_numbers_are_read_as_the_standard_says(void)
{
	static const struct {
		const char *json, *text;
	} texts[] = {
		{"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]", "\"\\/\b\f\n\r\t"},
		{"[\"\\u0041\\u00e9\\u20AC\"]", "A\xc3\xa9\xe2\x82\xac"},
		{"[\"\\ud834\\udd1E\"]", "\xf0\x9d\x84\x9e"},
		{"[\"eight plain ones, then \xc3\xa9 and \\\" and more than eight\"]",
			"eight plain ones, then \xc3\xa9 and \" and more than eight"},
		{"[\"\"]", ""},
	};
	static const struct {
		const char *json;
		double real;
	} reals[] = {{"[0.1]", 0.1}, {"[-0.0]", -0.0}, {"[1e3]", 1000}, {"[1E+2]", 100},
		{"[2.5e-1]", 0.25}, {"[1234567.123456]", 1234567.123456},
		{"[9007199254740993.0]", 9007199254740992.0},
		{"[1.7976931348623157e308]", 0x1.fffffffffffffp1023},
		{"[9.007199254740993]", 9.007199254740993},
		{"[90071992547409.93]", 90071992547409.93}, {"[5e-324]", 0x1p-1074},
		{"[1e-400]", 0}};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		CHECK_STR(tape_string(tape_first(read_text(texts[i].json))), texts[i].text);
	for (size_t i = 0; i < ARRAY_SIZE(reals); i++) {
		const struct tape_value *one = tape_first(read_text(reals[i].json));

		CHECK(one && one->type == JSON_REAL && one->real == reals[i].real &&
			signbit(one->real) == signbit(reals[i].real));
	}
	CHECK_INT(tape_first(read_text("[9223372036854775807]"))->integer, INT64_MAX);
	CHECK_INT(tape_first(read_text("[-9223372036854775808]"))->integer, INT64_MIN);
	CHECK_INT(tape_first(read_text("[-0]"))->integer, 0);
}

static void what_is_no_json_is_refused_where_it_goes_wrong(void)
{
	static const struct {
		const char *json, *why;
		size_t at;
	} table[] = {
		{"", "'{' or '['", 0}, {"\"x\"", "'{' or '['", 0}, {"{} x", "more behind", 3},
		{"{\"a\":1,}", "a key", 7}, {"{\"a\" 1}", "':'", 5},
		{"{\"a\":1 \"b\":2}", "',' or '}'", 7}, {"{\"a\":1,\"a\":2}", "duplicate", 10},
		{"[1,]", "no value", 3}, {"[1", "',' or ']'", 2}, {"[", "no value", 1},
		{"[01]", "no number", 1}, {"[1.]", "no number", 1}, {"[1e]", "no number", 1},
		{"[-]", "no number", 1}, {"[+1]", "no value", 1},
		{"[9223372036854775808]", "too big", 1}, {"[1e400]", "too big", 1},
		{"[tru]", "no value", 1}, {"[\"a]", "without end", 4}, {"[\"\\x\"]", "escape", 3},
		{"[\"\\u00g0\"]", "hexadecimal", 6}, {"[\"\\u0000\"]", "not allowed", 8},
		{"[\"\\udc00\"]", "surrogate", 8}, {"[\"\\ud800x\"]", "surrogate", 8},
		{"[\"\\ud800\\u0041\"]", "surrogate", 14}, {"[\"\x01\"]", "control", 2},
		{"[\"\xff\"]", "UTF-8", 2},
		{"[\"\xed\xa0\x80\"]", "UTF-8", 2}, /* a surrogate, RFC 3629, section 3 */
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const char *why = "";
		size_t at = 0;

		CHECK(!tape_read(&tape, table[i].json, strlen(table[i].json), &why, &at));
		CHECK_HAS(why, table[i].why);
		CHECK_INT(at, table[i].at);
		CHECK(json_read_alike(&tape, table[i].json, strlen(table[i].json)));
	}
	CHECK(json_read_alike(&tape, "[1]\0", 4));
	CHECK(json_read_alike(&tape, "[\0]", 3));
	CHECK(json_read_alike(&tape, "[\"a\0b\"]", 7));
}

/* Strings are copied by eights: a special byte may stand at any place of one, and the text may end at any. */
static void a_byte_is_read_alike_wherever_it_stands(void)
{
	int unlike = 0;

	for (size_t place = 0; place < 20; place++)
		for (int byte = 0; byte < 256; byte++) {
			char text[] = "[\"..........................\"]";

			text[2 + place] = (char)byte;
			unlike += !json_read_alike(&tape, text, sizeof(text) - 1);
			unlike += !json_read_alike(&tape, text, place + 3);
			text[3 + place] = '"'; /* a false mark behind a true one may not count */
			text[4 + place] = ']';
			unlike += !json_read_alike(&tape, text, place + 5);
		}
	CHECK_INT(unlike, 0);
}

/* Only keys that share a mark are compared: those of one letter and one length, and some others. */
static void no_key_stands_twice_in_an_object(void)
{
	static const char *const keys[] = {"", "t", "ev", "of", "to", "ta", "tb", "token", "text",
		"sha256", "bytes", "I", "\xc3\xa9", "seventeen letters"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		for (size_t j = 0; j < ARRAY_SIZE(keys); j++) {
			auto_free char *text = text_fmt(
				"{\"%s\":1,\"x\":{\"%s\":0},\"%s\":2}", keys[i], keys[i], keys[j]);
			const char *why = "";
			size_t at;

			CHECK_INT(!tape_read(&tape, text, strlen(text), &why, &at), i == j);
			CHECK(json_read_alike(&tape, text, strlen(text)));
			CHECK(i != j || strstr(why, "duplicate"));
		}
}

static void brackets(struct buf *buf, unsigned int depth)
{
	buf_reset(buf);
	for (unsigned int i = 0; i < depth; i++)
		buf_addc(buf, '[');
	for (unsigned int i = 0; i < depth; i++)
		buf_addc(buf, ']');
}

static void keys(struct buf *buf, unsigned int count)
{
	buf_reset(buf);
	for (unsigned int i = 0; i < count; i++)
		buf_addf(buf, "%s\"k%u\":%u", i ? "," : "{", i, i);
	buf_addc(buf, '}');
}

static void its_time_is_bounded(void)
{
	auto_buf struct buf text = {0};
	const char *why = "";
	size_t at;

	brackets(&text, TAPE_DEPTH_MAX);
	CHECK(read_text(buf_text(&text)) != NULL);
	brackets(&text, TAPE_DEPTH_MAX + 1);
	CHECK(!tape_read(&tape, buf_text(&text), text.len, &why, &at));
	CHECK_HAS(why, "too deep");
	keys(&text, TAPE_KEYS_MAX);
	CHECK_INT(tape_int(read_text(buf_text(&text)), "k255", 0), 255);
	keys(&text, TAPE_KEYS_MAX + 1);
	CHECK(!tape_read(&tape, buf_text(&text), text.len, &why, &at));
	CHECK_HAS(why, "too many keys");
}

/* As many values as a text can hold, and as many open brackets as there may be. */
static void the_room_is_enough_for_the_densest_text(void)
{
	auto_buf struct buf text = {0};

	buf_addc(&text, '[');
	for (int i = 0; i < 5000; i++)
		buf_add_str(&text, "1,");
	for (int i = 0; i < TAPE_DEPTH_MAX; i++)
		buf_addc(&text, '[');
	for (size_t len = 0; len <= text.len; len += len < 4000 || len > 9900 ? 1 : 97) {
		struct tape own = {0};

		CHECK(json_read_alike(&own, buf_text(&text), len));
		tape_free(&own);
	}
}

CHECK_MAIN(CHECK_CASE(values_stand_in_the_order_of_the_text),
	CHECK_CASE(what_is_not_there_or_of_another_type_is_the_default),
	CHECK_CASE(texts_and_numbers_are_read_as_the_standard_says),
	CHECK_CASE(what_is_no_json_is_refused_where_it_goes_wrong), CHECK_CASE(its_time_is_bounded),
	CHECK_CASE(a_byte_is_read_alike_wherever_it_stands),
	CHECK_CASE(no_key_stands_twice_in_an_object),
	CHECK_CASE(the_room_is_enough_for_the_densest_text))
