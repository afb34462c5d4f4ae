/*
 * The SMTP service: sessions that take mail, the queue (local and remote delivery), and message
 * tracking. Mail itself lies in the store, as messages in transit; the queue here is what is to be
 * tried, one entry for each recipient.
 */
#pragma once

#include "common.h"

struct message { /* one queue entry */
	struct message *next;
	int64_t retry_ms;
	struct properties
		*properties; /* the first two words of what is freed are the allocator's */
	unsigned int refs;   /* the queue's, and one for each who works with it */
	bool busy, local;
	int64_t due_ms;
	uint32_t id;
};

struct properties {
	char rcpt[ADDRESS_MAX]; /* with NEVER, if it is so */
	char from[ADDRESS_MAX];
	int64_t since_ms;
};

/* ---- smtp_store.c: the store, over its control socket ---- */
#define STORE_LOST (-ECONNRESET) /* no answer: it may have been done */
#define STORE_DOWN (-ECONNREFUSED)
/* One request and the first line of the answer; the reply's code (250 for OK) or negative as above.
 * `rest`: what follows GET's or LIST's line; NULL when nothing is expected. */
int store_ask(
	const char *line, const struct bytes *more, char reply[LINE_MAX_BYTES], struct bytes *rest);

/* ---- smtp_queue.c ---- */
void queue_start(void);
void queue_add(uint32_t id, const char *rcpt, const char *from);
void queue_resync(void); /* the store may hold what is not here: ask it */
void queue_kick(void);	 /* all is due now */
void queue_list(struct bytes *out);
/* Between these two no mail changes hands half; queue_stop() waits for all and lets none begin. */
void handling_begin(void);
void handling_end(void);
void handling_stop(void);
void message_ref(struct message *message);
void message_unref(struct message *message);

/* "u1+x@Store" is "u1"; false: not of this store. */
bool local_user(const char *address, char user[ADDRESS_MAX]);

/* ---- smtp_remote.c: hand a message to the relay; the reply's code, 0: no answer ---- */
int remote_deliver(
	const struct bytes *mail, const char *from, const char *rcpt, char reply[LINE_MAX_BYTES]);

/* ---- smtp_track.c ---- */
void track_start(void);
void track_queued(struct message *message); /* queued for remote delivery */

/* ---- smtp_session.c ---- */
void smtp_serve(int fd);
