/* A scan as JSON: see vm/witness_wire.h and diagnose/evidence.h for what the fields mean. */
#include "witness_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BUDGET (7u << 20) /* of WITNESS_FRAME_MAX */

static void add_range(struct out *out, const struct range_wait *range)
{
	out_open(out, "range", '{');
	out_int(out, "first", range->first);
	if (range->last >= 0)
		out_int(out, "last", range->last);
	out_bool(out, "write", range->write);
	out_close(out, '}');
}

void scan_answer_semaphore(struct out *out, const struct sem_wait *sem)
{
	out_open(out, "sem", '{');
	out_int(out, "id", sem->set);
	out_int(out, "num", sem->number);
	out_int(out, "op", sem->op);
	if (sem->has_value)
		out_int(out, "value", sem->value);
	if (sem->last)
		out_int(out, "last", sem->last);
	out_close(out, '}');
}

static void add_memory(struct out *out, const struct row *row)
{
	if (row->has_words) {
		out_open(out, "futex", '[');
		for (int i = 0; i < FUTEX_WORDS; i++)
			out_int(out, NULL, row->words[i]);
		out_close(out, ']');
	}
	if (row->door[0])
		out_text(out, "door", row->door);
	if (row->sem.there)
		scan_answer_semaphore(out, &row->sem);
	if (row->range.there)
		add_range(out, &row->range);
	if (row->limit_ms)
		out_int(out, "limit_ms", row->limit_ms);
	if (row->left_ms)
		out_int(out, "left_ms", row->left_ms);
	if (row->fd_count) {
		out_open(out, "wait_fds", '[');
		for (int i = 0; i < row->fd_count; i++)
			out_int(out, NULL, row->fds[i]);
		out_close(out, ']');
	}
}

/* Of one whose scanner hangs, and may still write: what takes no lock. */
static void add_wchan(struct out *out, const struct row *row)
{
	char path[64], wchan[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/wchan", row->pid, row->tid);
	read_once(AT_FDCWD, path, wchan, sizeof(wchan));
	out_text(out, "wchan", wchan);
}

/* "ran queued slices": nanoseconds (Documentation/scheduler/sched-stats.rst). */
static void add_ran(struct out *out, const struct row *row)
{
	char *end;
	int64_t ran = strtoll(row->ran, &end, 10), queued;

	if (end == row->ran)
		return;
	queued = strtoll(end, NULL, 10);
	out_int(out, "ran_ns", ran);
	out_int(out, "queued_ns", queued);
}

static void add_namespace(struct out *out, const struct row *row)
{
	if (row->pid_ns)
		out_int(out, "pidns", (int64_t)row->pid_ns);
	if (row->ns_tid)
		out_int(out, "nstid", row->ns_tid);
}

static void add_row(struct out *out, struct row *row)
{
	char state[2] = {row->stat.state, '\0'};

	out_open(out, NULL, '{');
	out_int(out, "pid", row->pid);
	out_int(out, "tid", row->tid);
	out_int(out, "ppid", row->stat.ppid);
	out_text(out, "comm", row->stat.comm);
	if (row->exe[0])
		out_text(out, "exe", row->exe);
	out_text(out, "state", state);
	out_int(out, "start", (int64_t)row->stat.start);
	out_int(out, "utime", (int64_t)row->stat.utime);
	out_int(out, "stime", (int64_t)row->stat.stime);
	if (row->stat.reaped && row->pid == row->tid)
		out_int(out, "reaped", (int64_t)row->stat.reaped);
	if (atomic_load(&row->done)) {
		out_text(out, "wchan", row->wchan);
		if (row->syscall[0])
			out_text(out, "syscall", row->syscall);
		if (row->stack)
			out_text(out, "stack", row->stack);
		add_ran(out, row);
		add_namespace(out, row);
	} else {
		add_wchan(out, row);
	}
	if (atomic_load(&row->read))
		add_memory(out, row);
	out_close(out, '}');
}

static void add_rows(struct out *out, struct scan *scan)
{
	out_open(out, "tasks", '[');
	for (size_t i = 0; i < scan->count; i++) {
		if (out->len > TEXT_BUDGET) {
			scan->truncated = true;
			break;
		}
		add_row(out, scan->rows[i]);
	}
	out_close(out, ']');
	out_open(out, "unreadable", '[');
	for (size_t i = 0; i < scan->count; i++)
		if (!atomic_load(&scan->rows[i]->done))
			out_int(out, NULL, scan->rows[i]->tid);
	out_close(out, ']');
}

/* An array that a part has written, whole or not at all. */
static void add_array(struct out *out, const char *key, const struct out *array, bool whole)
{
	out_open(out, key, '[');
	if (whole && array->data)
		out_add(out, array->data + 4, array->len - 4);
	out_close(out, ']');
}

static void add_parts(struct out *out, struct scan *scan)
{
	bool ends;

	pthread_mutex_lock(&scan->lock);
	ends = scan->has_ends;
	pthread_mutex_unlock(&scan->lock);
	add_array(out, "fds", &scan->fds, ends);
	add_array(out, "sockets", &scan->sockets, ends);
	add_array(out, "held", &scan->held, ends);
	out_open(out, "parts", '{');
	out_bool(out, "memory", scan->has_memory);
	out_bool(out, "fds", ends);
	out_bool(out, "sockets", ends && !scan->no_peers);
	out_bool(out, "held", ends && !scan->held_tore);
	out_close(out, '}');
}

void scan_answer(const struct request *request, struct scan *scan, int64_t begin, bool whole)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_int(&out, "guest_ns", begin);
	out_text(&out, "locks", scan->locks);
	add_array(&out, "files", &scan->files, whole);
	add_rows(&out, scan);
	if (scan->deep)
		add_parts(&out, scan);
	out_bool(&out, "truncated", scan->truncated);
	out_int(&out, "took_ns", guest_ns() - begin);
	answer_send(&out, request);
}
