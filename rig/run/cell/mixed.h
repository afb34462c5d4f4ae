/*
 * The client of the workloads with several IMAP sessions on one mailbox: it keeps up with what it is told, asks at
 * once for what it does not know yet, leaves, and comes back knowing what it knew. What a server does not announce
 * is not used. One thread each. Private to rig/run/cell/.
 */
#pragma once

#include "run/cell/cell_work.h"
#include "run/cell/imap_shadow.h"

#define MIXED_SHELF "Shelf" /* the other mailbox */

struct mixed {
	struct session *session;
	const char *user;
	struct imap imap;
	struct imap_shadow shadow;
	struct rng rng;
	uint32_t serial; /* of the messages it made */
	uint32_t uidvalidity;
	uint64_t modseq;
	bool asked, can_enable, can_resync, can_condstore, can_move, can_unselect, can_idle;
	bool resyncs; /* this one enables QRESYNC */
};

/* One command, its answer followed. */
bool mixed_say(struct mixed *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool mixed_say_last(struct mixed *m, const char *command); /* CLOSE, UNSELECT, LOGOUT */
void mixed_learn(struct mixed *m); /* what it does not know of the mailbox yet */

bool mixed_select(struct mixed *m, const char *verb, const char *box, const char *more);
bool mixed_open_inbox(struct mixed *m);
bool mixed_resync_inbox(struct mixed *m); /* telling the store what it knows already */
void mixed_leave(struct mixed *m, bool politely);
