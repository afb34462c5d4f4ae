#include "mail/message.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct message_scan {
	struct message_seen seen;
	struct hash *hash;
	struct buf field; /* the header field being read, unfolded, at most MESSAGE_LINE_MAX */
	char line[MESSAGE_LINE_MAX]; /* the line being read, cut */
	size_t line_len;
	bool in_body;
	bool after_cr; /* the last byte was a CR */
};

static const char token_name[] = "X-Mailrig-Token:";

struct message_scan *message_scan_new(void)
{
	struct message_scan *scan = mem_zero(1, sizeof(*scan));

	scan->hash = hash_new();
	return scan;
}

void message_scan_free(struct message_scan *scan)
{
	if (!scan)
		return;
	hash_free(scan->hash);
	buf_free(&scan->field);
	free(scan);
}

/* The value of field `name` (with its colon) if `text` is that field, else NULL. */
static const char *value_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(text, name, len) != 0)
		return NULL;
	return text + len + strspn(text + len, " \t");
}

/* A token is exactly 32 hex digits; anything else is not ours. */
static void take_token(char out[MESSAGE_TOKEN_SIZE], const char *value)
{
	size_t len = strspn(value, "0123456789abcdef");

	if (out[0] || len != MESSAGE_TOKEN_SIZE - 1 ||
		(value[len] && !isspace((unsigned char)value[len])))
		return;
	memcpy(out, value, len);
	out[len] = '\0';
}

static void end_field(struct message_scan *scan)
{
	const char *field = buf_text(&scan->field), *value;

	if ((value = value_of(field, token_name)))
		take_token(scan->seen.token, value);
	else if ((value = value_of(field, "Content-Type:")))
		scan->seen.report |= !strncasecmp(value, "multipart/report", 16);
	else if ((value = value_of(field, "Auto-Submitted:")))
		scan->seen.report |= !strncasecmp(value, "auto-replied", 12);
	else if ((value = value_of(field, "Return-Path:")))
		scan->seen.report |= !strncmp(value, "<>", 2);
	buf_reset(&scan->field);
}

static void header_line(struct message_scan *scan)
{
	if (!scan->line_len) {
		end_field(scan);
		scan->in_body = true;
		scan->seen.whole = true;
		return;
	}
	if (scan->line[0] != ' ' && scan->line[0] != '\t')
		end_field(scan);
	if (scan->field.len + scan->line_len <= MESSAGE_LINE_MAX)
		buf_add(&scan->field, scan->line, scan->line_len);
}

static void add_failed(struct message_seen *seen, const char *value)
{
	const char *semicolon = strchr(value, ';');
	const char *address = semicolon ? semicolon + 1 : value;
	size_t at = strlen(seen->failed), len;

	address += strspn(address, " \t");
	len = strcspn(address, " \t");
	if (at + len + 2 > sizeof(seen->failed))
		return;
	if (at)
		seen->failed[at++] = ' ';
	memcpy(seen->failed + at, address, len);
	seen->failed[at + len] = '\0';
}

static void body_line(struct message_scan *scan)
{
	struct message_seen *seen = &scan->seen;
	const char *value;

	scan->line[scan->line_len] = '\0';
	if ((value = value_of(scan->line, token_name)))
		take_token(seen->quoted, value);
	if (!seen->report)
		return;
	if ((value = value_of(scan->line, "Action:")) && !seen->action[0]) {
		size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

		if (len < sizeof(seen->action))
			memcpy(seen->action, value, len);
	} else if ((value = value_of(scan->line, "Final-Recipient:"))) {
		add_failed(seen, value);
	}
}

static void end_line(struct message_scan *scan)
{
	if (scan->in_body)
		body_line(scan);
	else
		header_line(scan);
	scan->line_len = 0;
}

static void hash_body(struct message_scan *scan, const char *bytes, size_t len)
{
	hash_add(scan->hash, bytes, len);
	scan->seen.body_bytes += len;
}

/* Hash `len` body bytes of one line piece; the LF at its end, if any, goes in as CRLF. */
static void hash_piece(struct message_scan *scan, const char *bytes, size_t len, bool cr_before)
{
	bool lf = len && bytes[len - 1] == '\n';
	bool cr = len > 1 ? bytes[len - 2] == '\r' : cr_before;

	if (!lf || cr) {
		hash_body(scan, bytes, len);
		return;
	}
	hash_body(scan, bytes, len - 1);
	hash_body(scan, "\r\n", 2);
}

static void keep(struct message_scan *scan, const char *bytes, size_t len)
{
	size_t room = sizeof(scan->line) - 1 - scan->line_len;
	size_t n = len < room ? len : room;

	memcpy(scan->line + scan->line_len, bytes, n);
	scan->line_len += n;
}

void message_scan_add(struct message_scan *scan, const void *bytes, size_t len)
{
	const char *at = bytes;

	scan->seen.size_bytes += len;
	while (len) {
		const char *lf = memchr(at, '\n', len);
		size_t n = lf ? (size_t)(lf - at) + 1 : len;

		if (scan->in_body)
			hash_piece(scan, at, n, scan->after_cr);
		keep(scan, at, lf ? n - 1 : n);
		scan->after_cr = at[n - 1] == '\r';
		if (lf) {
			if (scan->line_len && scan->line[scan->line_len - 1] == '\r')
				scan->line_len--;
			end_line(scan);
		}
		at += n;
		len -= n;
	}
}

void message_scan_end(struct message_scan *scan, struct message_seen *ret)
{
	if (scan->line_len)
		end_line(scan);
	if (!scan->in_body)
		end_field(scan);
	hash_hex(scan->hash, scan->seen.body_sha256);
	*ret = scan->seen;
}

void message_look(const void *bytes, size_t len, struct message_seen *ret)
{
	struct message_scan *scan = message_scan_new();

	message_scan_add(scan, bytes, len);
	message_scan_end(scan, ret);
	message_scan_free(scan);
}
