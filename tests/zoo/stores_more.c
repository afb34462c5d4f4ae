/* More of those of stores.c: wakeups that are lost, pools that are used up, loops that turn for nothing. */
#include "tests/zoo/stores_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int sessions, workers;

static void wants_uidlist(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_file("uidlist", LOCK_EX);
}

/* ---- committers wait for a flush, and the flusher for work of which nobody told it ---- */

static pthread_cond_t work = PTHREAD_COND_INITIALIZER, flushed = PTHREAD_COND_INITIALIZER;
static int unflushed;

static void *commits(void *arg)
{
	store_called("commit");
	pthread_mutex_lock(&lock);
	unflushed++;
	zoo_stand();
	while (unflushed)
		pthread_cond_wait(&flushed, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void *flushes(void *arg)
{
	store_called("flush");
	pthread_mutex_lock(&lock);
	zoo_stand();
	pthread_cond_wait(&work, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void store_of_log(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(commits, NULL);
	zoo_thread_run(flushes, NULL);
	store_idle_workers(3);
	store_serve((int)listener, workers);
}

/* Several: of one alone it cannot be told from outside whether it or the flusher waits for work. */
static void commit_never_flushed(void)
{
	workers = zoo_vary(2, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_service("store", store_of_log, workers + 5);
	store_sessions("lmtp", "store", workers);
	store_anvil();
	store_prefork(3);
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- every delivery of a transport waits for a filter that forgot them ---- */

static int port, deliveries;
static int qmgr_doors[2];

static void forgets_messages(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= deliveries; i++)
		fds[i] = store_take((int)listener);
	store_loop(fds, deliveries + 1);
}

static void delivers(long i)
{
	int job = store_ask("transport"), filter;
	char what;

	(void)i;
	zoo_must(recv(job, &what, 1, 0) == 1);
	filter = zoo_connect_tcp(port);
	zoo_must(send(filter, "MAIL..\r\n", 8, MSG_NOSIGNAL) == 8);
	zoo_stand();
	zoo_receive(filter);
}

static void manages_queue(long i)
{
	int fds[STORE_FDS] = {qmgr_doors[0], qmgr_doors[1]}, count = 2;

	(void)i;
	for (int n = 0; n < deliveries; n++, count++) {
		fds[count] = store_take(qmgr_doors[0]);
		zoo_must(send(fds[count], "j", 1, MSG_NOSIGNAL) == 1);
	}
	for (int n = 0; n < sessions; n++)
		fds[count++] = store_take(qmgr_doors[1]);
	store_loop(fds, count);
}

static void transport_of_forgetful_filter(void)
{
	int listener = zoo_listen_tcp(16, &port);

	deliveries = zoo_vary(3, 6);
	sessions = zoo_vary(2, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_process("filter", forgets_messages, listener, 1);
	close(listener);
	qmgr_doors[0] = zoo_listen_unix("transport", 16);
	qmgr_doors[1] = zoo_listen_unix("qmgr", 16);
	store_process("qmgr", manages_queue, 0, 1);
	close(qmgr_doors[0]);
	close(qmgr_doors[1]);
	for (int i = 0; i < deliveries; i++)
		store_process("smtp", delivers, i, 1);
	store_sessions("cleanup", "qmgr", sessions);
	store_anvil();
	store_cleaner();
	store_runs();
}

/* ---- all workers of auth wait for a handle, and those who had them are gone ---- */

static sem_t handles;

static void *takes_handle(void *arg)
{
	store_called("lookup");
	zoo_stand();
	sem_wait(&handles);
	return arg;
}

static void auth_with_handles(long listener)
{
	sem_init(&handles, 0, 4);
	while (!sem_trywait(&handles))
		;
	for (int i = 0; i < workers; i++)
		zoo_thread_run(takes_handle, NULL);
	store_serve((int)listener, sessions);
}

static void handles_not_given_back(void)
{
	workers = zoo_vary(3, 6);
	sessions = workers + zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("auth", auth_with_handles, workers + 1);
	store_sessions("imap", "auth", sessions);
	store_anvil();
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- every worker waits for a task that it gave to its own pool ---- */

static pthread_cond_t task_done = PTHREAD_COND_INITIALIZER;
static int tasks;

static void *waits_for_own_task(void *arg)
{
	int mine;

	store_called("task");
	pthread_mutex_lock(&lock);
	mine = ++tasks;
	zoo_stand();
	while (mine <= tasks)
		pthread_cond_wait(&task_done, &lock);
	pthread_mutex_unlock(&lock);
	return arg;
}

static void store_of_tasks(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_own_task, NULL);
	store_serve((int)listener, sessions);
}

static void tasks_of_own_pool(void)
{
	workers = zoo_vary(3, 7);
	sessions = workers + zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("store", store_of_tasks, workers + 1);
	store_sessions("smtpd", "store", sessions);
	store_cleaner();
	store_idle_sessions(2);
	store_runs();
}

/* ---- the queue of connections is full: auth asks a counter that waits for an event ---- */

static void counts_after_event(long listener)
{
	int event = eventfd(0, EFD_CLOEXEC);
	uint64_t count;

	zoo_must(store_take((int)listener) >= 0);
	zoo_stand();
	zoo_must(read(event, &count, sizeof(count)) <= 0);
}

static void auth_asks_anvil(long listener)
{
	int fd;

	zoo_must(listener >= 0);
	fd = store_ask("anvil");
	store_step(0);
	store_await(fd);
}

static void logs_in(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	store_after(0, 1);
	zoo_ready();
	zoo_receive(store_ask("auth"));
}

static void logs_in_with_client(int i)
{
	static const char *const doors[] = {
		"login-0", "login-1", "login-2", "login-3", "login-4", "login-5"};

	store_service(doors[i], logs_in, 1);
	store_askers("client", doors[i], 1);
}

static void auth_backlog_full(void)
{
	int listener, logins = zoo_vary(4, 6);

	store_open();
	store_log(store_reads_log, 1);
	store_service("anvil", counts_after_event, 1);
	listener = zoo_listen_unix("auth", 1);
	store_process("auth", auth_asks_anvil, listener, 1);
	close(listener);
	for (int i = 0; i < logins; i++)
		logs_in_with_client(i);
	store_idle_sessions(zoo_vary(1, 3));
	store_cleaner();
	store_runs();
}

/* ---- a loop reads half of what an edge told it of ---- */

static void reads_half(long listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC), fd;
	char half[4];

	event.data.fd = (int)listener;
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	for (int i = 0; i < sessions; i++) {
		fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);
		event.data.fd = fd;
		zoo_must(fd >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) &&
			 recv(fd, half, sizeof(half), MSG_WAITALL) == (ssize_t)sizeof(half));
	}
	while (epoll_wait(set, &event, 1, 0) > 0)
		;
	store_step(0);
	zoo_stand();
	epoll_wait(set, &event, 1, -1);
}

static void edge_half_read(void)
{
	sessions = zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("submit", reads_half, 1);
	store_sessions("webmail", "submit", sessions);
	store_anvil();
	store_prefork(zoo_vary(2, 4));
	store_idle_sessions(1);
	store_runs();
}

/* ---- the log forgot its pipe when it made a new file ---- */

static void log_without_pipe(long fd)
{
	int control = zoo_listen_unix("log-control", 4);

	(void)fd;
	store_after(0, 1);
	zoo_blame();
	store_loop(&control, 1);
}

static void cleanup_logs(long listener)
{
	for (int i = 0; i < sessions; i++)
		zoo_must(store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	store_fill_log();
	store_step(0);
	store_step(1);
	zoo_ready();
	store_log_line();
}

static void log_left_its_pipe(void)
{
	sessions = zoo_vary(1, 4);
	store_open();
	store_log(log_without_pipe, 1);
	store_service("cleanup", cleanup_logs, 1);
	store_sessions("smtp-in", "cleanup", sessions);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("lda", wants_uidlist, i, 1);
	store_anvil();
	store_cleaner();
	store_runs();
}

/* ---- a filter waits for an end of file that its sibling keeps away ---- */

static int message[2];

/* As a program that is executed has it: everything else closes then. */
static int keep_only(int fd)
{
	zoo_must(dup2(fd, STDERR_FILENO + 1) >= 0 && !close_range(STDERR_FILENO + 2, ~0U, 0));
	return STDERR_FILENO + 1;
}

static void keeps_write_end(long i)
{
	(void)i;
	store_called("vacation");
	keep_only(message[1]);
	zoo_blame();
	store_loop(NULL, 0);
}

static void reads_message(long i)
{
	char text[512];
	int fd;

	(void)i;
	store_called("sieve");
	fd = keep_only(message[0]);
	zoo_stand();
	while (read(fd, text, sizeof(text)) > 0)
		;
	_exit(0);
}

static void delivers_through_sieve(long listener)
{
	pid_t sieve;

	zoo_must(store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	zoo_must(!pipe2(message, O_CLOEXEC));
	zoo_fork_run(keeps_write_end, 0);
	sieve = zoo_fork_run(reads_message, 0);
	close(message[0]);
	close(message[1]);
	store_step(1);
	zoo_ready();
	waitpid(sieve, NULL, 0);
}

static void sieve_without_end_of_file(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_service("lmtp", delivers_through_sieve, 3);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("imap", wants_uidlist, i, 1);
	store_prefork(3);
	store_cleaner();
	store_runs();
}

/* ---- a master counts children that have ended, and accepts no more ---- */

static void serves_once(long i)
{
	_exit((int)i);
}

static void master_at_its_limit(long listener)
{
	siginfo_t info;
	sigset_t set;
	int fd;

	zoo_must(listener >= 0);
	for (int i = 0; i < workers; i++)
		zoo_must(!waitid(
			P_PID, (id_t)zoo_fork_run(serves_once, 0), &info, WEXITED | WNOWAIT));
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	zoo_blame();
	store_loop(&fd, 1);
}

static void master_missed_its_children(void)
{
	workers = zoo_vary(2, 5);
	store_open();
	store_log(store_reads_log, 1);
	store_service("pop3", master_at_its_limit, 1);
	store_sessions("proxy", "pop3", zoo_vary(1, 4));
	store_anvil();
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- what turns and does nothing ---- */

/* Its upstream hung up; the loop means to connect again later, and never does. */
static void turns_on_hangup(long listener)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC), upstream[2];

	zoo_pair(upstream);
	close(upstream[1]);
	event.data.fd = upstream[0];
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, upstream[0], &event));
	for (int i = 0; i < sessions; i++) {
		event.data.fd = store_take((int)listener);
		zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event));
	}
	zoo_stand();
	for (;;)
		epoll_wait(set, &event, 1, -1);
}

static void loop_turns_on_hangup(void)
{
	sessions = zoo_vary(1, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_service("proxy", turns_on_hangup, 1);
	store_sessions("imap", "proxy", sessions);
	store_anvil();
	store_prefork(3);
	store_idle_sessions(zoo_vary(1, 2));
	store_runs();
}

/* A record of length nothing: the next one is this one. */
static void *parses(void *arg)
{
	store_called("worker");
	zoo_must(zoo_posix_lock(zoo_open_file("fts.index"), F_WRLCK));
	store_step(0);
	zoo_stand();
	for (;;)
		atomic_load(&zoo_board->go);
	return arg;
}

static void fts(long listener)
{
	zoo_thread_run(parses, NULL);
	store_idle_workers(2);
	store_serve((int)listener, 1);
}

static void hands_to_fts(long listener)
{
	int fd;

	zoo_must(store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	fd = store_ask("fts");
	store_step(1);
	store_await(fd);
}

static void searches(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_range("fts.index");
}

static void fts_parser_turns(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_service("fts", fts, 4);
	store_service("lmtp", hands_to_fts, 1);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("imap", searches, i, 1);
	for (int i = zoo_vary(1, 2); i > 0; i--)
		store_process("lda", wants_uidlist, i, 1);
	store_cleaner();
	store_runs();
}

const struct zoo_case zoo_stores_more[] = {
	{"commit-never-flushed", "lost-wakeup", "store", commit_never_flushed, 0, 0},
	{"transport-of-forgetful-filter", "exhaustion", "queue", transport_of_forgetful_filter, 0,
		0},
	{"handles-not-given-back", "exhaustion", "lookup", handles_not_given_back, 0, 0},
	{"tasks-of-own-pool", "exhaustion", "store", tasks_of_own_pool, 0, 0},
	{"auth-backlog-full", "lost-wakeup", "lookup", auth_backlog_full, 0, 0},
	{"edge-half-read", "lost-wakeup", "agent", edge_half_read, 0, 0},
	{"log-left-its-pipe", "lost-wakeup", "agent", log_left_its_pipe, 0, 0},
	{"sieve-without-end-of-file", "lost-wakeup", "deliver", sieve_without_end_of_file, 0, 0},
	{"master-missed-its-children", "lost-wakeup", "session", master_missed_its_children, 0, 0},
	{"loop-turns-on-hangup", "livelock", "session", loop_turns_on_hangup, ZOO_SPINS, 0},
	{"fts-parser-turns", "livelock", "index", fts_parser_turns, ZOO_SPINS, 0},
	{0},
};
