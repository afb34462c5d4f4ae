/*
 * Quantities as users write them. A quantity always carries its unit (a bare number is refused with
 * the way to say it); a count is bare. Decimal integers only, no sign, no blanks, no leading zero
 * but "0s". Each parser returns 0 or -EINVAL with a sentence such as: 'for: 3' has no unit; say 3s
 * `what` names the subject ("for") and may be NULL.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

int parse_duration_ms(
	const char *what, const char *text, int64_t *ret_ms, struct err *err); /* ms s min h d */
int parse_size_bytes(const char *what, const char *text, uint64_t *ret_bytes,
	struct err *err); /* B KiB MiB GiB */
int parse_rate(
	const char *what, const char *text, double *ret_per_s, struct err *err); /* 10/s 30/min */
int parse_percent(const char *what, const char *text, double *ret_ratio,
	struct err *err); /* 1% -> 0.01, "0.5%" too */
int parse_count(const char *what, const char *text, uint64_t max, uint64_t *ret, struct err *err);

/* The nearest of `names` (NULL-terminated) to `word` by edit distance, else the first that begins with it,
 * or NULL if none is near. */
const char *nearest_name(const char *word, const char *const *names);
