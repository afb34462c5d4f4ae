/*
 * What one scan shows of locks, in the words of a history (the `waits` event of api/history.h): cycles among
 * waits, and exclusive locks that others wait for while their holder waits for a client. Nothing is judged
 * here and nothing guessed: where the evidence does not name a holder there is no entry. Pure.
 */
#pragma once

#include "diagnose/evidence.h"

#define LOOK_ENTRIES_MAX 64 /* of each list */

/* {"cycles":[[{"role","pid","tid","what"}...]...], "held":[{"role","pid","what","waiters":[role...]}...]};
 * a new reference. `target` may be NULL; `ours` as in evidence_read(). */
json_t *lock_look(const json_t *scan, const struct target *target, const char *const *ours);
