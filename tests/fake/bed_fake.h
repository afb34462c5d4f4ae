/*
 * A test bed over the fake store: the whole life of a cell in one process, without a machine. Commands of
 * its target are the words fake-start, fake-stop, fake-queue, fake-hold, fake-release, fake-restored and
 * fake-die.
 * What the fake store cannot suffer (stopped processes, a slow disk ...) is only noted, for residue.
 */
#pragma once

#include "run/cell/cell.h"
#include "tests/fake/store.h"

#include <stdatomic.h>

/* What a test wants of the bed; its `arg` of cell_run(). */
struct bed_fake_wish {
	enum fake_bug bug; /* planted if nth > 0 */
	unsigned int nth;
	bool only_hurt;
	bool fails_to_open;
	int unlisted; /* so many times its queue is too long to be listed in time; -1: always */
	bool fails_to_thaw;
	bool leaves_residue;
	bool stops_by_force;
	bool loses_frames;
	int64_t wire_late_ms; /* its wire tells a reply to a dot so late */
	bool starves;	      /* its host gives it no processor at all */
	bool panics_at_freeze;
	/* The watch looks at this store, if it is told what a scan shows: files of tests/golden/diagnose, `hangs` from
	 * the moment at which the bug has shown itself. */
	const char *healthy, *hangs;
	bool always_hangs;    /* ... from the beginning of the workload on */
	const char *then;     /* and this, once a copy of that was kept: another hang beside it */
	int64_t scan_took_ns; /* each scan says so */
	int scan_lasts_ms;    /* each scan does; while one is under way it is residue */
	int core_lasts_ms; /* a process dies in a freeze, when a scan finds it, and its core takes so long */
	atomic_int scanning;
	bool branch_fails;
	const char *recovery; /* what a copy shows; after 9000 s, where it is "after_guest_s" */
	_Atomic size_t scans, deep_scans;  /* counted up: by the watch and by who saves a hang */
	_Atomic size_t branches, adjudged; /* likewise */
	size_t closed;			   /* counted up by close */
};

int bed_fake_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *wish, struct err *err);
