/*
 * The pulse of a cell: notices that the host gave the machine, or the rig itself, too little of its processors.
 *
 * A thread of its own wakes four times a second and adds up what was lost since: how long the machine's processors were
 * ready to run and did not (bed.h, `processor_wait`), or how much later than it wanted it woke itself, whichever is
 * more. Where that is a fifth of two seconds or more, the history gets a line: rig trouble `starved` with `lost_s`. It
 * is no trouble of the run: a law with a limit that would be broken at such a time says that it cannot tell.
 *
 * Nothing where the bed cannot be asked. Thread context: the cell's own.
 */
#pragma once

#include "run/cell/cell_core.h"

struct pulse;

struct pulse *pulse_start(struct cell *cell); /* or NULL */
void pulse_stop(struct pulse *pulse);	      /* takes NULL */
