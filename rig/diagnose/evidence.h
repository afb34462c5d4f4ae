/*
 * The evidence of one instant (a scan of the witness, vm/witness_wire.h) as tables.
 *
 * Read beyond the fields that every scan has, where a scan has them:
 *	task	"utime","stime": clock ticks  "reaped": those of children that have ended
 *		"ran_ns","queued_ns": it had a processor, and was ready to run and had none
 *		"frames":["function", ...] of the user stack, innermost first
 *		"own":[those of "frames" that are not the C library's]
 *		"jumped":true where a function that the first of "own" called by a pointer has left no frame
 *		"began":"function" of the program's own that the thread began in
 *		"busy":["function", ...] in which it was at each of "moments" moments at which it ran, innermost first
 *		"loop":"function" of the program's own, the innermost in which it was at nearly all of those
 *		"futex":[5 words at the address it waits on]	left out where they could not be read
 *		"object":"name of the variable that it waits at"
 *		"pidns":inode of its PID namespace, left out where that is the witness's own
 *		"nstid":the number that it has in there, which locks in memory and files name it by
 *		"door":"name of the unix socket that it connects to"
 *		"wait_fds":[fds it polls, selects or has in the epoll set it waits for]
 *		"sem":{"id":set,"num":number in the set,"op":what is asked of it,"value"?,"last"?:process that
 *		operated on it last}	the System V semaphore that it waits for; value and last are left out where
 *		its IPC namespace is not the witness's
 *		"range":{"first","last"?:absent to the end of the file,"write"}	the bytes that it wants to lock
 *		"limit_ms": for how long its call waits at most, where only memory says so; or "left_ms": for how
 *		long from now on
 *	scan	"tries":[{"tid","kind", ...}]	what threads that sleep and look again have asked for and did not get
 *		(vm/witness_wire.h)
 *		"fds":[{"pid","fd","ino":inode,"kind":"pipe|mqueue|socket|eventfd|...","mode":"r|w|rw"}] every holder
 *		of what a thread waits for, and of its other end; of a "pidfd" also "of":the process that it is of
 *		"held":[{"pid","fd","lock":"line of fdinfo"}] who has an open file with a lock that others wait for and
 *		that the process in /proc/locks does not have
 *		"sockets":[{"ino","family":"unix|tcp|udp","state":"listen|established|...","name"?,
 *		"peer":inode of the other end, 0 where it is not known or has no owner,
 *		"accept"?:inode of the listening socket in whose queue this connection stands, not accepted,
 *		"accepted"?:true of the end of who was called, not of who called,
 *		"outside"?:true where the other end is not in the guest, "backlog":N of a listening one,
 *		"unread"?:bytes that came and were not read}]
 *		"parts":{"memory","fds","sockets":bool}	false: asked for and not to be had, or cut short
 * Everything is hostile and bounded; what is left out is counted in `unread`. Pure. The texts are
 * borrowed from the JSON, which must outlive the evidence.
 */
#pragma once

#include "api/target.h"
#include "diagnose/lock_table.h"
#include "diagnose/wait.h"

#include <jansson.h>

#define TASKS_MAX   8192
#define FILES_MAX   8192
#define FDS_MAX	    32768
#define SOCKETS_MAX 8192
#define POLLED_TOLD 32 /* descriptors that the witness tells of one set */
#define HELD_MAX    1024
#define TRIES_MAX   64
#define ROLE_MAX    64
#define FRAMES_MAX  16

struct semaphore {
	int op;
	int value; /* -1: not known */
	int last;  /* process that operated on it, 0: not known */
};

struct byte_range {
	bool told, write;
	uint64_t first, last; /* as in /proc/locks */
};

/* A lock that a thread asks for without waiting, again and again. */
struct tried {
	struct file_lock wants;
	const char *path;
	int named; /* of a dot-lock: the process that it names, in its own PID namespace; 0: none */
};

struct task {
	int pid, tid, ppid;
	char state;
	bool mine;	      /* of the machine or the rig, not of the store: never a suspect */
	int64_t start, ticks; /* ticks: processor time, -1 where the scan has none */
	int64_t reaped;	      /* of children that it has waited for */
	int64_t ran_ns, queued_ns; /* -1 where the scan has none */
	uint64_t pid_ns;	   /* 0: the witness's own, whose numbers pid, tid and ppid are */
	int ns_tid;		   /* as it calls itself, 0: not known */
	const char *comm, *exe, *wchan, *syscall, *stack;
	const char *object;	    /* "": not known */
	const char *began;	    /* likewise */
	const char *loop;	    /* likewise */
	const char *door;	    /* likewise */
	const json_t *frames, *own; /* or NULL */
	const json_t *busy;	    /* likewise */
	int moments;
	char role[ROLE_MAX];
	bool has_words;
	uint32_t words[FUTEX_WORDS];
	const json_t *polled;	   /* descriptors, or NULL */
	struct semaphore sem;	   /* that it waits for, of a set (wait_is_of_set()) */
	bool jumped;		   /* its innermost function is not known */
	bool timer_off;		   /* it reads a timer that is not set */
	struct byte_range range;   /* that it wants to lock, where it is told */
	const struct tried *tried; /* or NULL */
	int64_t left_ms;	   /* until its time limit comes, 0: not known, or none */
	int64_t only_fd;	   /* the one descriptor that is polled, -1: several or not known */
	bool named_by_word; /* its lock is of no known make: the owner is what its word says */
	bool serves;	    /* waits for what one shall send whom it has accepted */
	bool outside;	    /* waits for somebody who is not in the guest: a client, another host */
	struct wait wait;
};

struct open_file {
	int pid, fd;
	const char *path, *inode; /* inode as /proc/locks writes it */
};

struct open_fd {
	int pid, fd;
	uint64_t ino;
	bool reads, writes, socket, queue;
	bool timer, rings; /* a timer; that is set */
	bool set;	   /* of others (epoll) */
	bool permits;	   /* who has it says whether a file may be opened (fanotify) */
	int of;		   /* the process that a pidfd is of; 0: it is none, or not known */
};

struct held_lock {
	int pid, fd;
	struct file_lock lock;
};

struct socket_end {
	uint64_t ino, peer;
	uint64_t accept; /* the listening socket in whose queue it stands, 0: none */
	bool listens, outside;
	bool accepted; /* the end of who was called, not of who called */
	int64_t backlog, unread;
	const char *name; /* address or path, or NULL */
};

struct evidence {
	struct task *tasks; /* by pid, then tid */
	size_t task_count;
	struct open_file *files;
	size_t file_count;
	struct open_fd *fds; /* by pid, then fd */
	size_t fd_count;
	struct socket_end *sockets; /* by ino */
	size_t socket_count;
	struct held_lock *held;
	size_t held_count;
	struct lock_table locks;
	struct tried *tries;
	size_t try_count;
	size_t unread; /* entries that were none, or beyond a limit */
	bool no_memory, no_fds, no_sockets,
		no_held; /* the witness tried and could not tell (all of) them */
	bool truncated;
	int64_t guest_ns;
};

/* `target` names the roles (may be NULL: the program's file name is the role). `ours` are beginnings
 * of program paths that belong to the rig, NULL-terminated, or NULL. */
void evidence_read(const json_t *scan, const struct target *target, const char *const *ours,
	struct evidence *ret);
void evidence_free(struct evidence *evidence);

/* What a program is called: its role, where it has one and no more, else its file name. */
const char *evidence_role(const struct target *target, const char *exe, const char *otherwise);

/* The threads of a process are neighbours: index of the first, `ret_count` how many (0: no such). */
size_t evidence_process(const struct evidence *e, int pid, size_t *ret_count);
/* No thread of it lives, and the scan has all that do. */
bool evidence_has_ended(const struct evidence *e, int pid);
/* The thread that `by` calls by that number: one of its own PID namespace; or NULL. */
const struct task *evidence_task(const struct evidence *e, const struct task *by, int64_t number);
/* The process that calls itself by that number, in whatever PID namespace. NULL: none does; `ret_several`: in several
 * namespaces one does. */
const struct task *evidence_named(const struct evidence *e, int64_t number, bool *ret_several);
const struct open_fd *evidence_fd(const struct evidence *e, int pid, int64_t fd);
const struct socket_end *evidence_socket(const struct evidence *e, uint64_t ino);
/* The socket of that name that listens, or NULL. */
const struct socket_end *evidence_door(const struct evidence *e, const char *name);
/* Path of an inode ("fe:10:79"), or NULL. */
const char *evidence_path(const struct evidence *e, const char *inode);
/* True if the descriptor `fd` of `pid` is that file; `ret_known` is false where the scan says nothing. */
bool evidence_is_open(
	const struct evidence *e, int pid, int64_t fd, const char *inode, bool *ret_known);
bool evidence_has_unread(const struct evidence *evidence, uint64_t ino);
/* The "sem" of a task, or of what it tries. It may be of another call than the one that the task stands in. */
void evidence_read_semaphore(const json_t *json, struct task *task);
/* One of "held". */
void evidence_add_held(struct evidence *evidence, const json_t *json);
/* Whoever sleeps and looks again waits for what it looks for, where somebody is known to have it (tries.c). For
 * evidence_read(), as the next is. */
void evidence_read_tries(const json_t *scan, struct evidence *evidence);
/* Once all is read: what its descriptors say of each wait. For evidence_read(). */
void evidence_look_at_ends(struct evidence *evidence);
/* The descriptor that it reads, writes or polls alone, or NULL; and where that is a socket, its end. */
const struct open_fd *evidence_awaited_fd(const struct evidence *evidence, const struct task *task);
const struct socket_end *evidence_awaited(const struct evidence *evidence, const struct task *task);
/* What it polls is told, and all of it. */
bool evidence_all_polled(const struct task *task);
/* It sleeps until something happens to the one socket, and what was sent to it lies there, and nothing keeps it from
 * writing: it has not asked to be told of what comes, or was told once (EPOLLONESHOT, EPOLLET). */
bool evidence_ignores_unread(const struct evidence *evidence, const struct task *task);
