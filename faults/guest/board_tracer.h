/*
 * The tracer: acts at system calls of programs that the preload cannot reach (static, Go), by ptrace(2), where it acts
 * at calls of libc: the same rules, filters, counts and events of the board.
 *
 * A process of its own, forked by the witness for the first such rule and gone with the last: the kernel lets all
 * tracees go when their tracer ends, however it ends, so nothing is left, and no wait of theirs is cut off by a
 * detach. It holds who is traced only as long as a rule means the program. Seized are all threads of all living
 * processes of those programs; threads and children follow by themselves, and who begins such a program later is told
 * by the kernel (board_connector.h). It has no timer.
 *
 * What a tracee notices: time (two stops for each system call). To begin with it must be stopped once; waits that
 * the kernel does not take up again by itself after that (epoll_wait: EINTR) are made again. Signals are handed on,
 * a process that is stopped by a signal stays so. A call that was under way when the rule came is not met by it.
 *
 * x86-64 calls alone: a 32-bit process makes none of these. One thread; Linux 5.3 (PTRACE_GET_SYSCALL_INFO). A path is
 * read from the tracee's memory, which may wait for its mmap lock: the witness waits no longer than it has time
 * for, and then kills this process.
 */
#pragma once

#include "faults/guest/board_meet.h"
#include "faults/guest/board_private.h"

#define TRACEES_MAX 2048

struct tracee {
	pid_t tid, pid; /* tid 0: free */
	uint32_t
		rules; /* bit n: the rule of slot n means its program; none: let go at its next stop */
	bool fresh;    /* seized, and has not stopped yet */
	bool mended;	/* it has, in a call that it is about to make again */
	int failing;	/* the call it is in gives this errno; 0: none */
	bool shortened; /* the call it is in has another `count` than it was made with: */
	uint64_t count;
	uint8_t count_arg;
	uint64_t again_number, again_ip; /* a call that the kernel takes up again; ip 0: none */
};

struct tracer {
	struct board *board;
	struct board_rule rules[BOARD_SLOTS_MAX]; /* of the bits of `in_force` */
	uint32_t in_force;
	struct tracee tracees[TRACEES_MAX];
	size_t top; /* no tracee stands at this place or behind it */
};

/* ---- board_tracer_call.c: at a system call of a tracee that has stopped there ---- */

/* A stop at its beginning (true) or end. */
bool tracer_at_call(struct tracer *tracer, struct tracee *tracee);
/* It stopped on its way to be traced: no call that it was in is to end by that, nor to be met. */
void tracer_mend(struct tracee *tracee);
/* What a shortened call was made with. */
void tracer_put_back(struct tracee *tracee);
