/*
 * Dot-locks: files whose being there is the lock, and the process that the file names. The kernel knows nothing of
 * them, so nobody is seen to wait: they are told beside a diagnosis, and prove nothing by themselves. Pure; the
 * text is the guest's word, bounded and checked.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#define DOT_LOCKS_MAX 64

/* Lines "AGE_S CONTENT PATH", content "-" where the file is empty, as
 * [{"path","age_s","pid"?}]: the number that the content begins with. New reference. */
json_t *dot_locks_read(const char *text, size_t len);

struct diagnosing;
void say_dot_locks(struct diagnosing *d); /* an evidence line each */
