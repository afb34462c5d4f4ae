/*
 * What the parts of a scan share. A scan is made by the verb's thread; whatever may wait for another process is
 * done by a thread that the scan can do without: it gives up its results when it comes back too late.
 * The scan lives until its last thread is through with it.
 */
#pragma once

#include "witness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define WAIT_FDS_MAX 32
#define FUTEX_WORDS  5 /* of a glibc pthread_mutex_t: lock, count, owner, users, kind */
#define CALL_ARGS    6
#define RAN_MAX	     64
#define DOOR_MAX     112 /* as names of sockets are told */

/* The bytes that a thread in fcntl() waits to lock. */
struct range_wait {
	int64_t first,
		last; /* both inside; last is -1 for the end of the file, wherever it will be */
	bool there, write;
};

/* What a thread in semop() waits for. */
struct sem_wait {
	int set, number, op;
	int value, last; /* last: process that operated on it, 0: not known */
	bool there, has_value;
};

struct row {
	int pid, tid;
	int via; /* a living thread: of one that has ended /proc tells no descriptors and no memory */
	struct task_stat stat;
	char wchan[64];
	char exe[256];
	char syscall[192];
	char ran[RAN_MAX]; /* of a deep scan: how much and how often it has run, as the scanner saw it */
	char *stack;
	uint64_t pid_ns;  /* of a deep scan: its PID namespace, 0: the witness's own */
	int ns_tid;	  /* its number in there, 0: not known */
	atomic_bool done; /* syscall and stack are final, and the two above */

	/* by the memory part */
	uint32_t words[FUTEX_WORDS];
	int fds[WAIT_FDS_MAX];
	int fd_count;
	bool has_words;
	char door[DOOR_MAX]; /* the unix socket that it connects to */
	struct sem_wait sem;
	struct range_wait range;
	int64_t limit_ms; /* of its wait, where that is in memory; 0: not known, or none */
	int64_t left_ms;  /* of that, where memory says when it ends; likewise */
	atomic_bool read; /* what stands between `words` and this is final */
};

struct scan {
	pthread_mutex_t lock; /* `users`, and what `done` is about */
	pthread_cond_t done;
	bool finished;
	int users; /* the verb's thread and those it started: the last one frees */
	bool stacks, deep, truncated;
	/* Others run while one looks (several processors): what is read of a thread at different moments belongs
	 * together only if it did not run between, which row_note_ran() tells. */
	bool tears;
	char *locks;
	struct row **rows;
	size_t count, size;
	struct out files;
	size_t file_count;
	_Atomic int at; /* tid the scanner reads now */

	bool has_memory, has_ends; /* of a deep scan: those parts were read to their end */
	struct out fds, sockets, held;
	size_t fd_count, held_count;
	bool held_tore; /* locks changed hands between the looks: nothing is told of them */
	bool no_peers;	/* the kernel does not tell the other ends of unix sockets */
};

/* A folder of a process: many threads have the same. Starts as {.fd = -1}; its owner closes `fd`. */
struct proc_dir {
	int pid, fd;
};

/* /proc/PID/NAME, always the same NAME: a descriptor with O_PATH, -1 if the process (or thread) has ended. */
int proc_dir_of(struct proc_dir *dir, int pid, const char *name);
/* By whom /proc tells of a process of the scan: its first thread, or another where that has ended. */
int scan_via(const struct scan *scan, int pid);

bool scan_is_idle_kthread(const struct task_stat *stat);
void scan_hold(struct scan *scan);
void scan_put(struct scan *scan);

void row_note_ran(const struct row *row, char out[RAN_MAX]);
/* Number and arguments of the system call a task waits in; false if it is in none, or not readable. */
bool row_call(const struct row *row, int *ret_number, uint64_t arg[CALL_ARGS]);

/* `whole`: the scanner is through, so what it wrote may be read. */
void scan_answer(const struct request *request, struct scan *scan, int64_t begin_ns, bool whole);

/* Adds "sem". */
void scan_answer_semaphore(struct out *out, const struct sem_wait *sem);

void scan_files(struct scan *scan); /* witness_files.c: by the scanner */

/* Both return by the deadline. What they could not read is left out and said. */
void scan_memory(struct scan *scan, int64_t deadline_ns); /* witness_memory.c */
void scan_ends(struct scan *scan, int64_t deadline_ns);	  /* witness_ends.c */

/* ---- witness_memory.c ---- */

struct flock;

/* The bytes that it is about, where it says so itself. */
void range_of(const struct flock *lock, struct range_wait *ret);

/* ---- witness_semaphore.c ---- */

#define SEM_OPS_MAX 8 /* operations of a call that are read */

struct sembuf;

/* Whether a process is in the witness's own IPC namespace; of the one that was asked for last. Starts as {0}. */
struct ipc_of {
	int via;
	bool own;
};
bool ipc_is_own(struct ipc_of *ipc, int via);
/* `ret` has the set. `ops`: the operations of the call, or the first of them if not `whole`. */
void sem_wait_find(
	const struct sembuf *ops, size_t count, bool whole, bool own_ipc, struct sem_wait *ret);

/* ---- witness_namespace.c ---- */

/* Of the process that was looked at last. Nothing is to be freed. */
struct namespaces {
	uint64_t own, at; /* inodes, 0: not known */
	int pid;
};

void namespaces_begin(struct namespaces *ns);
/* `dir` is /proc/PID/task: one look at a process, and one at a thread of it where it is in another namespace. */
void namespaces_look(struct namespaces *ns, int dir, struct row *row);

/* ---- witness_held.c ---- */

#define LOCKS_TEXT_MAX (256u << 10)
#define ORPHANS_MAX    64 /* locks that somebody waits for and nobody is known to have */
#define HELD_MAX       1024

struct orphans {
	struct orphan {
		dev_t dev;
		ino_t ino;
	} at[ORPHANS_MAX];
	size_t count;
};

void held_find(const struct scan *scan, struct orphans *ret);
/* /proc/locks says the same of those as it did at the begin. */
bool held_is_steady(const struct scan *scan, const struct orphans *orphans);
/* Descriptor `fd` of a process, in its folder `dir`: tells the locks of that open file, if it is one of those. */
void held_look(struct scan *scan, const struct orphans *orphans, int dir, int pid, const char *fd);
/* Into an array that is open: the processes that have that file open; and the locks that their open files have, as
 * "held" of a scan. */
void held_tell_openers(struct out *out, dev_t dev, ino_t ino);
void held_tell_locks(struct out *out, dev_t dev, ino_t ino);

/* ---- witness_sockets.c ---- */

struct sock {
	uint64_t ino, peer, accept; /* 0: none */
	bool unix_domain, datagrams, listens, established, outside;
	unsigned int port; /* of TCP: its own */
	int64_t backlog, unread;
	char name[DOOR_MAX];
};

struct sockets {
	struct sock *at; /* by ino */
	size_t count;
	bool no_peers;
};

/* Every unix, TCP and UDP socket of the machine, at most SOCKETS_MAX. */
#define SOCKETS_MAX 2048u
void sockets_read(struct sockets *ret);
void sockets_free(struct sockets *sockets);
/* The address of a unix socket as its name: one in the abstract name space begins with @. */
void socket_name(const char *path, size_t len, char out[DOOR_MAX]);
struct sock *sockets_find(const struct sockets *sockets, uint64_t ino);
/* It is the end that was called: accept() made it. */
bool sockets_is_accepted(const struct sockets *sockets, const struct sock *sock);
