/*
 * The points that are a system call of their own, and how it is seen from outside: number, the arguments that say
 * what it acts on, and how many bytes it transfers. x86-64 (arch/x86/entry/syscalls/syscall_64.tbl, Linux 6.1); calls
 * of one meaning share a point, as in calls.h, and one call may be at two points: what libc calls send() and
 * sendto() is one system call. Points that are a function of libc and no call (stdio, pthread, getaddrinfo, mkstemp,
 * lockf ...) are not here. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_NO_ARG (-1)

struct board_syscall {
	const char *name; /* "pwrite64" */
	uint16_t number, point;
	/* Which argument, from 0: */
	int8_t fd, count;
	int8_t dir[2], path[2]; /* dir BOARD_NO_ARG: the working directory */
	/* It is at the point only if (args[when] & mask) == want; mask 0: always. */
	int8_t when;
	uint64_t mask, want;
};

/* Can a system call be seen there from outside, and made short (`counted`)? */
bool board_syscall_at(const char *point, bool counted);
/* The next row behind `last` (NULL: the first) that is this call, or NULL. */
const struct board_syscall *board_syscall_next(
	const struct board_syscall *last, uint64_t number, const uint64_t args[6]);
