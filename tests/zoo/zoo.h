/*
 * The zoo: small native troubles and healthy look-alikes, each a few processes and threads that really
 * block, so that a diagnosis can be scored against planted truth. A case runs in children of the test;
 * the board is shared memory on which it says who is to blame and when everybody stands.
 *
 * A case counts each of its threads ready just before the call it will stand in and calls nothing that
 * blocks between. zoo_scan() gives what a scan of the witness would (vm/witness_wire.h), with the further
 * fields that diagnose/evidence.h reads.
 */
#pragma once

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ZOO_CULPRITS 8

struct zoo_board {
	atomic_int ready;
	atomic_int go;
	atomic_int culprits[ZOO_CULPRITS]; /* tids, 0: none */
	atomic_int parked;		   /* a tid that stands for one held by the rig, or 0 */
};

struct zoo_case {
	const char *name;
	const char *hang_class;				       /* NULL: healthy */
	void (*run)(struct zoo_board *board, const char *dir); /* in the leader; never returns */
	int stand;					       /* how many threads count ready */
	bool spins, progressed;
	bool behind; /* of blocked-on-fault: somebody waits behind */
};

extern const struct zoo_case zoo_locks[], zoo_waits[]; /* each ends with one without a name */
extern const struct zoo_case *const zoo_groups[];      /* all of them, NULL-terminated */

/* A process group with the case in it; `noise` is a healthy idle store instead. */
pid_t zoo_start(const struct zoo_case *zoo, struct zoo_board *board, const char *dir);
pid_t zoo_start_noise(struct zoo_board *board, const char *dir);
#define ZOO_NOISE_STANDS 8
void zoo_end(pid_t leader); /* kills the group and reaps its leader */

/* The members of both groups (0: none) at one instant; NULL if they do not come to stand in time. */
json_t *zoo_scan(const pid_t groups[2]);
json_t *zoo_settled(const pid_t groups[2], const struct zoo_board *board, int stand, bool spins);
