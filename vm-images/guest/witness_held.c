/*
 * Who has a lock of an open file. /proc/locks names the process that took it; a child may have inherited the open
 * file, and the lock with it, and that process may be gone or have closed it; of an OFD lock it names nobody. fdinfo
 * says it for each descriptor ("lock:" lines; fs/locks.c: show_fd_locks, Linux 6.1), but a look at every descriptor
 * costs, so that only what somebody waits for, and nobody is known to have, is looked for.
 */
#include "witness_scan.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define FDINFO_MAX  4096
#define LINE_SIZE   192
#define LINES_MAX   4096 /* of one file */
#define OPENERS_MAX 16

/* "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF" */
struct lock_line {
	char kind[8];
	int pid;
	unsigned int major, minor;
	unsigned long long ino;
};

static bool read_line(const char *line, struct lock_line *ret)
{
	return sscanf(line, "%*d: %7s %*s %*s %d %x:%x:%llu", ret->kind, &ret->pid, &ret->major,
		       &ret->minor, &ret->ino) == 5;
}

static bool is_of_open_file(const struct lock_line *lock)
{
	return !strcmp(lock->kind, "FLOCK") || !strcmp(lock->kind, "OFDLCK");
}

static bool is_file(int dir, const char *fd, dev_t dev, ino_t ino)
{
	struct stat st;

	return isdigit((unsigned char)fd[0]) && !fstatat(dir, fd, &st, 0) && st.st_ino == ino &&
	       st.st_dev == dev;
}

static DIR *open_fds(int pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	return pid > 0 ? opendir(path) : NULL;
}

static bool is_open(int pid, dev_t dev, ino_t ino)
{
	struct dirent *entry;
	bool found = false;
	DIR *dir = open_fds(pid);

	while (dir && !found && (entry = readdir(dir)))
		found = is_file(dirfd(dir), entry->d_name, dev, ino);
	if (dir)
		closedir(dir);
	return found;
}

static bool has_open(int pid, const struct lock_line *lock)
{
	return is_open(pid, makedev(lock->major, lock->minor), (ino_t)lock->ino);
}

void held_find(const struct scan *scan, struct orphans *ret)
{
	const char *line = scan->locks, *end;

	for (ret->count = 0; line && *line && ret->count < ORPHANS_MAX;
		line = end ? end + 1 : NULL) {
		struct lock_line lock;

		end = strchr(line, '\n');
		/* The line after it is of one who waits for it. */
		if (!end || !end[1] || strncmp(end + 1 + strcspn(end + 1, " "), " ->", 3) != 0 ||
			!read_line(line, &lock) || !is_of_open_file(&lock) ||
			has_open(lock.pid, &lock))
			continue;
		ret->at[ret->count++] = (struct orphan){
			.dev = makedev(lock.major, lock.minor), .ino = (ino_t)lock.ino};
	}
}

static bool is_orphan(const struct orphans *orphans, const struct stat *st)
{
	for (size_t i = 0; i < orphans->count; i++)
		if (orphans->at[i].ino == st->st_ino && orphans->at[i].dev == st->st_dev)
			return true;
	return false;
}

static void tell(struct out *out, int pid, const char *fd, const char *line)
{
	char text[LINE_SIZE];

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\n"), line);
	out_open(out, NULL, '{');
	out_int(out, "pid", pid);
	out_int(out, "fd", atoi(fd));
	out_text(out, "lock", text);
	out_close(out, '}');
}

/* The locks of one open file; false: there are more. */
static bool tell_fd(struct out *out, size_t *count, int dir, int pid, const char *fd)
{
	char path[64], info[FDINFO_MAX];

	snprintf(path, sizeof(path), "../fdinfo/%.16s", fd);
	if (read_small(dir, path, info, sizeof(info)) <= 0)
		return true;
	for (const char *at = info; (at = strstr(at, "lock:\t")); at++)
		if ((*count)++ < HELD_MAX)
			tell(out, pid, fd, at + strlen("lock:\t"));
		else
			return false;
	return true;
}

void held_look(struct scan *scan, const struct orphans *orphans, int dir, int pid, const char *fd)
{
	struct stat st;

	if (orphans->count && !fstatat(dir, fd, &st, 0) && is_orphan(orphans, &st))
		scan->truncated |= !tell_fd(&scan->held, &scan->held_count, dir, pid, fd);
}

/* ---- of one file ---- */

static int next_process(DIR *proc)
{
	struct dirent *entry;

	while ((entry = readdir(proc)))
		if (isdigit((unsigned char)entry->d_name[0]))
			return atoi(entry->d_name);
	return 0;
}

void held_tell_openers(struct out *out, dev_t dev, ino_t ino)
{
	DIR *proc = opendir("/proc");
	int told = 0;

	for (int pid; proc && told < OPENERS_MAX && (pid = next_process(proc));)
		if (is_open(pid, dev, ino)) {
			out_int(out, NULL, pid);
			told++;
		}
	if (proc)
		closedir(proc);
}

static void tell_process(struct out *out, size_t *count, int pid, dev_t dev, ino_t ino)
{
	DIR *dir = open_fds(pid);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_file(dirfd(dir), entry->d_name, dev, ino))
			tell_fd(out, count, dirfd(dir), pid, entry->d_name);
	if (dir)
		closedir(dir);
}

void held_tell_locks(struct out *out, dev_t dev, ino_t ino)
{
	DIR *proc = opendir("/proc");
	size_t count = 0;

	for (int pid; proc && (pid = next_process(proc));)
		tell_process(out, &count, pid, dev, ino);
	if (proc)
		closedir(proc);
}

/* The lines of one file, without their numbers, which others' locks move. */
static void lines_of(const char *text, const char *inode, char out[LINES_MAX])
{
	size_t len = 0;

	out[0] = '\0';
	for (const char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
		const char *found = strstr(line, inode), *from = strchr(line, ':');

		end = strchr(line, '\n');
		if (end && found && found < end && from && len + (size_t)(end - from) < LINES_MAX) {
			memcpy(out + len, from, (size_t)(end - from));
			len += (size_t)(end - from);
			out[len] = '\0';
		}
	}
}

static bool is_steady(const char *before, const char *now, const struct orphan *orphan)
{
	char inode[64], one[LINES_MAX], two[LINES_MAX];

	snprintf(inode, sizeof(inode), " %02x:%02x:%llu ", major(orphan->dev), minor(orphan->dev),
		(unsigned long long)orphan->ino);
	lines_of(before, inode, one);
	lines_of(now, inode, two);
	return !strcmp(one, two);
}

bool held_is_steady(const struct scan *scan, const struct orphans *orphans)
{
	char *now = malloc(LOCKS_TEXT_MAX);
	bool steady;

	if (!now)
		abort();
	steady = read_small(AT_FDCWD, "/proc/locks", now, LOCKS_TEXT_MAX) >= 0;
	for (size_t i = 0; i < orphans->count && steady; i++)
		steady = is_steady(scan->locks, now, &orphans->at[i]);
	free(now);
	return steady;
}
