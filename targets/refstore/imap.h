/* IMAP4rev1 sessions (RFC 3501, with IDLE of RFC 2177 and UIDPLUS of RFC 4315), one thread each. */
#pragma once

#include "common.h"
#include "db.h"

#define IMAP_ARGS_MAX 32u

struct imap_args {
	char *at[IMAP_ARGS_MAX]; /* owned; lists keep their parentheses */
	size_t len[IMAP_ARGS_MAX];
	size_t count;
};

struct imap_session {
	struct conn conn;
	char user[ADDRESS_MAX]; /* "": not logged in */
	char mailbox[MAILBOX_NAME_MAX];
	bool selected, readonly, over;
	const char *tag;
	struct view shown; /* what the client was told of */
	struct bytes out;  /* untagged responses that wait for the end of the operation */
};

void imap_serve(int fd);

/* Of imap_parse.c. Reads a whole command with its literals: 0, or negative when the session ends. */
int imap_read_command(struct imap_session *session, struct imap_args *args);
void imap_args_free(struct imap_args *args);
bool imap_in_set(const char *set, uint32_t number, uint32_t max);
bool imap_set_ok(const char *set);
uint32_t imap_flags(const char *list); /* "(\Seen \Deleted)" */
void imap_add_flags(struct bytes *out, uint32_t flags);
void imap_quoted(struct bytes *out, const char *text);

/* Of imap_fetch.c: args[at] is the set, the items follow. The tagged reply's text. */
const char *imap_fetch(
	struct imap_session *session, struct imap_args *args, size_t at, bool by_uid);

/* Of imap_change.c, likewise. */
const char *imap_store(
	struct imap_session *session, struct imap_args *args, size_t at, bool by_uid);
const char *imap_copy(struct imap_session *session, struct imap_args *args, size_t at, bool by_uid);
const char *imap_expunge(struct imap_session *session, const char *set);
const char *imap_append(struct imap_session *session, struct imap_args *args, struct bytes *text);

/* Tell the client what changed in the selected mailbox; inside an operation. */
void imap_sync(struct imap_session *session, bool expunges);
void imap_flush(struct imap_session *session); /* outside of one */

#define IMAP_UNAVAILABLE "NO [UNAVAILABLE] the store is not mounted"
#define IMAP_BAD	 "BAD arguments"
#define IMAP_UNTOLD	 (1u << 31) /* a flag change of this item need not be told */
