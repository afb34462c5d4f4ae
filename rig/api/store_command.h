/*
 * Commands of the target, as faults run them. Blocking, with a deadline of their own; a command that
 * does not end, or ends with a status other than 0, is an error that names it.
 */
#pragma once

#include "api/fault.h"

/* Plan time: does the target have these commands (NULL-terminated)? -ENOTSUP: "no NAME". */
int store_command_check(const struct target *target, const char *const *names, struct err *err);

/* Run `line`; `what` names it in errors. What it leaves behind stays: it is the store's. */
int store_command(struct fault_run *run, const char *line, const char *what, struct err *err);

/* How many entries of the queue (command queue_list) are in that state: "hold", "deferred" ... */
int store_queued(struct fault_run *run, const char *state, uint64_t *ret, struct err *err);

/* The same in what that command printed. */
uint64_t store_count_state(const char *listing, const char *state);
