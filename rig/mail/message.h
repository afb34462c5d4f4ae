/*
 * Messages of the rig: made from a random stream, and recognised again when a store gives them
 * back.
 *
 * A message carries a token in the header `X-Mailrig-Token` and in its Message-ID, and a 7-bit body
 * of CRLF lines. The body's hash is the SHA-256 of the bytes after the header's empty line, as
 * CRLF: where bytes read back hold a bare LF (a file of a Maildir) it is hashed as CRLF.
 *
 * A *copy* is a message whose own top-level header holds the token and whose body hash is the sent
 * one (message_is_copy()). A notification that quotes the token inside its body is not a copy; it
 * shows as `report` with the token in `quoted`.
 *
 * Bytes read back are hostile: scanning keeps bounded state only, whatever their length.
 */
#pragma once

#include "base/buf.h"
#include "base/hash.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_TOKEN_SIZE  33 /* 32 hex digits and the NUL */
#define MESSAGE_BODY_MIN    2
#define MESSAGE_BODY_MAX    (64u << 20)
#define MESSAGE_READ_MAX    (80u << 20) /* what a driver accepts as one message from a store */
#define MESSAGE_LINE_MAX    1000 /* RFC 5322, 2.1.1, with CRLF; longer header lines are cut */
#define MESSAGE_FAILED_SIZE 256

struct message_spec {
	const char *from;    /* header address */
	const char *to;	     /* header address list */
	const char *subject; /* NULL: the token */
	size_t body_bytes;   /* exactly, CRLF counted; raised to MESSAGE_BODY_MIN */
	int64_t date_s;	     /* Unix time of the Date header */
};

struct message {
	char token[MESSAGE_TOKEN_SIZE];
	char body_sha256[HASH_HEX_SIZE];
	size_t body_at;	 /* offset of the body in `text` */
	struct buf text; /* header, empty line, body; CRLF; not dot-stuffed */
};

/* The same stream and spec give the same bytes. */
void message_make(struct message *message, struct rng *rng, const struct message_spec *spec);
/*
 * A message around the bytes of a file, whatever they are: the token's header field, then the bytes with LF and
 * CRLF as CRLF, without the separator line of an mbox, with an end of the header if it had none. The hash is that of
 * the body as a scan finds it.
 */
void message_wrap(struct message *message, struct rng *rng, const char *bytes, size_t len);
void message_free(struct message *message); /* what it holds; NULL is fine */

/* Add `len` bytes with dots stuffed (RFC 5321, 4.5.2); `*at_start` (true before the first call)
 * says whether the next byte begins a line. The final dot is not added. */
void message_stuff(struct buf *out, const char *bytes, size_t len, bool *at_start);

/* What was seen in a message that came back. */
struct message_seen {
	char token[MESSAGE_TOKEN_SIZE]; /* of the top-level header; "" if none */
	char body_sha256[HASH_HEX_SIZE];
	uint64_t size_bytes;		  /* the whole message, as it came */
	uint64_t body_bytes;		  /* as CRLF */
	bool whole;			  /* the header's end was there */
	bool report;			  /* multipart/report, auto-replied, or null Return-Path */
	char quoted[MESSAGE_TOKEN_SIZE];  /* the first token that stands inside the body */
	char action[16];		  /* of a delivery report: "failed", "delayed" (RFC 3464) */
	char failed[MESSAGE_FAILED_SIZE]; /* its Final-Recipients, separated by blanks; cut */
};

struct message_scan; /* streaming; one thread */

struct message_scan *message_scan_new(void);
void message_scan_free(struct message_scan *scan);
void message_scan_add(struct message_scan *scan, const void *bytes, size_t len);
void message_scan_end(struct message_scan *scan, struct message_seen *ret); /* only free after it */

void message_look(const void *bytes, size_t len, struct message_seen *ret); /* all at once */

bool message_is_copy(const struct message_seen *seen, const char *token, const char *body_sha256);
