/*
 * Time warp: a branch of a machine in which idle time is skipped, to see what becomes of a hang that
 * nobody wants to wait for. The machine that was saved is not concerned in any way.
 *
 * What happens in the branch is told by events with the guest's own time stamps, relative to the moment
 * of the save: `elapsed_ns`. Nothing in it is polled. Idle hours pass in seconds of host time; a guest
 * that is busy, or wakes up all the time, passes them no faster than the host executes it.
 *
 * The branch's network is a black hole (branch.h): what it waits for from outside never comes, and no
 * connection is ended from outside. What ends a wait there is the store's own doing.
 *
 * Thread context: open, run and close belong to one thread. `fn` is called from the witness's thread,
 * while warp_run() runs and for a moment after; it must not call the warp.
 */
#pragma once

#include "base/err.h"
#include "vm/branch.h"
#include "vm/witness.h"

#include <stdbool.h>
#include <stdint.h>

/* A thread that waits: `syscall` as a scan of the saved machine has it, or NULL: as it is in the branch. */
struct warp_task {
	int pid, tid;
	int64_t start; /* 0: not known */
	const char *syscall;
};

/* A connection of the guest on which an answer is owed. */
struct warp_conn {
	uint16_t port;	  /* of the guest */
	const char *peer; /* "10.0.2.2:40001" */
};

struct warp_watch {
	const struct warp_task *tasks; /* at most WATCH_TASKS_MAX (witness_wire.h) are watched */
	size_t task_count;
	const struct warp_conn *conns; /* at most WATCH_CONNS_MAX */
	size_t conn_count;
};

/* An event of the branch: the witness's name and object (witness_wire.h: left ended sent log died kernel
 * watched ...). True: stop here. */
typedef bool (*warp_event_fn)(void *arg, const char *name, const json_t *json, int64_t elapsed_ns);

struct warp_options {
	const struct machine_spec *spec; /* of the machine that was saved */
	const char *branch;		 /* branch_save() */
	const char *dir;		 /* the branch's own folder, made if need be */
	int64_t saved_guest_ns;		 /* the guest's clock when it was saved (witness_ping()) */
	int64_t tick_ns;		 /* guest time between two `watched` events */
	struct warp_watch watch;
	warp_event_fn fn;
	void *arg;
	int64_t deadline_ns; /* host; for opening */
};

struct warp;

/* The branch runs, and its time flies, when this returns. */
int warp_open(const struct warp_options *options, struct warp **ret, struct err *err);
void warp_close(struct warp *warp); /* takes NULL; the folder stays */

enum warp_end {
	WARP_STOPPED, /* `fn` said so */
	WARP_REACHED, /* so much guest time has passed */
	WARP_LATE,    /* the host's deadline came first */
	WARP_ENDED,   /* the branch's machine panicked, halted or broke */
};

/* Go on until `elapsed_ns` of guest time since the save, the deadline or a word of `fn`; the branch then
 * stands still, and may be run on. `err` is set for WARP_ENDED. */
enum warp_end warp_run(struct warp *warp, int64_t elapsed_ns, int64_t deadline_ns, struct err *err);

/* The last guest time that is known. */
int64_t warp_elapsed_ns(struct warp *warp);

/* What the guest's witness answered to `watch`: {"tasks","conns"}, borrowed. */
const json_t *warp_watched(const struct warp *warp);

/* Calls work only while the branch runs: between warp_go_on() and warp_hold(), time flies meanwhile. */
struct witness *warp_witness(struct warp *warp);
int warp_go_on(struct warp *warp, struct err *err);
int warp_hold(struct warp *warp, struct err *err);

/* How long each thread has waited and where, in a machine that runs: the answer of `watch`, new reference. */
int warp_look(struct witness *witness, const struct warp_watch *watch, int64_t deadline_ns,
	json_t **ret, struct err *err);
