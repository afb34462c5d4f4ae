/* Which files the processes of /proc/locks have open: names for its inodes. Takes no mmap lock. */
#include "witness_scan.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LOCK_PIDS_MAX 256

/* Names for the inodes in /proc/locks: an open file of the process that is a path and has an inode. */
static void add_file(struct scan *scan, int fd_dir, int pid, const char *fd)
{
	char path[PATH_TEXT_MAX], inode[64];
	ssize_t n = readlinkat(fd_dir, fd, path, sizeof(path) - 1);
	struct stat st;

	if (n <= 0 || path[0] != '/' || fstatat(fd_dir, fd, &st, 0))
		return;
	path[n] = '\0';
	if (scan->file_count++ == WITNESS_FILES_MAX) {
		scan->truncated = true;
		return;
	}
	/* As /proc/locks writes it: major:minor in hex, inode in decimal. */
	snprintf(inode, sizeof(inode), "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
		(unsigned long long)st.st_ino);
	out_open(&scan->files, NULL, '{');
	out_int(&scan->files, "pid", pid);
	out_int(&scan->files, "fd", atoi(fd));
	out_text(&scan->files, "path", path);
	out_text(&scan->files, "inode", inode);
	out_close(&scan->files, '}');
}

static void add_files(struct scan *scan, int pid)
{
	struct dirent *entry;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", scan_via(scan, pid));
	dir = opendir(path);
	while (dir && scan->file_count <= WITNESS_FILES_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			add_file(scan, dirfd(dir), pid, entry->d_name);
	if (dir)
		closedir(dir);
}

/* "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF", a waiter has "1: -> FLOCK ..." */
static int pid_of_lock(const char *line)
{
	int pid = 0;

	if (sscanf(line, "%*s -> %*s %*s %*s %d", &pid) != 1)
		sscanf(line, "%*s %*s %*s %*s %d", &pid);
	return pid;
}

/* Whose files were read already. */
struct seen {
	int pid[LOCK_PIDS_MAX];
	size_t count;
};

static void read_files_of(struct scan *scan, int pid, struct seen *seen)
{
	for (size_t i = 0; i < seen->count; i++)
		if (seen->pid[i] == pid)
			return;
	if (pid <= 0 || seen->count == LOCK_PIDS_MAX)
		return;
	seen->pid[seen->count++] = pid;
	add_files(scan, pid);
}

/* /proc/locks has no process for a lock of an open file (F_OFD_SETLKW), so whoever waits in fcntl() counts. */
static bool waits_in_fcntl(const struct row *row)
{
	uint64_t arg[CALL_ARGS];
	int number;

	return row_call(row, &number, arg) && number == SYS_fcntl;
}

void scan_files(struct scan *scan)
{
	struct seen seen = {.count = 0};

	for (const char *line = scan->locks; *line; line++) {
		read_files_of(scan, pid_of_lock(line), &seen);
		line = strchr(line, '\n');
		if (!line)
			break;
	}
	for (size_t i = 0; i < scan->count; i++)
		if (waits_in_fcntl(scan->rows[i]))
			read_files_of(scan, scan->rows[i]->pid, &seen);
}
