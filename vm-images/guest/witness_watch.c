/*
 * `watch`: what a branch of the machine, whose idle time is skipped, tells of its threads.
 *
 * Nothing here polls, or the warp would crawl. A thread that leaves its wait is told by the kernel: a
 * software event of its context switches (perf_event_open(2)), of which one sample is a wakeup of ours
 * at the moment the thread goes to sleep again, and the records before it say when it had woken up. Then
 * its system call is looked at: the same number, first argument, stack and instruction pointer as before
 * is the same wait gone into again (a timer that only ticks) and no news. An answer to a connection is
 * told by a packet socket, which sees what the guest sends.
 *
 * The watch is one thread, until the machine ends. It reads /proc/PID/task/TID/syscall, which may wait
 * for a process in exec (see witness_scan.c); a branch that stands still for that is judged by the
 * host's deadline.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define WATCH_FILES_MAX 2048
#define SYSCALL_TEXT	192
#define TICK_MS_MIN	1000

/* ---- what is watched ---- */

struct watched_task {
	int pid, tid, fd; /* fd: of the event, -1: no longer watched */
	struct perf_event_mmap_page *ring;
	struct task_stat stat;
	char exe[256], was[SYSCALL_TEXT];
	uint64_t woke_ns; /* since the last sleep in `was`; 0: not */
	int64_t waited_ns;
};

static struct watch {
	atomic_bool taken;
	struct watched_task tasks[WATCH_TASKS_MAX];
	size_t task_count;
	int packet_fd, timer_fd;
} watch = {.packet_fd = -1, .timer_fd = -1};

static long page_size(void)
{
	static long size;

	if (!size)
		size = sysconf(_SC_PAGESIZE);
	return size;
}

/* ---- tasks: the wait ---- */

static int task_dir(const struct watched_task *task)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", task->pid, task->tid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Where the thread waits, or "running"; "" if it has ended. */
static void read_syscall(const struct watched_task *task, char *out, size_t size)
{
	int dir = task_dir(task);

	out[0] = '\0';
	if (dir < 0)
		return;
	read_once(dir, "syscall", out, size);
	out[strcspn(out, "\n")] = '\0';
	close(dir);
}

/* When it ran last, on the scheduler's clock (kernel/sched/debug.c, Linux 6.1: "se.exec_start : ms.ns"). */
static int64_t last_ran_ns(int dir)
{
	char text[4096], *at;
	long long ms = 0, ns = 0;

	if (dir < 0 || read_once(dir, "sched", text, sizeof(text)) <= 0)
		return -1;
	at = strstr(text, "se.exec_start");
	at = at ? strchr(at, ':') : NULL;
	if (!at || sscanf(at, ": %lld.%lld", &ms, &ns) != 2)
		return -1;
	return ms * NS_PER_MS + ns;
}

/* How long it has not run; -1: cannot be told. */
static int64_t waited(const struct watched_task *task)
{
	struct watched_task self = {.pid = getpid(), .tid = (int)syscall(SYS_gettid)};
	int dir = task_dir(task), own;
	int64_t then = last_ran_ns(dir), now;

	sched_yield(); /* brings the scheduler's record of this thread up to date */
	own = task_dir(&self);
	now = last_ran_ns(own);
	if (dir >= 0)
		close(dir);
	if (own >= 0)
		close(own);
	return then < 0 || now < then ? -1 : now - then;
}

/* ---- tasks: the kernel's word ---- */

static int arm(struct watched_task *task)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CONTEXT_SWITCHES,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.context_switch = 1,
		.wakeup_events = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC};
	void *ring;

	task->fd =
		(int)syscall(SYS_perf_event_open, &attr, task->tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (task->fd < 0)
		return -errno;
	ring = mmap(NULL, 2 * (size_t)page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, task->fd, 0);
	if (ring == MAP_FAILED) {
		close(task->fd);
		task->fd = -1;
		return -errno;
	}
	task->ring = ring;
	return 0;
}

static void disarm(struct watched_task *task)
{
	if (task->fd < 0)
		return;
	munmap(task->ring, 2 * (size_t)page_size());
	close(task->fd);
	task->fd = -1;
}

/* The sizes are powers of two, so a record is contiguous or wraps at the page's end: by bytes. */
static void copy_out(const struct watched_task *task, uint64_t at, void *to, size_t len)
{
	const char *data = (const char *)task->ring + page_size();
	char *out = to;

	for (size_t i = 0; i < len; i++)
		out[i] = data[(at + i) & (uint64_t)(page_size() - 1)];
}

/* Empties the ring; notes when the thread began to run. */
static void read_ring(struct watched_task *task)
{
	uint64_t head = __atomic_load_n(&task->ring->data_head, __ATOMIC_ACQUIRE);
	uint64_t at = task->ring->data_tail, ns;
	struct perf_event_header record;

	while (at + sizeof(record) <= head) {
		copy_out(task, at, &record, sizeof(record));
		if (record.size < sizeof(record))
			break;
		if (record.type == PERF_RECORD_SWITCH &&
			!(record.misc & PERF_RECORD_MISC_SWITCH_OUT) && !task->woke_ns) {
			copy_out(task, at + record.size - sizeof(ns), &ns, sizeof(ns));
			task->woke_ns = ns;
		}
		at += record.size;
	}
	__atomic_store_n(&task->ring->data_tail, head, __ATOMIC_RELEASE);
}

static void tell_task(struct watched_task *task, const char *now)
{
	int64_t ns = guest_ns();
	auto_out out = {0};

	event_begin(&out, now[0] ? "left" : "ended");
	out_int(&out, "pid", task->pid);
	out_int(&out, "tid", task->tid);
	out_text(&out, "comm", task->stat.comm);
	out_text(&out, "exe", task->exe);
	out_int(&out, "woke_ns", task->woke_ns ? (int64_t)task->woke_ns : ns);
	out_text(&out, "was", task->was);
	out_text(&out, "now", now);
	event_send(&out, WAIT);
	disarm(task);
}

/* "NR ARG0 .. ARG5 SP PC" (proc(5)). Of the arguments only the first counts, the thing that is waited for: the
 * others may be a time that is left, or nothing but what was in the registers. */
static bool same_wait(const char *was, const char *now)
{
	char a[4][32], b[4][32];
	static const char format[] = "%31s %31s %*s %*s %*s %*s %*s %31s %31s";

	if (sscanf(was, format, a[0], a[1], a[2], a[3]) != 4 ||
		sscanf(now, format, b[0], b[1], b[2], b[3]) != 4)
		return !strcmp(was, now);
	return !strcmp(a[0], b[0]) && (atoi(a[0]) == SYS_pause || !strcmp(a[1], b[1])) &&
	       !strcmp(a[2], b[2]) && !strcmp(a[3], b[3]);
}

/* `over`: the kernel says that the thread has ended, though it may still be found in /proc. */
static void look_at(struct watched_task *task, bool over)
{
	char now[SYSCALL_TEXT] = "";

	if (task->ring)
		read_ring(task);
	if (!over)
		read_syscall(task, now, sizeof(now));
	if (!strncmp(now, "running", 7))
		return; /* it was only preempted: there will be another switch */
	if (!strncmp(task->was, "running", 7)) /* its first wait is the one that is watched */
		snprintf(task->was, sizeof(task->was), "%s", now);
	if (same_wait(task->was, now))
		task->woke_ns = 0;
	else
		tell_task(task, now);
}

/* ---- the watch ---- */

static void tick(void)
{
	uint64_t times;
	auto_out out = {0};

	if (read(watch.timer_fd, &times, sizeof(times)) < 0)
		return;
	event_begin(&out, "watched");
	event_send(&out, WAIT);
}

static void __attribute__((noreturn)) watch_loop(void)
{
	static struct pollfd p[WATCH_TASKS_MAX + 2];

	for (;;) {
		p[0] = (struct pollfd){.fd = watch.packet_fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = watch.timer_fd, .events = POLLIN};
		for (size_t i = 0; i < watch.task_count; i++)
			p[i + 2] = (struct pollfd){.fd = watch.tasks[i].fd, .events = POLLIN};
		if (poll(p, watch.task_count + 2, -1) < 0)
			continue;
		for (size_t i = 0; i < watch.task_count; i++)
			if (p[i + 2].revents)
				look_at(&watch.tasks[i], p[i + 2].revents & POLLHUP);
		if (p[0].revents)
			watch_conns_read();
		if (p[1].revents)
			tick();
	}
}

static int start_timer(int64_t tick_ms)
{
	struct itimerspec every = {.it_interval = {tick_ms / 1000, tick_ms % 1000 * NS_PER_MS}};

	every.it_value = every.it_interval;
	watch.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (watch.timer_fd < 0 || timerfd_settime(watch.timer_fd, 0, &every, NULL))
		return -errno;
	return 0;
}

/* ---- the request ---- */

static void take_tasks(const json_t *tasks)
{
	json_t *one;
	size_t i;

	json_array_foreach (tasks, i, one) {
		struct watched_task *task = &watch.tasks[watch.task_count];
		const char *was = json_string_value(json_object_get(one, "syscall"));
		uint64_t start = (uint64_t)json_integer_value(json_object_get(one, "start"));
		int dir, rc;

		if (watch.task_count == WATCH_TASKS_MAX)
			return;
		*task = (struct watched_task){.fd = -1,
			.pid = (int)json_integer_value(json_object_get(one, "pid")),
			.tid = (int)json_integer_value(json_object_get(one, "tid"))};
		dir = task_dir(task);
		rc = dir < 0 ? -errno : task_stat_read(dir, "stat", &task->stat);
		if (dir >= 0)
			close(dir);
		if (rc || (start && task->stat.start != start))
			continue;
		read_exe(task->pid, task->exe, sizeof(task->exe));
		if (was)
			snprintf(task->was, sizeof(task->was), "%s", was);
		else
			read_syscall(task, task->was, sizeof(task->was));
		task->waited_ns = waited(task);
		watch.task_count++;
	}
}

static void answer_watch(const struct request *request)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_int(&out, "guest_ns", guest_ns());
	out_open(&out, "tasks", '[');
	for (size_t i = 0; i < watch.task_count; i++) {
		const struct watched_task *task = &watch.tasks[i];

		out_open(&out, NULL, '{');
		out_int(&out, "pid", task->pid);
		out_int(&out, "tid", task->tid);
		out_text(&out, "comm", task->stat.comm);
		out_text(&out, "exe", task->exe);
		out_int(&out, "waited_ns", task->waited_ns);
		out_text(&out, "syscall", task->was);
		out_close(&out, '}');
	}
	out_close(&out, ']');
	watch_conns_answer(&out);
	answer_send(&out, request);
}

void verb_watch(const struct request *request)
{
	int64_t tick_ms = request_int(request, "tick_ms", 0);
	struct rlimit files = {WATCH_FILES_MAX, WATCH_FILES_MAX};
	bool taken = false;
	int rc = 0;

	if (!atomic_compare_exchange_strong(&watch.taken, &taken, true)) {
		answer_error(request, "something is watched already");
		return;
	}
	watch.task_count = 0;
	take_tasks(json_object_get(request->args, "tasks"));
	watch_conns_take(json_object_get(request->args, "conns"));
	if (!tick_ms) { /* only asked what there is */
		answer_watch(request);
		atomic_store(&watch.taken, false);
		return;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	for (size_t i = 0; i < watch.task_count && !rc; i++) {
		rc = arm(&watch.tasks[i]);
		if (rc == -ESRCH) /* it has just ended, which will be told */
			rc = 0;
	}
	if (!rc)
		rc = watch.packet_fd = watch_conns_open();
	if (rc >= 0)
		rc = start_timer(tick_ms < TICK_MS_MIN ? TICK_MS_MIN : tick_ms);
	if (rc) {
		answer_error(request, "cannot watch: %s", strerror(-rc));
		return;
	}
	answer_watch(request);
	/* Who left before the event was armed. */
	for (size_t i = 0; i < watch.task_count; i++)
		look_at(&watch.tasks[i], false);
	watch_loop();
}
