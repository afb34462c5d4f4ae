#include "base/json_tape.h"

#include "base/buf.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

struct reader {
	const char *begin, *at, *end;
	struct tape *tape;
	size_t values, text_used;
	const char *why; /* the first thing that is wrong; NULL: nothing yet */
	unsigned int depth;
};

static bool wrong(struct reader *r, const char *why)
{
	if (!r->why)
		r->why = why;
	return false;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->end &&
		(*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool took(struct reader *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static struct tape_value *new_value(struct reader *r, json_type type)
{
	struct tape_value *value = &r->tape->values[r->values++];

	*value = (struct tape_value){.type = type, .span = 1};
	return value;
}

/* ---- strings ---- */

static void put(struct reader *r, const char *bytes, size_t len)
{
	memcpy(r->tape->texts + r->text_used, bytes, len);
	r->text_used += len;
}

/* Four hexadecimal digits; negative if they are not. */
static int32_t take_unit(struct reader *r)
{
	int32_t unit = 0;

	for (int i = 0; i < 4; i++, r->at++) {
		unsigned char c = r->at < r->end ? (unsigned char)*r->at : 0;
		int32_t digit = c >= '0' && c <= '9'   ? c - '0'
				: c >= 'a' && c <= 'f' ? c - 'a' + 10
				: c >= 'A' && c <= 'F' ? c - 'A' + 10
						       : -1;

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static void put_utf8(struct reader *r, uint32_t c)
{
	char bytes[4];
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = len; i-- > 1; c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(lead[len] | c);
	put(r, bytes, len);
}

/* RFC 8259, section 7: a character beyond U+FFFF is written as two UTF-16 units. */
static bool take_unicode(struct reader *r)
{
	int32_t unit = take_unit(r), low;

	if (unit <= 0)
		return wrong(
			r, unit ? "four hexadecimal digits expected" : "\\u0000 is not allowed");
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return wrong(r, "half of a surrogate pair");
	if (unit < 0xd800 || unit > 0xdbff) {
		put_utf8(r, (uint32_t)unit);
		return true;
	}
	low = took(r, '\\') && took(r, 'u') ? take_unit(r) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return wrong(r, "half of a surrogate pair");
	put_utf8(r, 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00));
	return true;
}

static bool take_escape(struct reader *r)
{
	static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (took(r, 'u'))
		return take_unicode(r);
	name = r->at < r->end && *r->at ? strchr(names, *r->at) : NULL;
	if (!name)
		return wrong(r, "no such escape");
	r->at++;
	put(r, &means[name - names], 1);
	return true;
}

#define EACH_BYTE 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

static uint64_t has_zero(uint64_t word)
{
	return (word - EACH_BYTE) & ~word & HIGH_BITS;
}

/* How many of the eight bytes here come before the first that is a control character, a quotation mark, a backslash
 * or no ASCII: what each of the terms marks first is one, behind it a borrow may mark others. */
static size_t plain_bytes(const char *at)
{
	uint64_t word, special;

	memcpy(&word, at, sizeof(word));
	word = le64toh(word);
	special = ((word | (word - EACH_BYTE * ' ')) & HIGH_BITS) |
		  has_zero(word ^ EACH_BYTE * '"') | has_zero(word ^ EACH_BYTE * '\\');
	return special ? (size_t)__builtin_ctzll(special) / 8 : sizeof(word);
}

/* The plain run from here on: no end, no escape, nothing that is not UTF-8. Eight bytes are copied at once, and those
 * that are too many written over: a text on the tape is never longer than it was in quotation marks. */
static void take_plain(struct reader *r)
{
	const char *at = r->at;
	char *to = r->tape->texts + r->text_used, *first = to;
	size_t len = 8;

	for (; len == 8 && r->end - at >= 8; at += len, to += len) {
		memcpy(to, at, 8);
		len = plain_bytes(at);
	}
	while (at < r->end && *at != '"' && *at != '\\' && (unsigned char)*at >= ' ') {
		len = (unsigned char)*at < 0x80 ? 1 : utf8_char(at, (size_t)(r->end - at));
		if (!len)
			break;
		for (size_t i = 0; i < len; i++)
			*to++ = *at++;
	}
	r->at = at;
	r->text_used += (size_t)(to - first);
}

/* Behind its first quotation mark. */
static bool take_string(struct reader *r)
{
	struct tape_value *value = new_value(r, JSON_STRING);
	size_t from = r->text_used;

	while (!took(r, '"')) {
		take_plain(r);
		if (r->at == r->end)
			return wrong(r, "a string without end");
		if (took(r, '\\')) {
			if (!take_escape(r))
				return false;
		} else if (*r->at != '"') {
			return wrong(
				r, "a control character or a byte that is no UTF-8 in a string");
		}
	}
	value->text = r->tape->texts + from;
	value->len = (uint32_t)(r->text_used - from);
	put(r, "", 1);
	return true;
}

/* ---- numbers ---- */

static const char *digits_end(const struct reader *r, const char *at)
{
	while (at < r->end && *at >= '0' && *at <= '9')
		at++;
	return at;
}

/* Where the number that begins here ends, or NULL. `*ret_real`: it has a fraction or an exponent. */
static const char *number_end(const struct reader *r, bool *ret_real)
{
	const char *first = r->at + (*r->at == '-'), *at = digits_end(r, first), *part;

	*ret_real = false;
	if (at == first || (*first == '0' && at > first + 1))
		return NULL;
	if (at < r->end && *at == '.') {
		part = at + 1;
		at = digits_end(r, part);
		*ret_real = true;
		if (at == part)
			return NULL;
	}
	if (at < r->end && (*at == 'e' || *at == 'E')) {
		part = at + 1;
		part += part < r->end && (*part == '+' || *part == '-');
		at = digits_end(r, part);
		*ret_real = true;
		if (at == part)
			return NULL;
	}
	return at;
}

/* The digits of a short number as a whole one, and how many of them stand behind a point. */
static bool few_digits(const char *at, const char *end, uint64_t *ret_whole, size_t *ret_behind)
{
	bool fraction = false;
	uint64_t whole = 0;
	size_t behind = 0;

	if (end - at > 17)
		return false;
	for (at += *at == '-'; at < end; at++) {
		if (*at == '.') {
			fraction = true;
			continue;
		}
		if (*at < '0' || *at > '9')
			return false;
		whole = whole * 10 + (uint64_t)(*at - '0');
		behind += fraction;
	}
	*ret_whole = whole;
	*ret_behind = behind;
	return true;
}

/* strtod(3) and strtoll(3) want an end: a copy has one. */
static const char *number_text(struct reader *r, const char *end)
{
	char *copy = r->tape->texts + r->text_used;
	size_t len = (size_t)(end - r->at);

	memcpy(copy, r->at, len);
	copy[len] = '\0';
	return copy;
}

static int64_t integer_of(struct reader *r, const char *end)
{
	uint64_t whole;
	size_t behind;

	if (few_digits(r->at, end, &whole, &behind))
		return *r->at == '-' ? -(int64_t)whole : (int64_t)whole;
	return strtoll(number_text(r, end), NULL, 10);
}

/*
 * Digits, a point and digits that make a whole number below 2^53 and a power of ten up to 10^22: both are exact, so
 * that one division rounds correctly (Clinger, "How to read floating point numbers accurately", PLDI 1990).
 */
static double real_of(struct reader *r, const char *end)
{
	static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15};
	uint64_t whole;
	size_t behind;

	if (few_digits(r->at, end, &whole, &behind) && !(whole >> 53) && behind < ARRAY_SIZE(tens))
		return (*r->at == '-' ? -(double)whole : (double)whole) / tens[behind];
	return strtod(number_text(r, end), NULL);
}

static bool take_number(struct reader *r)
{
	bool real;
	const char *end = number_end(r, &real);
	struct tape_value *value = new_value(r, real ? JSON_REAL : JSON_INTEGER);

	if (!end)
		return wrong(r, "no number");
	errno = 0;
	if (real)
		value->real = real_of(r, end);
	else
		value->integer = integer_of(r, end);
	if (real ? isinf(value->real) : errno == ERANGE)
		return wrong(r, "a number too big");
	r->at = end;
	return true;
}

/* ---- values ---- */

static bool take_word(struct reader *r, const char *word, json_type type)
{
	size_t len = strlen(word);

	if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
		return wrong(r, "no value");
	r->at += len;
	new_value(r, type);
	return true;
}

static bool take_value(struct reader *r);

static bool key_is_new(const struct tape_value *object, const struct tape_value *key)
{
	for (const struct tape_value *at = object + 1; at < key; at += 1 + at[1].span)
		if (at->len == key->len && !memcmp(at->text, key->text, key->len))
			return false;
	return true;
}

/* One of 64 bits for each key: keys with different ones are different. */
static uint64_t key_mark(const struct tape_value *key)
{
	return (uint64_t)1 << (((unsigned char)key->text[0] + 9 * key->len) % 64);
}

/* `seen`: the marks of the keys before. */
static bool take_key(struct reader *r, const struct tape_value *object, uint64_t *seen)
{
	const struct tape_value *key = &r->tape->values[r->values];

	skip_space(r);
	if (!took(r, '"'))
		return wrong(r, "a key in quotation marks expected");
	if (!take_string(r))
		return false;
	if (object->len > TAPE_KEYS_MAX)
		return wrong(r, "too many keys in one object");
	if (*seen & key_mark(key) && !key_is_new(object, key))
		return wrong(r, "a duplicate key in one object");
	*seen |= key_mark(key);
	skip_space(r);
	return took(r, ':') || wrong(r, "':' expected");
}

/* Behind its first bracket. */
static bool take_members(struct reader *r, json_type type)
{
	struct tape_value *holder = new_value(r, type);
	size_t index = r->values - 1;
	char last = type == JSON_OBJECT ? '}' : ']';
	uint64_t seen = 0;

	if (++r->depth > TAPE_DEPTH_MAX)
		return wrong(r, "nested too deep");
	skip_space(r);
	if (!took(r, last)) {
		do {
			holder->len++;
			if ((type == JSON_OBJECT && !take_key(r, holder, &seen)) || !take_value(r))
				return false;
			skip_space(r);
		} while (took(r, ','));
		if (!took(r, last))
			return wrong(r, type == JSON_OBJECT ? "',' or '}' expected"
							    : "',' or ']' expected");
	}
	holder->span = (uint32_t)(r->values - index);
	r->depth--;
	return true;
}

static bool take_value(struct reader *r)
{
	skip_space(r);
	if (took(r, '"'))
		return take_string(r);
	if (took(r, '{'))
		return take_members(r, JSON_OBJECT);
	if (took(r, '['))
		return take_members(r, JSON_ARRAY);
	switch (r->at < r->end ? *r->at : '\0') {
	case 't':
		return take_word(r, "true", JSON_TRUE);
	case 'f':
		return take_word(r, "false", JSON_FALSE);
	case 'n':
		return take_word(r, "null", JSON_NULL);
	case '-':
		return take_number(r);
	default:
		return digits_end(r, r->at) > r->at ? take_number(r) : wrong(r, "no value");
	}
}

static bool take_document(struct reader *r)
{
	skip_space(r);
	if (r->at == r->end || (*r->at != '{' && *r->at != '['))
		return wrong(r, "'{' or '[' expected");
	if (!take_value(r))
		return false;
	skip_space(r);
	return r->at == r->end || wrong(r, "more behind the end");
}

/* Every value has a byte of its own and one that parts it from the next or ends it, which at most the open ones still
 * lack; every text has its quotation marks. */
static void make_room(struct tape *tape, size_t len)
{
	if (len < tape->size)
		return;
	tape_free(tape);
	tape->size = len < 4096 ? 4096 : len + 1;
	tape->values = mem_zero(tape->size / 2 + 2 + TAPE_DEPTH_MAX, sizeof(*tape->values));
	tape->texts = mem_zero(tape->size + 1, 1);
}

const struct tape_value *tape_read(
	struct tape *tape, const char *text, size_t len, const char **why, size_t *ret_at)
{
	struct reader r = {.begin = text, .at = text, .end = text + len, .tape = tape};

	assert(len <= INT_MAX);
	make_room(tape, len);
	if (take_document(&r))
		return tape->values;
	*why = r.why;
	*ret_at = (size_t)(r.at - r.begin);
	return NULL;
}

void tape_free(struct tape *tape)
{
	free(tape->values);
	free(tape->texts);
	*tape = (struct tape){0};
}
