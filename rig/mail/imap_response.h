/*
 * One IMAP response (RFC 9051, 7): read from the wire with its literals streamed, and parsed into
 * an event. Internal to the IMAP client. The bytes are hostile: what does not parse is IMAP_OTHER.
 */
#pragma once

#include "mail/imap.h"

struct imap_literal {
	size_t at; /* offset in `text` just behind its "{n}" */
	struct message_seen seen;
	struct buf head; /* its first IMAP_NAME_MAX bytes */
};

struct imap_response {
	struct buf text; /* the line, literals left out */
	struct imap_literal *literals;
	size_t count;
};

void imap_response_free(struct imap_response *response);

/* 0 or a negative errno; -EMSGSIZE above a limit. The line's deadline counts. */
int imap_response_read(struct line *line, struct imap_response *response);

/* `response` begins with "* ". Fills `event` but for at_ns. */
void imap_response_parse(const struct imap_response *response, struct imap_event *event);

void imap_event_free(struct imap_event *event); /* what it holds */
