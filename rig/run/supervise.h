/*
 * Child processes under a deadline, so many at a time, on one libuv loop. The children are this same
 * program (`mailrig worker ...`); each ends itself when its parent dies. SIGINT and SIGTERM to the
 * supervisor are passed on: children heal and close, no new ones start; after SUPERVISE_GRACE_MS, or at
 * a second signal, they are killed.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SUPERVISE_JOBS_MAX 64
#define SUPERVISE_GRACE_MS 45000

struct job {
	const char *what; /* of `mailrig worker WHAT DIR`: borrowed until `done` */
	const char *dir;
	int64_t limit_ms; /* then it is interrupted, and killed after the grace */
	void *arg;
};

struct job_end {
	int status; /* exit code, or 128 + signal */
	bool timed_out;
	int64_t wall_ms;
};

struct supervise_ops {
	/* The next job to run now: false when there is none at this time. */
	bool (*next)(void *arg, struct job *ret);
	/* One has ended. It may make others possible. */
	void (*done)(void *arg, const struct job *job, const struct job_end *end);
};

/* Until nothing runs and `next` gives nothing. 0, -EINTR when interrupted, or another negative errno. */
int supervise(unsigned int jobs, const struct supervise_ops *ops, void *arg, struct err *err);
