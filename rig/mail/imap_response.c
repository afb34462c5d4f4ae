#include "mail/imap_response.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define LITERAL_CHUNK 16384

void imap_response_free(struct imap_response *response)
{
	for (size_t i = 0; i < response->count; i++)
		buf_free(&response->literals[i].head);
	free(response->literals);
	buf_free(&response->text);
	*response = (struct imap_response){0};
}

void imap_event_free(struct imap_event *event)
{
	free(event->flags);
	free(event->name);
	free(event->set);
	free(event->body);
	free(event->text);
}

/* Responses that end in human text hold no literal, whatever that text looks like. */
static bool may_hold_literals(const struct buf *text)
{
	static const char *const texts[] = {"* OK ", "* NO ", "* BAD ", "* BYE ", "* PREAUTH "};
	const char *at = buf_text(text);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strncasecmp(at, texts[i], strlen(texts[i])))
			return false;
	return !strncmp(at, "* ", 2);
}

/* The size announced by "{n}" or "{n+}" at the end of `text`, or -1. */
static int64_t literal_size(const struct buf *text)
{
	size_t at = text->len, end;
	int64_t size = 0;

	if (!at || text->data[--at] != '}')
		return -1;
	if (at && text->data[at - 1] == '+')
		at--;
	end = at;
	while (at && isdigit((unsigned char)text->data[at - 1]))
		at--;
	if (at == end || end - at > 10 || !at || text->data[at - 1] != '{')
		return -1;
	for (; at < end; at++)
		size = size * 10 + (text->data[at] - '0');
	return size;
}

static int read_literal(struct line *line, struct imap_literal *literal, uint64_t size)
{
	struct message_scan *scan = message_scan_new();
	auto_free char *chunk = mem_zero(1, LITERAL_CHUNK);
	int rc = 0;

	while (size && !rc) {
		size_t want = size < LITERAL_CHUNK ? (size_t)size : LITERAL_CHUNK;
		ssize_t n = line_read_some(line, chunk, want);
		size_t room = IMAP_NAME_MAX - literal->head.len;

		if (n < 0) {
			rc = (int)n;
			continue;
		}
		message_scan_add(scan, chunk, (size_t)n);
		buf_add(&literal->head, chunk, (size_t)n < room ? (size_t)n : room);
		size -= (size_t)n;
	}
	message_scan_end(scan, &literal->seen);
	message_scan_free(scan);
	return rc;
}

int imap_response_read(struct line *line, struct imap_response *response)
{
	*response = (struct imap_response){0};
	for (;;) {
		struct buf *text = &response->text;
		struct imap_literal *literal;
		int64_t size;
		int rc;

		if (text->len >= IMAP_LINE_MAX)
			return -EMSGSIZE;
		rc = line_read(line, IMAP_LINE_MAX - text->len, text);
		size = rc || !may_hold_literals(text) ? -1 : literal_size(text);
		if (size < 0)
			return rc;
		if (response->count == IMAP_LITERALS_MAX || size > MESSAGE_READ_MAX)
			return -EMSGSIZE;
		response->literals =
			mem_grow(response->literals, response->count + 1, sizeof(*literal));
		literal = &response->literals[response->count++];
		*literal = (struct imap_literal){.at = text->len};
		rc = read_literal(line, literal, (uint64_t)size);
		if (rc)
			return rc;
	}
}
