/*
 * The host's end of the witness, the rig's agent inside the guest (witness_wire.h has the protocol
 * and what each verb means).
 *
 * A witness is used by many threads at once: calls are matched to answers by number, so a slow one
 * holds up nobody. Every call has an absolute deadline (base/clock.h) and returns -ETIMEDOUT with a
 * sentence when the guest stays silent, never later. -EREMOTEIO: the witness answered with an error,
 * whose sentence is passed on. -EPIPE, -EPROTO: the connection is broken (closed by QEMU, or the guest
 * sent what cannot be); it stays so, and all calls say why. A call that timed out may still have its
 * effect in the guest.
 *
 * Events are told from the witness's own thread, in order, while it is open; the callback must
 * not call the witness and must not wait for long: the guest's log socket is behind it.
 *
 * Strings and JSON handed out are the caller's; texts handed in are borrowed for the call.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct witness;

/* `name` is the event ("log", "died", ...), `json` the whole event, borrowed; arrived_ns is
 * CLOCK_MONOTONIC of the host. At the end of a connection that broke there is one event "gone" with
 * {"error"}; after it none. */
typedef void (*witness_event_fn)(
	void *arg, const char *name, const json_t *json, int64_t arrived_ns);

/* Wait until the witness at the other end of `fd` (machine_take_witness_fd()) answers: also while the
 * guest still boots. The descriptor is consumed, also on failure. `fn` may be NULL. */
int witness_attach(int fd, witness_event_fn fn, void *arg, int64_t deadline_ns,
	struct witness **ret, struct err *err);

/* The same, connecting to the socket of a QEMU chardev first. */
int witness_open(const char *path, witness_event_fn fn, void *arg, int64_t deadline_ns,
	struct witness **ret, struct err *err);
void witness_close(struct witness *witness); /* NULL is fine; calls in progress end with -EPIPE */

/* Events that the guest had no room for since this connection began. */
uint64_t witness_events_lost(struct witness *witness);

/* 0, or the error that broke the connection. */
int witness_state(struct witness *witness, struct err *err);

/* Any verb. `args` (may be NULL) is consumed; `*ret` (may be NULL) is the answer, a new reference. */
int witness_call(struct witness *witness, const char *verb, json_t *args, int64_t deadline_ns,
	json_t **ret, struct err *err);

int witness_ping(
	struct witness *witness, int64_t deadline_ns, int64_t *ret_guest_ns, struct err *err);

struct witness_command {
	const char *line;	/* for sh -c */
	const char *dir;	/* of the guest, to run in; NULL: the witness's own */
	const char *const *env; /* "NAME=value"..., NULL-terminated or NULL */
	int64_t timeout_ms;	/* in the guest; the call waits a little longer */
	bool daemons;		/* what it leaves behind may stay */
};

struct witness_result {
	int status; /* exit code, or 128 + signal */
	bool timed_out, cut;
	struct buf
		output; /* caller frees; its last WITNESS_OUTPUT_MAX bytes, cut: there were more */
};

int witness_run(struct witness *witness, const struct witness_command *command,
	struct witness_result *ret, struct err *err);

/* The answer of `scan`: see witness_wire.h. */
int witness_scan(
	struct witness *witness, bool stacks, int64_t deadline_ns, json_t **ret, struct err *err);

/* With stacks, and all that a diagnosis reads: memory, descriptors, sockets. */
int witness_scan_deep(struct witness *witness, int64_t deadline_ns, json_t **ret, struct err *err);

/* Idempotent: no error if it was so already. The guest thaws it after `thaw_after_ms` by itself; 0: never. */
int witness_freeze(struct witness *witness, const char *mount, int64_t thaw_after_ms,
	int64_t deadline_ns, struct err *err);
int witness_thaw(struct witness *witness, const char *mount, int64_t deadline_ns, struct err *err);
int witness_mounts(struct witness *witness, int64_t deadline_ns, json_t **ret, struct err *err);

int witness_seed(struct witness *witness, const void *bytes, size_t len, int64_t deadline_ns,
	struct err *err);
int witness_set_clock(
	struct witness *witness, int64_t realtime_ns, int64_t deadline_ns, struct err *err);

/* `start` is the task's of the last scan: another process with the same pid is not hit. */
int witness_signal(struct witness *witness, int pid, int64_t start, int signal, int64_t deadline_ns,
	struct err *err);

/* A line for the fault board (faults/guest/board_control.h); its JSON answer, a new reference. */
int witness_board(struct witness *witness, const char *command, int64_t deadline_ns, json_t **ret,
	struct err *err);

int witness_tail(struct witness *witness, const char *path, int64_t deadline_ns, struct err *err);
int witness_untail(struct witness *witness, const char *path, int64_t deadline_ns, struct err *err);
int witness_unlink(struct witness *witness, const char *path, int64_t deadline_ns, struct err *err);

/* At most `max` bytes of a file of the guest, with what is no UTF-8 as \xNN, added to `out`. */
int witness_read(struct witness *witness, const char *path, size_t max, int64_t deadline_ns,
	struct buf *out, struct err *err);

/* Begin to watch who is ended by SIGKILL (`ret` may be NULL), or end it: an array of {"pid","comm"}, a new
 * reference. -EOVERFLOW: some were missed. */
int witness_exits(
	struct witness *witness, bool watch, int64_t deadline_ns, json_t **ret, struct err *err);

/* The bytes of a file from `offset` on (an address in /proc/PID/mem), as many as there are, at most `max`
 * (WITNESS_READ_MAX), added to `out`. */
int witness_read_at(struct witness *witness, const char *path, int64_t offset, size_t max,
	int64_t deadline_ns, struct buf *out, struct err *err);

/* The processes that live now and run one of `programs` (whole paths, NULL-terminated) get at most `spare`
 * descriptors more; programs NULL: all is as it was. `slot` tells several uses apart. Idempotent. */
int witness_bound_descriptors(struct witness *witness, unsigned int slot,
	const char *const *programs, uint64_t spare, int64_t deadline_ns, struct err *err);
/* How many processes were bound, and how many calls of theirs, and of those they begot, failed by it so far. */
int witness_descriptors_met(struct witness *witness, unsigned int slot, int64_t deadline_ns,
	uint64_t *ret_bound, uint64_t *ret_met, struct err *err);

/* Who owns something on the file system `mount`, but root, gets no more of `what` ("bytes", "inodes"); NULL: all is
 * as it was. Idempotent. */
int witness_bound_quota(struct witness *witness, const char *mount, const char *what,
	int64_t deadline_ns, struct err *err);
/* How many owners were bound, and how many calls failed by it so far. */
int witness_quota_met(struct witness *witness, const char *mount, int64_t deadline_ns,
	uint64_t *ret_owners, uint64_t *ret_met, struct err *err);

/* Registers and stacks of a thread at moments at which it ran: `samples` of witness_wire.h, a new reference. */
int witness_profile(
	struct witness *witness, int tid, int64_t deadline_ns, json_t **ret, struct err *err);

/* What these threads ask for again and again without waiting for it, followed for at most `ms`: `tries` of
 * witness_wire.h, a new reference. */
int witness_tries(struct witness *witness, const int *tids, size_t count, int ms,
	int64_t deadline_ns, json_t **ret, struct err *err);

/* Whether `path` (a whole one) exists in the guest. */
int witness_there(
	struct witness *witness, const char *path, int64_t deadline_ns, bool *ret, struct err *err);

/* Whether the interface `name` has a carrier, and whether netem delays or loses what it sends. */
int witness_link(struct witness *witness, const char *name, int64_t deadline_ns, bool *ret_carrier,
	bool *ret_netem, struct err *err);

/* What the rig left behind in the guest: an array of sentences. */
int witness_residue(struct witness *witness, int64_t deadline_ns, json_t **ret, struct err *err);
