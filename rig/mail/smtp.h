/*
 * SMTP client (RFC 5321) and LMTP client (RFC 2033) of the rig: one command at a time, no
 * pipelining, able to stand still or to cut the connection at any named moment.
 *
 * Moments, each with the prefix "smtp/" or "lmtp/", exactly there:
 *	connected  the connection is up, the banner is not read yet
 *	ehlo mail rcpt  its positive reply is in (rcpt: once per accepted recipient)
 *	data	   the 354 is in, no content is sent yet
 *	dot	   the content is sent, the final dot is not
 *	reply	   the reply to the dot is in (LMTP: the last one), positive or not
 *	quit	   before QUIT is sent
 *
 * Outcome per recipient: OK = 2yz after the dot; NO = 4yz or 5yz anywhere, or the whole dot was
 * never written; MAYBE = the dot was written and no reply, or none that can be read, came.
 */
#pragma once

#include "mail/line.h"
#include "mail/mail.h"
#include "mail/message.h"

#define SMTP_REPLY_LINES_MAX 128
#define SMTP_RCPTS_MAX	     100 /* RFC 5321, 4.5.3.1.8 */

enum smtp_phase { /* how far a transaction came */
	SMTP_CONNECTED,
	SMTP_EHLO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_DOT,
	SMTP_REPLY,
	SMTP_QUIT,
	SMTP_PHASES,
};

const char *smtp_phase_name(enum smtp_phase phase); /* "connected" "ehlo" ...: the moments' names */

enum smtp_cut { /* misbehaviour of the client itself */
	SMTP_CUT_NONE,
	SMTP_CUT_IN_DATA,   /* half of the content, then RST: outcome NO */
	SMTP_CUT_AFTER_DOT, /* the dot, then RST without reading: outcome MAYBE */
};

struct smtp_rcpt {
	const char *address; /* of the caller */
	enum mail_outcome outcome;
	int code;		   /* the reply that decided; 0: none */
	char reply[MAIL_TEXT_MAX]; /* its text, codes stripped, lines joined by blanks */
	int64_t reply_ns;
};

struct smtp_mail {
	const char *from; /* "" is the null return path */
	struct smtp_rcpt *rcpts;
	size_t rcpt_count;
	const char *notify; /* of RFC 3461, for every recipient: "NEVER"; NULL: not said */
	const struct message *message;
	enum smtp_cut cut;

	/* results */
	enum mail_outcome outcome; /* MAYBE if any recipient is, else NO if any is, else OK */
	enum smtp_phase reached;   /* the last that came; dot: it was written */
	bool dot_sent;
	int code; /* the last reply; 0: none */
	char reply[MAIL_TEXT_MAX];
	char failure[MAIL_TEXT_MAX]; /* what ended it when no reply did */
	int64_t at_ns[SMTP_PHASES];  /* when each came, or MAIL_NOT_REACHED */
};

struct smtp {
	struct line line;
	struct mail_opts opts;
	bool lmtp;
	bool alive; /* another transaction can be tried */
	int code;   /* the last reply; 0: none */
	char reply[MAIL_TEXT_MAX];
	char failure[MAIL_TEXT_MAX];
	int64_t connected_ns, banner_ns, ehlo_ns;
	int moment_rc; /* what a moment hook ended the session with */
};

/* Take over `fd` (owned from here on, in failure too); nothing is sent or read. */
void smtp_open(struct smtp *smtp, int fd, bool lmtp, const struct mail_opts *opts);

/* Banner and EHLO (HELO if that is refused, SMTP only) or LHLO. OK, NO (refused) or MAYBE. */
enum mail_outcome smtp_greet(struct smtp *smtp, const char *name);

/* One transaction; may be called again while smtp->alive. Fills the results of `mail`. */
void smtp_send(struct smtp *smtp, struct smtp_mail *mail);

void smtp_quit(struct smtp *smtp);  /* QUIT and its reply, if alive */
void smtp_close(struct smtp *smtp); /* FIN without QUIT; always call it last */

/* A whole session: greet, one mail, quit. `fd` is consumed. */
void smtp_once(
	int fd, bool lmtp, const char *name, const struct mail_opts *opts, struct smtp_mail *mail);
