#include "tests/zoo/stores_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define STEPS	 8
#define HOUR_S	 3600
#define IDLE_MS	 (29 * 60 * 1000) /* RFC 2177: a client renews IDLE within that */
#define DOOR_MAX 64

int store_log_fd = -1;

static atomic_int *steps;
static int standing;

void store_open(void)
{
	steps = zoo_shared(STEPS * sizeof(*steps));
}

void store_called(const char *name)
{
	prctl(PR_SET_NAME, name);
}

void store_step(int step)
{
	atomic_fetch_add(&steps[step], 1);
}

void store_after(int step, int count)
{
	zoo_await(&steps[step], count);
}

pid_t store_process(const char *name, void (*run)(long), long arg, int threads)
{
	pid_t pid = fork();

	zoo_must(pid >= 0);
	if (pid) {
		standing += threads;
		return pid;
	}
	store_called(name);
	run(arg);
	zoo_stand_for_ever();
}

pid_t store_service(const char *name, void (*run)(long), int threads)
{
	int listener = zoo_listen_unix(name, 16);
	pid_t pid = store_process(name, run, listener, threads);

	close(listener);
	return pid;
}

void store_runs(void)
{
	sigset_t set;
	int fds[2];

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[0] = signalfd(-1, &set, SFD_CLOEXEC);
	fds[1] = zoo_listen_unix("master", 8);
	zoo_stands(standing + 1);
	store_loop(fds, 2);
}

/* ---- requests ---- */

int store_ask(const char *service)
{
	int fd = zoo_connect_unix(service);

	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

int store_take(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char request[8];

	zoo_must(fd >= 0 && recv(fd, request, sizeof(request), MSG_WAITALL) == 8);
	return fd;
}

void store_await(int fd)
{
	zoo_ready();
	zoo_receive(fd);
}

void store_wants_file(const char *name, int how)
{
	int fd = zoo_open_file(name);

	zoo_ready();
	flock(fd, how);
}

void store_wants_range(const char *name)
{
	int fd = zoo_open_file(name);

	zoo_ready();
	zoo_posix_lock(fd, F_WRLCK);
}

void store_loop(const int *fds, int count)
{
	const struct itimerspec hourly = {.it_value.tv_sec = HOUR_S, .it_interval.tv_sec = HOUR_S};
	int set = epoll_create1(EPOLL_CLOEXEC), timer;
	struct epoll_event event = {.events = EPOLLIN};
	char news[256]; /* of a timer or a signal */

	timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	zoo_must(set >= 0 && !timerfd_settime(timer, 0, &hourly, NULL));
	for (int i = 0; i <= count; i++) {
		event.data.fd = i < count ? fds[i] : timer;
		zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event));
	}
	zoo_ready();
	for (;;)
		if (epoll_wait(set, &event, 1, -1) == 1)
			zoo_must(read(event.data.fd, news, sizeof(news)) > 0);
}

void store_serve(int listener, int count)
{
	int fds[STORE_FDS] = {listener};

	zoo_must(count < STORE_FDS);
	for (int i = 1; i <= count; i++)
		fds[i] = store_take(listener);
	store_loop(fds, count + 1);
}

static const char *asked;
static char door[DOOR_MAX];

static void asks(long i)
{
	(void)i;
	store_await(store_ask(asked));
}

void store_askers(const char *name, const char *service, int count)
{
	asked = service;
	for (int i = 0; i < count; i++)
		store_process(name, asks, i, 1);
}

static void session(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	close((int)listener);
	store_await(store_ask(asked));
}

static void client(long i)
{
	(void)i;
	store_await(store_ask(door));
}

void store_sessions(const char *name, const char *service, int count)
{
	static int doors;

	asked = service;
	for (int i = 0; i < count; i++) {
		snprintf(door, sizeof(door), "%s-%d", name, doors++);
		store_service(door, session, 1);
		store_process("client", client, i, 1);
	}
}

/* ---- the log ---- */

static void (*log_run)(long);

static void logs(long read_end)
{
	close(store_log_fd);
	store_log_fd = -1;
	log_run(read_end);
}

void store_log(void (*run)(long), int threads)
{
	int pipe_fds[2];

	zoo_must(!pipe2(pipe_fds, O_CLOEXEC));
	log_run = run;
	store_log_fd = pipe_fds[1];
	store_process("log", logs, pipe_fds[0], threads);
	close(pipe_fds[0]);
}

void store_reads_log(long fd)
{
	char text[4096];

	zoo_ready();
	while (read((int)fd, text, sizeof(text)) > 0)
		;
}

void store_log_line(void)
{
	static const char line[] = "lmtp(bob): msgid=<1@example>: saved mail to INBOX\n";

	zoo_must(write(store_log_fd, line, sizeof(line) - 1) > 0);
}

void store_fill_log(void)
{
	static const char block[4096];

	zoo_must(!fcntl(store_log_fd, F_SETFL, O_NONBLOCK));
	while (write(store_log_fd, block, sizeof(block)) > 0)
		;
	zoo_must(errno == EAGAIN && !fcntl(store_log_fd, F_SETFL, 0));
}

/* ---- what is well ---- */

static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_come = PTHREAD_COND_INITIALIZER;
static int jobs;

static void *idle_worker(void *arg)
{
	store_called("worker");
	pthread_mutex_lock(&jobs_lock);
	zoo_ready();
	while (!jobs)
		pthread_cond_wait(&jobs_come, &jobs_lock);
	pthread_mutex_unlock(&jobs_lock);
	return arg;
}

void store_idle_workers(int count)
{
	for (int i = 0; i < count; i++)
		zoo_thread_run(idle_worker, NULL);
}

/* A client in IDLE: woken by new mail, by the client, or to say "still here". */
static void idle_session(long i)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};

	(void)i;
	fds[0].fd = zoo_quiet_peer();
	fds[1].fd = inotify_init1(IN_CLOEXEC);
	zoo_must(inotify_add_watch(fds[1].fd, zoo_dir, IN_MOVED_TO) >= 0);
	zoo_ready();
	poll(fds, 2, IDLE_MS);
}

void store_idle_sessions(int count)
{
	for (int i = 0; i < count; i++)
		store_process("imap", idle_session, i, 1);
}

static void preforked(long listener)
{
	int fd = zoo_open_file("smtpd.accept"), set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	zoo_ready();
	flock(fd, LOCK_EX);
	epoll_wait(set, &event, 1, 100 * 1000);
}

void store_prefork(int count)
{
	int listener = zoo_listen_unix("smtpd", 16);

	for (int i = 0; i < count; i++)
		store_process("smtpd", preforked, listener, 1);
	close(listener);
}

static void anvil(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

void store_anvil(void)
{
	store_service("anvil", anvil, 1);
}

static void sleeps(long i)
{
	const struct timespec hour = {.tv_sec = HOUR_S + i};

	zoo_ready();
	nanosleep(&hour, NULL);
}

void store_cleaner(void)
{
	store_process("cleaner", sleeps, 0, 1);
}

void store_runs_beside_others(void)
{
	store_idle_sessions(zoo_vary(0, 3));
	if (zoo_vary(0, 1))
		store_cleaner();
	if (zoo_vary(0, 1))
		store_anvil();
	store_runs();
}
