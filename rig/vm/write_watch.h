/*
 * How far the write logs of a machine's disks had grown, all at one instant, again and again while it runs:
 * each such view is a state in which a power cut may find the disks, and no other order of writes to different
 * disks may be claimed. A thread looks whenever a log grew (inotify), and anybody may ask for a look now.
 *
 * A view is true at its time: all sizes were read twice around it and had not changed. Views are kept up to
 * WRITE_VIEWS_MAX, later ones only as the last.
 *
 * Any thread may call anything; the watch must not be closed meanwhile.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITE_WATCH_DISKS_MAX 12
#define WRITE_VIEWS_MAX	      (1u << 18)

struct write_view {
	int64_t mono_ns;
	uint64_t bytes[WRITE_WATCH_DISKS_MAX]; /* of each log */
};

struct write_watch;

/* Watch files that are there; `paths` in the order of the disks, borrowed for the call. */
int write_watch_open(
	const char *const *paths, size_t count, struct write_watch **ret, struct err *err);
void write_watch_close(struct write_watch *watch);

void write_watch_look(struct write_watch *watch); /* now */

size_t write_watch_count(struct write_watch *watch);
/* The views from the first on; false behind the last. */
bool write_watch_at(struct write_watch *watch, size_t index, struct write_view *ret);

/* The first view at or after that time, else the last, after one more look. */
void write_watch_since(struct write_watch *watch, int64_t mono_ns, struct write_view *ret);
