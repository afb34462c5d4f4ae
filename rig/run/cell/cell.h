/*
 * The life of one cell (ARCHITECTURE: life of a cell), in a process of its own: workload, steps, faults
 * off, drain, stop, start, read-back. Everything that happens goes to DIR/history.jsonl as it happens;
 * nothing is judged here. The bed comes from outside, so that the same life runs on a QEMU clone and on
 * the fake store of the unit tests.
 */
#pragma once

#include "api/bed.h"
#include "run/plan/plan.h"

struct history;

struct cell_events; /* where a bed delivers what it sees; opaque to the bed */

/* Opens the store under test. `on_event` may be called from any thread until close. */
typedef int (*bed_open_fn)(struct bed **ret, const struct plan *plan, const char *dir,
	bed_event_fn on_event, void *event_arg, void *arg, struct err *err);

/*
 * Run the cell. 0 when the history is complete or rig trouble is recorded in it; negative only when not
 * even a history could be written. `cell_interrupt()` (async-signal-safe) makes it heal and close early.
 */
int cell_run(const struct plan *plan, const char *dir, bed_open_fn open, void *open_arg,
	struct err *err);
/*
 * The life that begins after a power cut which came at `at_s` of another cell's history: that history up to then,
 * as if nobody had heard what was said later, then the store's own start on the disks that `open` brings, drain
 * and read-back.
 */
int cell_run_after(const struct plan *plan, const char *dir, const struct history *past,
	double at_s, bed_open_fn open, void *open_arg, struct err *err);
void cell_interrupt(void);
