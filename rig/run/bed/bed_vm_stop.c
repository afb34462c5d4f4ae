/*
 * Processes, process groups and single threads that stand still. Every heal is proved by a scan.
 *
 * A single thread is held by a threaded cgroup of its own (Linux, Documentation/admin-guide/cgroup-v2.rst: threads,
 * cgroup.freeze), and not by a tracer or a signal: SIGSTOP takes the whole process, and ptrace removes the waiters of
 * /proc/locks that a diagnosis needs. A park (the fault `park`) stops a thread only at its next call.
 */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "base/json.h"
#include "run/bed/stopped_count.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define ASK_MS		10000
#define SCAN_MS		30000
#define STOP_ROUNDS_MAX 8 /* a process may fork while it is being stopped */
#define OWED_MAX	256
#define CGROUP		"/run/rig/cgroup"

static struct vm_bed *of(struct bed *bed)
{
	return (struct vm_bed *)bed;
}

static int64_t soon(void)
{
	return deadline_in_ms(ASK_MS);
}

static int scan_tasks(struct vm_bed *b, json_t **ret, struct err *err)
{
	return witness_scan(b->witness, false, deadline_in_ms(SCAN_MS), ret, err);
}

/* A shell line in the guest that must work; `what` names it in the error. */
static int must_run(struct vm_bed *b, const char *line, const char *what, struct err *err)
{
	struct command_result result = {0};
	int rc = b->bed.ops->run(&b->bed, line, NULL, ASK_MS, false, &result, err);

	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "%s: %s", what,
			result.output.len ? buf_text(&result.output) : "no reason was given");
	buf_free(&result.output);
	return rc;
}

static bool is_process(const json_t *task)
{
	return json_get_int(task, "pid", 0) == json_get_int(task, "tid", -1);
}

static bool runs_one_of(const json_t *task, const char *const *programs)
{
	const char *exe = json_get_text(task, "exe", "");

	for (; *programs; programs++)
		if (!strcmp(exe, *programs))
			return true;
	return false;
}

/* 'T': stopped by a signal; 't' would be a tracer's. */
static bool is_stopped(const json_t *task)
{
	return !strcmp(json_get_text(task, "state", ""), "T");
}

/* A wait in the kernel that no signal ends, as on a frozen file system. */
static bool is_uninterruptible(const json_t *task)
{
	return !strcmp(json_get_text(task, "state", ""), "D");
}

/* ---- processes ---- */

/*
 * One round; `*ret_hit`: how many were signalled and have to be looked at again. One that is gone meanwhile needs no
 * signal. One that waits uninterruptibly stops when that wait is over, before it does anything else: signalled in
 * the `first` round it counts as stopped, and to go on it needs a signal too, which takes the other back.
 */
static int signal_all(struct vm_bed *b, const char *const *programs, bool stop, bool first,
	uint32_t *ret_hit, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_t *task;
	size_t i;
	int rc = scan_tasks(b, &scan, err);

	*ret_hit = 0;
	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		bool later = is_uninterruptible(task);

		if (!is_process(task) || !runs_one_of(task, programs) ||
			(is_stopped(task) == stop && !later))
			continue;
		rc = witness_signal(b->witness, (int)json_get_int(task, "pid", 0),
			json_get_int(task, "start", 0), stop ? SIGSTOP : SIGCONT, soon(), err);
		if (rc && rc != -EREMOTEIO)
			return rc;
		*ret_hit += first || !later;
	}
	return 0;
}

static int stop_all(struct vm_bed *b, const char *const *programs, bool stopped, struct err *err)
{
	uint32_t hit = 1;
	int rc = 0;

	for (int round = 0; round < STOP_ROUNDS_MAX && hit && !rc; round++)
		rc = signal_all(b, programs, stopped, !round, &hit, err);
	if (!rc && hit)
		rc = err_set(err, -EBUSY, "%" PRIu32 " processes are %s after %d rounds", hit,
			stopped ? "not stopped" : "still stopped", STOP_ROUNDS_MAX);
	return rc;
}

/* ---- process groups ---- */

int vm_pids_of(struct vm_bed *b, const char *const *programs, struct buf *out, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_t *task;
	size_t i;
	int rc = scan_tasks(b, &scan, err);

	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (is_process(task) && runs_one_of(task, programs))
			buf_addf(out, " %lld", (long long)json_get_int(task, "pid", 0));
	return 0;
}

/* Their numbers as words into b->groups; a group of the rig's own (0, 1) is never meant. */
static int find_groups(struct vm_bed *b, const char *const *programs, struct err *err)
{
	auto_buf struct buf pids = {0};
	auto_free char *line = NULL;
	struct command_result result = {0};
	int rc = vm_pids_of(b, programs, &pids, err);

	if (rc || !pids.len) /* nobody to stop is no error, as for single processes */
		return rc;
	line = text_fmt(
		"ps -o pgid= -p $(echo %s | tr ' ' ,) | awk '$1 > 1 { print $1 }' | sort -u "
		"| tr '\\n' ' '",
		buf_text(&pids));
	rc = b->bed.ops->run(&b->bed, line, NULL, ASK_MS, false, &result, err);
	if (!rc && (result.timed_out || result.status || result.output.len < 2 ||
			   strspn(buf_text(&result.output), "0123456789 ") != result.output.len))
		rc = err_set(err, -EIO, "the process groups could not be read");
	if (!rc)
		b->groups = buf_steal(&result.output);
	buf_free(&result.output);
	return rc;
}

static int stop_groups(struct vm_bed *b, const char *const *programs, bool stopped, struct err *err)
{
	auto_free char *line = NULL;
	int rc = stopped && !b->groups ? find_groups(b, programs, err) : 0;

	if (rc || !b->groups)
		return rc;
	/* A group that has ended meanwhile needs no signal. */
	line = text_fmt("for g in %s; do kill -s %s -- -$g || ! kill -s 0 -- -$g; done 2>&1",
		b->groups, stopped ? "STOP" : "CONT");
	rc = must_run(b, line, "a process group could not be signalled", err);
	if (!rc && !stopped) {
		free(b->groups);
		b->groups = NULL;
	}
	return rc;
}

/* ---- one thread ---- */

/* The youngest: in a pool the one that was made for the latest work; in a process of one thread, that one. */
static int youngest(struct vm_bed *b, const char *const *programs, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_int_t best = -1;
	json_t *task;
	size_t i;
	int rc = scan_tasks(b, &scan, err);

	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		json_int_t start = json_get_int(task, "start", 0);

		if (!runs_one_of(task, programs) || start < best)
			continue;
		best = start;
		b->frozen_pid = (int)json_get_int(task, "pid", 0);
		b->frozen_tid = (int)json_get_int(task, "tid", 0);
	}
	return 0;
}

static int stop_thread(struct vm_bed *b, const char *const *programs, bool stopped, struct err *err)
{
	auto_free char *line = NULL;
	int rc = stopped && !b->frozen_tid ? youngest(b, programs, err) : 0;

	if (rc || !b->frozen_tid)
		return rc;
	if (stopped)
		line = text_fmt("exec 2>&1; set -e; mkdir -p " CGROUP "; mountpoint -q " CGROUP
				" || mount -t cgroup2 none " CGROUP "; mkdir -p " CGROUP
				"/one; cd " CGROUP "/one"
				"; echo threaded >cgroup.type; echo %d >cgroup.threads"
				"; echo 1 >cgroup.freeze"
				"; until grep -q 'frozen 1' cgroup.events; do :; done",
			b->frozen_tid);
	else
		line = text_dup(
			"exec 2>&1; cd " CGROUP " || exit 0; [ -d one ] || exit 0"
			"; echo 0 >one/cgroup.freeze"
			"; while read -r t; do echo $t >cgroup.threads; done <one/cgroup.threads"
			"; rmdir one; cd /; set -- " CGROUP "/*/; [ -d \"$1\" ] || umount " CGROUP);
	rc = must_run(b, line, "the thread's cgroup", err);
	if (!rc && !stopped)
		b->frozen_pid = b->frozen_tid = 0;
	return rc;
}

int vm_stop_processes(struct bed *bed, const char *const *programs, enum stop_how how, bool stopped,
	struct err *err)
{
	switch (how) {
	case STOP_PROCESSES:
		return stop_all(of(bed), programs, stopped, err);
	case STOP_GROUPS:
		return stop_groups(of(bed), programs, stopped, err);
	case STOP_THREAD:
		return stop_thread(of(bed), programs, stopped, err);
	}
	return err_set(err, -EINVAL, "there is no such way to stop");
}

/* ---- who waits for them ---- */

static int count_sockets(struct vm_bed *b, const struct buf *pids, uint32_t *ret, struct err *err)
{
	auto_free char *line =
		text_fmt("for p in %s; do ls -l /proc/$p/fd; done 2>/dev/null; echo ==; "
			 "cat /proc/net/tcp; echo ==; ss -xnaH",
			buf_text(pids));
	auto_free struct owed *owed = mem_zero(OWED_MAX, sizeof(*owed));
	const char *clients[OWED_MAX];
	struct command_result result = {0};
	size_t count = wire_owed(b->wire, owed, OWED_MAX);
	int rc = b->bed.ops->run(&b->bed, line, NULL, ASK_MS, false, &result, err);

	count = count < OWED_MAX ? count : OWED_MAX;
	for (size_t i = 0; i < count; i++)
		clients[i] = owed[i].client;
	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "the guest's sockets could not be read");
	if (!rc)
		*ret = stopped_sockets(buf_text(&result.output), clients, count);
	buf_free(&result.output);
	return rc;
}

/* Of the role and not running, or of a group that was stopped with it. */
static bool stands_still(const struct vm_bed *b, const json_t *task, const char *const *programs)
{
	if (!is_process(task))
		return false;
	if (b->frozen_pid)
		return json_get_int(task, "pid", 0) == b->frozen_pid;
	return is_stopped(task) && (b->groups || runs_one_of(task, programs));
}

int vm_stopped(
	struct bed *bed, const char *const *programs, struct stopped_status *ret, struct err *err)
{
	struct vm_bed *b = of(bed);
	auto_json json_t *scan = NULL;
	auto_buf struct buf pids = {0};
	int list[STOPPED_PIDS_MAX];
	json_t *task;
	size_t i;
	int rc = scan_tasks(b, &scan, err);

	*ret = (struct stopped_status){0};
	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		if (!stands_still(b, task, programs) || ret->stopped == STOPPED_PIDS_MAX)
			continue;
		list[ret->stopped++] = (int)json_get_int(task, "pid", 0);
		buf_addf(&pids, " %d", list[ret->stopped - 1]);
	}
	if (!ret->stopped)
		return 0;
	rc = count_sockets(b, &pids, &ret->waiting, err);
	ret->waiting += stopped_lock_waiters(json_get_text(scan, "locks", ""), list, ret->stopped);
	return rc;
}

/* Whoever is stopped at the end of a cell was stopped by the rig: no store does that to its own processes. */
int vm_stop_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_t *task;
	size_t i;
	int rc = scan_tasks(b, &scan, err);

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (is_process(task) && is_stopped(task)) {
			auto_free char *text = text_fmt("process %lld ('%s') is still stopped",
				(long long)json_get_int(task, "pid", 0),
				json_get_text(task, "comm", "?"));

			json_array_append_new(ret, json_text(text));
		}
	if (!rc && b->frozen_tid)
		json_array_append_new(ret, json_string("a thread is still held by a cgroup"));
	return rc;
}
