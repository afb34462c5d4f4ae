/*
 * Descriptors that run out: the soft limit of a process (RLIMIT_NOFILE) is put so low by prlimit(2) that so many more
 * descriptors are free to it and no other. The kernel gives the lowest number that is free and refuses those from the
 * limit on (Linux 6.1, fs/file.c, alloc_fd()), so the limit is the number of the first free one behind the spare ones;
 * what is open stays open. The hard limit stays as it is: a process may help itself, as in real life.
 *
 * Who was born since has the limit of its parent, and is known by it: a soft limit that was put somewhere since it
 * could be inherited, and the same hard one; the parent may be gone. What a process has changed itself since is its own
 * affair. What was given back is remembered, so that residue finds who slipped through.
 */
#include "witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BOUND_MAX    256 /* processes */
#define COUNTERS_MAX 256 /* threads of theirs */
#define FDS_MAX	     4096
#define ROUNDS_MAX   8 /* a process may fork while it is looked at */

struct bound {
	int64_t slot;
	int pid;
	uint64_t start, since; /* clock ticks since the boot, as in /proc/PID/stat */
	struct rlimit was;
	rlim_t low;
	bool given_back;
};

static struct {
	pthread_mutex_t lock;
	struct bound bound[BOUND_MAX];
	size_t count;
	struct {
		int64_t slot;
		int fd;
	} counter[COUNTERS_MAX];
	size_t counters;
} limits = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- one process ---- */

struct process {
	int pid;
	char comm[64];
	uint64_t start;
	struct rlimit limit;
};

static bool read_process(int pid, struct process *ret)
{
	struct task_stat stat;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (pid <= 1 || pid == getpid() || task_stat_read(AT_FDCWD, path, &stat) ||
		prlimit(pid, RLIMIT_NOFILE, NULL, &ret->limit))
		return false;
	ret->pid = pid;
	ret->start = stat.start;
	snprintf(ret->comm, sizeof(ret->comm), "%s", stat.comm);
	return true;
}

/* Calls `each` for every process but the witness until a round changes nothing. 0, or -EAGAIN: none was such. */
static int each_process(bool (*each)(const struct process *process, void *arg), void *arg)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		DIR *proc = opendir("/proc");
		bool changed = false;
		struct dirent *entry;
		struct process process;

		if (!proc)
			return -errno;
		while ((entry = readdir(proc)))
			if (read_process(atoi(entry->d_name), &process))
				changed |= each(&process, arg);
		closedir(proc);
		if (!changed)
			return 0;
	}
	return -EAGAIN;
}

static bool is(const struct bound *b, const struct process *process)
{
	return b->pid == process->pid && b->start == process->start;
}

#define ANY_SLOT (-1)

/* Whose limit this process has: put there by us, or come from who had it; of one slot, or of any. NULL: nobody's. */
static const struct bound *low_by(const struct process *process, int64_t slot)
{
	for (size_t i = 0; i < limits.count; i++) {
		const struct bound *b = &limits.bound[i];

		if ((slot == ANY_SLOT || slot == b->slot) && b->low == process->limit.rlim_cur &&
			b->was.rlim_max == process->limit.rlim_max &&
			(is(b, process) || process->start >= b->since))
			return b;
	}
	return NULL;
}

/* ---- take away ---- */

struct wish {
	int64_t slot, spare;
	const json_t *programs;
	int rc;		  /* of the first that went wrong */
	const char *what; /* and what that was */
};

static bool is_wanted(const struct wish *wish, int pid)
{
	char exe[PATH_TEXT_MAX];
	const json_t *program;
	size_t i;

	read_exe(pid, exe, sizeof(exe));
	json_array_foreach (wish->programs, i, program)
		if (json_is_string(program) && !strcmp(json_string_value(program), exe))
			return true;
	return false;
}

/* The number of its first free descriptor behind the spare ones; 0 if that cannot be told. */
static rlim_t first_free(int pid, int64_t spare)
{
	static bool used[FDS_MAX]; /* under the lock */
	struct dirent *entry;
	char path[32];
	rlim_t at = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	memset(used, 0, sizeof(used));
	while ((entry = readdir(dir))) {
		int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);

		if (fd >= 0 && fd < FDS_MAX)
			used[fd] = true;
	}
	closedir(dir);
	for (; at < FDS_MAX; at++)
		if (!used[at] && spare-- == 0)
			return at;
	return 0;
}

static int count_thread(int64_t slot, int tid)
{
	int fd = limits.counters == COUNTERS_MAX ? -E2BIG : counter_open(tid, -1, EMFILE);

	if (fd < 0)
		return fd == -ESRCH ? 0 : fd;
	limits.counter[limits.counters].slot = slot;
	limits.counter[limits.counters++].fd = fd;
	return 0;
}

/* Those born later are counted with who begot them. */
static int count_threads(int64_t slot, int pid)
{
	struct dirent *entry;
	char path[32];
	int rc = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !rc && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			rc = count_thread(slot, atoi(entry->d_name));
	if (dir)
		closedir(dir);
	return rc;
}

static uint64_t now_ticks(void)
{
	uint64_t per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * per_s + (uint64_t)ts.tv_nsec * per_s / NS_PER_SEC;
}

/* Counted before it is bound, so that nothing is missed. What ends meanwhile is no trouble. */
static int bind_process(struct wish *wish, const struct process *process)
{
	struct bound b = {.slot = wish->slot,
		.pid = process->pid,
		.start = process->start,
		.since = now_ticks(),
		.was = process->limit,
		.low = first_free(process->pid, wish->spare)};
	struct rlimit low = {b.low, b.was.rlim_max};
	int rc;

	if (!b.low || b.low >= b.was.rlim_cur)
		return 0;
	if (limits.count == BOUND_MAX)
		return -E2BIG;
	rc = count_threads(wish->slot, process->pid);
	if (rc) {
		wish->what = "the kernel does not count the calls that fail";
		return rc;
	}
	if (prlimit(process->pid, RLIMIT_NOFILE, &low, NULL))
		return errno == ESRCH ? 0 : -errno;
	limits.bound[limits.count++] = b;
	return 0;
}

static bool take_from(const struct process *process, void *arg)
{
	struct wish *wish = arg;
	size_t before = limits.count;

	if (wish->rc || low_by(process, ANY_SLOT) || !is_wanted(wish, process->pid))
		return false;
	wish->rc = bind_process(wish, process);
	return limits.count > before;
}

/* Of a use that is over: whose number may be another's by now. */
static void forget(int64_t slot)
{
	size_t kept = 0;

	for (size_t i = 0; i < limits.count; i++)
		if (!limits.bound[i].given_back || limits.bound[i].slot != slot)
			limits.bound[kept++] = limits.bound[i];
	limits.count = kept;
}

/* ---- and give back ---- */

static bool give_to(const struct process *process, void *arg)
{
	struct wish *wish = arg;
	const struct bound *b = low_by(process, wish->slot);

	if (!b)
		return false;
	if (prlimit(process->pid, RLIMIT_NOFILE, &b->was, NULL) && errno != ESRCH)
		wish->rc = wish->rc ? wish->rc : -errno;
	return true;
}

static void stop_counting(int64_t slot)
{
	size_t kept = 0;

	for (size_t i = 0; i < limits.counters; i++)
		if (limits.counter[i].slot == slot)
			close(limits.counter[i].fd);
		else
			limits.counter[kept++] = limits.counter[i];
	limits.counters = kept;
}

static int give_back(struct wish *wish)
{
	int rc = each_process(give_to, wish);

	stop_counting(wish->slot);
	for (size_t i = 0; i < limits.count; i++)
		limits.bound[i].given_back |= limits.bound[i].slot == wish->slot;
	return wish->rc ? wish->rc : rc;
}

static bool say_low(const struct process *process, void *out)
{
	char text[160];

	if (!low_by(process, ANY_SLOT))
		return false;
	snprintf(text, sizeof(text), "process %d ('%s') still has a limit of %llu descriptors",
		process->pid, process->comm, (unsigned long long)process->limit.rlim_cur);
	out_text(out, NULL, text);
	return false;
}

void limits_residue(struct out *out)
{
	pthread_mutex_lock(&limits.lock);
	if (limits.count)
		each_process(say_low, out);
	pthread_mutex_unlock(&limits.lock);
}

/* ---- the verb ---- */

static void answer_met(const struct request *request, int64_t slot)
{
	auto_out out = {0};
	int64_t bound = 0, met = 0;

	for (size_t i = 0; i < limits.count; i++)
		bound += limits.bound[i].slot == slot && !limits.bound[i].given_back;
	for (size_t i = 0; i < limits.counters; i++)
		if (limits.counter[i].slot == slot)
			met += (int64_t)counter_read(limits.counter[i].fd);
	answer_begin(&out, request);
	out_int(&out, "bound", bound);
	out_int(&out, "met", met);
	answer_send(&out, request);
}

void verb_descriptors(const struct request *request)
{
	struct wish wish = {.slot = request_int(request, "slot", -1),
		.spare = request_int(request, "spare", 0),
		.what = "the limits of descriptors cannot be changed",
		.programs = json_object_get(request->args, "programs")};
	int rc = 0;

	if (wish.slot < 0 || wish.spare < 0 || (wish.programs && !json_is_array(wish.programs))) {
		answer_error(request, "descriptors: 'slot', 'spare' or 'programs' is wrong");
		return;
	}
	pthread_mutex_lock(&limits.lock);
	if (wish.programs) {
		forget(wish.slot);
		rc = each_process(take_from, &wish);
		rc = wish.rc ? wish.rc : rc;
	} else if (json_is_true(json_object_get(request->args, "give_back"))) {
		rc = give_back(&wish);
	}
	if (rc && wish.programs)
		give_back(&wish);
	if (rc)
		answer_error(request, "%s: %s", wish.what, strerror(-rc));
	else
		answer_met(request, wish.slot);
	pthread_mutex_unlock(&limits.lock);
}
