/*
 * What the three parts of the SMTP and LMTP dialogue share: transactions (smtp_transaction.c), what the
 * client sends (dialogue_smtp.c), what the server answers (smtp_reply.c).
 *
 * A transaction lives from MAIL to its last reply. While it is put together it belongs to `struct smtp`;
 * the command that ends it (the dot, RSET, QUIT, EHLO, the next MAIL) takes it over, and its reply tells
 * what became of it. So pipelined commands may be many transactions ahead of the replies.
 */
#pragma once

#include "net/dialogue_priv.h"

enum command {
	GREETING,
	HELLO,
	MAIL,
	RCPT,
	DATA,
	DOT, /* the end of DATA's text */
	BDAT,
	BDAT_LAST,
	RSET,
	QUIT,
	AUTH,
	STARTTLS,
	OTHER,
};

enum moment { M_EHLO, M_MAIL, M_RCPT, M_DATA, M_DOT, M_REPLY, M_QUIT, M_NONE };

enum mode {
	MODE_COMMAND,
	MODE_TEXT,  /* after 354, up to the dot */
	MODE_CHUNK, /* inside BDAT */
	MODE_AUTH,  /* one line of credentials */
	MODE_LOST,  /* the reply that would tell is lost: the next line shows whether it is text */
};

struct transaction {
	char *from;
	struct dialogue_recipient *recipients;
	size_t count, size;
	uint64_t more;	   /* beyond DIALOGUE_RECIPIENTS_MAX */
	uint64_t accepted; /* RCPT answered 2yz */
	uint64_t answered; /* LMTP: final replies so far */
	size_t next;	   /* LMTP: who the next final reply is for, at the earliest */
	bool began;	   /* content was, or would have been, sent */
	bool dot;
	bool unknown;
	int code; /* that refused it, or of the final reply */
	int64_t first_ns, dot_ns, reply_ns;
	struct body body;
	char sha256[HASH_HEX_SIZE];
};

struct smtp {
	enum mode mode;
	struct transaction *now; /* being put together; NULL between */
	uint64_t chunk_left;
	bool chunk_last;
	bool last_was_last; /* the client's last command ends a group: if it goes on, it had the reply */
	bool heard;	 /* the server said something, perhaps within a gap, since that command */
	bool cut;	 /* MODE_LOST: if text comes, its beginning is missing */
	bool data_waits; /* DATA was sent while replies cannot be matched */
	int code;	 /* of a reply in the middle of its lines, 0: none */
	char text[DIALOGUE_TEXT_MAX];
};

const char *smtp_moment(const struct dialogue *d, enum moment which);

struct transaction *transaction_new(struct line from);
void transaction_free(struct transaction *t);

/* The recipient's index, SIZE_MAX beyond DIALOGUE_RECIPIENTS_MAX. */
size_t transaction_add(struct transaction *t, struct line address);
struct dialogue_message transaction_message(const struct transaction *t);

/* It is over, whichever way: tell what became of it, and free it. NULL is allowed. */
void transaction_over(struct dialogue *d, struct transaction *t, int64_t ns);

/* After 354: what the client sends is text up to the dot. */
void smtp_begin_text(struct dialogue *d);

/* Replies cannot be matched from here: nothing waits any more. */
void smtp_lose_all(struct dialogue *d, int64_t ns);
void smtp_chunk_over(struct dialogue *d, int64_t ns);

size_t smtp_server(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns);
void smtp_gap(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns);
void smtp_dialogue_close(struct dialogue *d, int64_t ns);
