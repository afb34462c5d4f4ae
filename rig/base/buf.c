#include "base/buf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *mem_zero(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

void *mem_grow(void *old, size_t count, size_t size)
{
	void *p = reallocarray(old, count ? count : 1, size ? size : 1);

	if (!p)
		abort();
	return p;
}

void buf_free(struct buf *buf)
{
	if (!buf)
		return;
	cleanup_free(&buf->data);
	*buf = (struct buf){0};
}

void buf_reset(struct buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

char *buf_reserve(struct buf *buf, size_t more)
{
	size_t need;

	assert(more < SIZE_MAX / 4 && buf->len < SIZE_MAX / 4);
	need = buf->len + more + 1;
	if (need > buf->size) {
		size_t size = buf->size ? buf->size : 64;

		while (size < need)
			size *= 2;
		buf->data = mem_grow(buf->data, size, 1);
		buf->size = size;
	}
	buf->data[buf->len] = '\0';
	return buf->data + buf->len;
}

void buf_add(struct buf *buf, const void *bytes, size_t len)
{
	char *at = buf_reserve(buf, len);

	if (len)
		memcpy(at, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void buf_add_str(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_addc(struct buf *buf, char c)
{
	buf_add(buf, &c, 1);
}

void buf_addv(struct buf *buf, const char *fmt, va_list ap)
{
	va_list again;
	int len;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	assert(len >= 0);
	vsnprintf(buf_reserve(buf, (size_t)len), (size_t)len + 1, fmt, ap);
	buf->len += (size_t)len;
}

void buf_addf(struct buf *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addv(buf, fmt, ap);
	va_end(ap);
}

static const char *short_escape(char c)
{
	switch (c) {
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		return NULL;
	}
}

/* C0, DEL, and C1 (U+0080..U+009F, which terminals obey too). */
static bool is_control(const char *bytes, size_t char_len)
{
	unsigned char c = (unsigned char)bytes[0];

	return c < 0x20 || c == 0x7f ||
	       (char_len == 2 && c == 0xc2 && (unsigned char)bytes[1] < 0xa0);
}

void buf_add_escaped(struct buf *buf, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(bytes + i, len - i);
		const char *escape = short_escape(bytes[i]);

		if (escape) {
			buf_add_str(buf, escape);
		} else if (n && !is_control(bytes + i, n)) {
			buf_add(buf, bytes + i, n);
		} else {
			buf_addf(buf, "\\x%02x", (unsigned char)bytes[i]);
			n = 1;
		}
		i += n;
	}
}

size_t utf8_char(const char *bytes, size_t len)
{
	const unsigned char *b = (const unsigned char *)bytes;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t code;
	size_t n;

	if (!len)
		return 0;
	if (b[0] < 0x80)
		return 1;
	n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
	if (b[0] < 0xc2 || b[0] > 0xf4 || n > len)
		return 0;
	code = b[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (b[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return n;
}

void buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	if (!len)
		return;
	memmove(buf->data, buf->data + len, buf->len - len);
	buf->len -= len;
	buf->data[buf->len] = '\0';
}

char *buf_steal(struct buf *buf)
{
	char *text = buf->data ? buf->data : mem_zero(1, 1);

	*buf = (struct buf){0};
	return text;
}

const char *buf_text(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

char *text_fmt(const char *fmt, ...)
{
	struct buf buf = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&buf, fmt, ap);
	va_end(ap);
	return buf_steal(&buf);
}

char *text_dup(const char *text)
{
	return text ? text_dup_n(text, strlen(text)) : NULL;
}

char *text_dup_n(const char *text, size_t len)
{
	char *copy = mem_zero(len + 1, 1);

	memcpy(copy, text, len);
	return copy;
}
