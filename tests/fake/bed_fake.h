/*
 * A test bed over the fake store: the whole life of a cell in one process, without a machine. Commands of
 * its target are the words fake-start, fake-stop, fake-queue, fake-hold, fake-release and fake-die.
 * What the fake store cannot suffer (stopped processes, a slow disk ...) is only noted, for residue.
 */
#pragma once

#include "run/cell.h"
#include "tests/fake/store.h"

/* What a test wants of the bed; its `arg` of cell_run(). */
struct bed_fake_wish {
	enum fake_bug bug; /* planted if nth > 0 */
	unsigned int nth;
	bool only_hurt;
	bool fails_to_open;
	bool fails_to_thaw;
	bool leaves_residue;
	bool stops_by_force;
	bool loses_frames;
	bool panics_at_freeze;
	size_t closed; /* counted up by close */
};

int bed_fake_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *wish, struct err *err);
