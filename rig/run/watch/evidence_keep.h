/*
 * What evidence takes from the cell's own folder, and how much of a disk it may take: a night has thousands of cells.
 * Files alone; whoever saves evidence calls both at its end.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

#define EVIDENCE_BYTES_MAX (5u << 20)  /* of one folder; a dump of the memory apart */
#define LOG_TAIL_BYTES	   (16u << 10) /* of each log */

/* The last lines of each file of `logs` (a folder; none: no error) into DIR/log-tail.txt. */
int evidence_log_tail(const char *logs, const char *dir, struct err *err);
/* Takes away what says the same in other words, then the earlier instant, until the folder is small enough; what
 * went is written to DIR/left-out.txt. `ret_bytes`: how big it is now. */
int evidence_bound(const char *dir, uint64_t max_bytes, uint64_t *ret_bytes, struct err *err);
