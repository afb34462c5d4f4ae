/* One session of a workload: what its driver knows. Private to rig/run/cell/cell_work*.c. */
#pragma once

#include "run/cell/cell_core.h"
#include "run/cell/cell_trace.h"

#define SESSION_NAME_MAX 64

struct work;

struct session {
	struct cell *cell;
	struct step_run *run;
	const struct step *step;
	struct work *work;
	uint32_t number;	    /* 1.. */
	char who[SESSION_NAME_MAX]; /* "writers.1" */
	struct tracer tracer;	    /* of its IMAP connection */
	bool elsewhere;		    /* it selected another mailbox than INBOX */
	bool excuses;		    /* it tells itself what it removes */
	pthread_t thread;
};

struct mail_opts session_opts(struct session *session);
int session_connect(struct session *session, enum protocol protocol); /* fd or negative errno */
bool session_over(struct session *session);		       /* no new operation any more */
void session_pause(struct session *session, int64_t until_ns); /* or until over */
/* Wait for the turn of this workload's next message or round, and which it is, from 0 (NULL: no matter). False:
 * there is none any more. */
bool session_turn(struct session *session, uint32_t *ret_number);
const char *session_user(const struct session *session);
bool session_login(struct session *session, struct imap *imap, const char *user); /* if not yet */

/* Wait until every session of this workload that still runs is here. False: the cell goes on to its
 * end instead. */
bool session_meet(struct session *session);

/* One command of one line, in the history with what it showed and removed. */
enum mail_outcome imap_do(struct session *session, struct imap *imap, const char *user,
	const char *text, struct imap_reply *reply);

/* APPEND to INBOX of the message that `stream` makes; `flags` may be NULL, or APPEND_CUT: the client
 * breaks off inside the content. */
#define APPEND_CUT "cut"
enum mail_outcome session_append(struct session *session, struct imap *imap, const char *user,
	const char *stream, uint32_t number, const char *flags, struct imap_reply *reply);

void imap_session(struct session *session);
void mixed_session(struct session *session); /* imap-sessions, imap-moves */
void idle_session(struct session *session);
void pop3_session(struct session *session);
/* A whole session that lists, marks the messages of that set of numbers, and quits: how many that removed. */
uint64_t pop3_delete(struct session *session, const char *user, const char *numbers);
void rounds_session(struct session *session);
uint32_t session_rounds(const struct session *session); /* in all; 0: open-ended */
void watchers_session(struct session *session);		/* idle, of those who watch until the end */
char *mail_address(const char *user);			/* USER@store; caller frees */
