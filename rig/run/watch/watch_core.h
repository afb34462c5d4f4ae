/*
 * What the parts of the watch share (rig/run/watch/watch*.c), and nobody else.
 *
 * watch.c looks and suspects; watch_evidence.c saves what the cell looks like; watch_branch.c keeps a copy of the
 * machine for each hang that is worth it, and runs the copies on when the cell is over.
 */
#pragma once

#include "api/verdict.h"
#include "diagnose/diagnose.h"
#include "run/cell/cell_core.h"
#include "run/watch/watch.h"

#define HANGS_MAX     4 /* evidence folders that the watch makes of its own */
#define BRANCHES_MAX  3 /* copies of the machine that a cell keeps */
#define HANG_NAME_MAX 24

/* A copy of the machine, or why there is none. */
struct watch_branch {
	char name[HANG_NAME_MAX]; /* of its evidence */
	char signature[SIGNATURE_SIZE];
	bool in_force; /* a fault was */
	bool saved;
};

struct watch {
	struct cell *cell;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;  /* `since` and `noted_ns` */
	bool end, held, looks; /* the cell's lock */
	json_t *healthy, *deep;
	json_t *since;
	int64_t noted_ns;	       /* the last look */
	int64_t sample_ns, deep_ns;    /* when the next is due */
	int64_t deep_of_ns;	       /* when `deep` was begun */
	int64_t looked_ns, overdue_ns; /* the last turn; time with an operation overdue */
	_Atomic int64_t spent_ns;
	int64_t in_force_ns; /* a fault was last seen in force */
	bool was_in_force;
	uint64_t told
		[CELL_OPS_MAX]; /* operations that a hang was told about, or that stand behind one */
	size_t told_count;
	int known[CULPRITS_MAX * HANGS_MAX]; /* culprits of what was told and goes on ... */
	size_t known_count;
	json_t *before; /* ... and a scan of that moment; NULL: nothing is */
	char before_name[HANG_NAME_MAX];
	unsigned int hangs;
	unsigned int
		saving; /* the cell's lock: hangs whose evidence is being saved, and one more while ... */
	bool reads; /* ... cores are read */

	pthread_mutex_t branching; /* the rest */
	struct watch_branch branches[BRANCHES_MAX];
	size_t branch_count;
};

static inline double watch_seconds(int64_t ns)
{
	return (double)ns / 1e9;
}

/* ---- watch_evidence.c ---- */
/* Between which two looks each thread came into the call that it is in now; at 0 all begins anew. */
void watch_note_calls(struct watch *watch, const json_t *scan, int64_t now_ns);
/* NULL where the guest cannot be asked now: halted, gone, or its agent is silent. */
json_t *watch_scan(struct watch *watch, bool deep);
/* What was told and goes on, as hang.c reads it, or NULL where nothing was; and evidence/NAME/known.json of it. */
json_t *watch_known_json(const struct watch *watch);
bool watch_save_beside(struct cell *cell, const char *name, const json_t *known);

/* ---- watch_stacks.c ---- */
/* A diagnosis of what was seen, its scans and `progressed`, says what is worth another look: what those who sleep ask
 * for and whose user stacks, which is added to `scan`, the one that is judged. True if there was any. */
bool watch_look_closer(const struct cell *cell, const struct diagnose_input *seen, json_t *scan);
/* evidence/NAME; `first` is an instant before it, or NULL. False, and noted: it could not be had. */
bool watch_save(struct cell *cell, const char *name, const char *why, json_t *first, bool twice);

/* ---- watch_branch.c ---- */
/* The moment of a suspected hang, evidence/NAME is just saved: keeps a copy, if it is a hang that was not seen
 * before and that somebody is to blame for. */
void watch_branch(struct watch *watch, const char *name);
