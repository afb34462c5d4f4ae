/*
 * Two cells side by side, from their folders alone: what was asked for, what came of it, how long operations
 * took, and the events that only one of them has. Everything that came from a guest is escaped.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

/* `ret_same`: verdict, class and signature are. */
int compare_write(const char *a, const char *b, struct buf *out, bool *ret_same, struct err *err);
