#include "run/supervise.h"

#include "base/buf.h"
#include "base/clock.h"

#include <assert.h>
#include <signal.h>
#include <string.h>
#include <uv.h>

struct child {
	struct supervisor *owner;
	uv_process_t process;
	uv_timer_t timer;
	struct job job;
	int64_t began_ns;
	bool busy, timed_out;
	int handles; /* still open */
	int status;
};

struct supervisor {
	uv_loop_t loop;
	uv_signal_t signals[2];
	const struct supervise_ops *ops;
	void *arg;
	struct child children[SUPERVISE_JOBS_MAX];
	unsigned int jobs, running;
	bool interrupted, pumping;
	int rc;
	struct err *err;
};

static void pump(struct supervisor *s);

static void child_signal(struct child *child, int sig)
{
	if (child->busy && !uv_is_closing((uv_handle_t *)&child->process))
		uv_process_kill(&child->process, sig);
}

/* The last of a child's handles is closed: tell, and use the place again. */
static void child_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;
	struct supervisor *s = child->owner;
	struct job_end end;

	if (--child->handles)
		return;
	end = (struct job_end){
		.status = child->status,
		.timed_out = child->timed_out,
		.wall_ms = (clock_mono_ns() - child->began_ns) / NS_PER_MS,
	};
	child->busy = false;
	s->running--;
	s->ops->done(s->arg, &child->job, &end);
	pump(s);
}

static void child_exited(uv_process_t *process, int64_t status, int sig)
{
	struct child *child = process->data;

	child->status = sig ? 128 + sig : (int)status;
	uv_close((uv_handle_t *)&child->process, child_closed);
	uv_close((uv_handle_t *)&child->timer, child_closed);
}

static void child_killed(uv_timer_t *timer)
{
	child_signal(timer->data, SIGKILL);
}

static void child_late(uv_timer_t *timer)
{
	struct child *child = timer->data;

	child->timed_out = true;
	child_signal(child, SIGINT);
	uv_timer_start(timer, child_killed, SUPERVISE_GRACE_MS, 0);
}

static int spawn(struct supervisor *s, struct child *child)
{
	char *argv[] = {"mailrig", "worker", (char *)child->job.what, (char *)child->job.dir, NULL};
	uv_stdio_container_t stdio[] = {
		{.flags = UV_IGNORE},
		{.flags = UV_INHERIT_FD, .data.fd = 1},
		{.flags = UV_INHERIT_FD, .data.fd = 2},
	};
	uv_process_options_t options = {
		.exit_cb = child_exited,
		.args = argv,
		.stdio_count = 3,
		.stdio = stdio,
		.flags = UV_PROCESS_DETACHED, /* Ctrl-C reaches the supervisor alone */
	};

	/* Not by its path, which a new build may have replaced meanwhile. */
	options.file = "/proc/self/exe";
	return uv_spawn(&s->loop, &child->process, &options);
}

static void start(struct supervisor *s, struct child *child)
{
	int rc;

	child->owner = s;
	child->busy = true;
	child->timed_out = false;
	child->handles = 2;
	child->began_ns = clock_mono_ns();
	child->process.data = child->timer.data = child;
	s->running++;
	uv_timer_init(&s->loop, &child->timer);
	rc = spawn(s, child);
	if (!rc) {
		uv_timer_start(&child->timer, child_late, (uint64_t)child->job.limit_ms, 0);
		return;
	}
	if (!s->rc)
		s->rc = err_set(s->err, rc, "cannot start a worker: %s", uv_strerror(rc));
	child->status = 127;
	uv_close((uv_handle_t *)&child->process, child_closed);
	uv_close((uv_handle_t *)&child->timer, child_closed);
}

static void close_signals(struct supervisor *s)
{
	for (size_t i = 0; i < 2; i++)
		if (!uv_is_closing((uv_handle_t *)&s->signals[i]))
			uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* Start what can be started; `done` of a job that could not start comes back in here. */
static void pump(struct supervisor *s)
{
	if (s->pumping)
		return;
	s->pumping = true;
	for (unsigned int i = 0; i < s->jobs && !s->interrupted && !s->rc; i++) {
		if (s->children[i].busy)
			continue;
		if (!s->ops->next(s->arg, &s->children[i].job))
			break;
		start(s, &s->children[i]);
	}
	s->pumping = false;
	if (!s->running)
		close_signals(s);
}

static void on_signal(uv_signal_t *handle, int sig)
{
	struct supervisor *s = handle->data;
	bool again = s->interrupted;

	(void)sig;
	s->interrupted = true;
	for (unsigned int i = 0; i < s->jobs; i++) {
		struct child *child = &s->children[i];

		child_signal(child, again ? SIGKILL : SIGINT);
		if (child->busy && !again)
			uv_timer_start(&child->timer, child_killed, SUPERVISE_GRACE_MS, 0);
	}
}

int supervise(unsigned int jobs, const struct supervise_ops *ops, void *arg, struct err *err)
{
	static const int numbers[] = {SIGINT, SIGTERM};
	struct supervisor *s = mem_zero(1, sizeof(*s));
	int rc;

	s->jobs = jobs < 1 ? 1 : jobs > SUPERVISE_JOBS_MAX ? SUPERVISE_JOBS_MAX : jobs;
	s->ops = ops;
	s->arg = arg;
	s->err = err;
	rc = uv_loop_init(&s->loop);
	if (rc) {
		free(s);
		return err_set(err, rc, "cannot make an event loop: %s", uv_strerror(rc));
	}
	for (size_t i = 0; i < 2; i++) {
		uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
	pump(s);
	uv_run(&s->loop, UV_RUN_DEFAULT);
	rc = s->rc ? s->rc : s->interrupted ? err_set(err, -EINTR, "interrupted") : 0;
	uv_loop_close(&s->loop);
	free(s);
	return rc;
}
