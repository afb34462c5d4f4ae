/* What threads that sleep ask for again and again: their system calls, followed by the witness for a while. */
#pragma once

#include "vm/witness.h"

/* Gives a scan the "tries" (diagnose/evidence.h) of these threads, which its diagnosis names as sleepers, followed for
 * at most `ms`; true if there are any. */
bool tries_add(struct witness *witness, json_t *scan, const int *tids, size_t count, int ms);

/* Of a scan that has them: that thread wakes by itself from time to time, which tells nothing of what it waits for. */
bool tries_has(const json_t *scan, int tid);
