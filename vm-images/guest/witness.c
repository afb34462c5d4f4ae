/* The witness's start: see witness.h for what it is. */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PRIORITY_MAIN	60
#define PRIORITY_OTHERS 50 /* the main loop preempts a scan */
#define STACK_SIZE	(256u << 10)

static bool realtime;
static int hurry_fd = -1; /* /sys/kernel/rcu_expedited (kernel/ksysfs.c), where it is 0 */

int64_t guest_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int left_ms(int64_t deadline_ns)
{
	int64_t left = deadline_ns - guest_ns();

	if (left <= 0)
		return 0;
	left = (left + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* ---- /proc ---- */

static ssize_t read_file(int dirfd, const char *path, char *out, size_t size, bool once)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	size_t len = 0;

	out[0] = '\0';
	if (fd < 0)
		return -errno;
	while (n > 0 && len < size - 1 && !(once && len)) {
		n = read(fd, out + len, size - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	out[len] = '\0';
	n = n < 0 && !len ? -errno : (ssize_t)len;
	close(fd);
	return n;
}

ssize_t read_small(int dirfd, const char *path, char *out, size_t size)
{
	return read_file(dirfd, path, out, size, false);
}

ssize_t read_once(int dirfd, const char *path, char *out, size_t size)
{
	return read_file(dirfd, path, out, size, true);
}

void read_exe(int pid, char *out, size_t size)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
}

#define STAT_FIELDS \
	22 /* of /proc/PID/stat, counted from 1 as proc(5) does; up to the last that is wanted */

/* The state, and the fields behind it at their numbers. By hand: sscanf() takes as long as the reading. */
static bool read_numbers(const char *at, char *ret_state, int64_t number[STAT_FIELDS + 1])
{
	char *end;

	*ret_state = at[0] ? at[1] : '\0';
	if (!*ret_state)
		return false;
	at += 2;
	for (int i = 4; i <= STAT_FIELDS; i++, at = end) {
		number[i] = (int64_t)strtoll(at, &end, 10);
		if (end == at)
			return false;
	}
	return true;
}

/* proc(5): "pid (comm) state ppid pgrp session tty tpgid flags ... starttime", comm may hold ") (". */
int task_stat_read(int dirfd, const char *path, struct task_stat *ret)
{
	char text[1024], *open, *close;
	int64_t number[STAT_FIELDS + 1];
	ssize_t n = read_once(dirfd, path, text, sizeof(text));

	if (n < 0)
		return (int)n;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open)
		return -EINVAL;
	*close = '\0';
	snprintf(ret->comm, sizeof(ret->comm), "%s", open + 1);
	if (!read_numbers(close + 1, &ret->state, number))
		return -EINVAL;
	ret->ppid = (int)number[4];
	ret->session = (int)number[6];
	ret->flags = (unsigned long)number[9];
	ret->utime = (uint64_t)number[14];
	ret->stime = (uint64_t)number[15];
	ret->reaped = (uint64_t)number[16] + (uint64_t)number[17];
	ret->threads = (int)number[20];
	ret->start = (uint64_t)number[22];
	return 0;
}

/* ---- priority, memory, threads ---- */

static bool set_priority(int priority)
{
	struct sched_param param = {.sched_priority = priority};

	/* Per thread, and not inherited: a store that ran at this priority would be another store. */
	return !realtime || !sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param);
}

struct thread {
	void *(*fn)(void *);
	void *arg;
};

static void *thread_main(void *slot)
{
	struct thread thread = *(struct thread *)slot;

	free(slot);
	set_priority(PRIORITY_OTHERS);
	return thread.fn(thread.arg);
}

bool thread_start(void *(*fn)(void *), void *arg)
{
	struct thread *slot = malloc(sizeof(*slot));
	pthread_attr_t attr;
	pthread_t id;
	int rc;

	if (!slot)
		return false;
	*slot = (struct thread){fn, arg};
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE); /* all of it is locked memory */
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&id, &attr, thread_main, slot);
	pthread_attr_destroy(&attr);
	if (rc)
		free(slot);
	return !rc;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static void prepare_hurry(void)
{
	char now = '\0';

	hurry_fd = open("/sys/kernel/rcu_expedited", O_RDWR | O_CLOEXEC);
	if (hurry_fd >= 0 && (pread(hurry_fd, &now, 1, 0) != 1 || now != '0')) {
		close(hurry_fd);
		hurry_fd = -1;
	}
}

void rcu_hurry(bool on)
{
	/* Where it fails, one waits as everybody does. */
	if (hurry_fd >= 0 && pwrite(hurry_fd, on ? "1" : "0", 1, 0) < 0)
		return;
}

static void become_unstoppable(void)
{
	/* An arena for each thread would be locked memory for each thread. And what a look at the machine needs is
	 * kept for the next: the kernel fills all of a new mapping that is locked, which takes longer than the look. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 4 << 20);
	realtime = true;
	if (!write_text("/proc/self/oom_score_adj", "-1000"))
		perror("witness: cannot leave the OOM killer's list");
	prepare_hurry();
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		perror("witness: cannot lock its memory");
	if (!set_priority(PRIORITY_MAIN))
		perror("witness: cannot run at real-time priority");
}

/* ---- start ---- */

static void set_core_pattern(const char *run_dir)
{
	char self[PATH_TEXT_MAX] = "", pattern[PATH_TEXT_MAX + 128];

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return;
	snprintf(pattern, sizeof(pattern), "|%s core %s %%P %%s", self, run_dir);
	if (!write_text("/proc/sys/fs/suid_dumpable", "2") ||
		!write_text("/proc/sys/kernel/core_pattern", pattern))
		perror("witness: cannot set the core pattern");
}

static bool report(const char *what, int rc)
{
	if (rc)
		fprintf(stderr, "witness: %s: %s\n", what, strerror(-rc));
	return !rc;
}

static bool start(const struct options *o)
{
	char why[256];

	if (mkdir(o->run_dir, 0755) && errno != EEXIST)
		return report(o->run_dir, -errno);
	if (!o->no_realtime)
		become_unstoppable();
	if (port_open(o, why, sizeof(why))) {
		fprintf(stderr, "witness: %s\n", why);
		return false;
	}
	if (!o->no_core)
		set_core_pattern(o->run_dir);
	if (!o->no_core) /* whoever can do without goes without */
		report("process events", failures_start());
	return report(o->log_socket, log_start(o->log_socket)) &&
	       (o->no_kmsg || report("/dev/kmsg", kmsg_start())) &&
	       report("inotify", tail_start()) && report("core", core_start(o->run_dir)) &&
	       report("board", board_start(o->run_dir));
}

static void usage(void)
{
	fputs("usage: witness [--run-dir DIR] [--log-socket PATH] [--listen-fd N]\n"
	      "               [--no-kmsg] [--no-core] [--no-realtime]\n"
	      "       witness core RUN_DIR PID SIGNAL < CORE\n",
		stderr);
	exit(64);
}

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"run-dir", required_argument, NULL, 'r'},
		{"log-socket", required_argument, NULL, 's'},
		{"listen-fd", required_argument, NULL, 'l'},
		{"no-kmsg", no_argument, NULL, 'k'},
		{"no-core", no_argument, NULL, 'c'},
		{"no-realtime", no_argument, NULL, 't'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		o->no_kmsg |= c == 'k';
		o->no_core |= c == 'c';
		o->no_realtime |= c == 't';
		if (c == 'r')
			o->run_dir = optarg;
		if (c == 's')
			o->log_socket = optarg;
		if (c == 'l')
			o->listen_fd = atoi(optarg);
		if (c == '?')
			usage();
	}
	if (optind < argc)
		usage();
}

int main(int argc, char **argv)
{
	struct options options = {
		.run_dir = RUN_DIR_DEFAULT, .log_socket = "/dev/log", .listen_fd = -1};

	if (argc > 1 && !strcmp(argv[1], "core"))
		return core_main(argc - 2, argv + 2);
	parse(&options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (!start(&options))
		return 1;
	port_loop();
}
