/*
 * A scan: who waits for whom, at one instant. At real-time priority on a one-vCPU guest nothing else
 * runs while it is taken, so edges cannot tear; no signal and no ptrace, because either removes waiters
 * from /proc/locks and changes what system calls return.
 *
 * No file that takes another process's mmap lock is opened (cmdline, environ, maps, mem).
 * `syscall` and `stack` take exec_update_lock (fs/proc/base.c: lock_trace, Linux 6.1), and a process in
 * exec may hold that one while it waits for an mmap lock. So those are read by a second thread, the
 * scanner; if it does not come back in time the scan is answered without, and the task it hangs at is
 * named and left out of later scans until the scanner returns.
 */
#include "witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SCAN_TIMEOUT_MS 1000
#define SCANNERS_MAX	8
#define LOCKS_MAX	(256u << 10)
#define STACK_MAX	2048
#define TEXT_BUDGET	(7u << 20) /* of WITNESS_FRAME_MAX */
#define LOCK_PIDS_MAX	256
#define PF_KTHREAD	0x00200000ul /* include/linux/sched.h */

struct row {
	int pid, tid;
	struct task_stat stat;
	char wchan[64];
	char exe[256];
	char syscall[192];
	char *stack;
	atomic_bool done; /* syscall and stack are final */
};

struct scan {
	pthread_mutex_t lock; /* `finished` and `users` */
	pthread_cond_t done;
	bool finished;
	int users; /* the verb's thread and the scanner: the last one frees */
	bool stacks, truncated;
	char *locks;
	struct row **rows;
	size_t count, size;
	struct out files;
	size_t file_count;
	_Atomic int at; /* tid the scanner reads now */
};

/* Scanners on their way, so that another scan need not hang at the same task. */
static struct {
	pthread_mutex_t lock;
	struct scan *scan[SCANNERS_MAX];
} scanners = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void scan_put(struct scan *scan)
{
	bool last;

	pthread_mutex_lock(&scan->lock);
	last = --scan->users == 0;
	pthread_mutex_unlock(&scan->lock);
	if (!last)
		return;
	for (size_t i = 0; i < scan->count; i++) {
		free(scan->rows[i]->stack);
		free(scan->rows[i]);
	}
	free(scan->rows);
	free(scan->locks);
	out_free(&scan->files);
	pthread_cond_destroy(&scan->done);
	pthread_mutex_destroy(&scan->lock);
	free(scan);
}

static struct scan *scan_new(bool stacks)
{
	struct scan *scan = calloc(1, sizeof(*scan));
	pthread_condattr_t attr;

	if (!scan)
		abort();
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&scan->done, &attr);
	pthread_mutex_init(&scan->lock, NULL);
	scan->stacks = stacks;
	scan->users = 1;
	return scan;
}

/* ---- first pass: nothing that waits ---- */

static void read_locks(struct scan *scan)
{
	ssize_t n;

	scan->locks = calloc(1, LOCKS_MAX);
	if (!scan->locks)
		abort();
	n = read_small(AT_FDCWD, "/proc/locks", scan->locks, LOCKS_MAX);
	scan->truncated = n >= (ssize_t)LOCKS_MAX - 1;
}

static bool room_for_row(struct scan *scan)
{
	struct row **rows;

	if (scan->count == WITNESS_TASKS_MAX) {
		scan->truncated = true;
		return false;
	}
	if (scan->count < scan->size)
		return true;
	scan->size = scan->size ? 2 * scan->size : 256;
	rows = realloc(scan->rows, scan->size * sizeof(struct row *));
	if (!rows)
		abort();
	scan->rows = rows;
	return true;
}

/* An idle kernel thread's wait and stack say nothing and cost as much as any other. */
static bool is_idle_kthread(const struct task_stat *stat)
{
	return stat->flags & PF_KTHREAD && stat->state != 'D' && stat->state != 'R';
}

/* `dir` is /proc or /proc/PID/task. Returns the row, NULL if the task has ended or there is no room. */
static struct row *add_task(struct scan *scan, int dir, int pid, const char *tid)
{
	struct row *row;
	char path[64];

	if (!room_for_row(scan))
		return NULL;
	row = calloc(1, sizeof(*row));
	if (!row)
		abort();
	snprintf(path, sizeof(path), "%.16s/stat", tid);
	if (task_stat_read(dir, path, &row->stat)) {
		free(row);
		return NULL;
	}
	row->pid = pid;
	row->tid = atoi(tid);
	snprintf(path, sizeof(path), "%.16s/wchan", tid);
	if (!is_idle_kthread(&row->stat))
		read_once(dir, path, row->wchan, sizeof(row->wchan));
	scan->rows[scan->count++] = row;
	return row;
}

/* By get_task_exe_file(): no mmap lock (fs/proc/base.c, Linux 6.1). */
static void exe_of(int proc_dir, const char *pid, char *out, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "%.16s/exe", pid);
	n = readlinkat(proc_dir, path, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}

/* The threads but the first, which is there already. */
static void add_threads(struct scan *scan, int proc_dir, const char *pid, const struct row *first)
{
	struct dirent *entry;
	struct row *row;
	char path[32];
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%.16s/task", pid);
	fd = openat(proc_dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || atoi(entry->d_name) == first->tid)
			continue;
		row = add_task(scan, fd, first->pid, entry->d_name);
		if (row)
			memcpy(row->exe, first->exe, sizeof(row->exe));
	}
	closedir(dir);
}

static void add_process(struct scan *scan, int proc_dir, const char *pid)
{
	struct row *first = add_task(scan, proc_dir, atoi(pid), pid);

	if (!first)
		return;
	if (!(first->stat.flags & PF_KTHREAD))
		exe_of(proc_dir, pid, first->exe, sizeof(first->exe));
	if (first->stat.threads > 1)
		add_threads(scan, proc_dir, pid, first);
}

static void read_tasks(struct scan *scan)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	while (proc && (entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			add_process(scan, dirfd(proc), entry->d_name);
	if (proc)
		closedir(proc);
}

/* ---- second pass: the scanner ---- */

static bool scanner_enter(struct scan *scan)
{
	size_t i = 0;

	pthread_mutex_lock(&scanners.lock);
	while (i < SCANNERS_MAX && scanners.scan[i])
		i++;
	if (i < SCANNERS_MAX)
		scanners.scan[i] = scan;
	pthread_mutex_unlock(&scanners.lock);
	return i < SCANNERS_MAX;
}

static void scanner_leave(struct scan *scan)
{
	pthread_mutex_lock(&scanners.lock);
	for (size_t i = 0; i < SCANNERS_MAX; i++)
		if (scanners.scan[i] == scan)
			scanners.scan[i] = NULL;
	pthread_mutex_unlock(&scanners.lock);
}

static bool another_hangs_at(const struct scan *scan, int tid)
{
	bool found = false;

	pthread_mutex_lock(&scanners.lock);
	for (size_t i = 0; i < SCANNERS_MAX; i++)
		found |= scanners.scan[i] && scanners.scan[i] != scan &&
			 atomic_load(&scanners.scan[i]->at) == tid;
	pthread_mutex_unlock(&scanners.lock);
	return found;
}

static void read_waits(struct scan *scan, struct row *row)
{
	char path[64], stack[STACK_MAX] = "";

	if (is_idle_kthread(&row->stat)) {
		atomic_store(&row->done, true);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", row->pid, row->tid);
	read_once(AT_FDCWD, path, row->syscall, sizeof(row->syscall));
	row->syscall[strcspn(row->syscall, "\n")] = '\0';
	if (scan->stacks) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", row->pid, row->tid);
		if (read_once(AT_FDCWD, path, stack, sizeof(stack)) > 0)
			row->stack = strdup(stack);
	}
	atomic_store(&row->done, true);
}

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

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
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

static void read_files(struct scan *scan)
{
	int seen[LOCK_PIDS_MAX], pid;
	size_t count = 0, i;

	for (const char *line = scan->locks; *line; line++) {
		pid = pid_of_lock(line);
		for (i = 0; i < count && seen[i] != pid; i++)
			;
		if (pid > 0 && i == count && count < LOCK_PIDS_MAX) {
			seen[count++] = pid;
			add_files(scan, pid);
		}
		line = strchr(line, '\n');
		if (!line)
			break;
	}
}

static void *scanner_thread(void *arg)
{
	struct scan *scan = arg;

	for (size_t i = 0; i < scan->count; i++) {
		struct row *row = scan->rows[i];

		if (another_hangs_at(scan, row->tid))
			continue;
		atomic_store(&scan->at, row->tid);
		read_waits(scan, row);
	}
	atomic_store(&scan->at, 0);
	read_files(scan);
	scanner_leave(scan);
	pthread_mutex_lock(&scan->lock);
	scan->finished = true;
	pthread_cond_signal(&scan->done);
	pthread_mutex_unlock(&scan->lock);
	scan_put(scan);
	return NULL;
}

/* True if the scanner came back in time: then, and only then, all of the scan may be read. */
static bool scan_waits(struct scan *scan, int64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = deadline_ns / NS_PER_SEC, .tv_nsec = deadline_ns % NS_PER_SEC};
	bool finished;

	if (!scanner_enter(scan))
		return false;
	scan->users++;
	if (!thread_start(scanner_thread, scan)) {
		scanner_leave(scan);
		scan->users--;
		return false;
	}
	pthread_mutex_lock(&scan->lock);
	while (!scan->finished && pthread_cond_timedwait(&scan->done, &scan->lock, &ts) == 0)
		;
	finished = scan->finished;
	pthread_mutex_unlock(&scan->lock);
	return finished;
}

/* ---- the answer ---- */

static void add_row(struct out *out, struct row *row)
{
	char state[2] = {row->stat.state, '\0'};

	out_open(out, NULL, '{');
	out_int(out, "pid", row->pid);
	out_int(out, "tid", row->tid);
	out_int(out, "ppid", row->stat.ppid);
	out_text(out, "comm", row->stat.comm);
	if (row->exe[0])
		out_text(out, "exe", row->exe);
	out_text(out, "state", state);
	out_int(out, "start", (int64_t)row->stat.start);
	out_text(out, "wchan", row->wchan);
	if (atomic_load(&row->done)) {
		if (row->syscall[0])
			out_text(out, "syscall", row->syscall);
		if (row->stack)
			out_text(out, "stack", row->stack);
	}
	out_close(out, '}');
}

static void add_rows(struct out *out, struct scan *scan)
{
	out_open(out, "tasks", '[');
	for (size_t i = 0; i < scan->count; i++) {
		if (out->len > TEXT_BUDGET) {
			scan->truncated = true;
			break;
		}
		add_row(out, scan->rows[i]);
	}
	out_close(out, ']');
	out_open(out, "unreadable", '[');
	for (size_t i = 0; i < scan->count; i++)
		if (!atomic_load(&scan->rows[i]->done))
			out_int(out, NULL, scan->rows[i]->tid);
	out_close(out, ']');
}

static void answer(const struct request *request, struct scan *scan, int64_t begin, bool whole)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_int(&out, "guest_ns", begin);
	out_text(&out, "locks", scan->locks);
	out_open(&out, "files", '[');
	if (whole && scan->files.data)
		out_add(&out, scan->files.data + 4, scan->files.len - 4);
	out_close(&out, ']');
	add_rows(&out, scan);
	out_bool(&out, "truncated", scan->truncated);
	out_int(&out, "took_ns", guest_ns() - begin);
	answer_send(&out, request);
}

void verb_scan(const struct request *request)
{
	struct scan *scan = scan_new(json_is_true(json_object_get(request->args, "stacks")));
	int64_t timeout_ms = request_int(request, "timeout_ms", SCAN_TIMEOUT_MS);
	int64_t begin = guest_ns();
	bool whole;

	read_locks(scan);
	read_tasks(scan);
	whole = scan_waits(scan, begin + timeout_ms * NS_PER_MS);
	answer(request, scan, begin, whole);
	scan_put(scan);
}
