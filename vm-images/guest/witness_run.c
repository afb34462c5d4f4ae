#include "witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_TIMEOUT_MS 60000
#define ENV_MAX	       64
#define WORDS_MAX      32
#define KILL_ROUNDS    20
#define KILL_GRACE_MS  1000

/* The output's last WITNESS_OUTPUT_MAX bytes. */
struct tail_text {
	char *data; /* twice the limit, so that the front is dropped rarely */
	size_t len;
	bool cut;
};

struct command {
	const struct request *request;
	bool daemons;
	char *env[ENV_MAX + 4];
	size_t env_count;
	char *words;		   /* a copy of the line, which `argv` points into */
	char *argv[WORDS_MAX + 1]; /* the first is NULL: it needs a shell */
	pid_t pid;
	int pidfd, out_fd;
	int64_t deadline_ns;
	struct tail_text output;
};

/* Commands whose reply is still owed, for the limit and for residue. */
static struct {
	pthread_mutex_t lock;
	const struct command *running[WITNESS_RUNS_MAX];
} runs = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool replace_run(const struct command *from, const struct command *to)
{
	size_t i = 0;

	pthread_mutex_lock(&runs.lock);
	while (i < WITNESS_RUNS_MAX && runs.running[i] != from)
		i++;
	if (i < WITNESS_RUNS_MAX)
		runs.running[i] = to;
	pthread_mutex_unlock(&runs.lock);
	return i < WITNESS_RUNS_MAX;
}

void run_residue(struct out *out)
{
	char text[160];

	pthread_mutex_lock(&runs.lock);
	for (size_t i = 0; i < WITNESS_RUNS_MAX; i++) {
		if (!runs.running[i])
			continue;
		snprintf(text, sizeof(text), "command '%.96s' is still running",
			request_text(runs.running[i]->request, "command"));
		out_text(out, NULL, text);
	}
	pthread_mutex_unlock(&runs.lock);
}

/* ---- the child ---- */

static bool add_env(struct command *c, const char *name, const char *value)
{
	if (c->env_count == ENV_MAX || !name[0] || strchr(name, '='))
		return false;
	if (asprintf(&c->env[c->env_count], "%s=%s", name, value) < 0)
		abort();
	c->env_count++;
	return true;
}

static bool build_env(struct command *c)
{
	const json_t *env = json_object_get(c->request->args, "env");
	const char *name;
	json_t *value;
	bool ok = !env || json_is_object(env);

	add_env(c, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	add_env(c, "HOME", "/root");
	add_env(c, "LC_ALL", "C.UTF-8");
	json_object_foreach ((json_t *)env, name, value)
		ok = ok && json_is_string(value) && add_env(c, name, json_string_value(value));
	return ok;
}

static void write_self(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, text, strlen(text));

	(void)n;
	if (fd >= 0)
		close(fd);
}

/* A program's path and plain words mean to a shell what they say. It is not started for them: that takes longer than
 * most such programs run. */
static bool split_plain(char *words, char *argv[WORDS_MAX + 1])
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-=:,@%+ ";
	char *save = NULL, *word = words;
	size_t count = 0;

	if (words[strspn(words, plain)])
		return false;
	while ((word = strtok_r(count ? NULL : words, " ", &save)) && count < WORDS_MAX)
		argv[count++] = word;
	argv[count] = NULL;
	return count && !word && strchr(argv[0], '/') && !strchr(argv[0], '=');
}

static void split(struct command *c)
{
	c->words = strdup(request_text(c->request, "command"));
	if (!c->words)
		abort();
	if (!split_plain(c->words, c->argv))
		c->argv[0] = NULL;
}

/* After a fork out of many threads: system calls only. What makes the witness unstoppable must not be
 * inherited: priority (SCHED_RESET_ON_FORK), locked memory (never is), and the OOM exemption. What cannot be
 * executed as it is the shell knows how to run, or has words for. */
static void __attribute__((noreturn))
exec_command(struct command *c, const char *line, const char *dir, int out_fd)
{
	static const char failed[] = "cannot run /bin/sh, or not in that folder\n";
	char *const argv[] = {"sh", "-c", (char *)line, NULL};
	struct sigaction dfl = {.sa_handler = SIG_DFL};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;
	ssize_t n;

	setsid();
	write_self("/proc/self/oom_score_adj", "0");
	sigaction(SIGPIPE, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(022);
	if (dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(out_fd, 2) < 0)
		_exit(126);
	if (!*dir || !chdir(dir)) {
		if (c->argv[0])
			execve(c->argv[0], c->argv, c->env);
		execve("/bin/sh", argv, c->env);
	}
	n = write(2, failed, sizeof(failed) - 1);
	(void)n;
	_exit(127);
}

static int spawn(struct command *c)
{
	const char *line = request_text(c->request, "command");
	const char *dir = request_text(c->request, "dir");
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	c->pid = fork();
	if (!c->pid)
		exec_command(c, line, dir, fds[1]);
	close(fds[1]);
	if (c->pid < 0) {
		close(fds[0]);
		return -errno;
	}
	c->out_fd = fds[0];
	c->pidfd = pidfd_of(c->pid);
	fcntl(c->out_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

/* ---- output ---- */

static void add_output(struct tail_text *t, const char *bytes, size_t len)
{
	if (!t->data)
		t->data = malloc(2 * WITNESS_OUTPUT_MAX);
	if (!t->data)
		abort();
	if (t->len + len > 2 * WITNESS_OUTPUT_MAX) {
		size_t drop = t->len - WITNESS_OUTPUT_MAX;

		memmove(t->data, t->data + drop, WITNESS_OUTPUT_MAX);
		t->len = WITNESS_OUTPUT_MAX;
		t->cut = true;
	}
	memcpy(t->data + t->len, bytes, len);
	t->len += len;
}

/* All that is there now. False once nobody can write any more. */
static bool drain(struct command *c)
{
	char bytes[4096];
	ssize_t n;

	while ((n = read(c->out_fd, bytes, sizeof(bytes))) > 0)
		add_output(&c->output, bytes, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* True when the shell has ended, false at the deadline. */
static bool wait_for_end(struct command *c)
{
	struct pollfd p[2] = {
		{.fd = c->pidfd, .events = POLLIN}, {.fd = c->out_fd, .events = POLLIN}};

	for (;;) {
		int n = poll(p, 2, left_ms(c->deadline_ns));

		if (n == 0)
			return false;
		if (n < 0)
			continue;
		if (p[1].revents && !drain(c))
			p[1].fd = -1;
		if (p[0].revents)
			return true;
	}
}

/* ---- the end of a session ---- */

/* True: since the command was started the kernel has given nobody a number, and so the command begot nobody. Its own,
 * the last that was given, is not free before it is waited for. (Linux 6.1, fs/proc/loadavg.c: the last word.) */
static bool begot_nobody(pid_t pid)
{
	char text[96] = "";
	const char *last;

	read_once(AT_FDCWD, "/proc/loadavg", text, sizeof(text));
	last = strrchr(text, ' ');
	return last && atoi(last) == pid;
}

/* Kills what is left of the session; zombies count as gone. True if there was anything. */
static bool kill_round(pid_t session)
{
	DIR *proc = opendir("/proc");
	struct task_stat stat;
	struct dirent *entry;
	bool found = false;
	char path[300];

	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name), fd;

		if (pid <= 1 || getsid(pid) != session)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		fd = pidfd_of(pid);
		if (!task_stat_read(AT_FDCWD, path, &stat) && stat.session == session &&
			stat.state != 'Z' && stat.state != 'X') {
			found = true;
			kill(pid, SIGKILL);
			child_ends_by(fd, guest_ns() + KILL_GRACE_MS / KILL_ROUNDS * NS_PER_MS);
		}
		close(fd);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Until nothing is found: a process may fork while the round goes by. One that never dies (waiting
 * uninterruptibly) costs the rounds and no more. */
static void kill_session(pid_t session)
{
	for (int i = 0; i < KILL_ROUNDS && kill_round(session); i++)
		;
}

/* ---- the verbs ---- */

static int reap(struct command *c)
{
	int status = 0;

	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void answer(struct command *c, int status, bool timed_out)
{
	struct tail_text *t = &c->output;
	size_t skip = t->len > WITNESS_OUTPUT_MAX ? t->len - WITNESS_OUTPUT_MAX : 0;
	auto_out out = {0};

	answer_begin(&out, c->request);
	out_int(&out, "status", status);
	out_bytes(&out, "output", t->data ? t->data + skip : "", t->len - skip);
	out_bool(&out, "timed_out", timed_out);
	out_bool(&out, "cut", t->cut || skip);
	answer_send(&out, c->request);
}

/* Daemons keep the pipe as their stdout: whoever writes to it must neither wait nor get SIGPIPE. */
static void follow_output(int fd)
{
	char bytes[WITNESS_LINE_MAX], line[WITNESS_LINE_MAX];
	size_t len = 0;
	ssize_t n;

	fcntl(fd, F_SETFL, 0);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR))
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] != '\n' && len < sizeof(line))
				line[len++] = bytes[i];
			if (bytes[i] != '\n')
				continue;
			line_event("stdout", line, len, DROP);
			len = 0;
		}
	if (len)
		line_event("stdout", line, len, DROP);
}

static void finish(struct command *c, bool ended)
{
	const char *line = request_text(c->request, "command");
	bool dead = ended;
	char what[96];

	if (!ended || (!c->daemons && !begot_nobody(c->pid)))
		kill_session(c->pid);
	if (!ended)
		dead = child_ends_by(c->pidfd, guest_ns() + KILL_GRACE_MS * NS_PER_MS);
	drain(c);
	answer(c, dead ? reap(c) : 128 + SIGKILL, !ended);
	replace_run(c, NULL);
	snprintf(what, sizeof(what), "command '%.80s'", line);
	if (!dead)
		leftover_reap(c->pid, what);
	else if (ended && c->daemons)
		follow_output(c->out_fd);
}

static void run(struct command *c)
{
	int rc;

	if (!build_env(c)) {
		answer_error(c->request, "'env' is no object of at most %d texts", ENV_MAX - 3);
		return;
	}
	if (!replace_run(NULL, c)) {
		answer_error(c->request, "%u commands run already", WITNESS_RUNS_MAX);
		return;
	}
	split(c);
	rc = spawn(c);
	if (rc) {
		replace_run(c, NULL);
		answer_error(c->request, "cannot start a process: %s", strerror(-rc));
		return;
	}
	finish(c, wait_for_end(c));
	close(c->out_fd);
	close(c->pidfd);
}

static void verb_command(const struct request *request, bool daemons)
{
	int64_t timeout_ms = request_int(request, "timeout_ms", RUN_TIMEOUT_MS);
	struct command *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	if (timeout_ms < 0 || timeout_ms > INT64_MAX / NS_PER_MS / 2)
		timeout_ms = RUN_TIMEOUT_MS;
	c->request = request;
	c->daemons = daemons;
	c->deadline_ns = guest_ns() + timeout_ms * NS_PER_MS;
	if (request_text(request, "command")[0])
		run(c);
	else
		answer_error(request, "'command' is missing");
	for (size_t i = 0; i < c->env_count; i++)
		free(c->env[i]);
	free(c->words);
	free(c->output.data);
	free(c);
}

void verb_run(const struct request *request)
{
	verb_command(request, false);
}

void verb_start(const struct request *request)
{
	verb_command(request, true);
}
