/*
 * The witness: the rig's agent inside the guest. One static program, started before the store, that
 * goes on answering while every file system is frozen and while another process is stuck with its own
 * mmap lock held.
 *
 * How it keeps that promise:
 *   - the main loop only moves frames and answers what needs no lock of another process; it never
 *     opens a file of a disk, never forks, and runs at a higher real-time priority than the rest;
 *   - every verb that may wait (freeze, unlink, scan, commands) has a thread of its own, and what
 *     touches an mmap lock (`read` of /proc/PID/cmdline, environ, maps) is done by a forked worker
 *     with a deadline;
 *   - all memory is locked, all its own files are in /run (tmpfs), it is exempt from the OOM killer;
 *   - it has no timer and polls nothing: an idle guest stays idle, which the time warp needs. The port
 *     is watched edge-triggered, because a virtio port without a host is readable for ever.
 *
 * Threads: main (port), one for each source of events (log, kmsg, tail, core, board), one for each
 * request in progress. They share the out queue and small tables, each behind one mutex that is
 * never held across a system call that may wait. Nothing here is used after main returns.
 */
#pragma once

#include "rig/vm/witness_wire.h"

#include <jansson.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUN_DIR_DEFAULT "/run/rig"
#define JOBS_MAX	64
#define PATH_TEXT_MAX	1024

struct options {
	const char *run_dir;	/* cores and the core helper's socket */
	const char *log_socket; /* "/dev/log" */
	int listen_fd;		/* tests: a listening socket in place of the virtio port, or -1 */
	bool no_kmsg;
	bool no_core;	  /* leave core_pattern alone */
	bool no_realtime; /* no SCHED_FIFO, no mlockall, no OOM exemption */
};

/* ---- witness_text.c: JSON text, built without a tree ---- */

/* Starts with room for the frame's length. Growth failure ends the program: init starts no other. */
struct out {
	char *data;
	size_t len, size;
};

void out_free(struct out *out);
void out_add(struct out *out, const char *bytes, size_t len);
void out_open(struct out *out, const char *key, char bracket); /* key NULL: an element */
void out_close(struct out *out, char bracket);
void out_text(struct out *out, const char *key, const char *text);
void out_bytes(struct out *out, const char *key, const char *bytes, size_t len);
void out_hex(struct out *out, const char *key, const void *bytes, size_t len);
void out_int(struct out *out, const char *key, int64_t value);
void out_bool(struct out *out, const char *key, bool value);

#define auto_out __attribute__((cleanup(out_free))) struct out

/* ---- witness_queue.c: what waits for the port ---- */

struct frame {
	char *data; /* length and JSON */
	size_t len;
	bool event;
	struct frame *next;
};

/* What a source of events does when the queue is full: give up the event, or wait for room. */
enum when_full { DROP, WAIT };

void queue_init(int wake_fd); /* an eventfd, written when a frame was added */
void event_begin(struct out *out, const char *event);
void event_send(struct out *out, enum when_full when_full); /* consumes out */
void queue_reply(struct out *out, unsigned int session);    /* consumes out */
struct frame *queue_take(void); /* NULL if none; caller frees with frame_free() */
void frame_free(struct frame *frame);
unsigned int queue_new_session(void); /* drops the answers owed to the one before */

/* ---- witness_verbs.c: requests ---- */

struct request {
	json_t *args;
	int64_t id;
	unsigned int session;
};

void answer_begin(struct out *out, const struct request *request);
void answer_send(struct out *out, const struct request *request);
void answer_done(const struct request *request); /* {} */
void answer_error(const struct request *request, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
const char *request_text(const struct request *request, const char *key); /* "" if absent */
int64_t request_int(const struct request *request, const char *key, int64_t otherwise);

/* Takes one frame's JSON. False if it is no request: the connection is then broken. */
bool verbs_dispatch(const char *json, size_t len, unsigned int session);
void hello_begin(struct out *out);
/* The wall clock was set: how old a file is cannot be told by it. */
bool clock_was_set(void);

/* ---- the verbs that have a file of their own; each runs in a thread of its own ---- */

void verb_scan(const struct request *request);	    /* witness_scan.c */
void verb_run(const struct request *request);	    /* witness_run.c */
void verb_start(const struct request *request);	    /* witness_run.c */
void verb_read(const struct request *request);	    /* witness_worker.c */
void verb_profile(const struct request *request);   /* witness_profile.c */
void verb_tries(const struct request *request);	    /* witness_tries.c */
void verb_board(const struct request *request);	    /* witness_board.c */
bool board_is_quick(const struct request *request); /* need not have a thread of its own */
void verb_tail(const struct request *request);	    /* witness_tail.c */
void verb_untail(const struct request *request);    /* witness_tail.c */
void verb_freeze(const struct request *request);    /* witness_mount.c */
void verb_thaw(const struct request *request);	    /* witness_mount.c */
void verb_mounts(const struct request *request);    /* witness_mount.c */
void verb_exits(const struct request *request);	    /* witness_exits.c */
void verb_skip(const struct request *request);	    /* witness_skip.c */
void verb_watch(const struct request *request);	    /* witness_watch.c */

void verb_there(const struct request *request); /* witness_link.c */
void verb_link(const struct request *request);	/* witness_link.c */

void verb_descriptors(const struct request *request); /* witness_limits.c */
void verb_quota(const struct request *request);	      /* witness_quota.c */

/* What each part left behind: sentences added to the array that is open in `out`. A file system that was left frozen is
 * thawed by asking. */
void run_residue(struct out *out);
void mount_residue(struct out *out);
void board_residue(struct out *out);
void limits_residue(struct out *out);
void quota_residue(struct out *out);

/* ---- witness_worker.c: children that may not come back ---- */

/* Wait for a killed child for ever; meanwhile residue names it. For threads that have answered. */
void leftover_reap(pid_t pid, const char *what);
void leftover_residue(struct out *out);
bool child_ends_by(int pidfd, int64_t deadline_ns);
/* One that was killed: reaped, or left over where it does not end at once. */
void child_reap(pid_t pid, int pidfd, const char *what);
int pidfd_of(pid_t pid);

/* ---- sources of events; each starts its thread ---- */

int log_start(const char *path);		   /* witness_log.c; 0 or -errno */
int kmsg_start(void);				   /* witness_log.c */
int failures_start(void);			   /* witness_failures.c */
int tail_start(void);				   /* witness_tail.c */
int core_start(const char *run_dir);		   /* witness_core.c */
int core_main(int argc, char **argv);		   /* witness_core.c: the kernel's core helper */
void frees_save(const char *run_dir, int32_t pid); /* witness_frees.c: beside the core */
int board_start(const char *run_dir);		   /* witness_board.c */
void line_event(const char *path, const char *line, size_t len, enum when_full when_full);

/* ---- witness_counters.c: system calls, as the kernel tells of them ---- */

enum tracepoint { SYS_ENTER, SYS_EXIT, TRACEPOINTS };
int64_t tracepoint_number(enum tracepoint point); /* or -errno */
/* Calls that a filter lets by, of a thread or of all (-1) on a processor (-1: any): a descriptor of an event that is
 * not enabled yet, or -errno. */
int tracepoint_open(
	enum tracepoint point, const char *filter, int tid, int cpu, struct perf_event_attr attr);

/* Of one thread and whom it begets, on any processor (-1), or of all (-1) on one processor: a descriptor, or -errno. */
int counter_open(int tid, int cpu, int errnum);
uint64_t counter_read(int fd); /* so often since */

/* ---- witness_watch_conns.c: connections on which an answer is owed, for one watch ---- */

void watch_conns_take(const json_t *list);
int watch_conns_open(void); /* a descriptor to poll, or -errno */
void watch_conns_read(void);
void watch_conns_answer(struct out *out); /* adds "conns" */

/* ---- witness_port.c: the main loop ---- */

int port_open(
	const struct options *options, char *why, size_t size); /* 0 or -errno and a sentence */
void port_loop(void) __attribute__((noreturn));

/* ---- witness.c ---- */

#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

int64_t guest_ns(void);
int left_ms(int64_t deadline_ns);
bool thread_start(void *(*fn)(void *), void *arg);

/* While it is on, whoever waits for a grace period of RCU waits for a fraction of a millisecond and not for ticks of
 * the clock. Does nothing on a machine that is not the witness's own. */
void rcu_hurry(bool on);

/* A whole small file of /proc or /sys into `out` (NUL-terminated): bytes, or -errno. */
ssize_t read_small(int dirfd, const char *path, char *out, size_t size);
/* The same for a file that one read gives whole, as those of /proc/PID: a system call less. */
ssize_t read_once(int dirfd, const char *path, char *out, size_t size);
/* The program that a process runs, its whole path; "": it cannot be told. */
void read_exe(int pid, char *out, size_t size);

struct task_stat {
	int ppid, session, threads;
	char state;
	char comm[64];
	unsigned long flags;
	uint64_t start, utime, stime; /* clock ticks */
	uint64_t reaped;	      /* likewise: of children that it has waited for */
};

/* /proc/PID/stat or /proc/PID/task/TID/stat below `dirfd`: 0 or -errno. */
int task_stat_read(int dirfd, const char *path, struct task_stat *ret);
