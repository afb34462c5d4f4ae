/* What everybody's daemons do to each other, by the same hand as plain.c: pipes, FIFOs, sockets and children. */
#include "tests/zoo/stores_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK	     4096
#define MESSAGE_SIZE (16 << 20) /* more than any buffers on its way */

static int workers, waiting, idle, members;
static int pipe_fds[2], port;

static void writes_on(int fd, int size)
{
	static const char block[BLOCK];

	while (size > 0 && write(fd, block, sizeof(block)) > 0)
		size -= BLOCK;
}

/* ---- who starts a job waits for its end before it reads what it says ---- */

static void says_much(long listener)
{
	store_called("job");
	close((int)listener);
	close(pipe_fds[0]);
	zoo_stand();
	writes_on(pipe_fds[1], MESSAGE_SIZE);
}

static void waits_before_reading(long listener)
{
	pid_t pid;

	zoo_must(!pipe2(pipe_fds, O_CLOEXEC));
	pid = zoo_fork_run(says_much, listener);
	close(pipe_fds[1]);
	for (int i = 0; i < waiting; i++)
		zoo_must(store_take((int)listener) >= 0);
	zoo_stand();
	waitpid(pid, NULL, 0);
}

static void output_after_end(void)
{
	store_open();
	waiting = zoo_vary(1, 4);
	store_service("agent", waits_before_reading, 2);
	store_askers("client", "agent", waiting);
	store_runs_beside_others();
}

/* ---- tokens of jobs: all that build have one, and each waits for a child that wants another ---- */

static void wants_token(long i)
{
	(void)i;
	store_called("job");
	zoo_stand();
	zoo_read(pipe_fds[0]);
}

static void job_with_token(long i)
{
	char token;
	pid_t pid;

	zoo_must(read(pipe_fds[0], &token, 1) == 1);
	store_step(0);
	store_after(0, workers);
	pid = zoo_fork_run(wants_token, i);
	zoo_stand();
	waitpid(pid, NULL, 0);
}

static void tokens_all_taken(void)
{
	store_open();
	workers = zoo_vary(1, 3);
	zoo_must(!pipe2(pipe_fds, O_CLOEXEC) &&
		 write(pipe_fds[1], "+++", (size_t)workers) == workers);
	for (int i = 0; i < workers; i++)
		store_process("job", job_with_token, i, 2);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	store_runs_beside_others();
}

/* ---- a FIFO that is a log, and a lock of what it is written to ---- */

static void rotates_log(long fifo)
{
	int fd = zoo_open_file("log");

	(void)fifo;
	store_after(0, 1);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static int log_fifo(void)
{
	int fd = open(zoo_path("log.fifo"), O_WRONLY | O_CLOEXEC);

	zoo_must(fd >= 0);
	return fd;
}

static void logs_under_lock(long fifo)
{
	int fd = log_fifo();

	close((int)fifo);
	zoo_locked_file("log", LOCK_EX);
	store_log_fd = fd;
	store_fill_log();
	store_step(0);
	zoo_stand();
	store_log_line();
}

static void logs(long fifo)
{
	store_log_fd = log_fifo();
	close((int)fifo);
	store_after(0, 1);
	zoo_ready();
	store_log_line();
}

static void fifo_and_its_lock(void)
{
	int fifo;

	store_open();
	zoo_must(!mkfifo(zoo_path("log.fifo"), 0600));
	fifo = open(zoo_path("log.fifo"), O_RDWR | O_CLOEXEC);
	for (int i = zoo_vary(0, 4); i > 0; i--)
		store_process("imap", logs, fifo, 1);
	store_process("logger", rotates_log, fifo, 1);
	store_process("deliver", logs_under_lock, fifo, 1);
	store_after(0, 1);
	close(fifo);
	store_runs_beside_others();
}

/* ---- services that do one thing at a time ask each other all around ---- */

static void asks_next(long me)
{
	char name[32];

	snprintf(name, sizeof(name), "service-%ld", (me + 1) % members);
	store_step(0);
	store_after(0, members);
	zoo_blame();
	store_await(store_ask(name));
}

static int turn;

static void asks_from(long listener)
{
	(void)listener;
	asks_next(turn);
}

static void services_in_ring(void)
{
	char name[32];
	int first, number;

	store_open();
	members = zoo_vary(2, 4);
	first = zoo_vary(0, members - 1);
	for (int i = 0; i < members; i++) {
		turn = (first + i) % members;
		snprintf(name, sizeof(name), "service-%d", turn);
		store_service(name, asks_from, 1);
	}
	number = zoo_vary(0, 4);
	snprintf(name, sizeof(name), "service-%d", zoo_vary(0, members - 1));
	store_askers("client", name, number);
	store_runs_beside_others();
}

/* ---- the logger asks the queue manager, which is logging: datagrams ---- */

static int datagram_socket(bool bound)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	zoo_must((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", zoo_path("dev-log")) <
		 sizeof(addr.sun_path));
	rc = bound ? bind(fd, (struct sockaddr *)&addr, sizeof(addr))
		   : connect(fd, (struct sockaddr *)&addr, sizeof(addr));
	zoo_must(fd >= 0 && !rc);
	return fd;
}

static void logger_asks(long fd)
{
	(void)fd;
	zoo_blame();
	store_await(store_ask("qmgr"));
}

static void logs_until_full(long listener)
{
	int fd = datagram_socket(false);

	(void)listener;
	while (send(fd, "line", 4, MSG_DONTWAIT) > 0)
		;
	zoo_must(errno == EAGAIN);
	store_step(0);
	zoo_stand();
	send(fd, "line", 4, 0);
}

static void logs_datagram(long i)
{
	int fd = datagram_socket(false);

	(void)i;
	store_after(0, 1);
	zoo_ready();
	send(fd, "line", 4, 0);
}

static void logger_asks_writer(void)
{
	int fd;

	store_open();
	fd = datagram_socket(true);
	store_service("qmgr", logs_until_full, 1);
	store_process("logger", logger_asks, fd, 1);
	close(fd);
	for (int i = zoo_vary(0, 4); i > 0; i--)
		store_process("smtp", logs_datagram, i, 1);
	store_askers("pickup", "qmgr", zoo_vary(0, 3));
	store_runs_beside_others();
}

/* ---- two versions of one protocol: each expects the other to speak first ---- */

static int job_pair[2];

static void *expects_ready(void *arg)
{
	store_called("schedule");
	zoo_stand();
	zoo_receive(job_pair[0]);
	return arg;
}

static void schedules(long listener)
{
	close(job_pair[1]);
	zoo_thread_run(expects_ready, NULL);
	store_idle_workers(idle);
	store_serve((int)listener, waiting);
}

static void expects_job(long i)
{
	(void)i;
	close(job_pair[0]);
	zoo_stand();
	zoo_receive(job_pair[1]);
}

static void both_expect(void)
{
	store_open();
	waiting = zoo_vary(1, 4);
	idle = zoo_vary(0, 3);
	zoo_must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, job_pair));
	store_process("worker", expects_job, 0, 1);
	store_service("schedule", schedules, 2 + idle);
	close(job_pair[0]);
	close(job_pair[1]);
	store_askers("client", "schedule", waiting);
	store_runs_beside_others();
}

/* ---- a web server of one process fetches a page of its own ---- */

static int ask_by_tcp(void)
{
	int fd = zoo_connect_tcp(port);

	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

static void asks_by_tcp(long i)
{
	(void)i;
	store_await(ask_by_tcp());
}

static void fetches_own_page(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_blame();
	store_await(ask_by_tcp());
}

static void own_page_by_tcp(void)
{
	int listener;

	store_open();
	listener = zoo_listen_tcp(16, &port);
	store_process("web", fetches_own_page, listener, 1);
	close(listener);
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("browser", asks_by_tcp, i, 1);
	store_runs_beside_others();
}

/* ---- a session sends a mailbox it has locked; its client is stopped ---- */

static void sends_mailbox(long listener)
{
	int fd = store_take((int)listener);

	zoo_locked_file("mailbox", LOCK_SH);
	store_step(0);
	zoo_ready();
	writes_on(fd, MESSAGE_SIZE);
}

static void stops_while_it_gets(long i)
{
	int fd = ask_by_tcp();

	(void)i;
	zoo_stand();
	raise(SIGSTOP);
	zoo_read(fd);
}

static void wants_mailbox(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_file("mailbox", LOCK_EX);
}

static void client_stopped(void)
{
	int listener;

	store_open();
	listener = zoo_listen_tcp(16, &port);
	store_process("pop3", sends_mailbox, listener, 1);
	close(listener);
	store_process("reader", stops_while_it_gets, 0, 1);
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("deliver", wants_mailbox, i, 1);
	store_runs_beside_others();
}

/* ---- waits for the child that stays, not for the one that has ended ---- */

static void stays(long listener)
{
	close((int)listener);
	zoo_idles(0);
}

static void waits_for_daemon(long listener)
{
	pid_t daemon, job;
	siginfo_t info;

	daemon = zoo_fork_run(stays, listener);
	for (int i = 0; i < workers; i++) {
		job = fork();
		if (!job)
			_exit(0);
		zoo_must(!waitid(P_PID, (id_t)job, &info, WEXITED | WNOWAIT));
	}
	for (int i = 0; i < waiting; i++)
		zoo_must(store_take((int)listener) >= 0);
	zoo_stand();
	waitpid(daemon, NULL, 0);
}

static void waits_for_wrong_one(void)
{
	store_open();
	waiting = zoo_vary(1, 4);
	workers = zoo_vary(1, 3);
	store_service("agent", waits_for_daemon, 2);
	store_askers("client", "agent", waiting);
	store_runs_beside_others();
}

/* ---- children that end together are one signal: the limit counts those nobody reaped ---- */

static void reaps_one_by_signal(long listener)
{
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	(void)listener;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < workers; i++) {
		pid = fork();
		if (!pid)
			_exit(0);
		zoo_must(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	}
	zoo_must(sigwaitinfo(&set, &info) == SIGCHLD && wait(NULL) > 0);
	store_step(0);
	zoo_stand();
	sigwaitinfo(&set, &info);
}

static void asks_after(long i)
{
	(void)i;
	store_after(0, 1);
	store_await(store_ask("imap"));
}

static void limit_counts_the_dead(void)
{
	store_open();
	workers = zoo_vary(2, 5);
	store_service("imap", reaps_one_by_signal, 1);
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("client", asks_after, i, 1);
	store_runs_beside_others();
}

const struct zoo_case zoo_plain_more[] = {
	{"output-after-end", "deadlock", "agent", output_after_end, ZOO_HELD_OUT, 0},
	{"tokens-all-taken", "deadlock", "update", tokens_all_taken, ZOO_HELD_OUT, 0},
	{"fifo-and-its-lock", "deadlock", "log", fifo_and_its_lock, ZOO_HELD_OUT, 0},
	{"services-in-ring", "deadlock", "lookup", services_in_ring, ZOO_HELD_OUT, 0},
	{"logger-asks-writer", "deadlock", "log", logger_asks_writer, ZOO_HELD_OUT, 0},
	{"both-expect", "deadlock", "queue", both_expect, ZOO_HELD_OUT, 0},
	{"own-page-by-tcp", "deadlock", "web", own_page_by_tcp, ZOO_HELD_OUT, 0},
	{"client-stopped", "stopped", "pop", client_stopped, ZOO_HELD_OUT, 0},
	{"waits-for-wrong-one", "lost-wakeup", "agent", waits_for_wrong_one, ZOO_HELD_OUT, 0},
	{"limit-counts-the-dead", "lost-wakeup", "session", limit_counts_the_dead, ZOO_HELD_OUT, 0},
	{0},
};
