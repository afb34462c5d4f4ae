/*
 * Batches of captures as nasty as a network gets: mail conversations of all protocols, some of them twice
 * between the same ports, unanswered and refused connections among them, cut, repeated, overlapped,
 * reordered, fragmented, tagged, and interleaved. One thread.
 */
#pragma once

#include "tests/fake/mail_gen.h"

#define CAPTURES_PER_BATCH 30
#define BATCHES		   8

struct batch {
	const char *name;
	int link_type;
	bool vlan, extensions;
	size_t fragment;
	struct nasty nasty;
};
extern const struct batch batches[BATCHES];

/* The batch, or its conversations one after the other, in whole turns, and those of IMAP a line at a time. Adds each mail's hash, a line each. */
void make_batch(struct gen *all, const struct batch *batch, bool plain, struct buf *hashes);
