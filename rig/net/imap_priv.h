/*
 * What the two halves of the IMAP dialogue share: the client's (dialogue_imap.c) and the server's
 * (imap_reply.c).
 *
 * A line that ends with {n} goes on after n bytes: both sides read "pieces" of a logical line. The client
 * waits for the server's "+" before a synchronising literal, so its bytes are held until a "+" or the
 * command's tagged reply tells whether the literal comes.
 */
#pragma once

#include "net/dialogue_priv.h"

enum command {
	GREETING,
	APPEND,
	AUTHENTICATE,
	IDLE,
	STARTTLS,
	COMPRESS,
	OTHER,
};

struct literal {
	uint64_t left;
	bool mail; /* hash it: APPEND's message, or a whole message of FETCH */
	struct body body;
	int64_t first_ns;
};

struct imap {
	/* client */
	struct pending *partial; /* the command whose last line has not come */
	struct pending *waits;	 /* the one that holds the client back */
	bool credentials;	 /* the client's next line is part of AUTHENTICATE */
	bool has_mailbox;	 /* APPEND: the mailbox was seen, so literals are messages */
	char mailbox[DIALOGUE_ADDRESS_MAX + 1];
	struct literal sent;
	/* server */
	bool inside;		       /* a response goes on after a literal */
	char first[DIALOGUE_TEXT_MAX]; /* the first piece of the response */
	struct literal received;
};

/* {n}, {n+} or ~{n} at the end of a piece. */
bool imap_literal(struct line line, uint64_t *ret_size, bool *ret_wait);

/* Count and hash up to `len` bytes; tells the mail behind the last one. Returns how many were taken. */
size_t imap_take_literal(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns);
void imap_begin_literal(struct literal *literal, uint64_t size, bool mail, int64_t ns);
void imap_tell_mail(struct dialogue *d, enum flow_side from, int64_t ns);

void imap_set_moment(struct dialogue *d, const char *verb, const char *suffix);

/* The command is whole. */
void imap_command_over(struct dialogue *d, int64_t ns);
/* From here nobody can say whether what waits was answered. */
void imap_unsure(struct dialogue *d);
size_t imap_server(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns);
