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
#include "witness_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCAN_TIMEOUT_MS 1000
#define DEEP_TIMEOUT_MS 500 /* for each of its two parts */
#define SCANNERS_MAX	8
#define STACK_MAX	2048
#define PF_KTHREAD	0x00200000ul /* include/linux/sched.h */

/* Scanners on their way, so that another scan need not hang at the same task. */
static struct {
	pthread_mutex_t lock;
	struct scan *scan[SCANNERS_MAX];
} scanners = {.lock = PTHREAD_MUTEX_INITIALIZER};

void scan_hold(struct scan *scan)
{
	pthread_mutex_lock(&scan->lock);
	scan->users++;
	pthread_mutex_unlock(&scan->lock);
}

void scan_put(struct scan *scan)
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
	out_free(&scan->fds);
	out_free(&scan->sockets);
	out_free(&scan->held);
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
	scan->tears = sysconf(_SC_NPROCESSORS_ONLN) > 1; /* it reads a file: once for all threads */
	scan->users = 1;
	return scan;
}

/* ---- first pass: nothing that waits ---- */

/*
 * Whoever reads /proc/locks first waits for a grace period of RCU, and others run meanwhile; whoever reads it soon
 * after does not (fs/locks.c: locks_start(), kernel/rcu/sync.c: rcu_sync_enter(), Linux 6.1). So the one instant begins
 * behind a first read.
 */
static void wait_for_locks(void)
{
	char none[2];

	rcu_hurry(true);
	read_once(AT_FDCWD, "/proc/locks", none, sizeof(none));
	rcu_hurry(false);
}

static void read_locks(struct scan *scan)
{
	ssize_t n;

	scan->locks = malloc(LOCKS_TEXT_MAX);
	if (!scan->locks)
		abort();
	n = read_small(AT_FDCWD, "/proc/locks", scan->locks, LOCKS_TEXT_MAX);
	scan->truncated = n >= (ssize_t)LOCKS_TEXT_MAX - 1;
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
bool scan_is_idle_kthread(const struct task_stat *stat)
{
	return stat->flags & PF_KTHREAD && stat->state != 'D' && stat->state != 'R';
}

static void read_wchan(struct row *row, int dir, const char *tid)
{
	char path[64];

	snprintf(path, sizeof(path), "%.16s/wchan", tid);
	if (!scan_is_idle_kthread(&row->stat))
		read_once(dir, path, row->wchan, sizeof(row->wchan));
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
	row->via = pid;
	row->tid = atoi(tid);
	/* Otherwise it is the innermost function of the stack, which is read anyway (or the answer asks for it). */
	if (!scan->stacks || row->stat.state == 'D')
		read_wchan(row, dir, tid);
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

/* The first thread has ended before the others: they have the program, the descriptors and the memory. */
static void live_on(struct scan *scan, int proc_dir, size_t first)
{
	size_t living = first;
	char tid[16];

	while (living < scan->count && scan->rows[living]->stat.state == 'Z')
		living++;
	if (living == scan->count)
		return;
	snprintf(tid, sizeof(tid), "%d", scan->rows[living]->tid);
	exe_of(proc_dir, tid, scan->rows[first]->exe, sizeof(scan->rows[first]->exe));
	for (size_t i = first; i < scan->count; i++) {
		struct row *row = scan->rows[i];

		row->via = scan->rows[living]->tid;
		if (i != first)
			memcpy(row->exe, scan->rows[first]->exe, sizeof(row->exe));
	}
}

int scan_via(const struct scan *scan, int pid)
{
	for (size_t i = 0; i < scan->count; i++)
		if (scan->rows[i]->pid == pid)
			return scan->rows[i]->via;
	return pid;
}

/* /proc/PID/stat has the times of all threads together, /proc/PID/task/PID/stat those of the first. */
static void own_times(struct row *first, int proc_dir, const char *pid)
{
	struct task_stat own;
	char path[64];

	snprintf(path, sizeof(path), "%.16s/task/%.16s/stat", pid, pid);
	if (task_stat_read(proc_dir, path, &own))
		return;
	first->stat.utime = own.utime;
	first->stat.stime = own.stime;
}

static void add_process(struct scan *scan, int proc_dir, const char *pid)
{
	struct row *first = add_task(scan, proc_dir, atoi(pid), pid);
	size_t index = scan->count - 1;

	if (!first)
		return;
	if (!(first->stat.flags & PF_KTHREAD))
		exe_of(proc_dir, pid, first->exe, sizeof(first->exe));
	if (first->stat.threads < 2)
		return;
	own_times(first, proc_dir, pid);
	add_threads(scan, proc_dir, pid, first);
	if (first->stat.state == 'Z')
		live_on(scan, proc_dir, index);
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

void row_note_ran(const struct row *row, char out[RAN_MAX])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", row->pid, row->tid);
	read_once(AT_FDCWD, path, out, RAN_MAX);
}

/* "[<0>] name+0x1/0x2": where it waits is the innermost function of its stack. */
static void innermost(const char *stack, char *out, size_t size)
{
	const char *name = strchr(stack, ' ');

	if (name && size)
		snprintf(out, size, "%.*s", (int)strcspn(name + 1, "+\n"), name + 1);
}

/* `dir` is /proc/PID/task. */
static void read_waits(const struct scan *scan, int dir, struct namespaces *ns, struct row *row)
{
	char path[64], stack[STACK_MAX] = "";

	snprintf(path, sizeof(path), "%d/syscall", row->tid);
	read_once(dir, path, row->syscall, sizeof(row->syscall));
	row->syscall[strcspn(row->syscall, "\n")] = '\0';
	if (scan->deep) {
		snprintf(path, sizeof(path), "%d/schedstat", row->tid);
		read_once(dir, path, row->ran, sizeof(row->ran));
		if (!(row->stat.flags & PF_KTHREAD))
			namespaces_look(ns, dir, row);
	}
	if (scan->stacks) {
		snprintf(path, sizeof(path), "%d/stack", row->tid);
		if (read_once(dir, path, stack, sizeof(stack)) > 0)
			row->stack = strdup(stack);
		if (!row->wchan[0])
			innermost(stack, row->wchan, sizeof(row->wchan));
	}
	atomic_store(&row->done, true);
}

int proc_dir_of(struct proc_dir *dir, int pid, const char *name)
{
	char path[32];

	if (dir->pid == pid)
		return dir->fd;
	if (dir->fd >= 0)
		close(dir->fd);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	dir->pid = pid;
	dir->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir->fd;
}

static void read_all_waits(struct scan *scan)
{
	struct proc_dir dir = {.fd = -1};
	struct namespaces ns;

	namespaces_begin(&ns);
	for (size_t i = 0; i < scan->count; i++) {
		struct row *row = scan->rows[i];

		if (another_hangs_at(scan, row->tid))
			continue;
		atomic_store(&scan->at, row->tid);
		if (scan_is_idle_kthread(&row->stat))
			atomic_store(&row->done, true);
		else
			read_waits(scan, proc_dir_of(&dir, row->pid, "task"), &ns, row);
	}
	atomic_store(&scan->at, 0);
	if (dir.fd >= 0)
		close(dir.fd);
}

bool row_call(const struct row *row, int *ret_number, uint64_t arg[CALL_ARGS])
{
	char *end;
	long number = strtol(row->syscall, &end, 10);

	*ret_number = (int)number;
	if (!atomic_load(&row->done) || end == row->syscall || number < 0)
		return false;
	for (int i = 0; i < CALL_ARGS; i++) {
		const char *at = end;

		arg[i] = strtoull(at, &end, 16);
		if (end == at)
			return false;
	}
	return true;
}

static void *scanner_thread(void *arg)
{
	struct scan *scan = arg;

	read_all_waits(scan);
	scan_files(scan);
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
	scan_hold(scan);
	if (!thread_start(scanner_thread, scan)) {
		scanner_leave(scan);
		scan_put(scan);
		return false;
	}
	pthread_mutex_lock(&scan->lock);
	while (!scan->finished && pthread_cond_timedwait(&scan->done, &scan->lock, &ts) == 0)
		;
	finished = scan->finished;
	pthread_mutex_unlock(&scan->lock);
	return finished;
}

/* ---- the verb ---- */

void verb_scan(const struct request *request)
{
	struct scan *scan = scan_new(json_is_true(json_object_get(request->args, "stacks")));
	int64_t timeout_ms = request_int(request, "timeout_ms", SCAN_TIMEOUT_MS);
	int64_t begin;
	bool whole;

	scan->deep = json_is_true(json_object_get(request->args, "deep"));
	wait_for_locks();
	begin = guest_ns();
	read_locks(scan);
	read_tasks(scan);
	whole = scan_waits(scan, begin + timeout_ms * NS_PER_MS);
	if (scan->deep) {
		scan_memory(scan, guest_ns() + DEEP_TIMEOUT_MS * NS_PER_MS);
		scan_ends(scan, guest_ns() + DEEP_TIMEOUT_MS * NS_PER_MS);
	}
	scan_answer(request, scan, begin, whole);
	scan_put(scan);
}
