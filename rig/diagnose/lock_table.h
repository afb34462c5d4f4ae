/*
 * The text of /proc/locks (fs/locks.c: lock_get_status, Linux 6.1) as a table.
 *
 *	6: FLOCK  ADVISORY  WRITE 220 fe:10:79 0 EOF
 *	6: -> FLOCK  ADVISORY  WRITE 223 fe:10:79 0 EOF		waits for the lock numbered 6
 *	6:  -> FLOCK  ADVISORY  WRITE 250 fe:10:79 0 EOF	the same, queued behind 223
 *	7: LEASE  BREAKING  UNLCK 230 fe:10:81 0 EOF	a lease that is asked back (fcntl(2), F_SETLEASE)
 *	7: -> LEASE  BREAKER   WRITE 231 <none>:0 0 EOF	who waits in open() until it is given back
 *
 * The text is hostile: a line that is not of this form is counted and left out. Pure; the table is
 * owned by the caller and released by lock_table_free().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCKS_MAX      4096 /* lines that are kept */
#define LOCK_INODE_MAX 48   /* "fe:10:79" and its NUL */

/* A dot-lock is a file that is there: the kernel knows of no lock, and writes none. */
enum lock_kind { LOCK_DOT, LOCK_FLOCK, LOCK_POSIX, LOCK_OFD, LOCK_LEASE, LOCK_DELEG };
const char *lock_kind_name(enum lock_kind kind); /* as /proc/locks writes it, or "dot-lock" */

struct file_lock {
	enum lock_kind kind;
	bool waits, write;
	int pid; /* process that took it; -1: none is known (OFDLCK), or none lives (a dot-lock's) */
	size_t by; /* of a waiter: index of the held lock it stands under */
	char inode[LOCK_INODE_MAX];
	uint64_t first, last; /* bytes, both inside; last is UINT64_MAX for EOF */
};

struct lock_table {
	struct file_lock *at;
	size_t count;
	size_t unread; /* lines that were no lock, or beyond LOCKS_MAX */
};

/* One line of it, or of fdinfo ("lock:"); `by` stays 0. */
bool lock_line_read(const char *line, struct file_lock *ret);
void lock_table_parse(const char *text, struct lock_table *ret);
/* One that the text does not have: its index, SIZE_MAX if there is no room. */
size_t lock_table_add(struct lock_table *table, const struct file_lock *lock);
void lock_table_free(struct lock_table *table);

/* They are one: the same line, perhaps read twice. */
bool lock_is_same(const struct file_lock *a, const struct file_lock *b);

/* True if a request like `waiter` has to wait while `held` is there (fs/locks.c: posix_locks_conflict,
 * flock_locks_conflict). Whether both are of one owner is not looked at. */
bool lock_conflicts(const struct file_lock *waiter, const struct file_lock *held);
