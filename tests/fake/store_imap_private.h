/* What the halves of the fake store's IMAP server share: store_imap.c (session and account) and
 * store_imap_box.c (the selected mailbox). */
#pragma once

#include "tests/fake/store_private.h"

struct imap_view {
	struct fake_session *session;
	struct fake *fake;
	char tag[32];
	char *user;
	char *box; /* selected mailbox, or NULL */
	bool read_only;
	uint32_t *uids; /* what this session was shown, by sequence number */
	size_t count;
	struct buf out; /* of the command in progress */
};

int imap_view_flush(struct imap_view *view);
int imap_view_done(struct imap_view *view, const char *text); /* the tagged reply */

/* The next word, quoted string or parenthesised list (without its parentheses). */
void imap_view_word(const char **at, struct buf *out);
unsigned int imap_view_flags(const char *text);

/* Tell what changed in the selected mailbox since (RFC 9051, 5.2). True if anything was told. */
bool imap_view_sync(struct imap_view *view);
int imap_view_box(struct imap_view *view, const char *name, const char *args, bool uid);
