/*
 * Signatures: one stable name for one cause. Made from names and roles only (law, faults, hop, role,
 * operation, reply class), never from ids, addresses, pids or times, so that it is the same in every
 * run, on every build of a store, and whoever the victim was.
 *
 * Pure; `out` is always filled.
 */
#pragma once

#include "api/history.h"
#include "api/oracle.h"
#include "api/verdict.h"

/* `prefix`-xxxxxxxx: eight hex digits of the SHA-256 over the parts (NULL-terminated; each counts
 * with its length and place). The prefix is a law or a class and is a part itself. */
void signature_make(const char *prefix, const char *const *parts, char out[SIGNATURE_SIZE]);

/* Of a law broken without a hang ("S3-90be12cc"): the law, the faults the cell armed (in the order
 * of their names, each once; "none" in a baseline), and where the first breach was. */
void signature_of_law(const char *law, const struct history *history,
	const struct judgement *judgement, char out[SIGNATURE_SIZE]);
