/*
 * The zoo: small troubles and healthy look-alikes, each a few processes and threads that really block, so that a
 * diagnosis can be scored against planted truth. It stands alone (nothing of rig/): linked into tests, and
 * as a static program that runs inside a guest (program/main.c).
 *
 * A case counts each of its threads ready just before the call it will stand in and calls nothing that
 * blocks between. It says on the board, memory shared by all its processes, how many will stand, and which
 * of them are to blame. What it may vary without changing the trouble (how many wait, how many work) it
 * draws by zoo_vary(), so that another seed is another variant of the same culprit.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ZOO_CULPRITS 16

struct zoo_board {
	atomic_int stand; /* how many will count ready; 0: not said yet */
	atomic_int ready;
	atomic_int go;
	atomic_int culprits[ZOO_CULPRITS]; /* tids, 0: none */
	atomic_int parked;		   /* a tid that stands for one held by the rig, or 0 */
};

/* What the rig would know beside the scan. */
enum zoo_flag {
	ZOO_SPINS = 1,	     /* somebody runs all the time */
	ZOO_PROGRESSED = 2,  /* something was answered between the two instants */
	ZOO_OVERDUE = 4,     /* replies are overdue although the case is healthy */
	ZOO_FROZEN = 8,	     /* the rig freezes zoo_frozen_dir() before the case begins */
	ZOO_THAWED = 16,     /* somebody else does: the rig knows of no freeze */
	ZOO_DIES = 32,	     /* processes end by a signal; `deaths` of them */
	ZOO_STARVED = 64,    /* the rig saw its host starved */
	ZOO_SLOW_DISK = 128, /* that folder's disk answers one request a second */
	ZOO_STOPPING = 256,  /* a stop is overdue, no reply */
	ZOO_HELD_OUT = 512,  /* written after the diagnosis was finished */
	ZOO_EXITS = 2048,    /* processes end with a status again and again, as the witness tells */
	ZOO_ALONE =
		1024, /* what it burns, or yields, shows only where nobody else is on the machine */
};

struct zoo_case {
	const char *name;
	const char *hang_class; /* as the rig names it; NULL: healthy */
	const char *role;	/* name of the program it runs as */
	void (*run)(void);	/* in the leader */
	unsigned int flags;
	int deaths;
};

extern const struct zoo_case
	*const zoo_groups[]; /* each ends with one without a name; NULL-terminated */
const struct zoo_case *zoo_find(const char *name); /* or NULL */

/* Where the board's processes keep files; the frozen or slow disk is mounted at the other. */
#define ZOO_DISK_DIR "/srv/zoo"

/* A process group with the case in it. zoo_lead() does not return. */
pid_t zoo_start(
	const struct zoo_case *zoo, struct zoo_board *board, const char *dir, unsigned int seed);
void zoo_lead(const struct zoo_case *zoo, struct zoo_board *board, const char *dir,
	unsigned int seed) __attribute__((noreturn));
/* Until all that shall stand do and none runs, nor waits for a disk that the case does not hold up; false after
 * `timeout_ms`. */
bool zoo_settled(
	const struct zoo_case *zoo, pid_t group, const struct zoo_board *board, int timeout_ms);
void zoo_end(pid_t leader); /* kills the group and reaps its leader */
