/*
 * Disposable workers: children for what may never return. A read of /proc/PID/cmdline, environ or maps
 * waits for that process's mmap lock, and its holder may be waiting for a thaw.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFTOVERS_MAX	32
#define READ_TIMEOUT_MS 2000
#define KILL_GRACE_MS	200

static struct {
	pthread_mutex_t lock;
	struct {
		pid_t pid;
		char what[96];
	} child[LEFTOVERS_MAX];
} leftovers = {.lock = PTHREAD_MUTEX_INITIALIZER};

int pidfd_of(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool child_ends_by(int pidfd, int64_t deadline_ns)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, left_ms(deadline_ns));
	while (n < 0 && errno == EINTR);
	return n > 0;
}

static size_t leftover_slot(pid_t find, pid_t put, const char *what)
{
	size_t i = 0;

	pthread_mutex_lock(&leftovers.lock);
	while (i < LEFTOVERS_MAX && leftovers.child[i].pid != find)
		i++;
	if (i < LEFTOVERS_MAX) {
		leftovers.child[i].pid = put;
		snprintf(leftovers.child[i].what, sizeof(leftovers.child[i].what), "%s", what);
	}
	pthread_mutex_unlock(&leftovers.lock);
	return i;
}

void leftover_reap(pid_t pid, const char *what)
{
	leftover_slot(0, pid, what);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	leftover_slot(pid, 0, "");
}

void child_reap(pid_t pid, int pidfd, const char *what)
{
	if (child_ends_by(pidfd, guest_ns() + KILL_GRACE_MS * NS_PER_MS))
		waitpid(pid, NULL, 0);
	else
		leftover_reap(pid, what);
}

void leftover_residue(struct out *out)
{
	char text[160];

	pthread_mutex_lock(&leftovers.lock);
	for (size_t i = 0; i < LEFTOVERS_MAX; i++) {
		if (!leftovers.child[i].pid)
			continue;
		snprintf(text, sizeof(text), "process %d was killed and does not end: %s",
			leftovers.child[i].pid, leftovers.child[i].what);
		out_text(out, NULL, text);
	}
	pthread_mutex_unlock(&leftovers.lock);
}

/* ---- read ---- */

struct errand {
	const char *path;
	size_t max;
	int64_t offset; /* -1: from the beginning, also of what has no offsets */
};

/* In the child, which other threads' locks came with: system calls only. Ends with the errno, which at an offset
 * counts only if nothing could be read: memory has holes. */
static void __attribute__((noreturn)) copy_file(const struct errand *errand, int to)
{
	int fd = open(errand->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t max = errand->max, size;
	int64_t offset = errand->offset;
	char bytes[4096];
	ssize_t n = 0;

	while (fd >= 0 && max) {
		size = sizeof(bytes) < max ? sizeof(bytes) : max;
		n = offset < 0 ? read(fd, bytes, size) : pread(fd, bytes, size, offset);
		if (n <= 0)
			break;
		max -= (size_t)n;
		offset += offset < 0 ? 0 : n;
		for (ssize_t done = 0, m; done < n; done += m)
			if ((m = write(to, bytes + done, (size_t)(n - done))) < 0)
				_exit(EPIPE);
	}
	_exit(fd < 0 || (n < 0 && (offset < 0 || max == errand->max)) ? errno : 0);
}

/* True once the worker closed its end, false at the deadline. */
static bool collect(int fd, char *text, size_t *len, size_t size, int64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	for (;;) {
		n = poll(&p, 1, left_ms(deadline_ns));
		if (n == 0)
			return false;
		n = read(fd, text + *len, size - *len);
		if (n <= 0)
			return true;
		*len += (size_t)n;
	}
}

static void answer_read(const struct request *request, const char *text, size_t len, size_t max)
{
	auto_out out = {0};

	answer_begin(&out, request);
	if (json_is_true(json_object_get(request->args, "hex")))
		out_hex(&out, "hex", text, len < max ? len : max);
	else
		out_bytes(&out, "text", text, len < max ? len : max);
	out_bool(&out, "cut", len > max);
	answer_send(&out, request);
}

static void read_by_worker(const struct request *request, char *text, size_t max)
{
	int64_t timeout_ms = request_int(request, "timeout_ms", READ_TIMEOUT_MS);
	const char *path = request_text(request, "path");
	/* One byte more, to see whether there is more. */
	struct errand errand = {
		.path = path, .max = max + 1, .offset = request_int(request, "offset", -1)};
	int pipe_fd[2] = {-1, -1}, pidfd, status = 0;
	char what[96];
	size_t len = 0;
	pid_t pid;
	bool ended;

	if (pipe2(pipe_fd, O_CLOEXEC) || (pid = fork()) < 0) {
		answer_error(request, "cannot make a worker: %s", strerror(errno));
		close(pipe_fd[0]);
		close(pipe_fd[1]);
		return;
	}
	if (!pid)
		copy_file(&errand, pipe_fd[1]);
	close(pipe_fd[1]);
	pidfd = pidfd_of(pid);
	ended = collect(pipe_fd[0], text, &len, max + 1, guest_ns() + timeout_ms * NS_PER_MS);
	if (!ended)
		kill(pid, SIGKILL);
	close(pipe_fd[0]);
	if (ended && waitpid(pid, &status, 0) == pid && status)
		answer_error(request, "cannot read '%s': %s", path, strerror(WEXITSTATUS(status)));
	else if (ended)
		answer_read(request, text, len, max);
	else
		answer_error(request, "'%s' could not be read within %lld ms: unreadable", path,
			(long long)timeout_ms);
	snprintf(what, sizeof(what), "a read of '%.64s'", path);
	if (!ended)
		child_reap(pid, pidfd, what);
	close(pidfd);
}

void verb_read(const struct request *request)
{
	const char *path = request_text(request, "path");
	int64_t max = request_int(request, "max", WITNESS_READ_MAX);
	char *text;

	if (path[0] != '/' || max < 1 || max > WITNESS_READ_MAX) {
		answer_error(request, "read: '%s' is no absolute path, or 'max' is not 1 to %u",
			path, WITNESS_READ_MAX);
		return;
	}
	text = malloc((size_t)max + 1);
	if (!text) {
		answer_error(request, "the guest has no memory for %lld bytes", (long long)max);
		return;
	}
	read_by_worker(request, text, (size_t)max);
	free(text);
}
