/*
 * What the halves of the IMAP client share: imap.c (a session and its commands) and imap_long.c
 * (APPEND, IDLE, pipelined commands). Internal to the client.
 */
#pragma once

#include "mail/imap.h"

#define IMAP_TAG_SIZE 16

enum imap_told {
	TOLD_EVENT,
	TOLD_PLUS,
	TOLD_TAGGED,
};

/* The session is over, with an RST. */
void imap_dead(struct imap *imap, struct imap_reply *reply, const char *doing, int rc);
/* `number`: of the command's tag; 0: it belongs to no command. */
int imap_moment(struct imap *imap, struct imap_reply *reply, unsigned int number, const char *name,
	const char *suffix);

/* A fresh reply and the moment before the command; false when there is nothing to be sent. */
bool imap_begin(struct imap *imap, struct imap_reply *reply, const char *text);

/* Tell the watch of a command under the current tag. */
void imap_tell_sent(struct imap *imap, const char *text, const struct message *message);

/* Write bytes that complete something the store acts on: from now on the outcome is open. */
int imap_send_bytes(struct imap *imap, struct imap_reply *reply, const struct buf *bytes);
int imap_send_line(struct imap *imap, struct imap_reply *reply, const char *text); /* a new tag */

/* Read one response: enum imap_told, or a negative errno. `tag` is that of a tagged one. */
int imap_one_response(struct imap *imap, struct imap_reply *reply, char tag[static IMAP_TAG_SIZE]);

/* Collect until the tagged reply, or a "+" where one is expected; what came, or a negative errno
 * (the session is then over and the outcome is left as it is). */
int imap_collect(struct imap *imap, struct imap_reply *reply, bool plus);

/* Wait for the tagged reply of what was sent. */
enum mail_outcome imap_finish(struct imap *imap, struct imap_reply *reply, const char *name);
