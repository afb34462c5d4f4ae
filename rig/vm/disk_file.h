/*
 * Files of a file system image, read on the host without mounting it: by debugfs(8), so that an ordinary user can.
 * The image is not changed. Blocking; any thread. What comes out is the guest's, and hostile.
 */
#pragma once

#include "base/err.h"

/*
 * Copy the file at the absolute path `path` in `disk` (raw ext4) to `to` on the host. -EINVAL: debugfs, which has a
 * language of its own, cannot be told one of the paths. A file that is not there is no error: `to` then is not
 * made. debugfs is called by its own path: an ordinary user's PATH has no /sbin.
 */
int disk_file_copy(const char *disk, const char *path, const char *to, struct err *err);

/* What the symbolic link `path` holds, or NULL: it is none. Caller frees. */
char *disk_file_link(const char *disk, const char *path);
