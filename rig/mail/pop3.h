/*
 * POP3 client (RFC 1939) of the rig.
 *
 * Moments: "pop3/connected", "pop3/<command>" before it is sent, "pop3/<command>/reply" when its
 * whole reply is in. Outcome: OK = +OK (and the whole multi-line answer); NO = -ERR or never sent
 * whole; MAYBE = sent and not, or not wholly, answered.
 */
#pragma once

#include "mail/line.h"
#include "mail/mail.h"
#include "mail/message.h"

#define POP3_MESSAGES_MAX 100000
#define POP3_LINE_MAX	  4096
#define POP3_UIDL_SIZE	  71 /* RFC 1939, 7: 1 to 70 characters */

struct pop3_item {
	uint32_t number;
	uint64_t size_bytes;	   /* of LIST */
	char uidl[POP3_UIDL_SIZE]; /* of UIDL */
};

struct pop3_items {
	struct pop3_item *items;
	size_t count;
};

struct pop3 {
	struct line line;
	struct mail_opts opts;
	bool alive;
	char reply[MAIL_TEXT_MAX]; /* the last one, with its +OK or -ERR */
	char failure[MAIL_TEXT_MAX];
	int64_t sent_ns, reply_ns; /* of the last command */
	int moment_rc;
};

void pop3_open(struct pop3 *pop3, int fd, const struct mail_opts *opts); /* owns fd from here on */
void pop3_close(struct pop3 *pop3); /* FIN without QUIT: deletes nothing; always call it last */

enum mail_outcome pop3_greet(struct pop3 *pop3);
enum mail_outcome pop3_login(struct pop3 *pop3, const char *user, const char *password);
enum mail_outcome pop3_stat(struct pop3 *pop3, uint32_t *ret_count, uint64_t *ret_bytes);
enum mail_outcome pop3_list(struct pop3 *pop3, struct pop3_items *items); /* fills; free it */
enum mail_outcome pop3_uidl(struct pop3 *pop3, struct pop3_items *items); /* fills; free it */
enum mail_outcome pop3_retr(struct pop3 *pop3, uint32_t number, struct message_seen *ret);
enum mail_outcome pop3_dele(struct pop3 *pop3, uint32_t number);
enum mail_outcome pop3_quit(struct pop3 *pop3);
/* Stand idle until the deadline: true if the store ended the session, or said anything, before. */
bool pop3_wait(struct pop3 *pop3, int64_t deadline_ns);
void pop3_reset(struct pop3 *pop3); /* RST instead of FIN; close it afterwards all the same */
enum mail_outcome pop3_send(struct pop3 *pop3, const char *text); /* for one-line replies */

void pop3_items_free(struct pop3_items *items);
