/* What sink.c (life, modes, records) and sink_session.c (one dialogue) share. */
#pragma once

#include "mail/sink.h"

#include <pthread.h>

struct sink_session {
	struct sink *sink;
	struct line line;
	uint64_t number;
	pthread_t thread;
	bool used; /* has a thread to be joined; the accepting thread alone */
	bool done; /* that thread has ended; under the sink's lock */

	/* the transaction; the session's thread alone */
	bool greeted;
	char *from;
	char **rcpts;
	size_t rcpt_count;
};

struct sink {
	struct sink_opts opts;
	pthread_t thread;
	int wake_fd; /* eventfd: mode changed, session ended, stop */
	struct line_group group;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* mode, stopping, mails */
	enum sink_mode mode;
	bool stopping;
	uint64_t fired[SINK_MODES];
	uint64_t sessions;
	struct sink_mail **mails;
	size_t mail_count;
	struct sink_session slots[SINK_SESSIONS_MAX];
};

int64_t sink_now(const struct sink *sink);

void *sink_session_run(void *session);		      /* the thread of a session */
void sink_session_done(struct sink_session *session); /* its last call */

/* The mode now; if it is one of `met` (a bit mask) it is counted and told as fired. */
enum sink_mode sink_meet(struct sink *sink, unsigned int met);
#define SINK_BIT(mode) (1u << (mode))

/* Wait while the mode is `mode`, until `deadline_ns`; false when the sink or the peer ends. */
bool sink_hold(struct sink_session *session, enum sink_mode mode, int64_t deadline_ns);

int64_t sink_late_ns(
	struct sink *sink); /* until when something late is held back that is said now */

/* Put a mail on record, taking it over; then say how its dot was answered. `mail` is not to be used
 * after sink_settle(). */
void sink_record(struct sink *sink, struct sink_mail *mail);
void sink_settle(struct sink *sink, struct sink_mail *mail, int code, int64_t reply_ns);
