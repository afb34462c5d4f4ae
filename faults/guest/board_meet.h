/*
 * What a rule and a call have to do with each other, for the preload, which is the process that calls, and the tracer,
 * which looks at it from outside: the same filters, counts and records. Pure but for the board's own words; no
 * allocation, no lock, no errno; safe in a signal handler.
 */
#pragma once

#include "faults/guest/board.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

void board_copy(char *to, size_t size, const char *from); /* too long: keeps the tail */
void board_tidy(char *path); /* takes out `//`, `/./` and `/../` of an absolute path, in place */
int64_t board_ns(clockid_t clock);
enum board_kind board_kind_of(mode_t mode);

/* What a call acts on. */
struct board_subject {
	bool has_fd;
	int fd;
	const char *path[2]; /* NULL: none */
	int dir[2];	     /* what path is relative to */
};

/* How that becomes an absolute path of at most BOARD_PATH_SIZE bytes, tidy. False: it cannot be known. */
struct board_places {
	bool (*of_fd)(void *arg, int fd, char *to);
	bool (*of_path)(void *arg, int dir, const char *path, char *to);
	void *arg;
};

/* 1: a path of the call (in `path`: the one that matched) matches the globs, "": any; 0: none does; -1: not known. */
int board_subject_matches(const struct board_subject *subject, const char *globs,
	const struct board_places *places, char path[BOARD_PATH_SIZE]);

/* Is it the calls' turn from the `from`-th on, `calls` of them (0: all)? */
bool board_hit_acts(uint64_t hit, uint32_t from, uint32_t calls);

void board_note_fired(struct board_slot *slot, int32_t pid, int32_t tid, const char *path);

/* The event into the ring, and the bell. */
void board_tell(struct board *board, const struct board_event *event);
