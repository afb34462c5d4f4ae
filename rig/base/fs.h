/*
 * Files and folders. Paths are plain C strings; nothing here follows instructions from a guest:
 * names that came from outside go through fs_name_ok() first.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Join with one slash. Caller frees. */
char *path_join(const char *dir, const char *name);

/* True for a plain file name of [A-Za-z0-9._-], not starting with a dot, at most 128 bytes. */
bool fs_name_ok(const char *name);

bool fs_exists(const char *path);
int fs_mkdir_p(const char *path, struct err *err);
int fs_remove_tree(const char *path, struct err *err); /* no error if absent; stays on one device */

/* Read a whole file of at most `max` bytes; -EFBIG above. Adds to `out`. Works for /proc files. */
int fs_read(const char *path, size_t max, struct buf *out, struct err *err);

/* Write beside `path`, fsync, rename: readers see the old file or the whole new one. */
int fs_write_atomic(const char *path, const void *bytes, size_t len, struct err *err);

/* Copy, sharing blocks where the file system can (FICLONE, copy_file_range), keeping holes. */
int fs_copy(const char *from, const char *to, struct err *err);

/* Replace the symbolic link `path` atomically. */
int fs_symlink(const char *target, const char *path, struct err *err);

/* Bytes free for an ordinary user on the file system that holds `path`, or a negative errno. */
int64_t fs_free_bytes(const char *path, struct err *err);

/*
 * Take the exclusive lock `path` (flock on a file that is made and never removed); waits until
 * `deadline_ns`, -EWOULDBLOCK then. Returns the descriptor that holds it: closing it, or dying,
 * releases.
 */
int fs_lock(const char *path, int64_t deadline_ns, struct err *err);

/* The rig's cache of images, templates and probes: $MAILRIG_CACHE, else $XDG_CACHE_HOME/mailrig,
 * else ~/.cache/mailrig. */
char *fs_cache_dir(void); /* caller frees */
