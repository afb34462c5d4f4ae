#include "base/proc.h"

#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define RUN_STDERR_MAX 512 /* the tail of a failed program's complaint that goes into the error */
#define RUN_CHUNK      16384
#define RUN_TAKE_MAX   64    /* chunks in one go: more than a pipe holds */
#define KILL_WAIT_MS   10000 /* SIGKILL takes effect at once, but for a task in state D */

extern char **environ;

/* All that the child needs between fork and exec, made before: there it may not allocate. */
struct plan {
	char *program; /* found in PATH */
	char **env;
	int std_fds[3];
	int report_fd;
	pid_t parent;
};

/* What the child says when it cannot start. */
struct failure {
	int errnum;
	bool in_dir; /* chdir() failed, not exec */
};

static bool runnable(const char *path)
{
	return access(path, X_OK) == 0;
}

/* The file that execvp() would take, or `name` itself so that exec says what is wrong with it. */
static char *find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/') || !*name)
		return text_dup(name);
	for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
		size_t len = strcspn(at, ":");
		char *found = text_fmt("%.*s/%s", len ? (int)len : 1, len ? at : ".", name);

		if (runnable(found))
			return found;
		free(found);
		at += len + (at[len] == ':');
	}
	return text_dup(name);
}

static bool same_variable(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return !strncmp(a, b, len + 1);
}

/* The caller's environment with `extra` on top; the strings stay borrowed. */
static char **merged_env(char *const *extra)
{
	size_t own = 0, more = 0, n = 0;
	char **env;

	while (environ && environ[own])
		own++;
	while (extra && extra[more])
		more++;
	env = mem_zero(own + more + 1, sizeof(*env));
	for (size_t i = 0; i < own; i++) {
		bool hidden = false;

		for (size_t j = 0; j < more; j++)
			hidden = hidden || same_variable(extra[j], environ[i]);
		if (!hidden)
			env[n++] = environ[i];
	}
	for (size_t j = 0; j < more; j++)
		env[n++] = extra[j];
	return env;
}

static void plan_free(struct plan *plan)
{
	free(plan->program);
	free(plan->env);
	for (int i = 0; i < 3; i++)
		cleanup_fd(&plan->std_fds[i]);
	cleanup_fd(&plan->report_fd);
}

/* A copy of `fd` above the standard three, so that dup2() onto those overwrites no source. */
static int copy_above(int fd)
{
	auto_close int null = -1;

	if (fd < 0)
		fd = null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int plan_fds(const struct proc_spec *spec, struct plan *plan, int *ret_report_in)
{
	const int wanted[3] = {spec->stdin_fd, spec->stdout_fd, spec->stderr_fd};
	auto_close int out = -1;
	int ends[2];

	for (int i = 0; i < 3; i++) {
		plan->std_fds[i] = copy_above(wanted[i]);
		if (plan->std_fds[i] < 0)
			return -errno;
	}
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	*ret_report_in = ends[0];
	out = ends[1];
	plan->report_fd = copy_above(out);
	return plan->report_fd < 0 ? -errno : 0;
}

static void child_signals(void)
{
	sigset_t none;

	/* An ignored SIGPIPE and a blocked SIGTERM would be inherited through exec. */
	for (int sig = 1; sig < _NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Between fork and exec: async-signal-safe calls only, other threads may have held any lock. */
static _Noreturn void child(const struct proc_spec *spec, const struct plan *plan)
{
	struct failure failure = {0};
	ssize_t n;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != plan->parent)
		_exit(127); /* the parent died before the line above */
	child_signals();
	for (int i = 0; i < 3; i++)
		if (dup2(plan->std_fds[i], i) < 0)
			failure.errnum = errno;
	for (const int *fd = spec->keep_fds; fd && *fd >= 0; fd++)
		if (fcntl(*fd, F_SETFD, 0))
			failure.errnum = errno;
	if (!failure.errnum && spec->dir && chdir(spec->dir)) {
		failure.errnum = errno;
		failure.in_dir = true;
	}
	if (!failure.errnum) {
		execve(plan->program, spec->argv, plan->env);
		failure.errnum = errno;
	}
	n = write(plan->report_fd, &failure, sizeof(failure));
	_exit(n == sizeof(failure) ? 127 : 126);
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The report pipe closes by itself when exec succeeds. */
static int read_report(int fd, const struct proc_spec *spec, struct err *err)
{
	struct failure failure;
	ssize_t n;

	do
		n = read(fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(failure))
		return 0;
	if (failure.in_dir)
		return err_sys(
			err, failure.errnum, "cannot run '%s' in '%s'", spec->argv[0], spec->dir);
	return err_sys(err, failure.errnum, "cannot run '%s'", spec->argv[0]);
}

pid_t proc_spawn(const struct proc_spec *spec, struct err *err)
{
	cleanup(plan_free) struct plan plan = {.std_fds = {-1, -1, -1}, .report_fd = -1};
	auto_close int report_in = -1;
	pid_t pid;
	int rc;

	rc = plan_fds(spec, &plan, &report_in);
	if (rc)
		return err_sys(err, rc, "cannot prepare '%s'", spec->argv[0]);
	plan.program = find_program(spec->argv[0]);
	plan.env = merged_env(spec->env);
	plan.parent = getpid();
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "cannot fork for '%s'", spec->argv[0]);
	if (!pid)
		child(spec, &plan);
	cleanup_fd(&plan.report_fd);
	rc = read_report(report_in, spec, err);
	if (rc) {
		reap(pid);
		return rc;
	}
	return pid;
}

/* Wait until it has ended, without reaping it: 1, or 0 at the deadline. */
static int wait_ended(int pidfd, int64_t deadline_ns)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	for (;;) {
		int left = deadline_left_ms(deadline_ns);
		int n = poll(&p, 1, left);

		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left == 0)
			return 0;
	}
}

int proc_wait(pid_t pid, int64_t deadline_ns, int *ret_status, struct err *err)
{
	auto_close int pidfd = pidfd_open(pid, 0);
	int status = 0, rc;

	if (pidfd < 0)
		return err_sys(err, errno, "cannot wait for process '%d'", (int)pid);
	rc = wait_ended(pidfd, deadline_ns);
	if (rc < 0)
		return err_sys(err, rc, "cannot wait for process '%d'", (int)pid);
	if (!rc)
		return err_set(err, -ETIMEDOUT, "process '%d' has not ended in time", (int)pid);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, errno, "cannot wait for process '%d'", (int)pid);
	if (ret_status)
		*ret_status = status;
	return 0;
}

/* Only a child that was not reaped yet owns its number; any other may be somebody else by now. */
static bool is_my_child(pid_t pid)
{
	siginfo_t info;

	return pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void proc_end(pid_t pid, int grace_ms)
{
	auto_close int pidfd = is_my_child(pid) ? pidfd_open(pid, 0) : -1;

	if (pidfd < 0)
		return;
	if (grace_ms > 0 && !kill(-pid, SIGTERM))
		wait_ended(pidfd, deadline_in_ms(grace_ms));
	/* Also when the leader went quietly: its group may hold more, and until it is reaped the
	 * group's number is still ours. */
	kill(-pid, SIGKILL);
	if (wait_ended(pidfd, deadline_in_ms(KILL_WAIT_MS)) == 1)
		reap(pid);
	else
		log_line("process %d is unkillable", (int)pid);
}

/* One output stream of proc_run(). */
struct stream {
	int fd; /* -1: at its end */
	struct buf *buf;
	size_t max;
	bool keep_tail; /* above max: drop the oldest bytes instead of failing */
};

/* Take what is there: 0, or -EFBIG. Never blocks, and ends even if the writer never does. */
static int stream_take(struct stream *s)
{
	for (int i = 0; i < RUN_TAKE_MAX; i++) {
		char chunk[RUN_CHUNK];
		ssize_t n = read(s->fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			cleanup_fd(&s->fd);
			return 0;
		}
		if (!s->keep_tail && s->buf->len + (size_t)n > s->max)
			return -EFBIG;
		buf_add(s->buf, chunk, (size_t)n);
		if (s->buf->len > s->max)
			buf_consume(s->buf, s->buf->len - s->max);
	}
	return 0;
}

/* Read both streams until the program has ended; what a child of its own still holds open is not
 * waited for. */
static int collect(int pidfd, struct stream *streams, int64_t deadline_ns)
{
	for (;;) {
		struct pollfd p[3] = {{.fd = pidfd, .events = POLLIN},
			{.fd = streams[0].fd, .events = POLLIN},
			{.fd = streams[1].fd, .events = POLLIN}};
		int left = deadline_left_ms(deadline_ns);
		int n = poll(p, ARRAY_SIZE(p), left), rc = 0;

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left == 0)
			return -ETIMEDOUT;
		for (int i = 0; n > 0 && i < 2 && !rc; i++)
			if (streams[i].fd >= 0 && (p[1 + i].revents || p[0].revents))
				rc = stream_take(&streams[i]);
		if (rc || (n > 0 && p[0].revents))
			return rc;
	}
}

static int pipe_into(struct stream *s, int *ret_write_end)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	s->fd = ends[0];
	*ret_write_end = ends[1];
	return fcntl(s->fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/* Exit code, or 128+signal; a failure puts the last words of standard error into the sentence. */
static int verdict_of(const char *name, int status, const struct buf *complaint, struct err *err)
{
	auto_buf struct buf said = {0};
	size_t len = complaint->len;

	while (len && strchr("\n\r ", complaint->data[len - 1]))
		len--;
	if (len) {
		buf_add_str(&said, ": ");
		buf_add_escaped(&said, complaint->data, len);
	}
	if (WIFSIGNALED(status)) {
		err_set(err, 0, "'%s' was ended by signal %d%s", name, WTERMSIG(status),
			buf_text(&said));
		return 128 + WTERMSIG(status);
	}
	if (WEXITSTATUS(status))
		err_set(err, 0, "'%s' failed with code %d%s", name, WEXITSTATUS(status),
			buf_text(&said));
	return WEXITSTATUS(status);
}

/* Until it is reaped: the code, or a negative errno after it was ended. */
static int run_to_end(
	pid_t pid, const char *name, struct stream *streams, int64_t deadline_ns, struct err *err)
{
	auto_close int pidfd = pidfd_open(pid, 0);
	int status = 0;
	int rc = pidfd < 0 ? -errno : collect(pidfd, streams, deadline_ns);

	if (!rc && !proc_wait(pid, CLOCK_NEVER, &status, err))
		return verdict_of(name, status, streams[1].buf, err);
	proc_end(pid, 0);
	if (rc == -ETIMEDOUT)
		return err_set(err, rc, "'%s' did not end in time", name);
	if (rc == -EFBIG)
		return err_set(err, rc, "'%s' printed more than %zu bytes", name, streams[0].max);
	return err_sys(err, rc ? rc : -ECHILD, "cannot run '%s'", name);
}

int proc_run(char *const *argv, int64_t deadline_ns, struct buf *out, size_t max, struct err *err)
{
	auto_buf struct buf complaint = {0};
	auto_close int out_end = -1, err_end = -1;
	struct stream streams[2] = {{.fd = -1, .buf = out, .max = max},
		{.fd = -1, .buf = &complaint, .max = RUN_STDERR_MAX, .keep_tail = true}};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1};
	int rc = out ? pipe_into(&streams[0], &out_end) : 0;

	if (!rc)
		rc = pipe_into(&streams[1], &err_end);
	if (rc) {
		rc = err_sys(err, rc, "cannot prepare '%s'", argv[0]);
	} else {
		spec.stdout_fd = out_end;
		spec.stderr_fd = err_end;
		rc = proc_spawn(&spec, err);
		cleanup_fd(&out_end);
		cleanup_fd(&err_end);
		if (rc > 0)
			rc = run_to_end(rc, argv[0], streams, deadline_ns, err);
	}
	cleanup_fd(&streams[0].fd);
	cleanup_fd(&streams[1].fd);
	return rc;
}
