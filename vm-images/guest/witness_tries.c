/*
 * What a thread looks for that sleeps and looks again: a lock that it asks for without waiting (flock(2) with LOCK_NB,
 * fcntl(2) with F_SETLK, semop(2) with IPC_NOWAIT), a file that it wants to be the one to make, or to be gone (a
 * dot-lock: open(2) with O_EXCL, link(2), symlink(2), mkdir(2), stat(2)), or a process to end (kill(2) with 0). /proc
 * says no more of it than that it sleeps, so its system calls are followed for one turn: no signal, no ptrace, and
 * nothing of it is stopped. With each comes a piece of the stack as it was then (Linux 6.1: kernel/events/core.c,
 * perf_output_sample()).
 */
#include "witness_tries.h"

#include <asm/perf_regs.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define RING_BYTES (64u << 10) /* a power of two */
#define RAW_MAX	   128
#define FILTER_MAX 1024

/* ---- calls ---- */

static const struct call_kind kinds[] = {
	{SYS_nanosleep, SLEEPS, -1, -1},
	{SYS_clock_nanosleep, SLEEPS, -1, -1},
	{SYS_poll, SLEEPS, -1, -1},
	{SYS_ppoll, SLEEPS, -1, -1},
	{SYS_select, SLEEPS, -1, -1},
	{SYS_pselect6, SLEEPS, -1, -1},
	{SYS_epoll_wait, SLEEPS, -1, -1},
	{SYS_epoll_pwait, SLEEPS, -1, -1},
	{SYS_futex, SLEEPS, -1, -1},
	{SYS_flock, ASKS_FLOCK, -1, -1},
	{SYS_fcntl, ASKS_FCNTL, -1, -1},
	{SYS_semop, ASKS_SEMAPHORE, -1, -1},
	{SYS_semtimedop, ASKS_SEMAPHORE, -1, -1},
	{SYS_kill, ASKS_PROCESS, -1, -1},
	{SYS_open, MAKES, 0, -1},
	{SYS_openat, MAKES, 1, 0},
	{SYS_link, MAKES, 1, -1},
	{SYS_linkat, MAKES, 3, 2},
	{SYS_symlink, MAKES, 1, -1},
	{SYS_symlinkat, MAKES, 2, 1},
	{SYS_mkdir, MAKES, 0, -1},
	{SYS_mkdirat, MAKES, 1, 0},
	{SYS_stat, LOOKS, 0, -1},
	{SYS_lstat, LOOKS, 0, -1},
	{SYS_newfstatat, LOOKS, 1, 0},
	{SYS_statx, LOOKS, 1, 0},
	{SYS_access, LOOKS, 0, -1},
	{SYS_faccessat, LOOKS, 1, 0},
	{SYS_faccessat2, LOOKS, 1, 0},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct call_kind *kind_of(int64_t number)
{
	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].number == number)
			return &kinds[i];
	return NULL;
}

/* For a time, or until an event comes. */
static bool begins_sleep(const struct call *call)
{
	int op = (int)call->arg[1] & FUTEX_CMD_MASK;

	return call->kind->what == SLEEPS &&
	       (call->kind->number != SYS_futex ||
		       (call->arg[3] && (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET)));
}

/* What it looks for is not there for it, or still there. */
static bool is_refused(const struct call *call, int64_t result)
{
	const uint64_t *arg = call->arg;
	uint64_t flags = arg[call->kind->dir < 0 ? 1 : 2];

	switch (call->kind->what) {
	case ASKS_FLOCK:
		return result == -EAGAIN && arg[1] & LOCK_NB;
	case ASKS_FCNTL:
		return result == -EAGAIN && (arg[1] == F_SETLK || arg[1] == F_OFD_SETLK);
	case ASKS_SEMAPHORE:
		return result == -EAGAIN;
	case ASKS_PROCESS: /* it lives */
		return !result && !arg[1] && (int)arg[0] > 0;
	case MAKES:
		if (call->kind->number == SYS_open || call->kind->number == SYS_openat)
			return result == -EEXIST &&
			       (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
		return result == -EEXIST;
	case LOOKS:
		return !result;
	default:
		return false;
	}
}

/* ---- following ---- */

struct followed {
	int fds[TRACEPOINTS];
	struct perf_event_mmap_page *ring;
	struct call entered; /* its last, kind NULL: none */
	struct refused refused;
	int sleeps;
	bool turned; /* it has slept, looked, and sleeps again */
};

static size_t ring_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE) + RING_BYTES;
}

/* "id == 35 || id == 230"; those alone that may be refused: with what they end. */
static void make_filter(enum tracepoint point, char out[FILTER_MAX])
{
	const char *before = "";
	int len = 0;

	if (point == SYS_EXIT)
		len = snprintf(out, FILTER_MAX, "(ret == 0 || ret == -%d || ret == -%d) && ",
			EAGAIN, EEXIST);
	len += snprintf(out + len, FILTER_MAX - (size_t)len, "(");
	for (size_t i = 0; i < KINDS; i++) {
		if (point == SYS_EXIT && kinds[i].what == SLEEPS)
			continue;
		len += snprintf(
			out + len, FILTER_MAX - (size_t)len, "%sid == %d", before, kinds[i].number);
		before = " || ";
	}
	snprintf(out + len, FILTER_MAX - (size_t)len, ")");
}

static void follow_end(struct followed *f)
{
	if (f->ring)
		munmap(f->ring, ring_size());
	for (int i = 0; i < TRACEPOINTS; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	f->ring = NULL;
	f->fds[SYS_ENTER] = f->fds[SYS_EXIT] = -1;
}

static int open_point(struct followed *f, enum tracepoint point)
{
	struct perf_event_attr attr = {
		.sample_period = 1, .sample_type = PERF_SAMPLE_RAW, .wakeup_events = 1};
	char filter[FILTER_MAX];

	make_filter(point, filter);
	if (point == SYS_ENTER) {
		attr.sample_type |= PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER;
		attr.sample_regs_user = 1u << PERF_REG_X86_SP;
		attr.sample_stack_user = TRIES_STACK_BYTES;
	}
	f->fds[point] = tracepoint_open(point, filter, f->refused.tid, -1, attr);
	return f->fds[point] < 0 ? f->fds[point] : 0;
}

/* Both events write into one ring, in their order. 0 or -errno. */
static int follow_begin(struct followed *f)
{
	int rc = f->refused.tid < 1 ? -EINVAL : open_point(f, SYS_ENTER);
	void *ring;

	if (!rc)
		rc = open_point(f, SYS_EXIT);
	if (rc)
		return rc;
	ring = mmap(NULL, ring_size(), PROT_READ | PROT_WRITE, MAP_SHARED, f->fds[SYS_ENTER], 0);
	if (ring == MAP_FAILED)
		return -errno;
	f->ring = ring;
	return ioctl(f->fds[SYS_EXIT], PERF_EVENT_IOC_SET_OUTPUT, f->fds[SYS_ENTER]) ||
			       ioctl(f->fds[SYS_EXIT], PERF_EVENT_IOC_ENABLE, 0) ||
			       ioctl(f->fds[SYS_ENTER], PERF_EVENT_IOC_ENABLE, 0)
		       ? -errno
		       : 0;
}

/* Makes room for one more: a file that was only looked at may be any. */
static bool drop_look(struct refused *refused)
{
	for (size_t i = 0; i < refused->count; i++) {
		if (refused->calls[i].kind->what != LOOKS)
			continue;
		refused->count--;
		memmove(&refused->calls[i], &refused->calls[i + 1],
			(refused->count - i) * sizeof(refused->calls[i]));
		return true;
	}
	return false;
}

static void note_refused(struct refused *refused, const struct call *call)
{
	for (size_t i = 0; i < refused->count; i++)
		if (refused->calls[i].kind == call->kind &&
			!memcmp(refused->calls[i].arg, call->arg, sizeof(call->arg)))
			return;
	if (refused->count < TRIES_CALLS_MAX || drop_look(refused))
		refused->calls[refused->count++] = *call;
}

/* include/trace/events/syscalls.h, Linux 6.1: behind eight common bytes the number, then arguments or the result. */
struct raw {
	uint16_t type;
	uint16_t flags;
	int32_t pid;
	int64_t number;
	union {
		uint64_t arg[CALL_ARGS];
		int64_t result;
	};
};

/* Behind the raw bytes of an entry: a register, and `size` bytes of the stack, less than was asked for where the
 * address space ends before; behind them comes how many were read. */
struct behind {
	uint64_t abi, sp, size;
	char stack[TRIES_STACK_BYTES + sizeof(uint64_t)];
};

struct sample {
	uint32_t raw_size;
	char raw[RAW_MAX];
	size_t behind_size;
	struct behind behind;
};

/* Of the stack; 0: nothing is told. */
static uint64_t bytes_read(const struct sample *sample)
{
	const struct behind *behind = &sample->behind;
	uint64_t read;

	if (sample->behind_size <= offsetof(struct behind, stack) + sizeof(read) ||
		behind->size != sample->behind_size - offsetof(struct behind, stack) - sizeof(read))
		return 0;
	memcpy(&read, behind->stack + behind->size, sizeof(read));
	return read <= behind->size ? read : 0;
}

static void enter(struct followed *f, const struct raw *raw, const struct sample *sample)
{
	f->entered.kind = kind_of(raw->number);
	memcpy(f->entered.arg, raw->arg, sizeof(f->entered.arg));
	f->entered.sp = sample->behind.sp;
	f->entered.stack_size = (size_t)bytes_read(sample);
	memcpy(f->entered.stack, sample->behind.stack, f->entered.stack_size);
	if (!f->entered.kind || !begins_sleep(&f->entered))
		return;
	f->sleeps++;
	/* Of an event nothing is asked for between. */
	f->turned |= f->refused.count || f->sleeps > (raw->number == SYS_futex ? 0 : 1);
}

static void read_sample(struct followed *f, const struct sample *sample)
{
	const struct call_kind *entered = f->entered.kind;
	struct raw raw = {0};

	memcpy(&raw, sample->raw, sample->raw_size < sizeof(raw) ? sample->raw_size : sizeof(raw));
	if (raw.type == (uint16_t)tracepoint_number(SYS_ENTER))
		enter(f, &raw, sample);
	else if (entered && entered == kind_of(raw.number) && is_refused(&f->entered, raw.result))
		note_refused(&f->refused, &f->entered);
}

static void copy_out(const struct followed *f, uint64_t at, void *to, size_t size)
{
	const char *data = (const char *)f->ring + f->ring->data_offset;

	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = data[(at + i) % RING_BYTES];
}

/* Of a record's body; false: it is none of these. */
static bool take_sample(const struct followed *f, uint64_t at, size_t size, struct sample *ret)
{
	const size_t head = sizeof(ret->raw_size);

	if (size < head)
		return false;
	copy_out(f, at, &ret->raw_size, head);
	if (ret->raw_size > sizeof(ret->raw) || ret->raw_size > size - head)
		return false;
	copy_out(f, at + head, ret->raw, ret->raw_size);
	ret->behind_size = size - head - ret->raw_size;
	if (ret->behind_size > sizeof(ret->behind))
		return false;
	copy_out(f, at + head + ret->raw_size, &ret->behind, ret->behind_size);
	return true;
}

static void read_ring(struct followed *f)
{
	uint64_t end = atomic_load((_Atomic __u64 *)&f->ring->data_head), at = f->ring->data_tail;
	struct perf_event_header head;
	struct sample sample;

	while (!f->turned && at + sizeof(head) <= end) {
		copy_out(f, at, &head, sizeof(head));
		if (head.size < sizeof(head) || at + head.size > end)
			break;
		if (head.type == PERF_RECORD_SAMPLE &&
			take_sample(f, at + sizeof(head), head.size - sizeof(head), &sample))
			read_sample(f, &sample);
		at += head.size;
	}
	atomic_store((_Atomic __u64 *)&f->ring->data_tail, end);
}

/* Until each has turned, or the time is over. */
static void follow(struct followed *all, size_t count, int64_t deadline_ns)
{
	struct pollfd polled[TRIES_TIDS_MAX];
	size_t left;

	do {
		left = 0;
		for (size_t i = 0; i < count; i++)
			if (all[i].ring && !all[i].turned)
				polled[left++] = (struct pollfd){
					.fd = all[i].fds[SYS_ENTER], .events = POLLIN};
		if (!left || poll(polled, (nfds_t)left, left_ms(deadline_ns)) <= 0)
			return;
		for (size_t i = 0; i < count; i++) {
			if (!all[i].ring || all[i].turned)
				continue;
			read_ring(&all[i]);
			for (size_t k = 0; k < left; k++) /* it has ended */
				if (polled[k].fd == all[i].fds[SYS_ENTER] &&
					polled[k].revents & (POLLHUP | POLLERR))
					all[i].turned = true;
		}
	} while (guest_ns() < deadline_ns);
}

/* ---- the answer ---- */

static const char *kind_name(const struct about *about)
{
	switch (about->what) {
	case ASKS_FLOCK:
		return "flock";
	case ASKS_FCNTL:
		return about->ofd ? "ofd" : "posix";
	case ASKS_SEMAPHORE:
		return "semaphore";
	case ASKS_PROCESS:
		return "process";
	default:
		return "file";
	}
}

static void tell_inode(struct out *out, const struct about *about)
{
	char inode[64];

	snprintf(inode, sizeof(inode), "%02x:%02x:%llu", major((dev_t)about->dev),
		minor((dev_t)about->dev), (unsigned long long)about->ino);
	out_text(out, "inode", inode);
	out_text(out, "path", about->path);
}

static void tell_lock(struct out *out, const struct about *about)
{
	tell_inode(out, about);
	out_int(out, "fd", about->fd);
	out_bool(out, "write", about->range.write);
	out_int(out, "first", about->range.first);
	if (about->range.there && about->range.last >= 0)
		out_int(out, "last", about->range.last);
	out_open(out, "held", '[');
	held_tell_locks(out, (dev_t)about->dev, (ino_t)about->ino);
	out_close(out, ']');
}

static void tell_file(struct out *out, const struct about *about)
{
	tell_inode(out, about);
	out_text(out, "says", about->says);
	if (!clock_was_set())
		out_int(out, "made_ns", about->made_ns);
	out_open(out, "open_by", '[');
	held_tell_openers(out, (dev_t)about->dev, (ino_t)about->ino);
	out_close(out, ']');
}

static void tell(struct out *out, const struct about *about)
{
	out_open(out, NULL, '{');
	out_int(out, "tid", about->tid);
	out_text(out, "kind", kind_name(about));
	if (about->what == ASKS_SEMAPHORE)
		scan_answer_semaphore(out, &about->sem);
	else if (about->what == ASKS_PROCESS)
		out_int(out, "pid", about->pid);
	else if (about->fd >= 0)
		tell_lock(out, about);
	else
		tell_file(out, about);
	out_close(out, '}');
}

static bool is_told(const struct about *about, size_t count, int tid)
{
	for (size_t i = 0; i < count; i++)
		if (about[i].tid == tid)
			return true;
	return false;
}

/* It has woken and waits again: its limit ends nothing. */
static void tell_nothing(struct out *out, int tid)
{
	out_open(out, NULL, '{');
	out_int(out, "tid", tid);
	out_text(out, "kind", "nothing");
	out_close(out, '}');
}

/* Whoever is not there asks for nothing. 0, or why others could not be followed. */
static int begin_all(const json_t *tids, struct followed *all, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count; i++) {
		int one;

		all[i].refused.tid = (int)json_integer_value(json_array_get(tids, i));
		all[i].fds[SYS_ENTER] = all[i].fds[SYS_EXIT] = -1;
		one = follow_begin(&all[i]);
		if (one)
			follow_end(&all[i]);
		if (one && one != -ESRCH)
			rc = one;
	}
	return rc;
}

void verb_tries(const struct request *request)
{
	const json_t *tids = json_object_get(request->args, "tids");
	int64_t deadline = guest_ns() + request_int(request, "ms", 0) * NS_PER_MS;
	struct followed *all = calloc(TRIES_TIDS_MAX, sizeof(*all));
	struct about *about = calloc(TRIES_TIDS_MAX, sizeof(*about));
	const struct refused *refused[TRIES_TIDS_MAX];
	size_t count = json_array_size(tids), told;
	auto_out out = {0};
	int rc;

	if (!all || !about)
		abort();
	if (count > TRIES_TIDS_MAX)
		count = TRIES_TIDS_MAX;
	rc = begin_all(tids, all, count);
	follow(all, count, deadline);
	for (size_t i = 0; i < count; i++)
		refused[i] = &all[i].refused;
	told = tries_look(refused, count, about);
	for (size_t i = 0; i < count; i++)
		follow_end(&all[i]);
	if (rc && !told) {
		answer_error(request, "tries: %s", strerror(-rc));
	} else {
		answer_begin(&out, request);
		out_open(&out, "tries", '[');
		for (size_t i = 0; i < told; i++)
			tell(&out, &about[i]);
		for (size_t i = 0; i < count; i++)
			if (all[i].turned && all[i].sleeps &&
				!is_told(about, told, all[i].refused.tid))
				tell_nothing(&out, all[i].refused.tid);
		out_close(&out, ']');
		answer_send(&out, request);
	}
	free(all);
	free(about);
}
