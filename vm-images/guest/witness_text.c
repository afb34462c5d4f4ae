#include "witness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 4

void out_free(struct out *out)
{
	free(out->data);
	*out = (struct out){0};
}

static char *room(struct out *out, size_t more)
{
	if (!out->data || out->len + more + 1 > out->size) {
		size_t size = out->size ? out->size : 256;
		char *data;

		while (size < HEAD_SIZE + out->len + more + 1)
			size *= 2;
		data = realloc(out->data, size);
		if (!data)
			abort();
		if (!out->data)
			out->len = HEAD_SIZE;
		out->data = data;
		out->size = size;
	}
	return out->data + out->len;
}

void out_add(struct out *out, const char *bytes, size_t len)
{
	memcpy(room(out, len), bytes, len);
	out->len += len;
}

static void add_char(struct out *out, char c)
{
	*room(out, 1) = c;
	out->len++;
}

/* Length of the UTF-8 character at `s` (RFC 3629: no overlong form, no surrogate), 0 if there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (!n || n > left || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static size_t escape(struct out *out, const unsigned char *s, size_t left)
{
	size_t n = utf8_length(s, left);
	char text[8];

	if (s[0] == '"' || s[0] == '\\') {
		text[0] = '\\';
		text[1] = (char)s[0];
		out_add(out, text, 2);
	} else if (n == 1 && s[0] < 0x20 && s[0]) {
		out_add(out, text, (size_t)snprintf(text, sizeof(text), "\\u%04x", s[0]));
	} else if (!n || !s[0]) {
		/* Not representable: shown as \xNN, as everywhere in the rig. */
		out_add(out, text, (size_t)snprintf(text, sizeof(text), "\\\\x%02x", s[0]));
	} else {
		out_add(out, (const char *)s, n);
	}
	return n ? n : 1;
}

/* How many bytes stand in JSON as they are: nearly all that is ever told. */
static size_t plain_length(const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && bytes[n] >= ' ' && bytes[n] < 0x7f && bytes[n] != '"' && bytes[n] != '\\')
		n++;
	return n;
}

static void add_string(struct out *out, const char *bytes, size_t len)
{
	add_char(out, '"');
	for (size_t i = 0, plain; i < len; i += plain) {
		plain = plain_length(bytes + i, len - i);
		if (plain)
			out_add(out, bytes + i, plain);
		else
			plain = escape(out, (const unsigned char *)bytes + i, len - i);
	}
	add_char(out, '"');
}

static void add_key(struct out *out, const char *key)
{
	char last = out->data && out->len > HEAD_SIZE ? out->data[out->len - 1] : '{';

	if (last != '{' && last != '[')
		add_char(out, ',');
	if (key) {
		add_string(out, key, strlen(key));
		add_char(out, ':');
	}
}

void out_open(struct out *out, const char *key, char bracket)
{
	add_key(out, key);
	add_char(out, bracket);
}

void out_close(struct out *out, char bracket)
{
	add_char(out, bracket);
}

void out_bytes(struct out *out, const char *key, const char *bytes, size_t len)
{
	add_key(out, key);
	add_string(out, bytes, len);
}

void out_text(struct out *out, const char *key, const char *text)
{
	out_bytes(out, key, text, strlen(text));
}

void out_hex(struct out *out, const char *key, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;
	char *to;

	add_key(out, key);
	add_char(out, '"');
	to = room(out, 2 * len);
	for (size_t i = 0; i < len; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
	out->len += 2 * len;
	add_char(out, '"');
}

void out_int(struct out *out, const char *key, int64_t value)
{
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	char text[24], *at = text + sizeof(text);

	add_key(out, key);
	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (value < 0)
		*--at = '-';
	out_add(out, at, (size_t)(text + sizeof(text) - at));
}

void out_bool(struct out *out, const char *key, bool value)
{
	add_key(out, key);
	out_add(out, value ? "true" : "false", value ? 4 : 5);
}
