/*
 * What all mail drivers of the rig share: outcomes, moments, and how a session is run.
 *
 * Drivers are blocking and belong to one thread each. They take a connected descriptor (the network
 * back-ends differ in how they connect) and own it from then on. Whatever the store does (refusal,
 * silence, a cut connection, garbage) is an outcome in the result, never an error of the rig.
 *
 * Outcomes: OK = acknowledged; NO = refused, or the operation cannot have reached the store;
 * MAYBE = it may have reached the store and no usable reply came.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAIL_REPLY_MS	 600000 /* for a reply after the dot: RFC 5321, 4.5.3.2.6 */
#define MAIL_TEXT_MAX	 512	/* reply texts are cut here */
#define MAIL_NOT_REACHED (-1)	/* a time stamp of something that did not happen */

enum mail_outcome {
	MAIL_NO,
	MAIL_OK,
	MAIL_MAYBE,
};

const char *mail_outcome_name(enum mail_outcome outcome); /* "NO" "OK" "MAYBE" */

struct line_group;

/*
 * A moment is told to `moment` while the session stands still there; the callee may block (until a
 * fault is in force). 0 goes on; a negative errno ends the session at once, without another byte.
 * Names carry their protocol: "smtp/dot", "imap/fetch", "imap/fetch/reply". `tag` is that of an IMAP
 * command, NULL where nothing has one.
 */
struct mail_opts {
	int64_t reply_ms;		/* longest wait for one reply; 0: MAIL_REPLY_MS */
	int64_t deadline_ns;		/* of the whole session, as in base/clock.h; 0: none */
	int64_t (*clock_ns)(void *arg); /* the cell clock, for time stamps only; NULL: monotonic */
	int (*moment)(void *arg, const char *moment, const char *tag); /* may be NULL */
	void *arg;						       /* of both */
	bool starttls;		  /* SMTP, LMTP, IMAP: go on in TLS once greeted */
	struct line_group *group; /* lets another thread end the session; may be NULL */
};

int64_t mail_now(const struct mail_opts *opts);
int mail_moment(
	const struct mail_opts *opts, const char *protocol, const char *moment, const char *tag);
int64_t mail_reply_deadline(const struct mail_opts *opts);

/* Copy hostile text: cut to `size`, control bytes become '?'; bytes >= 0x80 stay. */
void mail_text(char *out, size_t size, const char *bytes, size_t len);

/* Say in `out` (MAIL_TEXT_MAX bytes) how `doing` ended: "data: no answer for 30000 ms". */
void mail_failure(char *out, const char *doing, int rc, const struct mail_opts *opts);
