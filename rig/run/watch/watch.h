/*
 * The watch over a cell: dates the onset of a hang, notices one while the machine still runs, and saves the evidence
 * from which rig/diagnose/ says who causes it.
 *
 * A thread of its own looks twenty times a second at the operations under way, which costs the guest nothing. It
 * scans the guest once before anything is hurt (`healthy`), about once a second, and three times a second, deep, once
 * an operation takes a quarter of a second; all scans together may take BUDGET_PERCENT of the time, and some more of
 * the time in which an operation takes longer than those before it. The healthy scan, and both of a hang, are deep.
 * Never while the machine is halted.
 *
 * A hang is suspected when a cycle of waits is seen, or when an operation or the stop is overdue. Evidence is a folder
 * evidence/NAME of the cell:
 *	scan.json	the instant that is judged (diagnose/evidence.h); tasks.txt, locks.txt for people
 *	earlier.json	an instant at least APART_MS before, where two were taken
 *	owed.json	replies owed on the wire then
 *	input.json	{"t","why","owed_limit_s","progressed","stopping","frozen","in_force":[step,..],
 *			"parked":[tid,..],"ops":[{"op","age_s"}],"since":{"tid":[not yet, seen]}}: between
 *			which two moments of the cell clock each thread came into the call it is in
 * Where that evidence names somebody, the machine is copied then and there (bed.h, `branch`), once for each
 * culprit, and once more if it still hangs when no fault is in force any more; that takes some tenths of a
 * second, which the cell clock leaves out. What is to be found out from the copies waits until the cell is over.
 *
 * evidence/healthy/scan.json is the healthy one. A judge needs no more: nothing here decides a verdict.
 *
 * All functions may be called from any thread of the cell without its lock, unless they say otherwise.
 */
#pragma once

#include "run/cell/cell_core.h"

#define WATCH_APART_MS 300

struct watch;

/* Takes the healthy scan, before the cell clock begins; nothing where the bed cannot scan. */
void watch_open(struct cell *cell);
void watch_start(struct cell *cell);
/* Held, it has no command of its own under way in the guest and begins none: for the audit. */
void watch_hold(struct cell *cell, bool held);
void watch_stop(struct cell *cell); /* nothing is looked at any more */
void watch_close(struct cell *cell);

/* The cell is over: says of each copy that was kept of what is a finding whether that hang ends by itself
 * (`adjudged` in the history). For at most ADJUDICATE_HOST_MS (adjudicate.h). After watch_stop(). */
void watch_adjudicate(struct cell *cell);

/* Saves what the cell looks like now as evidence/NAME; `twice`: two instants. */
void watch_evidence(struct cell *cell, const char *name, const char *why, bool twice);

/* A call fault has parked a thread, or let it go. */
void watch_call(struct cell *cell, const json_t *event);

/* A process died: its core, if there is one, becomes a "core" event. From any thread. */
void watch_died(struct cell *cell, const json_t *event);
/* Reads the cores of those, once each: whoever hears of a death cannot ask the guest. The cell's lock is held on entry
 * and exit, and let go meanwhile. */
void watch_read_cores(struct cell *cell);
