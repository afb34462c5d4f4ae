#include "diagnose/wait.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ARGS		6
#define LOCKED_AND_WAIT 2  /* glibc nptl/lowlevellock.h: locked, with waiters */
#define SET_SHIFT	16 /* the number in a set is an unsigned short (semop(2)) */
#define NUMBER_UNKNOWN	UINT64_C(0xffff)

struct call {
	int number;
	uint64_t arg[ARGS];
};

struct row {
	int number;
	void (*decode)(const struct call *call, struct wait *wait);
	enum wait_kind kind;
	int fd_arg; /* -1: none */
};

static const char *const names[WAIT_KINDS] = {
	[WAIT_UNKNOWN] = "unreadable",
	[WAIT_NONE] = "running",
	[WAIT_FILE_LOCK] = "file lock",
	[WAIT_MUTEX] = "mutex",
	[WAIT_JOIN] = "end of a thread",
	[WAIT_FUTEX] = "event in memory",
	[WAIT_RWLOCK] = "read-write lock",
	[WAIT_SEMAPHORE] = "semaphore",
	[WAIT_READ] = "read",
	[WAIT_WRITE] = "write",
	[WAIT_OPEN] = "open of a FIFO",
	[WAIT_ACCEPT] = "accept",
	[WAIT_CONNECT] = "connect",
	[WAIT_POLL] = "poll",
	[WAIT_CHILD] = "end of a child",
	[WAIT_SLEEP] = "sleep",
	[WAIT_SIGNAL] = "signal",
	[WAIT_DISK] = "disk",
	[WAIT_FREEZE] = "frozen filesystem",
	[WAIT_PARKED] = "held by the rig",
	[WAIT_STOPPED] = "stopped",
	[WAIT_ENDED] = "ended",
	[WAIT_PAGE] = "page of memory",
	[WAIT_PERMISSION] = "permission to open a file",
	[WAIT_OTHER] = "other call",
};

const char *wait_kind_name(enum wait_kind kind)
{
	return (unsigned int)kind < WAIT_KINDS ? names[kind] : "?";
}

bool wait_is_lock(enum wait_kind kind)
{
	return kind == WAIT_FILE_LOCK || kind == WAIT_MUTEX || kind == WAIT_RWLOCK;
}

bool wait_is_event(enum wait_kind kind)
{
	return kind == WAIT_FUTEX || kind == WAIT_SEMAPHORE || kind == WAIT_JOIN;
}

uint64_t wait_object(const struct wait *wait)
{
	return wait->kind == WAIT_FUTEX ? wait->addr & ~UINT64_C(7) : wait->addr;
}

struct wait wait_of_set(int set)
{
	return (struct wait){.kind = WAIT_SEMAPHORE,
		.fd = -1,
		.number = SYS_semop,
		.addr = (uint64_t)(unsigned int)set << SET_SHIFT | NUMBER_UNKNOWN,
		.tries = true};
}

bool wait_is_of_set(const struct wait *wait)
{
	return wait->kind == WAIT_SEMAPHORE &&
	       (wait->number == SYS_semop || wait->number == SYS_semtimedop);
}

bool wait_set_semaphore(struct wait *wait, int64_t set, int number)
{
	if (!wait_is_of_set(wait) || set != (int64_t)(wait->addr >> SET_SHIFT) || number < 0 ||
		number >= (int)NUMBER_UNKNOWN)
		return false;
	wait->addr = (uint64_t)set << SET_SHIFT | (uint64_t)number;
	return true;
}

int wait_semaphore(const struct wait *wait)
{
	uint64_t number = wait->addr & NUMBER_UNKNOWN;

	return wait_is_of_set(wait) && number != NUMBER_UNKNOWN ? (int)number : -1;
}

bool wait_same_set(const struct wait *a, const struct wait *b)
{
	return wait_is_of_set(a) && wait_is_of_set(b) &&
	       a->addr >> SET_SHIFT == b->addr >> SET_SHIFT;
}

static bool read_call(const char *text, struct call *ret)
{
	char *end;
	long number = strtol(text, &end, 10);

	*ret = (struct call){.number = (int)number};
	if (end == text || number < 0 || number > UINT16_MAX)
		return false;
	for (int i = 0; i < ARGS; i++) {
		const char *at = end;

		ret->arg[i] = strtoull(at, &end, 16);
		if (end == at)
			return false;
	}
	return true;
}

/* glibc 2.36: a mutex waits by FUTEX_WAIT for 2, a robust one for its owner and the waiters' bit; all
 * else waits by FUTEX_WAIT_BITSET; pthread_join() for the thread's tid, never private. */
static void decode_futex(const struct call *call, struct wait *wait)
{
	int op = (int)call->arg[1] & FUTEX_CMD_MASK;
	uint32_t value = (uint32_t)call->arg[2];
	bool private = call->arg[1] & FUTEX_PRIVATE_FLAG;

	wait->addr = call->arg[0];
	wait->timed = call->arg[3] != 0;
	wait->shared = !private;
	wait->value = value;
	wait->taken = op == FUTEX_WAIT && value;
	wait->pi = op == FUTEX_LOCK_PI || op == FUTEX_LOCK_PI2;
	if (wait->pi) {
		wait->kind = WAIT_MUTEX;
	} else if (op == FUTEX_WAIT && value & FUTEX_WAITERS) {
		wait->kind = WAIT_MUTEX;
		wait->target = value & FUTEX_TID_MASK;
	} else if (op == FUTEX_WAIT && value == LOCKED_AND_WAIT) {
		wait->kind = WAIT_MUTEX;
	} else if (op == FUTEX_WAIT_BITSET && !private && value > LOCKED_AND_WAIT &&
		   value <= FUTEX_TID_MASK) {
		wait->kind = WAIT_JOIN; /* the graph checks that there is such a thread */
		wait->target = value;
	}
}

static void decode_flock(const struct call *call, struct wait *wait)
{
	wait->read = (call->arg[1] & 3) == 1; /* LOCK_SH */
}

static void decode_fcntl(const struct call *call, struct wait *wait)
{
	if (call->arg[1] != F_SETLKW && call->arg[1] != F_OFD_SETLKW)
		wait->kind = WAIT_OTHER;
}

/* Of no descriptor at all: for a signal, or for a time. */
static void poll_of_none(struct wait *wait, uint64_t count)
{
	if (!count)
		wait->kind = wait->timed ? WAIT_SLEEP : WAIT_SIGNAL;
}

static void decode_wait4(const struct call *call, struct wait *wait)
{
	int pid = (int)call->arg[0];

	wait->target = pid > 0 ? pid : -1;
}

static void decode_waitid(const struct call *call, struct wait *wait)
{
	wait->target = call->arg[0] == P_PID ? (int)call->arg[1] : -1;
	if (call->arg[0] != P_PIDFD)
		return;
	wait->target = 0;
	wait->fd = (int32_t)call->arg[1];
}

static void decode_poll(const struct call *call, struct wait *wait)
{
	wait->timed = (int32_t)call->arg[2] >= 0;
	wait->limit_ms = wait->timed ? (int32_t)call->arg[2] : 0;
	poll_of_none(wait, call->arg[1]);
}

static void decode_ppoll(const struct call *call, struct wait *wait)
{
	wait->timed = call->arg[2] != 0;
	poll_of_none(wait, call->arg[1]);
}

static void decode_epoll(const struct call *call, struct wait *wait)
{
	wait->timed = (int32_t)call->arg[3] >= 0;
	wait->limit_ms = wait->timed ? (int32_t)call->arg[3] : 0;
}

static void decode_select(const struct call *call, struct wait *wait)
{
	wait->timed = call->arg[4] != 0;
	poll_of_none(wait, call->arg[0]);
}

static void decode_sleep(const struct call *call, struct wait *wait)
{
	(void)call;
	wait->timed = true;
}

/* Only the parent of a vfork() waits there, for its child to end or to run another program. */
static void decode_clone(const struct call *call, struct wait *wait)
{
	if (!(call->arg[0] & CLONE_VFORK))
		wait->kind = WAIT_OTHER;
	else
		wait->newest = true;
}

static void decode_vfork(const struct call *call, struct wait *wait)
{
	(void)call;
	wait->newest = true;
}

static void decode_semop(const struct call *call, struct wait *wait)
{
	wait->addr = (call->arg[0] & UINT32_MAX) << SET_SHIFT | NUMBER_UNKNOWN;
}

static void decode_semtimedop(const struct call *call, struct wait *wait)
{
	decode_semop(call, wait);
	wait->timed = call->arg[3] != 0;
}

static void decode_sigtimedwait(const struct call *call, struct wait *wait)
{
	wait->timed = call->arg[2] != 0;
}

static void decode_mq(const struct call *call, struct wait *wait)
{
	wait->timed = call->arg[4] != 0;
}

static const struct row rows[] = {
	{SYS_futex, decode_futex, WAIT_FUTEX, -1},
	{SYS_flock, decode_flock, WAIT_FILE_LOCK, 0},
	{SYS_fcntl, decode_fcntl, WAIT_FILE_LOCK, 0},
	{SYS_wait4, decode_wait4, WAIT_CHILD, -1},
	{SYS_waitid, decode_waitid, WAIT_CHILD, -1},
	{SYS_vfork, decode_vfork, WAIT_CHILD, -1},
	{SYS_clone, decode_clone, WAIT_CHILD, -1},
	{SYS_clone3, decode_vfork, WAIT_CHILD, -1},
	{SYS_semop, decode_semop, WAIT_SEMAPHORE, -1},
	{SYS_semtimedop, decode_semtimedop, WAIT_SEMAPHORE, -1},
	{SYS_pause, NULL, WAIT_SIGNAL, -1},
	{SYS_rt_sigsuspend, NULL, WAIT_SIGNAL, -1},
	{SYS_rt_sigtimedwait, decode_sigtimedwait, WAIT_SIGNAL, -1},
	{SYS_msgrcv, NULL, WAIT_READ, -1},
	{SYS_msgsnd, NULL, WAIT_WRITE, -1},
	{SYS_mq_timedreceive, decode_mq, WAIT_READ, 0},
	{SYS_mq_timedsend, decode_mq, WAIT_WRITE, 0},
	{SYS_read, NULL, WAIT_READ, 0},
	{SYS_readv, NULL, WAIT_READ, 0},
	{SYS_recvfrom, NULL, WAIT_READ, 0},
	{SYS_recvmsg, NULL, WAIT_READ, 0},
	{SYS_recvmmsg, decode_mq, WAIT_READ, 0},
	{SYS_write, NULL, WAIT_WRITE, 0},
	{SYS_writev, NULL, WAIT_WRITE, 0},
	{SYS_sendto, NULL, WAIT_WRITE, 0},
	{SYS_sendmsg, NULL, WAIT_WRITE, 0},
	{SYS_sendmmsg, NULL, WAIT_WRITE, 0},
	{SYS_sendfile, NULL, WAIT_WRITE, 0},
	{SYS_splice, NULL, WAIT_READ, 0},
	{SYS_tee, NULL, WAIT_READ, 0},
	{SYS_vmsplice, NULL, WAIT_WRITE, 0},
	{SYS_open, NULL, WAIT_OPEN, -1},
	{SYS_openat, NULL, WAIT_OPEN, -1},
	{SYS_accept, NULL, WAIT_ACCEPT, 0},
	{SYS_accept4, NULL, WAIT_ACCEPT, 0},
	{SYS_connect, NULL, WAIT_CONNECT, 0},
	{SYS_poll, decode_poll, WAIT_POLL, -1},
	{SYS_ppoll, decode_ppoll, WAIT_POLL, -1},
	{SYS_epoll_wait, decode_epoll, WAIT_POLL, -1},
	{SYS_epoll_pwait, decode_epoll, WAIT_POLL, -1},
	{SYS_select, decode_select, WAIT_POLL, -1},
	{SYS_pselect6, decode_select, WAIT_POLL, -1},
	{SYS_nanosleep, decode_sleep, WAIT_SLEEP, -1},
	{SYS_clock_nanosleep, decode_sleep, WAIT_SLEEP, -1},
};

/* Writers wait in a percpu_rw_semaphore while a superblock is frozen (fs/super.c: sb_start_write), also those
 * that write to a mapped page, in no call at all (sb_start_pagefault); the other users of that semaphore are
 * reached by calls that make or end a process. */
static bool waits_for_thaw(int number, const char *wchan, const char *stack)
{
	if (number == SYS_clone || number == SYS_clone3 || number == SYS_exit ||
		number == SYS_exit_group || number == SYS_execve)
		return false;
	return !strcmp(wchan, "percpu_rwsem_wait") || strstr(stack, "percpu_rwsem_wait");
}

/* The parent of a vfork() waits in state D, in the function itself that makes the child (kernel/fork.c:
 * wait_for_vfork_done, which may be a part of it); whatever else waits while a child is made is deeper. */
static bool waits_for_vfork(const struct wait *wait, const char *wchan)
{
	return wait->kind == WAIT_CHILD && wait->newest &&
	       (!strcmp(wchan, "kernel_clone") || !strcmp(wchan, "wait_for_vfork_done"));
}

/* Its control group was frozen: stopped, and no state tells it (kernel/cgroup/freezer.c; do_freezer_trap() is a part
 * of get_signal(), and who stands there for another reason is in state T. The older kind: kernel/freezer.c). */
static bool is_frozen(char state, const char *wchan)
{
	return !strcmp(wchan, "do_freezer_trap") || !strcmp(wchan, "__refrigerator") ||
	       (state == 'S' && !strcmp(wchan, "get_signal"));
}

/* fs/locks.c: whoever opens, cuts or removes a file that another has a lease of waits there, for as long as
 * /proc/sys/fs/lease-break-time says. */
static bool waits_for_lease(const char *wchan)
{
	return !strcmp(wchan, "__break_lease");
}

/* fs/notify/fanotify/fanotify.c: fanotify_get_response(), a part of fanotify_handle_event(). */
static bool waits_for_permission(const char *wchan)
{
	return !strcmp(wchan, "fanotify_handle_event") || !strcmp(wchan, "fanotify_get_response");
}

static enum wait_kind kind_of_disk(int number, const char *wchan, const char *stack)
{
	if (waits_for_permission(wchan))
		return WAIT_PERMISSION;
	return waits_for_thaw(number, wchan, stack) ? WAIT_FREEZE : WAIT_DISK;
}

static void decode_call(const struct call *call, struct wait *wait)
{
	wait->kind = WAIT_OTHER;
	wait->number = call->number;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].number != call->number)
			continue;
		wait->kind = rows[i].kind;
		if (rows[i].fd_arg >= 0)
			wait->fd = (int32_t)call->arg[rows[i].fd_arg];
		if (rows[i].decode)
			rows[i].decode(call, wait);
		return;
	}
}

/* From one descriptor to another: for a pipe to be filled, or for room (fs/splice.c, Linux 6.1). */
static void decide_end(const struct call *call, const char *wchan, struct wait *wait)
{
	if ((call->number != SYS_splice && call->number != SYS_tee) || !wchan[0] ||
		!strcmp(wchan, "0") || !strcmp(wchan, "pipe_wait_readable"))
		return;
	wait->kind = WAIT_WRITE;
	wait->fd = (int32_t)call->arg[call->number == SYS_tee ? 1 : 2];
}

static bool state_decides(char state, struct wait *wait)
{
	static const struct {
		char state;
		enum wait_kind kind;
	} states[] = {{'R', WAIT_NONE}, {'T', WAIT_STOPPED}, {'t', WAIT_STOPPED}, {'Z', WAIT_ENDED},
		{'X', WAIT_ENDED}};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (states[i].state == state) {
			wait->kind = states[i].kind;
			return true;
		}
	return false;
}

/* In no call that can be told: where it stands in the kernel is all that is known. */
static enum wait_kind kind_outside(char state, const char *wchan, const char *stack)
{
	if (!strcmp(wchan, "handle_userfault"))
		return WAIT_PAGE;
	return state == 'D' ? kind_of_disk(-1, wchan, stack) : WAIT_UNKNOWN;
}

/* Its time was up before its call was looked at, which is not told any more. */
static bool read_sleep(const char *wchan, const char *stack, struct wait *wait)
{
	if (strcmp(wchan, "hrtimer_nanosleep") != 0)
		return false;
	wait->kind = WAIT_SLEEP;
	wait->timed = true;
	wait->number = strstr(stack, "clock_nanosleep") ? SYS_clock_nanosleep : SYS_nanosleep;
	return true;
}

struct wait wait_decode(char state, const char *wchan, const char *syscall, const char *stack)
{
	struct wait wait = {.kind = WAIT_UNKNOWN, .fd = -1, .number = -1}, asleep;
	struct call call;

	wchan = wchan ? wchan : "";
	stack = stack ? stack : "";
	/* Asleep when its wait was looked at, and its time up before its state was. */
	if (state == 'R' && wchan[0] && strcmp(wchan, "0") != 0) {
		asleep = wait_decode('S', wchan, syscall, stack);
		if (asleep.kind == WAIT_SLEEP)
			return asleep;
	}
	if (state_decides(state, &wait))
		return wait;
	if (is_frozen(state, wchan)) {
		wait.kind = WAIT_STOPPED;
		return wait;
	}
	if (!syscall || !read_call(syscall, &call)) {
		if (!read_sleep(wchan, stack, &wait))
			wait.kind = kind_outside(state, wchan, stack);
		return wait;
	}
	decode_call(&call, &wait);
	decide_end(&call, wchan, &wait);
	if (waits_for_lease(wchan)) {
		wait.kind = WAIT_FILE_LOCK;
		wait.lease = wait.timed = true;
		wait.fd = -1;
	}
	if (call.number == SYS_clone3 && !waits_for_vfork(&wait, wchan))
		wait.kind = WAIT_OTHER; /* what it asked for is in memory */
	if (state == 'D' && !waits_for_vfork(&wait, wchan))
		wait.kind = kind_of_disk(call.number, wchan, stack);
	return wait;
}
