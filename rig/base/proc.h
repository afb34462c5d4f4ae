/*
 * Child processes that cannot outlive their parent.
 *
 * proc_spawn() must be called from a thread that lives as long as the child may: PR_SET_PDEATHSIG
 * (SIGKILL) follows the *thread* that forked. Workers call it from their main thread.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

struct proc_spec {
	char *const *argv;   /* argv[0] is looked up in PATH; NULL-terminated */
	char *const *env;    /* extra "NAME=value" entries, NULL-terminated; NULL: none */
	const char *dir;     /* working directory, NULL: the caller's */
	int stdin_fd;	     /* -1: /dev/null. Descriptors stay the caller's */
	int stdout_fd;	     /* -1: /dev/null */
	int stderr_fd;	     /* -1: /dev/null */
	const int *keep_fds; /* passed on under the same number, ended by -1; NULL: none */
};

/* The pid (the child leads its own process group), or a negative errno; "cannot run 'x'" is
 * reported here, not by the child. */
pid_t proc_spawn(const struct proc_spec *spec, struct err *err);

/* Wait for the end: the wait status in `*ret_status`, or -ETIMEDOUT at the deadline (the child runs
 * on). */
int proc_wait(pid_t pid, int64_t deadline_ns, int *ret_status, struct err *err);

/* End a child and reap it: SIGTERM to its group, SIGKILL after `grace_ms`. No error if it is gone.
 */
void proc_end(pid_t pid, int grace_ms);

/* Run to the end, standard output (bounded by `max` bytes) into `out` if not NULL, stderr into the
 * error. Returns the exit code (0..255), 128+signal, or a negative errno (-ETIMEDOUT: it was
 * ended). */
int proc_run(char *const *argv, int64_t deadline_ns, struct buf *out, size_t max, struct err *err);
