/*
 * The mailbox store: users, mailboxes, messages, and the messages in transit, in memory, with the
 * log and checkpoints on disk. Every change is durable when its function returns.
 *
 * Between db_begin() and db_end() the database stays mounted: every function marked (op) is called
 * there, by any thread. db_dismount() waits until nobody is in between. A reader sees a message only
 * once it is durable, so no UID is ever shown that a crash could give to another message.
 * Errors: -ENOENT no such user, mailbox or entry; -EEXIST; -ENOSPC a limit of the store; -EAGAIN not
 * mounted; negative errno of the disk at mount.
 */
#pragma once

#include "common.h"

#define DB_BYTES_MAX	 (96u << 20)
#define MAILBOX_NAME_MAX 200u

enum flag {
	FLAG_SEEN = 1,
	FLAG_ANSWERED = 2,
	FLAG_FLAGGED = 4,
	FLAG_DELETED = 8,
	FLAG_DRAFT = 16,
};

struct content {
	_Atomic unsigned int refs;
	size_t size; /* in internet format */
	size_t len;
	char data[]; /* in store format */
};
void content_unref(struct content *content); /* takes NULL */

/* A mailbox as it is now. */
struct view_item {
	uint32_t uid, flags, modseq, date;
	size_t size;
};
struct view {
	struct view_item *items; /* owned */
	size_t count;
	uint32_t uidvalidity, uidnext;
};
void view_free(struct view *view);

int db_open(const char *folder); /* once */
int db_mount(void);
int db_dismount(void);
int db_begin(void);
void db_end(void);
void db_checkpoint_if_due(void); /* between operations */

/* (op) */
bool db_has_user(const char *user);
int db_user_add(const char *user);
int db_user_delete(const char *user);
int db_user_move(const char *user, const char *where);
int db_mailbox_create(const char *user, const char *mailbox);
int db_mailbox_delete(const char *user, const char *mailbox);
void db_mailbox_list(const char *user, void (*each)(void *arg, const char *mailbox), void *arg);

int db_view(const char *user, const char *mailbox, struct view *ret);
struct content *db_content(const char *user, const char *mailbox, uint32_t uid); /* or NULL */
int db_append(const char *user, const char *mailbox, uint32_t flags, uint32_t date,
	const char *mail, size_t len, uint32_t *ret_uidvalidity, uint32_t *ret_uid);
/* All or none: -ESTALE when one is gone. */
int db_copy(
	const char *user, const char *mailbox, const uint32_t *uids, size_t count, const char *to);
int db_flags(const char *user, const char *mailbox, uint32_t uid, int how, uint32_t flags);
#define FLAGS_SET    0
#define FLAGS_ADD    1
#define FLAGS_REMOVE (-1)
int db_expunge(const char *user, const char *mailbox, uint32_t uid);
void db_commit(void); /* wait until all changes this thread made are durable: flags, expunge */

/* Messages in transit. */
int db_submit(const char *from, char *const *rcpts, size_t count, const char *mail, size_t len,
	uint32_t *ret_id);
int db_deliver(uint32_t id, const char *rcpt, const char *user);
int db_transit_done(uint32_t id, const char *rcpt);
struct content *db_transit(uint32_t id, char from[ADDRESS_MAX]); /* or NULL */
void db_transit_list(struct bytes *out);			 /* lines "ID RECIPIENT FROM" */
bool db_transit_for(const char *rcpt_user);
