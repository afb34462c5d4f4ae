/*
 * The content of one mail as it goes by: counted, hashed, and its header section searched for the token.
 * Two forms: dot-stuffed text that ends with <CRLF>.<CRLF> (SMTP DATA, POP3), and plain bytes whose number
 * is known (BDAT, IMAP literals). Nothing is stored but the token. One thread.
 */
#pragma once

#include "base/hash.h"
#include "net/dialogue.h"

#define BODY_HEADER_MAX (64u << 10) /* the token is looked for in so many bytes */

struct body {
	struct hash *hash;
	uint64_t bytes;
	bool gap;
	int state;	  /* of the dot-stuffing */
	int64_t first_ns; /* of the first byte, 0: none yet */
	/* the header section: */
	bool header_over;
	size_t line_len; /* of the current header line, as far as it was looked at */
	char line[sizeof(DIALOGUE_TOKEN_HEADER) + 2 + DIALOGUE_TOKEN_MAX];
	char token[DIALOGUE_TOKEN_MAX + 1];
};

void body_begin(struct body *body);
void body_end(struct body *body); /* releases; takes a zeroed body */

/* Plain content. */
void body_add(struct body *body, const uint8_t *bytes, size_t len);

/* Dot-stuffed content. Returns how many bytes were taken; `*ret_over` when the dot was among them. */
size_t body_add_stuffed(struct body *body, const uint8_t *bytes, size_t len, bool *ret_over);

void body_gap(
	struct body *body); /* bytes are missing here: no hash, and a line may begin anywhere */

/* The hash of the content, "" after a gap. At most once; then only body_end(). */
void body_sha256(struct body *body, char out[HASH_HEX_SIZE]);
