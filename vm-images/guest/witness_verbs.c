#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEED_MAX    512 /* bytes */
#define STOPPED_MAX 64	/* tasks the rig has stopped at the same time */

/* ---- answers ---- */

void answer_begin(struct out *out, const struct request *request)
{
	out_open(out, NULL, '{');
	out_int(out, "id", request->id);
	out_bool(out, "ok", true);
}

void answer_send(struct out *out, const struct request *request)
{
	out_close(out, '}');
	if (out->len - 4 <= WITNESS_FRAME_MAX) {
		queue_reply(out, request->session);
		return;
	}
	out_free(out);
	answer_error(request, "the answer is longer than %u bytes", WITNESS_FRAME_MAX);
}

void answer_done(const struct request *request)
{
	auto_out out = {0};

	answer_begin(&out, request);
	answer_send(&out, request);
}

void answer_error(const struct request *request, const char *fmt, ...)
{
	auto_out out = {0};
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_open(&out, NULL, '{');
	out_int(&out, "id", request->id);
	out_bool(&out, "ok", false);
	out_text(&out, "error", text);
	out_close(&out, '}');
	queue_reply(&out, request->session);
}

const char *request_text(const struct request *request, const char *key)
{
	const char *text = json_string_value(json_object_get(request->args, key));

	return text ? text : "";
}

int64_t request_int(const struct request *request, const char *key, int64_t otherwise)
{
	const json_t *value = json_object_get(request->args, key);

	return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

/* ---- quick verbs ---- */

void hello_begin(struct out *out)
{
	char boot_id[64] = "";

	read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot_id, sizeof(boot_id));
	boot_id[strcspn(boot_id, "\n")] = '\0';
	out_int(out, "version", WITNESS_VERSION);
	out_text(out, "boot_id", boot_id);
}

static void verb_hello(const struct request *request)
{
	auto_out out = {0};

	answer_begin(&out, request);
	hello_begin(&out);
	out_int(&out, "guest_ns", guest_ns());
	answer_send(&out, request);
}

static void verb_ping(const struct request *request)
{
	static int64_t heartbeat;
	auto_out out = {0};

	answer_begin(&out, request);
	out_int(&out, "guest_ns", guest_ns());
	out_int(&out, "heartbeat", ++heartbeat);
	answer_send(&out, request);
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Bytes decoded, -1 if it is no lower-case hex. */
static int unhex(const char *hex, unsigned char *bytes, size_t size)
{
	size_t len = strlen(hex);

	if (!len || len % 2 || len / 2 > size)
		return -1;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(hex[i]), low = hex_digit(hex[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		bytes[i / 2] = (unsigned char)(high << 4 | low);
	}
	return (int)(len / 2);
}

/* Clones of one template would otherwise read the same /dev/urandom. */
static int add_entropy(const unsigned char *bytes, int len)
{
	union {
		struct rand_pool_info info;
		char room[sizeof(struct rand_pool_info) + SEED_MAX];
	} pool = {.info = {.entropy_count = len * 8, .buf_size = len}};
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return errno;
	memcpy(pool.info.buf, bytes, (size_t)len);
	if (ioctl(fd, RNDADDENTROPY, &pool.info) || ioctl(fd, RNDRESEEDCRNG))
		rc = errno;
	close(fd);
	return rc;
}

static void verb_seed(const struct request *request)
{
	unsigned char bytes[SEED_MAX];
	int len = unhex(request_text(request, "hex"), bytes, sizeof(bytes)), rc;

	if (len < 0) {
		answer_error(
			request, "seed: 'hex' is not 1 to %d bytes of lower-case hex", SEED_MAX);
		return;
	}
	rc = add_entropy(bytes, len);
	if (rc)
		answer_error(request, "cannot seed the guest's random numbers: %s", strerror(rc));
	else
		answer_done(request);
}

static atomic_bool clock_set;

bool clock_was_set(void)
{
	return atomic_load(&clock_set);
}

static void verb_clock(const struct request *request)
{
	int64_t ns = request_int(request, "realtime_ns", -1);
	struct timespec ts = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};

	if (ns < 0) {
		answer_error(request, "clock: 'realtime_ns' is missing or negative");
	} else if (clock_settime(CLOCK_REALTIME, &ts)) {
		answer_error(request, "cannot set the clock: %s", strerror(errno));
	} else {
		atomic_store(&clock_set, true);
		answer_done(request);
	}
}

/* ---- signal ---- */

struct stopped {
	int pid;
	uint64_t start;
};

static struct {
	pthread_mutex_t lock;
	struct stopped task[STOPPED_MAX];
	size_t count;
} stopped = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int process_stat(int pid, struct task_stat *stat)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return task_stat_read(AT_FDCWD, path, stat);
}

static void note_stopped(int pid, uint64_t start, bool now)
{
	pthread_mutex_lock(&stopped.lock);
	for (size_t i = 0; i < stopped.count;)
		if (stopped.task[i].pid == pid)
			stopped.task[i] = stopped.task[--stopped.count];
		else
			i++;
	if (now && stopped.count < STOPPED_MAX) {
		stopped.task[stopped.count].pid = pid;
		stopped.task[stopped.count++].start = start;
	}
	pthread_mutex_unlock(&stopped.lock);
}

static void signal_residue(struct out *out)
{
	struct stopped task[STOPPED_MAX];
	struct task_stat stat;
	char text[160];
	size_t count;

	pthread_mutex_lock(&stopped.lock);
	count = stopped.count;
	memcpy(task, stopped.task, sizeof(task));
	pthread_mutex_unlock(&stopped.lock);
	for (size_t i = 0; i < count; i++) {
		if (process_stat(task[i].pid, &stat) || stat.start != task[i].start ||
			stat.state != 'T')
			continue;
		snprintf(text, sizeof(text), "process %d ('%s') is still stopped", task[i].pid,
			stat.comm);
		out_text(out, NULL, text);
	}
}

/* The pidfd is taken first: what is checked and what is hit are then the same process. */
static void verb_signal(const struct request *request)
{
	int pid = (int)request_int(request, "pid", 0);
	int sig = (int)request_int(request, "signal", -1);
	uint64_t start = (uint64_t)request_int(request, "start", 0);
	struct task_stat stat;
	int fd;

	if (pid <= 1 || sig < 0 || pid == getpid()) {
		answer_error(request, "signal: 'pid' or 'signal' is missing or not allowed");
		return;
	}
	fd = pidfd_of(pid);
	if (fd < 0 || process_stat(pid, &stat) || stat.start != start)
		answer_error(request, "process %d that started at %llu is gone", pid,
			(unsigned long long)start);
	else if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0))
		answer_error(request, "cannot signal process %d: %s", pid, strerror(errno));
	else
		answer_done(request);
	if (fd < 0)
		return;
	close(fd);
	if (sig == SIGSTOP || sig == SIGCONT)
		note_stopped(pid, start, sig == SIGSTOP);
}

/* ---- slower verbs ---- */

static void verb_unlink(const struct request *request)
{
	const char *path = request_text(request, "path");

	if (path[0] != '/')
		answer_error(request, "unlink: '%s' is no absolute path", path);
	else if (unlink(path))
		answer_error(request, "cannot unlink '%s': %s", path, strerror(errno));
	else
		answer_done(request);
}

static void verb_residue(const struct request *request)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_open(&out, "residue", '[');
	signal_residue(&out);
	mount_residue(&out);
	board_residue(&out);
	limits_residue(&out);
	quota_residue(&out);
	leftover_residue(&out);
	run_residue(&out);
	out_close(&out, ']');
	answer_send(&out, request);
}

/* ---- dispatch ---- */

struct verb {
	const char *name;
	void (*run)(const struct request *request);
	bool waits; /* may take longer than a moment: in a thread of its own */
};

static const struct verb verbs[] = {
	{"hello", verb_hello, false},
	{"ping", verb_ping, false},
	{"run", verb_run, true},
	{"start", verb_start, true},
	{"seed", verb_seed, false},
	{"clock", verb_clock, false},
	{"scan", verb_scan, true},
	{"freeze", verb_freeze, true},
	{"thaw", verb_thaw, true},
	{"mounts", verb_mounts, true},
	{"signal", verb_signal, false},
	{"board", verb_board, true},
	{"tail", verb_tail, true},
	{"untail", verb_untail, true},
	{"unlink", verb_unlink, true},
	{"read", verb_read, true},
	{"profile", verb_profile, true},
	{"tries", verb_tries, true},
	{"exits", verb_exits, true},
	{"residue", verb_residue, true},
	{"there", verb_there, true},
	{"link", verb_link, true},
	{"skip", verb_skip, false},
	{"watch", verb_watch, true},
	{"descriptors", verb_descriptors, true},
	{"quota", verb_quota, true},
};

struct job {
	struct request request;
	const struct verb *verb;
};

static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static int jobs;

static bool job_count(int change)
{
	bool ok;

	pthread_mutex_lock(&jobs_lock);
	ok = jobs + change <= JOBS_MAX;
	if (ok)
		jobs += change;
	pthread_mutex_unlock(&jobs_lock);
	return ok;
}

static void job_free(struct job *job)
{
	json_decref(job->request.args);
	free(job);
}

static void *job_thread(void *arg)
{
	struct job *job = arg;

	job->verb->run(&job->request);
	job_free(job);
	job_count(-1);
	return NULL;
}

static void dispatch(struct job *job)
{
	if (!job->verb->waits || (job->verb->run == verb_board && board_is_quick(&job->request))) {
		job->verb->run(&job->request);
		job_free(job);
		return;
	}
	if (!job_count(1)) {
		answer_error(&job->request, "%d requests are in progress already", JOBS_MAX);
		job_free(job);
		return;
	}
	if (thread_start(job_thread, job))
		return;
	answer_error(&job->request, "the guest has no room for another thread");
	job_free(job);
	job_count(-1);
}

bool verbs_dispatch(const char *json, size_t len, unsigned int session)
{
	struct job *job = calloc(1, sizeof(*job));
	const char *name;

	if (!job)
		abort();
	job->request.args = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	job->request.id = request_int(&job->request, "id", -1);
	job->request.session = session;
	name = request_text(&job->request, "verb");
	if (job->request.id < 0 || !name[0]) {
		job_free(job);
		return false;
	}
	for (size_t i = 0; !job->verb && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(name, verbs[i].name))
			job->verb = &verbs[i];
	if (job->verb) {
		dispatch(job);
	} else {
		answer_error(&job->request, "there is no verb '%s'", name);
		job_free(job);
	}
	return true;
}
