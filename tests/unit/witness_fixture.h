/*
 * The real witness as a child of a test: its port is a unix socket, its files are in the case's own
 * folder, and nothing of it needs root or a guest. The program is $MAILRIG_WITNESS, or guest/witness in
 * the build folder the test is in.
 */
#pragma once

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "tests/check/check.h"
#include "vm/witness.h"
#include "vm/witness_wire.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FIXTURE_WAIT_MS 20000

struct bench {
	const char *dir;
	pid_t pid;
	struct witness *w;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	json_t *events;
};

static inline int64_t soon(void)
{
	return deadline_in_ms(FIXTURE_WAIT_MS);
}

static inline char *bench_path(const struct bench *b, const char *name)
{
	return path_join(b->dir, name);
}

static inline void keep_event(void *arg, const char *name, const json_t *json, int64_t arrived_ns)
{
	struct bench *b = arg;

	(void)name;
	(void)arrived_ns;
	pthread_mutex_lock(&b->lock);
	json_array_append(b->events, (json_t *)json);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

static inline const json_t *find_event(
	const struct bench *b, const char *name, const char *key, const char *text)
{
	json_t *event;
	size_t i;

	json_array_foreach (b->events, i, event)
		if (!strcmp(json_get_text(event, "event", "gone"), name) &&
			(!key || !strcmp(json_get_text(event, key, ""), text)))
			return event;
	return NULL;
}

/* The first event `name` whose `key` is `text` (key NULL: any); NULL when none came in time. Borrowed
 * from the bench. */
static inline const json_t *bench_wait(
	struct bench *b, const char *name, const char *key, const char *text)
{
	const json_t *event;
	int64_t deadline = soon();
	int rc = 0;

	pthread_mutex_lock(&b->lock);
	while (!(event = find_event(b, name, key, text)) && rc != -ETIMEDOUT)
		rc = cond_wait(&b->changed, &b->lock, deadline);
	pthread_mutex_unlock(&b->lock);
	return event;
}

/* What make built beside this test program, by its path from there. Caller frees. */
static inline char *built_file(const char *name)
{
	char self[4096] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		abort();
	*strrchr(self, '/') = '\0';
	return path_join(self, name);
}

static inline char *witness_program(void)
{
	const char *given = getenv("MAILRIG_WITNESS");

	return given ? text_dup(given) : built_file("../guest/witness");
}

static inline bool bench_spawn(struct bench *b, int listen_fd)
{
	auto_free char *program = witness_program();
	auto_free char *fd = text_fmt("%d", listen_fd);
	auto_free char *run_dir = bench_path(b, "run");
	auto_free char *log = bench_path(b, "log");
	char *argv[] = {program, "--listen-fd", fd, "--run-dir", run_dir, "--log-socket", log,
		"--no-kmsg", "--no-core", "--no-realtime", NULL};
	int keep[] = {listen_fd, -1};
	struct err err = {0};

	b->pid = proc_spawn(&(struct proc_spec){.argv = argv,
				    .stdin_fd = -1,
				    .stdout_fd = -1,
				    .stderr_fd = STDERR_FILENO,
				    .keep_fds = keep},
		&err);
	if (b->pid < 0)
		fprintf(stderr, "%s\n", err.text);
	return b->pid > 0;
}

static inline bool bench_connect(struct bench *b)
{
	auto_free char *port = bench_path(b, "port");
	struct err err = {0};
	int rc = witness_open(port, keep_event, b, soon(), &b->w, &err);

	if (rc)
		fprintf(stderr, "%s\n", err.text);
	return CHECK_INT(rc, 0);
}

static inline void bench_init(struct bench *b)
{
	*b = (struct bench){.dir = check_dir(), .events = json_array()};
	pthread_mutex_init(&b->lock, NULL);
	cond_init(&b->changed);
}

static inline bool bench_open(struct bench *b)
{
	auto_free char *port = NULL;
	auto_close int fd = -1;

	bench_init(b);
	port = bench_path(b, "port");
	fd = io_listen_unix(port, NULL);
	return CHECK(fd >= 0) && CHECK(bench_spawn(b, fd)) && bench_connect(b);
}

static inline void bench_close(struct bench *b)
{
	witness_close(b->w);
	if (b->pid > 0)
		proc_end(b->pid, 0);
	json_decref(b->events);
	pthread_mutex_destroy(&b->lock);
	pthread_cond_destroy(&b->changed);
	b->w = NULL;
}

#define auto_bench cleanup(bench_close)

/* That thread in a scan; NULL: it is not there. Borrowed. */
static inline json_t *task_of(const json_t *scan, int tid)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_int(task, "tid", 0) == tid)
			return task;
	return NULL;
}

/* A datagram to the witness's log socket: 0 or -errno. */
static inline int bench_log(const struct bench *b, const char *text, size_t len, int flags)
{
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/log", b->dir);
	return sendto(fd, text, len, flags, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno
											: 0;
}
