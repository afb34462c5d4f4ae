/*
 * What an IMAP server says to the rig's own client, any bytes: each response is read with its literals and parsed
 * into an event, and the client follows its mailbox by it. Nothing is longer than its bound, and what the client
 * knows of the mailbox is no more than it was told.
 */
#include "base/clock.h"
#include "mail/imap_response.h"
#include "run/cell/imap_shadow.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(const struct imap_event *event)
{
	assert(event->kind <= IMAP_CAPABILITY);
	assert(!event->set || strlen(event->set) <= IMAP_SET_MAX);
	assert(memchr(event->section, '\0', sizeof(event->section)));
	assert(!event->body || memchr(event->body->token, '\0', sizeof(event->body->token)));
}

static void follow(struct imap_shadow *shadow, struct imap_event *event)
{
	struct imap_reply reply = {.events = event, .count = 1};
	size_t before = shadow->count, from, to;

	imap_shadow_follow(shadow, &reply);
	assert(shadow->count <= SHADOW_MAX);
	assert(shadow->count <= before || event->kind == IMAP_EXISTS);
	if (imap_shadow_gap(shadow, &from, &to))
		assert(from >= 1 && from <= to && to <= shadow->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct imap_shadow shadow = {0};
	struct line line = {0};
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return 0;
	close(ends[1]); /* behind the input comes the end */
	line_open(&line, ends[0], NULL);
	line.deadline_ns = CLOCK_NEVER;
	buf_add(&line.in, data, size);
	for (;;) {
		struct imap_response response = {0};
		struct imap_event event = {0};

		if (imap_response_read(&line, &response)) {
			imap_response_free(&response);
			break;
		}
		if (!strncmp(buf_text(&response.text), "* ", 2)) {
			imap_response_parse(&response, &event);
			check_event(&event);
			follow(&shadow, &event);
			imap_event_free(&event);
		}
		imap_response_free(&response);
	}
	imap_shadow_free(&shadow);
	line_close(&line);
	return 0;
}
