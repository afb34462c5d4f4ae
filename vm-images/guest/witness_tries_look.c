/*
 * What a call that was refused was about: its path or its struct, of the stack as it was at the call or of memory as it
 * is now, and the file. Memory may wait for an mmap lock, and a file for whoever watches it, for ever: so that is done
 * by a child (witness_worker.c).
 */
#include "witness_tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CHILD_MS    2000
#define LOCK_SUFFIX ".lock"

/* ---- in the child, which other threads' locks came with: system calls only ---- */

/* False: it cannot be read any more. */
static bool read_memory(int tid, const struct call *call, uint64_t address, void *to, size_t size)
{
	struct iovec local = {to, size};
	struct iovec remote = {(void *)(uintptr_t)address, size};

	if (address >= call->sp && size <= call->stack_size &&
		address - call->sp <= call->stack_size - size) {
		memcpy(to, call->stack + (address - call->sp), size);
		return true;
	}
	return process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Byte by byte: behind its end there may be nothing. */
static bool read_path(int tid, const struct call *call, char *out, size_t size)
{
	uint64_t address = call->arg[call->kind->path];

	for (size_t i = 0; i < size; i++) {
		if (!read_memory(tid, call, address + i, &out[i], 1))
			return false;
		if (!out[i])
			return i > 0;
	}
	return false;
}

/* As the thread itself would come to it; it stays where a link is. */
static int open_path(int tid, const struct call *call, const char *path)
{
	const struct call_kind *kind = call->kind;
	int dir = kind->dir < 0 ? AT_FDCWD : (int)call->arg[kind->dir], base, fd;
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC};
	char from[48];

	if (path[0] == '/') {
		snprintf(from, sizeof(from), "/proc/%d/root", tid);
		how.resolve = RESOLVE_IN_ROOT;
	} else if (dir == AT_FDCWD) {
		snprintf(from, sizeof(from), "/proc/%d/cwd", tid);
	} else {
		snprintf(from, sizeof(from), "/proc/%d/fd/%d", tid, dir);
	}
	base = open(from, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (base < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, base, path, &how, sizeof(how));
	close(base);
	return fd;
}

/* linux/dirent.h */
struct entry {
	uint64_t ino;
	int64_t next;
	uint16_t size;
	unsigned char type;
	char name[];
};

/* Of a folder that is a lock: the first file in it, which says whose it is. */
static ssize_t read_inside(int dir, char *out, size_t size)
{
	_Alignas(struct entry) char bytes[1024];
	long len = syscall(SYS_getdents64, dir, bytes, sizeof(bytes));
	const struct entry *entry;

	for (long at = 0; at < len; at += entry->size) {
		int file;

		entry = (const struct entry *)(bytes + at);
		if (entry->name[0] == '.' || entry->type != DT_REG)
			continue;
		file = openat(dir, entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		return file < 0 ? 0 : read(file, out, size);
	}
	return 0;
}

static void read_says(int fd, const struct stat *st, char *out, size_t size)
{
	char path[32];
	ssize_t n = 0;
	int file;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(fd, "", out, size - 1);
	} else if (S_ISREG(st->st_mode)) {
		file = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
		n = file < 0 ? 0 : read(file, out, size - 1);
	} else if (S_ISDIR(st->st_mode)) {
		file = open(path, O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
		n = file < 0 ? 0 : read_inside(file, out, size - 1);
	}
	out[n > 0 ? n : 0] = '\0';
}

static bool ends_in(const char *text, const char *end)
{
	size_t len = strlen(text), tail = strlen(end);

	return len > tail && !strcmp(text + len - tail, end);
}

/* False: it is not there any more, or may be anything. */
static bool look_at_file(const struct call *call, struct about *about)
{
	char at[sizeof("/proc/self/fd/") + 12];
	struct timespec now;
	struct stat st;
	ssize_t n;
	int fd;

	if (!read_path(about->tid, call, about->path, sizeof(about->path)) ||
		(about->what == LOOKS && !ends_in(about->path, LOCK_SUFFIX)))
		return false;
	fd = open_path(about->tid, call, about->path);
	if (fd < 0 || fstat(fd, &st))
		return false;
	snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
	n = readlink(at, about->path, sizeof(about->path) - 1);
	about->path[n > 0 ? n : 0] = '\0';
	clock_gettime(CLOCK_REALTIME, &now);
	about->dev = st.st_dev;
	about->ino = st.st_ino;
	about->made_ns = guest_ns() - (now.tv_sec - st.st_mtim.tv_sec) * NS_PER_SEC -
			 (now.tv_nsec - st.st_mtim.tv_nsec);
	read_says(fd, &st, about->says, sizeof(about->says));
	return n > 0;
}

static bool look_at_lock(const struct call *call, struct about *about)
{
	struct flock lock;
	char path[48];
	struct stat st;
	ssize_t n;

	about->fd = (int)call->arg[0];
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", about->tid, about->fd);
	if (stat(path, &st))
		return false;
	n = readlink(path, about->path, sizeof(about->path) - 1);
	about->path[n > 0 ? n : 0] = '\0';
	about->dev = st.st_dev;
	about->ino = st.st_ino;
	about->range.write =
		about->what == ASKS_FLOCK && (call->arg[1] & ~(uint64_t)LOCK_NB) == LOCK_EX;
	if (about->what == ASKS_FLOCK)
		return true;
	about->ofd = call->arg[1] == F_OFD_SETLK;
	if (read_memory(about->tid, call, call->arg[2], &lock, sizeof(lock)))
		range_of(&lock, &about->range);
	return about->range.there;
}

static bool look_at_semaphore(const struct call *call, struct about *about)
{
	struct sembuf ops[SEM_OPS_MAX];
	size_t count = call->arg[2] < SEM_OPS_MAX ? (size_t)call->arg[2] : SEM_OPS_MAX;
	struct ipc_of ipc = {0};

	about->sem.set = (int)call->arg[0];
	if (!count || !read_memory(about->tid, call, call->arg[1], ops, count * sizeof(ops[0])))
		return false;
	for (size_t i = 0; i < count; i++)
		ops[i].sem_flg &= (short)~IPC_NOWAIT; /* as if it had waited */
	sem_wait_find(ops, count, call->arg[2] == count, ipc_is_own(&ipc, about->tid), &about->sem);
	return about->sem.there;
}

static bool look_at(const struct call *call, struct about *about)
{
	switch (call->kind->what) {
	case ASKS_FLOCK:
	case ASKS_FCNTL:
		return look_at_lock(call, about);
	case ASKS_SEMAPHORE:
		return look_at_semaphore(call, about);
	case ASKS_PROCESS:
		about->pid = (int)call->arg[0];
		return true;
	default:
		return look_at_file(call, about);
	}
}

/* A file that was looked at may be looked at for another reason than one that was to be made. */
static bool look(const struct refused *refused, bool looks, struct about *ret)
{
	for (size_t i = refused->count; i-- > 0;) {
		const struct call *call = &refused->calls[i];

		*ret = (struct about){.tid = refused->tid, .what = call->kind->what, .fd = -1};
		if ((call->kind->what == LOOKS) == looks && look_at(call, ret))
			return true;
	}
	return false;
}

static void __attribute__((noreturn))
look_at_all(const struct refused *const *all, size_t count, int to)
{
	struct about about;

	for (size_t i = 0; i < count; i++)
		if ((look(all[i], false, &about) || look(all[i], true, &about)) &&
			write(to, &about, sizeof(about)) != sizeof(about))
			_exit(1);
	_exit(0);
}

/* How many the child told of before it ended, or its time was over. */
static size_t collect(int fd, struct about *out, int64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t count = 0;

	while (count < TRIES_TIDS_MAX && poll(&p, 1, left_ms(deadline_ns)) > 0 &&
		read(fd, &out[count], sizeof(*out)) == sizeof(*out))
		count++;
	return count;
}

/* ---- who sends it ---- */

size_t tries_look(const struct refused *const *all, size_t count, struct about *ret)
{
	int64_t deadline = guest_ns() + CHILD_MS * NS_PER_MS;
	int ends[2], pidfd;
	size_t told;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return 0;
	pid = fork();
	if (!pid)
		look_at_all(all, count, ends[1]);
	close(ends[1]);
	told = pid < 0 ? 0 : collect(ends[0], ret, deadline);
	close(ends[0]);
	if (pid < 0)
		return 0;
	pidfd = pidfd_of(pid);
	kill(pid, SIGKILL);
	child_reap(pid, pidfd, "a look at what a thread wants");
	close(pidfd);
	return told;
}
