#include "faults/guest/board_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CLOSING 128 /* kept free: what ends all that is open, and "cut" */

void board_put_begin(struct board_reply *reply, char *text, size_t size)
{
	*reply = (struct board_reply){.text = text, .size = size};
	text[0] = '\0';
}

static void __attribute__((format(printf, 2, 3)))
add(struct board_reply *reply, const char *fmt, ...)
{
	size_t room = reply->size - reply->len;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(reply->text + reply->len, room, fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= room) {
		reply->text[reply->len] = '\0';
		reply->broken = true;
	} else {
		reply->len += (size_t)len;
	}
}

bool board_put_fits(struct board_reply *reply, size_t more)
{
	if (reply->size - reply->len > more + CLOSING)
		return true;
	reply->cut = true;
	return false;
}

static void item(struct board_reply *reply, const char *key)
{
	add(reply, "%s", reply->comma ? "," : "");
	if (key)
		add(reply, "\"%s\":", key);
	reply->comma = true;
}

void board_put_open(struct board_reply *reply, const char *key, char bracket)
{
	item(reply, key);
	add(reply, "%c", bracket);
	reply->comma = false;
}

void board_put_close(struct board_reply *reply, char bracket)
{
	add(reply, "%c", bracket);
	reply->comma = true;
}

void board_put_int(struct board_reply *reply, const char *key, int64_t value)
{
	item(reply, key);
	add(reply, "%" PRId64, value);
}

void board_put_bool(struct board_reply *reply, const char *key, bool value)
{
	item(reply, key);
	add(reply, "%s", value ? "true" : "false");
}

void board_put_text(struct board_reply *reply, const char *key, const char *text)
{
	item(reply, key);
	add(reply, "\"");
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			add(reply, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			add(reply, "\\\\x%02x", c);
		else
			add(reply, "%c", c);
	}
	add(reply, "\"");
}
