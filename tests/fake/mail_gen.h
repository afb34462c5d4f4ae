/*
 * Random mail conversations, and ways to send them that a network would think of: cut anywhere, repeated,
 * overlapping, out of order. Everything comes from the seed. Owned by the caller; one thread.
 */
#pragma once

#include "tests/fake/wire_gen.h"

enum mail_protocol { MAIL_SMTP, MAIL_LMTP, MAIL_IMAP, MAIL_POP3, MAIL_PROTOCOLS };

struct turn {
	enum gen_side from;
	struct buf bytes;
};

/* What each side says, in turns; within one turn nothing waits for the other side. */
struct talk {
	enum mail_protocol protocol;
	struct turn *turns;
	size_t count, size;
	struct buf hashes; /* SHA-256 of each mail that was sent whole, in order, a line each */
};

uint16_t mail_port(enum mail_protocol protocol);
struct talk talk_make(struct rng *rng, enum mail_protocol protocol);
void talk_free(struct talk *talk);

/* What that side says next is added here: to the last turn, or to a new one after the other side's. */
struct buf *talk_turn(struct talk *talk, enum gen_side from);

struct nasty {
	size_t segment_max;   /* bytes */
	bool lines;	      /* or each line a segment */
	unsigned int again;   /* of 100 segments so many are sent twice */
	unsigned int overlap; /* are sent again joined with what follows */
	unsigned int swap;    /* change places with the next of the same turn */
};

/* The whole connection: handshake, turns, and one of several ends. */
void talk_send(const struct talk *talk, struct gen *gen, struct gen_conn *conn,
	const struct nasty *nasty, struct rng *rng);
