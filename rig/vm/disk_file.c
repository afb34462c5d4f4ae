#include "vm/disk_file.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/proc.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DEBUGFS	     "/sbin/debugfs"
#define DEBUGFS_MS   20000
#define DEBUGFS_TEXT 4096

/* Quotes and blanks mean something to debugfs. */
static bool plain(const char *path)
{
	return path[0] == '/' && !strpbrk(path, " \t\n\"'\\<>");
}

int disk_file_copy(const char *disk, const char *path, const char *to, struct err *err)
{
	auto_free char *request = text_fmt("dump %s %s", path, to);
	char *argv[] = {DEBUGFS, "-R", request, (char *)disk, NULL};
	auto_buf struct buf said = {0};

	if (!plain(path) || !plain(to))
		return err_set(err, -EINVAL, "'%s' is no path that debugfs takes",
			plain(path) ? to : path);
	return proc_run(argv, deadline_in_ms(DEBUGFS_MS), &said, DEBUGFS_TEXT, err);
}
