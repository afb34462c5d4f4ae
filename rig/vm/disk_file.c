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

static int ask(const char *disk, char *request, struct buf *ret, struct err *err)
{
	char *argv[] = {DEBUGFS, "-R", request, (char *)disk, NULL};

	return proc_run(argv, deadline_in_ms(DEBUGFS_MS), ret, DEBUGFS_TEXT, err);
}

int disk_file_copy(const char *disk, const char *path, const char *to, struct err *err)
{
	auto_free char *request = text_fmt("dump %s %s", path, to);
	auto_buf struct buf said = {0};

	if (!plain(path) || !plain(to))
		return err_set(err, -EINVAL, "'%s' is no path that debugfs takes",
			plain(path) ? to : path);
	return ask(disk, request, &said, err);
}

/* e2fsprogs 1.47, debugfs/debugfs.c, dump_inode(): `Fast link dest: "TEXT"`. */
char *disk_file_link(const char *disk, const char *path)
{
	static const char mark[] = "link dest: \"";
	auto_free char *request = text_fmt("stat %s", path);
	auto_buf struct buf said = {0};
	const char *at, *end;

	if (!plain(path) || ask(disk, request, &said, NULL))
		return NULL;
	at = strstr(buf_text(&said), mark);
	at = at ? at + strlen(mark) : NULL;
	end = at ? strchr(at, '"') : NULL;
	return end ? text_fmt("%.*s", (int)(end - at), at) : NULL;
}
