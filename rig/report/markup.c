#include "report/markup.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static const char *entity(char c)
{
	switch (c) {
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '&':
		return "&amp;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	case '\t':
		return "&#9;";
	case '\n':
		return "&#10;";
	default:
		return NULL;
	}
}

/* Of the valid UTF-8 characters, those that XML 1.0 cannot hold, and C1, which nobody wants. */
static bool is_barred(const char *at, size_t len)
{
	unsigned char c = (unsigned char)at[0], last = (unsigned char)at[len - 1];

	if (len == 1)
		return c < 0x20 || c == 0x7f;
	if (len == 2)
		return c == 0xc2 && last < 0xa0;
	return len == 3 && c == 0xef && (unsigned char)at[1] == 0xbf && last >= 0xbe;
}

void markup_add(struct buf *out, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(text + i, len - i);
		const char *name = entity(text[i]);

		if (name) {
			buf_add_str(out, name);
		} else if (n && !is_barred(text + i, n)) {
			buf_add(out, text + i, n);
		} else {
			buf_addf(out, "\\x%02x", (unsigned char)text[i]);
			n = 1;
		}
		i += n;
	}
}

void markup_add_url(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (isalnum((unsigned char)*text) || strchr("-._~", *text))
			buf_addc(out, *text);
		else
			buf_addf(out, "%%%02X", (unsigned char)*text);
	}
}
