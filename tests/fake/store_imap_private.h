/* What the parts of the fake store's IMAP server share: store_imap.c (session and account),
 * store_imap_sync.c (what a session is told) and store_imap_box.c (the selected mailbox). */
#pragma once

#include "tests/fake/store_private.h"

struct imap_shown { /* a message, as this session was told of it */
	uint32_t uid;
	uint64_t modseq;
};

struct imap_view {
	struct fake_session *session;
	struct fake *fake;
	char tag[32];
	char *user;
	char *box; /* selected mailbox, or NULL */
	bool read_only;
	bool modseqs;		  /* CONDSTORE or QRESYNC was enabled */
	bool vanishes;		  /* QRESYNC was */
	bool blind;		  /* a bug: no longer told of changes */
	struct imap_shown *shown; /* by sequence number */
	size_t count;
	struct buf out; /* of the command in progress */
};

int imap_view_flush(struct imap_view *view);
int imap_view_done(struct imap_view *view, const char *text); /* the tagged reply */

/* The next word, quoted string or parenthesised list (without its parentheses). */
void imap_view_word(const char **at, struct buf *out);
unsigned int imap_view_flags(const char *text);
bool imap_view_in_set(const char *set, uint32_t number, uint32_t last);

int imap_view_select(struct imap_view *view, const char *args, bool read_only);
void imap_view_leave(struct imap_view *view);		     /* no mailbox is selected any more */
struct fake_box *imap_view_selected(struct imap_view *view); /* under the store's lock */

/* Tell what changed in the selected mailbox since (RFC 9051, 5.2). True if anything was told. */
bool imap_view_sync(struct imap_view *view);
/* The flags, UID and mod-sequence of a message; under the store's lock. */
void imap_view_tell_flags(struct imap_view *view, size_t number, const struct fake_mail *mail);
int imap_view_box(struct imap_view *view, const char *name, const char *args, bool uid);
