/*
 * How the stores of retry*.c ask for what they do not wait for: they look, sleep and look again. retry_open() is called
 * first, in the leader, and draws how they sleep and for how long. Private to them.
 */
#pragma once

#include "tests/zoo/stores_parts.h"

#define RETRY_NAME 48

/* How a dot-lock is made. */
enum retry_dot {
	RETRY_DOT_FILE,	  /* open(2), O_EXCL */
	RETRY_DOT_LINK,	  /* link(2) of a file of one's own */
	RETRY_DOT_FOLDER, /* mkdir(2), and a file in it that says whose */
	RETRY_DOT_TARGET, /* symlink(2) to what says whose */
	RETRY_DOTS,
};

/* The locks that are asked for without waiting; each answers at once, true: it is ours. */
enum retry_lock { RETRY_FLOCK, RETRY_RECORD, RETRY_OPEN_FILE, RETRY_LOCKS };

void retry_open(void); /* store_open() is in it */
void retry_runs(void)
	__attribute__((noreturn)); /* store_runs_beside_others(), and some who look now and then */
void retry_rest(void);		   /* between two looks */
void retry_pause(int ms);

const char *retry_pid(void); /* of this process, as text; a buffer of the thread */
bool retry_dot(const char *name, enum retry_dot how, const char *text);
bool retry_lock(int fd, enum retry_lock kind);
int retry_locked_file(const char *name, enum retry_lock kind);
const char *retry_numbered(const char *name, long number); /* a buffer of the thread */

/* zoo_ready(), then looks until it is theirs, or gone, or there. */
void retry_wants_dot(const char *name, enum retry_dot how);
void retry_wants_lock(const char *name, enum retry_lock kind);
void retry_wants_mutex(pthread_mutex_t *lock);
void retry_wants_gone(const char *name);
void retry_wants_there(const char *name);

/* A spool that is looked into, and a daemon that wakes now and then: what is well in every store. */
void retry_spool(void);
void retry_heartbeat(void);
