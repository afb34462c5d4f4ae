/*
 * What one thread waits for, as far as the kernel tells without touching the thread: its state, its
 * wait channel and the line of /proc/PID/task/TID/syscall (x86-64: number, six arguments, stack and
 * instruction pointer; fs/proc/base.c: proc_pid_syscall, Linux 6.1). Pure, allocates nothing; hostile
 * text gives WAIT_UNKNOWN.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FUTEX_WORDS 5 /* of a glibc pthread_mutex_t: lock, count, owner, users, kind */

enum wait_kind {
	WAIT_UNKNOWN, /* no readable evidence */
	WAIT_NONE,    /* runs, or could */
	WAIT_FILE_LOCK,
	WAIT_MUTEX, /* a futex used as a lock: FUTEX_WAIT on the value 2 or on an owner, or PI */
	WAIT_JOIN,  /* for a thread of the same process to end */
	WAIT_FUTEX, /* any other word in memory: a condition variable, or what futex.h tells it is */
	WAIT_RWLOCK,
	WAIT_SEMAPHORE,
	WAIT_READ,
	WAIT_WRITE,
	WAIT_OPEN, /* of a FIFO */
	WAIT_ACCEPT,
	WAIT_CONNECT,
	WAIT_POLL, /* select, poll, epoll */
	WAIT_CHILD,
	WAIT_SLEEP,
	WAIT_SIGNAL, /* for a signal: pause, sigwait, sigsuspend */
	WAIT_DISK,   /* uninterruptible */
	WAIT_FREEZE, /* for a frozen filesystem */
	WAIT_PARKED, /* held by the rig */
	WAIT_STOPPED,
	WAIT_ENDED,	 /* a zombie */
	WAIT_PAGE,	 /* of memory that another thread or process shall bring: userfaultfd(2) */
	WAIT_PERMISSION, /* to open a file, of whoever watches it: fanotify(7) */
	WAIT_OTHER,
	WAIT_KINDS
};
const char *wait_kind_name(enum wait_kind kind); /* "file lock" "mutex" ... */
bool wait_is_lock(enum wait_kind kind);		 /* file lock, mutex, read-write lock */
bool wait_is_event(enum wait_kind kind);	 /* somebody must signal it; it has no owner */

struct wait {
	enum wait_kind kind;
	bool timed;	  /* ends by its own time limit */
	int64_t limit_ms; /* that is, where the call itself says it; 0: not known */
	int64_t fd;	  /* -1: none, or not known */
	int64_t target;	  /* pid or tid that is waited for, 0: not known; -1 (CHILD): any child */
	uint64_t addr;	  /* futex; or a set of System V semaphores and the number in it */
	bool newest;	  /* CHILD: the one that was made last (vfork) */
	bool read;	  /* a file lock: shared is wanted */
	bool tries;	  /* it asks for that without waiting, sleeps, and asks again */
	bool lease; /* a file lock: one that another process has and shall give back (open, truncate) */
	bool shared; /* a futex that other processes may use */
	bool taken; /* a futex by FUTEX_WAIT on a word that is not 0, as locks of other makes wait */
	bool behind;	/* a read-write lock: to read, behind a writer that waits */
	bool pi;	/* a futex that names its owner to the kernel (FUTEX_LOCK_PI) */
	uint32_t value; /* that was found in the futex when the wait began */
	int number;	/* system call, -1: none */
};

/* `state` as in /proc/PID/stat. NULL texts are taken as empty. */
struct wait wait_decode(char state, const char *wchan, const char *syscall, const char *stack);

/*
 * What in memory it waits for, the same for all who wait for it. Waiters of a condition variable take turns at two
 * words that lie side by side at a multiple of eight (glibc 2.36, bits/thread-shared-types.h: __g_signals).
 */
uint64_t wait_object(const struct wait *wait);

/* For one of that set of System V semaphores, which it tries: which one is not known yet. */
struct wait wait_of_set(int set);
/* For a System V semaphore, which is one of a set. The number of a set is its own in one boot of one machine. */
bool wait_is_of_set(const struct wait *wait);
/* Which of the set `set` it is; false: it does not wait for one of that set. */
bool wait_set_semaphore(struct wait *wait, int64_t set, int number);
int wait_semaphore(const struct wait *wait); /* that number, -1: it is not known */
bool wait_same_set(const struct wait *a, const struct wait *b);
