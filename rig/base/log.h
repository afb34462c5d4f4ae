/*
 * The rig's own diary (rig.log of a cell, or nothing): for whoever debugs the rig. Thread-safe, one
 * line per call, stamped with seconds since start. It is no result and nobody parses it. Until
 * log_open() the lines go nowhere, unless MAILRIG_DEBUG is set: then to standard error.
 */
#pragma once

#include "base/err.h"

int log_open(const char *path, struct err *err);
void log_close(void);
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
