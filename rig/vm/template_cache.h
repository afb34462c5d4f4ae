/*
 * The folder of templates as a cache of bounded size. A template is held by whoever uses it: a shared flock(2)
 * on its template.json, which also stamps it as used now; it ends with the descriptor. What nobody holds may
 * go, the least recently used first.
 *
 * Any thread, any number of rigs at a time. Host files only; no guest has a say here.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

#define TEMPLATES_KEEP_BYTES (UINT64_C(8) << 30) /* about forty of 200 MiB each */

/* The descriptor that holds the template in folder `dir`; -ENOENT: none there, or it is about to go. */
int template_hold(const char *dir);

/* Remove one, held or not; out of everybody's sight at once. No error if there is none. */
int template_cache_remove(const char *templates, const char *key, struct err *err);

/* Remove what is not held until at most `keep_bytes` (as stored, holes not counted) are left, and what
 * interrupted builds and removals have left. Folders that are not templates stay. */
int template_cache_trim(const char *templates, uint64_t keep_bytes, struct err *err);
