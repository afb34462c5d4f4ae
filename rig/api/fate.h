/*
 * What became of a message that the store has answered for: laws that ask whether it is still there, after
 * whatever happened, ask here. Pure; everything is borrowed.
 */
#pragma once

#include "api/ledger.h"
#include "api/target.h"

enum fate {
	FATE_KEPT,    /* a copy, an entry of the queue, handed on, or its sender was told */
	FATE_UNSURE,  /* nothing of these, but not all was seen: `*ret_why` */
	FATE_EXCUSED, /* the rig itself removed it, or may have */
	FATE_LOST,
};

/* `baseline` and `target` may be NULL; `*ret_why` is set where unsure. */
enum fate fate_of(const struct ledger *ledger, const struct ledger *baseline,
	const struct target *target, const struct ledger_rcpt *rcpt, const char **ret_why);

/* Why something that was not seen may yet stand in the store's queue, or NULL: that was told whole. */
const char *fate_unlisted(const struct ledger *ledger, const struct target *target);

/* The line of the first attempt at that hop that was answered 2yz at or before `until`, or 0. */
uint32_t fate_taken(
	const struct ledger *ledger, const struct ledger_rcpt *rcpt, enum hop hop, double until);
