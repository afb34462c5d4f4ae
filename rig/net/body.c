#include "net/body.h"

#include <string.h>
#include <strings.h>

/* Where in <CRLF>.<CRLF> the stuffed text stands. A message begins as if a CRLF went before. */
enum { AT_LINE_START, AT_DOT, AT_DOT_CR, IN_LINE, IN_LINE_CR };

void body_begin(struct body *body)
{
	hash_free(body->hash);
	*body = (struct body){.hash = hash_new(), .state = AT_LINE_START};
}

void body_end(struct body *body)
{
	hash_free(body->hash);
	body->hash = NULL;
}

void body_gap(struct body *body)
{
	body->gap = true;
	body->header_over = true;
	body->state = IN_LINE;
}

void body_sha256(struct body *body, char out[HASH_HEX_SIZE])
{
	if (body->gap || !body->hash)
		out[0] = '\0';
	else
		hash_hex(body->hash, out);
}

/* ---- the token ---- */

static void header_line(struct body *body)
{
	static const size_t name_len = sizeof(DIALOGUE_TOKEN_HEADER) - 1;
	const char *value = body->line + name_len + 1;
	size_t len = body->line_len;

	if (len && body->line[len - 1] == '\r')
		len--;
	if (!len)
		body->header_over = true;
	if (len <= name_len || body->token[0] || body->line[name_len] != ':' ||
		strncasecmp(body->line, DIALOGUE_TOKEN_HEADER, name_len))
		return;
	len -= name_len + 1;
	while (len && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (len > DIALOGUE_TOKEN_MAX || memchr(value, 0, len))
		return;
	memcpy(body->token, value, len);
	body->token[len] = '\0';
	body->header_over = true;
}

static void scan_header(struct body *body, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len && !body->header_over; i++) {
		if (bytes[i] == '\n') {
			header_line(body);
			body->line_len = 0;
		} else if (body->line_len < sizeof(body->line)) {
			body->line[body->line_len++] = (char)bytes[i];
		}
	}
	if (body->bytes + len > BODY_HEADER_MAX)
		body->header_over = true;
}

void body_add(struct body *body, const uint8_t *bytes, size_t len)
{
	if (!len)
		return;
	if (!body->header_over)
		scan_header(body, bytes, len);
	if (!body->gap)
		hash_add(body->hash, bytes, len);
	body->bytes += len;
}

/* ---- dot-stuffing ---- */

/* The length of the line's rest that is in `bytes`, its end included; sets the state behind it. */
static size_t take_line(struct body *body, const uint8_t *bytes, size_t len)
{
	const uint8_t *at = bytes, *end = bytes + len, *lf;

	while ((lf = memchr(at, '\n', (size_t)(end - at)))) {
		bool cr = lf > bytes ? lf[-1] == '\r' : body->state == IN_LINE_CR;

		if (cr) {
			body->state = AT_LINE_START;
			return (size_t)(lf + 1 - bytes);
		}
		at = lf + 1;
	}
	body->state = end[-1] == '\r' ? IN_LINE_CR : IN_LINE;
	return len;
}

size_t body_add_stuffed(struct body *body, const uint8_t *bytes, size_t len, bool *ret_over)
{
	size_t from = 0, at = 0; /* [from, at) is content that was not added yet */

	*ret_over = false;
	while (at < len) {
		switch (body->state) {
		case AT_LINE_START:
			if (bytes[at] == '.') {
				body_add(body, bytes + from, at - from);
				from = ++at;
				body->state = AT_DOT;
			} else {
				body->state = IN_LINE;
			}
			break;
		case AT_DOT:
			body->state = bytes[at] == '\r' ? AT_DOT_CR : IN_LINE;
			if (body->state == AT_DOT_CR)
				from = ++at;
			break;
		case AT_DOT_CR:
			if (bytes[at] == '\n') {
				*ret_over = true;
				return at + 1;
			}
			body_add(body, (const uint8_t *)"\r", 1);
			body->state = IN_LINE_CR;
			break;
		default:
			at += take_line(body, bytes + at, len - at);
			break;
		}
	}
	body_add(body, bytes + from, at - from);
	return len;
}
