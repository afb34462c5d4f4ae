/*
 * An SMTP or LMTP server of the rig: records what it is given, and misbehaves as told.
 *
 * sink_start() takes over a listening descriptor and makes a thread for it and one per session (at
 * most SINK_SESSIONS_MAX; more wait in the backlog). The mode may be switched at any time from any
 * thread; it is looked at again at each step, so it also takes effect in sessions that are open.
 * sink_stop() ends every session and joins every thread; it never waits for a peer.
 */
#pragma once

#include "base/err.h"
#include "mail/line.h"
#include "mail/mail.h"
#include "mail/message.h"

#define SINK_SESSIONS_MAX 64
#define SINK_MAILS_MAX	  100000 /* kept; more are counted and told to on_mail only */
#define SINK_RCPTS_MAX	  100

enum sink_mode {
	SINK_OK,
	SINK_REFUSE,	    /* accepted and reset at once */
	SINK_NOT_ACCEPTING, /* connections stay in the backlog */
	SINK_SILENT,	    /* accepted; no banner, no reply to anything until the mode changes */
	SINK_BANNER_LATE,   /* the banner after delay_ms */
	SINK_BUSY,	    /* 421 as banner, closed */
	SINK_FULL,	    /* 452 to MAIL: its disk is full */
	SINK_TLS_STALLS, /* offers STARTTLS, says 220 to it and nothing more until the mode changes */
	SINK_RCPT_4YZ,	 /* 451 to RCPT */
	SINK_RCPT_5YZ,	 /* 550 to RCPT */
	SINK_DATA_4YZ,	 /* 451 after the dot, nothing kept */
	SINK_DATA_5YZ,	 /* 554 after the dot, nothing kept */
	SINK_DROP,	 /* the mail is kept, the connection is reset before the reply */
	SINK_MUTE,	 /* the mail is kept, the reply comes once the mode changes */
	SINK_DRIP,	 /* the reply after the dot one byte every delay_ms */
	SINK_HALF_CLOSE, /* the mail is kept, FIN instead of the reply; reads on */
	SINK_MODES,
};

const char *sink_mode_name(enum sink_mode mode);	    /* "ok" "refuse" "not-accepting" ... */
int sink_mode_parse(const char *name, enum sink_mode *ret); /* 0 or -EINVAL */

struct sink_mail {
	uint64_t session; /* counted from 1 */
	char *from;
	char **rcpts; /* accepted ones */
	size_t rcpt_count;
	struct message_seen seen;
	int64_t dot_ns;	  /* when the final dot was read */
	int64_t reply_ns; /* when the reply was written, or MAIL_NOT_REACHED */
	int code;	  /* the reply; 0: none was sent whole */
	bool kept;	  /* the sink stands for it: 250, or lost on the way back */
	bool listed;	  /* the sink has room to keep it until sink_stop() */
};

struct sink_opts {
	int listen_fd; /* non-blocking; owned by the sink */
	bool lmtp;
	const char *name;		/* in banner and replies; NULL: "sink.rig" */
	int64_t idle_ms;		/* a session that says nothing is closed; 0: 300 s */
	int64_t delay_ms;		/* of banner-late and drip; 0: 1000 */
	int64_t (*clock_ns)(void *arg); /* NULL: monotonic */
	/* Called once per dot, when its fate is known, from the session's thread. May be NULL. */
	void (*on_mail)(void *arg, const struct sink_mail *mail);
	/* Called when a session met a mode other than ok. May be NULL. */
	void (*on_fired)(void *arg, enum sink_mode mode);
	void *arg;
};

struct sink;

/* NULL on failure; the descriptor is closed then too. */
struct sink *sink_start(const struct sink_opts *opts, struct err *err);
void sink_stop(struct sink *sink); /* ends and frees; NULL is fine */

void sink_set_mode(struct sink *sink, enum sink_mode mode);
/* The same, and sessions that are open end first: a warm connection would pass by what is done to new ones. */
void sink_set_mode_cold(struct sink *sink, enum sink_mode mode);
enum sink_mode sink_get_mode(struct sink *sink);
/* From now on, of banner-late and drip; 0: 1000. */
void sink_set_delay(struct sink *sink, int64_t delay_ms);

/* How often a connection, command or dot met that mode; connections left in the backlog, for not-accepting. */
uint64_t sink_fired(struct sink *sink, enum sink_mode mode);
uint64_t sink_sessions(struct sink *sink); /* accepted so far */

size_t sink_mail_count(struct sink *sink);
/* A copy of the i-th; its texts are valid until sink_stop(). False past the end. */
bool sink_mail_at(struct sink *sink, size_t i, struct sink_mail *ret);
/* Wait until `count` mails are recorded; false at the deadline. */
bool sink_wait(struct sink *sink, size_t count, int64_t deadline_ns);
