/* The database in memory and its records. Private to db*.c; with db.lock held. */
#pragma once

#include "db.h"
#include "wal.h"

#include <pthread.h>

struct message {
	uint32_t uid, flags, modseq, date;
	uint64_t lsn;		 /* shown once this is durable */
	struct content *content; /* a reference */
};

struct mailbox {
	struct mailbox *next;
	char *name;
	uint32_t uidvalidity, uidnext, modseq;
	struct message *messages; /* by UID */
	size_t count, cap;
};

struct user {
	struct user *next;
	char *name, *where;
	struct mailbox *mailboxes;
};

struct transit {
	struct transit *next;
	uint32_t id;
	uint64_t lsn;
	char *from;
	char *rcpts[RCPTS_MAX]; /* NULL: done */
	size_t count;
	struct content *content;
};

struct db {
	pthread_mutex_t lock;
	pthread_rwlock_t gate; /* read: an operation; write: mount, dismount, checkpoint */
	bool mounted;
	char *folder;
	struct user *users;
	struct transit *transit, **transit_last;
	uint32_t generation, next_id, last_uidvalidity;
	uint64_t lsn; /* of the record that is being applied */
	size_t bytes;
};
extern struct db db;

struct user *db_user(const char *name);
struct mailbox *db_mailbox(const char *user, const char *name);
struct message *db_message(struct mailbox *mailbox, uint32_t uid);
struct transit *db_transit_find(uint32_t id);
void db_clear(void);
void db_apply(struct fields *fields);
void db_dump(struct bytes *out);
/* Log a record and apply it; its LSN. Empties the record. */
uint64_t db_change(struct record *record);
