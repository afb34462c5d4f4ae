/*
 * IMAP client (RFC 9051, 3501) of the rig: one command at a time, every untagged response kept.
 *
 * Moments: "imap/connected"; "imap/<command>" before a command is sent and "imap/<command>/reply"
 * when its tagged reply is in. <command> is in lower case, UID is left out ("UID FETCH" is
 * "imap/fetch"); "imap/idle/reply" is the "+", "imap/done" comes before DONE and "imap/done/reply"
 * after its reply.
 *
 * Outcome of a command: OK = tagged OK; NO = tagged NO or BAD, or the command was never sent whole;
 * MAYBE = it was sent and no tagged reply came.
 *
 * Literals are never held whole: each passes through message_scan. All is bounded by the IMAP_*_MAX
 * limits; a server that exceeds one ends the session (failure says which).
 */
#pragma once

#include "mail/line.h"
#include "mail/mail.h"
#include "mail/message.h"

#define IMAP_EVENTS_MAX	   100000     /* kept in one reply; more are counted in `lost` */
#define IMAP_LINE_MAX	   (1u << 20) /* one response without its literals */
#define IMAP_LITERALS_MAX  64	      /* in one response */
#define IMAP_NAME_MAX	   1024	      /* a mailbox name */
#define IMAP_SET_MAX	   65536      /* a set of UIDs as text */
#define IMAP_PIPELINE_MAX  16	      /* commands sent at once */
#define IMAP_MAILBOXES_MAX 1000	      /* of one user, in a read-back */
#define IMAP_COPIES_MAX	   200000     /* of one user, in a read-back */

enum imap_event_kind {
	IMAP_OTHER, /* `text` holds it */
	IMAP_EXISTS,
	IMAP_RECENT,
	IMAP_EXPUNGE,
	IMAP_VANISHED,
	IMAP_FETCH,
	IMAP_FLAGS,
	IMAP_LIST,
	IMAP_STATUS,
	IMAP_SEARCH,
	IMAP_CODE, /* "* OK [UIDVALIDITY 7]" and the like */
	IMAP_BYE,
	IMAP_CAPABILITY,
};

const char *imap_event_name(enum imap_event_kind kind);

struct imap_event {
	enum imap_event_kind kind;
	int64_t at_ns;
	uint32_t number;	       /* EXISTS, RECENT, EXPUNGE, FETCH */
	uint32_t uid;		       /* FETCH; 0: not given */
	uint32_t size;		       /* FETCH RFC822.SIZE; 0: not given */
	uint32_t messages, unseen;     /* STATUS */
	uint32_t uidnext, uidvalidity; /* STATUS, CODE; 0: not given */
	uint64_t modseq;	       /* FETCH MODSEQ; CODE and STATUS HIGHESTMODSEQ */
	char *flags; /* FETCH, FLAGS, LIST (attributes): without parentheses; NULL: not given */
	char *name;  /* LIST, STATUS: mailbox, as sent (modified UTF-7 stays) */
	char section[32]; /* FETCH: what `body` is: "BODY[]", "RFC822", "BODY[TEXT]"; "" none */
	bool nil_body;	  /* the section was NIL */
	struct message_seen *body; /* NULL: none */
	char *set;		   /* VANISHED: the UIDs; NULL if longer than IMAP_SET_MAX */
	bool earlier;		   /* VANISHED (EARLIER) */
	char *text; /* the response without "* " and its literals, cut at MAIL_TEXT_MAX */
};

struct imap_reply {
	enum mail_outcome outcome;
	bool bad;		     /* NO by BAD */
	char command[32];	     /* as in the moment: "fetch" */
	char code[MAIL_TEXT_MAX];    /* in the tagged reply's brackets: "APPENDUID 7 12"; "" none */
	char text[MAIL_TEXT_MAX];    /* of the tagged reply */
	char failure[MAIL_TEXT_MAX]; /* what ended it when no tagged reply did */
	int64_t sent_ns, reply_ns;   /* or MAIL_NOT_REACHED */
	struct imap_event *events;   /* owned; in order */
	size_t count;
	uint64_t lost;
};

/* What it holds; NULL is fine; it may be filled again. */
void imap_reply_free(struct imap_reply *reply);
#define auto_imap_reply cleanup(imap_reply_free)

/*
 * Who is told of all that a session says and is told, in order, on its thread, before anything else
 * happens in it. `sent`: before the command's first byte; APPEND once more, with its message, before
 * its content; IDLE's DONE is a command of the same tag. `done`: any tagged reply, also one with a tag
 * that nobody waits for. `over`: the session ended, 0: by its client, else why (a negative errno).
 */
struct imap_watch {
	void (*sent)(
		void *arg, const char *tag, const char *command, const struct message *message);
	void (*told)(void *arg, const struct imap_event *event);
	void (*done)(void *arg, const char *tag, const struct imap_reply *reply);
	void (*over)(void *arg, int rc);
	void *arg;
};

struct imap {
	struct line line;
	struct mail_opts opts;
	const struct imap_watch *watch; /* NULL: nobody; set it after imap_open() */
	bool alive;
	bool bye;
	bool idle; /* between IDLE's "+" and DONE's reply */
	unsigned int tag;
	uint32_t exists, uidvalidity, uidnext; /* as last told for the selected mailbox */
	uint64_t highestmodseq;		       /* likewise; 0: not told */
	char failure[MAIL_TEXT_MAX];
	int failure_rc; /* the negative errno that ended the session; 0: none did */
	int moment_rc;
};

/* Take over `fd` (owned from here on); nothing is sent or read. */
void imap_open(struct imap *imap, int fd, const struct mail_opts *opts);
void imap_close(struct imap *imap); /* FIN without LOGOUT; always call it last */

/* OK for OK and PREAUTH, NO for BYE. */
enum mail_outcome imap_greet(struct imap *imap, struct imap_reply *reply);
enum mail_outcome imap_login(
	struct imap *imap, const char *user, const char *password, struct imap_reply *reply);
enum mail_outcome imap_select(
	struct imap *imap, const char *mailbox, bool examine, struct imap_reply *reply);

/* Any command of one line, without tag and CRLF. A quoted argument comes from imap_quote(). `reply`
 * holds zeroes or an earlier reply, which is freed; the caller frees it at the end. */
enum mail_outcome imap_command(struct imap *imap, struct imap_reply *reply, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
enum mail_outcome imap_send(struct imap *imap, struct imap_reply *reply, const char *text);

enum mail_outcome imap_append(struct imap *imap, const char *mailbox, const char *flags,
	const struct message *message, struct imap_reply *reply); /* flags: "\\Seen", or NULL */

/* APPEND of which only `bytes` of the content are sent before the connection is reset: the command
 * was never whole, so its outcome is NO. */
enum mail_outcome imap_append_cut(struct imap *imap, const char *mailbox,
	const struct message *message, size_t bytes, struct imap_reply *reply);

/*
 * Up to IMAP_PIPELINE_MAX commands of one line each, sent at once; `reply` holds all events and the
 * last tagged reply, `outcomes` (of `count`) what each came to. Moments of the first command alone.
 */
void imap_pipeline(struct imap *imap, const char *const *commands, size_t count,
	struct imap_reply *reply, enum mail_outcome *outcomes);

/*
 * IDLE (RFC 2177), one `reply` through all three calls. imap_idle(): OK once "+" came. _wait():
 * until an event comes or the deadline; the number of events added, or a negative errno when the
 * session is over. _done(): the outcome of the whole; sent_ns is then DONE's.
 */
enum mail_outcome imap_idle(struct imap *imap, struct imap_reply *reply);
int imap_idle_wait(struct imap *imap, struct imap_reply *reply, int64_t deadline_ns);
enum mail_outcome imap_idle_done(struct imap *imap, struct imap_reply *reply);

enum mail_outcome imap_logout(struct imap *imap, struct imap_reply *reply);

/* Add a quoted string; 8-bit and control bytes become '?'. */
void imap_quote(struct buf *out, const char *text);

/* One message as a fresh session sees it. */
struct imap_copy {
	char *mailbox;
	uint32_t uidvalidity, uid;
	char *flags; /* NULL: not told */
	struct message_seen seen;
};

struct imap_box {
	char *name;
	uint32_t uidvalidity, uidnext, messages;
	uint64_t highestmodseq;
};

struct imap_copies {
	struct imap_copy *copies; /* box by box, in the order of `boxes` */
	size_t count;
	struct imap_box *boxes; /* selected so far */
	size_t mailboxes;
};

void imap_copies_free(struct imap_copies *copies);

/*
 * Every message of every selectable mailbox of the logged-in user, by EXAMINE and
 * UID FETCH BODY.PEEK[]: nothing is changed. 0; or a negative errno when it could not be completed
 * (the copies read so far stay): -EPROTO the store refused, -E2BIG a limit, else what ended the
 * session.
 */
int imap_read_back(struct imap *imap, struct imap_copies *copies, struct err *err);

/* The same as a whole session: greet, login, read back, logout. `fd` is consumed. */
int imap_read_back_user(int fd, const struct mail_opts *opts, const char *user,
	const char *password, struct imap_copies *copies, struct err *err);
