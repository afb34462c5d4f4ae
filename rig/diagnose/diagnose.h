/*
 * What kind of trouble a hang or crash is, and who causes it: one diagnosis from the evidence of one
 * instant, and of earlier ones where there are any. Pure: no I/O, no clock; the same evidence gives the
 * same diagnosis. Nothing is known of any store: programs are told apart by their roles or file names,
 * waits by what the kernel says of them.
 *
 * Everything read is hostile and bounded. What could not be read, and whose owner is not known, stands
 * in `unknown` and is never guessed.
 */
#pragma once

#include "api/target.h"
#include "api/verdict.h"

#define CULPRITS_MAX	  16
#define SLEEPERS_MAX	  16
#define EVIDENCE_LINE_MAX 24 /* lines in `evidence` and in `unknown` */
#define CRASHES_FOR_LOOP  3  /* of one program, from which on it is a crash loop */

struct diagnose_input {
	const json_t *scan;    /* the instant that is judged; NULL: only `died` is */
	const json_t *earlier; /* an instant of the same trouble some time before, or NULL */
	const json_t *healthy; /* an instant of the same boot before any fault, or NULL */
	const json_t *owed;    /* array as in owed.json, or NULL */
	double owed_limit_s;   /* a reply owed for less than this is in time */
	int64_t queued; /* entries in the store's queues that should have gone, 0: none or not known */
	const json_t *
		since; /* {"TID":[from,to]}: between which two looks a thread came into its wait, or NULL */
	double now_s;	 /* the instant, on the clock of `since` */
	bool stopping;	 /* a stop or another operation is overdue */
	bool progressed; /* something was answered between `earlier` and `scan` */
	bool frozen;	 /* the rig holds a filesystem frozen */
	bool starved;	 /* the host was: what is late says nothing, what cannot go on still does */
	const int *parked; /* threads that the rig holds in a call */
	size_t parked_count;
	const json_t *
		died; /* array of the witness's "died" events that the rig did not cause, or NULL */
	const json_t *
		exited; /* array of the history's "exited" events, each with age_s, and with line, where a log
				* has one of it, or NULL */
	const json_t *kernel;	 /* array of lines of the kernel's log, or NULL */
	const json_t *dot_locks; /* as dot_locks_read() gives them, or NULL */
	/* Of trouble that was told already and goes on: its culprits, and a scan of that moment (NULL: none).
	 * What is sought beside it is a cycle of others, or a thread that has come to stand since, of which
	 * more is known than that it waits for an event: it may wait for those. */
	const int *known;
	size_t known_count;
	const json_t *before;
	const struct target *target; /* roles; NULL: file names */
	const char *const
		*ours; /* beginnings of program paths that are the rig's, NULL-terminated */
};

struct culprit {
	int pid, tid;
	char role[64];
	char *says; /* what it holds and wants, one clause */
};

struct diagnosis {
	const char *hang_class; /* of hang_class_find(), NULL: healthy */
	bool finding;		/* false: healthy, or blocked on the fault with nobody behind */
	char *title;		/* one sentence, never NULL */
	struct culprit culprits[CULPRITS_MAX]; /* the one to look at first is first */
	size_t culprit_count;
	size_t behind; /* threads that wait behind the first culprit */
	char *evidence[EVIDENCE_LINE_MAX];
	size_t evidence_count;
	char *unknown[EVIDENCE_LINE_MAX];
	size_t unknown_count;
	char signature[SIGNATURE_SIZE]; /* "" where there is no class */
	/* Threads that sleep and may look again for something: what they ask for (vm/witness.h, witness_tries())
	 * makes the scan say more. */
	int sleepers[SLEEPERS_MAX];
	size_t sleeper_count;
	int follow_ms; /* for so long, until the last of them has looked */
	json_t *graph; /* diagnose/picture.h, or NULL where there is no class */
};

void diagnose(const struct diagnose_input *input, struct diagnosis *ret);
void diagnosis_free(struct diagnosis *diagnosis);
/* {"class","finding","title","culprits":[..],"behind","evidence":[..],"unknown":[..],"signature",
 * "graph"} */
json_t *diagnosis_to_json(const struct diagnosis *diagnosis);
