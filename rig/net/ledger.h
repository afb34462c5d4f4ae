/*
 * What `mailrig wire` prints of a capture: connection by connection, each as it ends, as JSON or as text,
 * in memory bounded by the connections that are open at one time (longer ones are spooled to a file).
 *
 * The JSON is the stable interface
 *	{"connections":[{"protocol","client","server",
 *	  "commands":[{"verb","sent_s","reply_code","reply_s"}],
 *	  "messages":[{"from","to":[…],"bytes","sha256","reply_code"}],"gaps","ended"}]}
 * with more keys beside them. Times are seconds since the capture's first frame. `protocol` is null for
 * a connection that is no mail. `reply_code` is a number for SMTP and LMTP, a word for IMAP (OK NO BAD) and
 * POP3 (+OK -ERR), null where none was seen. `commands` are in the order of their replies, the greeting is
 * the one with the empty verb; `unknown` marks what a gap hides.
 */
#pragma once

#include "net/dialogue.h"

#include <stdio.h>

struct wire_ledger;

struct wire_ledger *wire_ledger_new(FILE *out, bool json);	/* `out` is borrowed */
void wire_ledger_epoch(struct wire_ledger *ledger, int64_t ns); /* the capture's first frame */
void wire_ledger_event(void *ledger, const struct dialogue_event *event); /* a dialogue_fn */

struct wire_ledger_end {
	uint64_t frames, dropped;
	const char *trouble; /* why the rest of the capture could not be read, or NULL */
};

/* After reassembly_finish(). Negative errno if the output is incomplete. Frees. */
int wire_ledger_close(
	struct wire_ledger *ledger, const struct wire_ledger_end *end, struct err *err);
