/*
 * What the two parts of `tries` share: calls that were refused, and what each was about.
 */
#pragma once

#include "witness_scan.h"

#define TRIES_CALLS_MAX	  8	     /* of one turn, that may be what it looks for */
#define TRIES_STACK_BYTES (4u << 10) /* that a call may have its path or its struct in */

enum what { SLEEPS, ASKS_FLOCK, ASKS_FCNTL, ASKS_SEMAPHORE, ASKS_PROCESS, MAKES, LOOKS };

struct call_kind {
	int number;
	enum what what;
	int path, dir; /* arguments; -1: none */
};

/* `stack` is what stood from `sp` on when the call began: what was there is soon something else. */
struct call {
	const struct call_kind *kind;
	uint64_t arg[CALL_ARGS];
	uint64_t sp;
	size_t stack_size;
	char stack[TRIES_STACK_BYTES];
};

/* Of one turn, the last is the last. */
struct refused {
	int tid;
	size_t count;
	struct call calls[TRIES_CALLS_MAX];
};

struct about {
	int tid;
	enum what what;
	bool ofd;
	int fd; /* that is to be locked, -1: none */
	struct range_wait range;
	struct sem_wait sem;
	int pid; /* that shall end, as the thread calls it */
	uint64_t dev, ino;
	int64_t made_ns; /* the file, on the clock of guest_ns() */
	char path[512], says[64];
};

/* ---- witness_tries_look.c ---- */

/* What each thread looks for, at most one for each, those left out that look for nothing: how many. Returns within two
 * seconds, whatever it looks at hangs. */
size_t tries_look(const struct refused *const *all, size_t count, struct about *ret);
