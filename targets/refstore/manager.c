/*
 * The service manager: starts the services, in order, and looks after them. Each end is logged with
 * its count; what ended unexpectedly is started again if its restart policy says so. It ends once
 * all services ended; it never ends one by force.
 *
 * Control socket, one line a client: STOP (all), SERVICES, START SERVICE, HALT SERVICE. A client of
 * STOP and HALT is answered when it is done.
 */
#include "common.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENT_MS 1000
/* Freed memory is overwritten, for every variant of every service alike; glibc (2.36, malloc.c, _int_free()) does
 * not overwrite what goes into a thread's own cache, so there is none. */
#define PERTURB	 "165"
#define TUNABLES "glibc.malloc.tcache_count=0"

struct child {
	const char *name, *program;
	bool restart;
	pid_t pid; /* 0: does not run */
	bool wanted;
	unsigned int ends;
	int waiting;  /* a client of HALT, or -1 */
	int listener; /* that it inherits: whoever comes while it does not run waits there; or -1 */
};

static struct child children[] = {
	{"store", "refstore-store", false, 0, true, 0, -1, -1},
	{"mta", "refstore-mta", true, 0, true, 0, -1, -1},
	{"smtp", "refstore-smtp", true, 0, true, 0, -1, -1},
};
#define CHILDREN (sizeof(children) / sizeof(children[0]))

static char folder[PATH_MAX]; /* of the programs */
static int stop_client = -1;
static bool stopping;

static void start(struct child *child)
{
	char path[PATH_MAX + 64];
	sigset_t none;

	snprintf(path, sizeof(path), "%s/%s", folder, child->program);
	child->wanted = true;
	child->pid = fork();
	if (child->pid)
		return;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (child->listener >= 0 && dup2(child->listener, LISTEN_FD) < 0)
		_exit(126);
	execl(path, child->program, (char *)NULL);
	_exit(127);
}

static void answer(int *client, const char *text)
{
	if (*client < 0)
		return;
	(void)!write(*client, text, strlen(text));
	close(*client);
	*client = -1;
}

static void end_child(struct child *child)
{
	child->wanted = false;
	if (child->pid > 0)
		kill(child->pid, SIGTERM);
}

/* The store goes last: the others need it to end their work. */
static void go_on_stopping(void)
{
	bool others = children[1].pid || children[2].pid;

	if (!stopping || others)
		return;
	if (children[0].pid && children[0].wanted)
		end_child(&children[0]);
	if (children[0].pid)
		return;
	say("all services ended");
	unlink(config_path(MANAGER_SOCKET));
	answer(&stop_client, "OK\n");
	exit(0);
}

static void ended(struct child *child, int status)
{
	bool expected = !child->wanted;

	child->pid = 0;
	child->ends++;
	if (expected)
		say("service %s ended", child->name);
	else if (WIFSIGNALED(status))
		say("service %s terminated unexpectedly, signal %d; it has done this %u time(s)",
			child->name, WTERMSIG(status), child->ends);
	else
		say("service %s terminated unexpectedly, status %d; it has done this %u time(s)",
			child->name, WEXITSTATUS(status), child->ends);
	answer(&child->waiting, "OK\n");
	if (!expected && child->restart)
		start(child);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < CHILDREN; i++)
			if (children[i].pid == pid)
				ended(&children[i], status);
	go_on_stopping();
}

static struct child *child_of(const char *name)
{
	for (size_t i = 0; i < CHILDREN; i++)
		if (!strcmp(children[i].name, name))
			return &children[i];
	return NULL;
}

static void services(int client)
{
	struct bytes text = {0};

	for (size_t i = 0; i < CHILDREN; i++)
		bytes_addf(&text, "%s pid %d ends %u\n", children[i].name, (int)children[i].pid,
			children[i].ends);
	bytes_addf(&text, "OK\n");
	(void)!write(client, text.data, text.len);
	bytes_free(&text);
}

/* Who comes from now on is refused, and does not wait for a service that nobody starts. */
static void shut_doors(void)
{
	for (size_t i = 0; i < CHILDREN; i++) {
		if (children[i].listener >= 0)
			close(children[i].listener);
		children[i].listener = -1;
	}
}

static void serve(int client)
{
	static struct conn conn;
	char line[256], *name;
	struct child *child;

	conn_open(&conn, client);
	if (conn_line(&conn, line, sizeof(line), CLIENT_MS) < 0)
		line[0] = '\0';
	name = line + strcspn(line, " ");
	if (*name)
		*name++ = '\0';
	child = child_of(name);
	if (!strcmp(line, "STOP")) {
		answer(&stop_client, "NO 400 another stop\n");
		stop_client = client;
		stopping = true;
		shut_doors();
		end_child(&children[1]);
		end_child(&children[2]);
		go_on_stopping();
		return;
	}
	if (!strcmp(line, "SERVICES"))
		services(client);
	else if (!strcmp(line, "HALT") && child && child->pid) {
		child->waiting = client;
		end_child(child);
		return;
	} else if (!child || (strcmp(line, "START") && strcmp(line, "HALT")))
		answer(&client, "NO 500 no such command or service\n");
	else if (!child->pid && !stopping && !strcmp(line, "START"))
		start(child);
	answer(&client, "OK\n");
}

/* The caller goes on when the sockets are there; the services follow. */
static void to_background(const char *log)
{
	int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0640), null = open("/dev/null", O_RDWR);

	if (fd < 0 || null < 0)
		exit(1);
	if (fork())
		_exit(0);
	setsid();
	dup2(null, 0);
	dup2(null, 1);
	dup2(fd, 2);
	close(fd);
	close(null);
}

static void find_folder(void)
{
	ssize_t len = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	folder[len > 0 ? len : 0] = '\0';
	if (strrchr(folder, '/'))
		*strrchr(folder, '/') = '\0';
}

/* Above LISTEN_FD, so that it can be put there. */
static int aside(int fd)
{
	int higher = fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (fd >= 0)
		close(fd);
	return higher;
}

int main(void)
{
	struct pollfd wait[2];
	sigset_t set;
	int control;

	log_open("manager");
	find_folder();
	mkdir(config_path("."), 0755);
	if (connect_unix(config_path(MANAGER_SOCKET)) >= 0) {
		say("fatal: the store runs already, or does not end");
		return 1;
	}
	children[1].listener = aside(listen_unix(config_path(MTA_SOCKET)));
	children[2].listener = aside(listen_tcp(config_address(), config_port(25)));
	control = listen_unix(config_path(MANAGER_SOCKET));
	if (children[1].listener < 0 || children[2].listener < 0 || control < 0) {
		say("fatal: cannot listen in '%s' or on port %d", config_path("."),
			config_port(25));
		return 1;
	}
	to_background(config_path("refstore.log"));
	setenv("MALLOC_PERTURB_", PERTURB, 1);
	setenv("GLIBC_TUNABLES", TUNABLES, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	wait[0] = (struct pollfd){.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN};
	wait[1] = (struct pollfd){.fd = control, .events = POLLIN};
	for (size_t i = 0; i < CHILDREN; i++)
		start(&children[i]);
	while (poll(wait, 2, -1) > 0 || errno == EINTR) {
		struct signalfd_siginfo info;

		if (wait[0].revents && read(wait[0].fd, &info, sizeof(info)) > 0)
			reap();
		if (wait[1].revents)
			serve(accept4(control, NULL, NULL, SOCK_CLOEXEC));
	}
	return 1;
}
