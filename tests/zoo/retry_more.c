/*
 * Stores of retry.c's kind in which who looks again and again is only the victim, or looks for something that is no
 * lock: a slot, a door, a file, a process, a time.
 */
#include "tests/zoo/retry_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 5
#define LOOK_S	    1

static int count, kind, position;

static void after_lock(long lock)
{
	store_after(0, 1);
	retry_wants_lock("mailbox", (enum retry_lock)lock);
}

static void mailbox_victims(void)
{
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("pop3", after_lock, kind, 1);
}

/* ---- every thread of the pool looks each second whether its relay has answered ---- */

static int relays[WORKERS_MAX], smtp_listener;

static void *relays_mail(void *arg)
{
	struct pollfd relay = {.fd = relays[(intptr_t)arg], .events = POLLIN};

	store_called("transport");
	store_take(smtp_listener);
	zoo_stand();
	while (!poll(&relay, 1, LOOK_S * 1000))
		;
	return arg;
}

static void smtp_pool(long listener)
{
	smtp_listener = (int)listener;
	for (int i = 0; i < count; i++)
		relays[i] = zoo_quiet_peer();
	for (int i = 0; i < count; i++)
		zoo_thread_run(relays_mail, (void *)(intptr_t)i);
	store_loop(NULL, 0);
}

static void pool_looks_at_mute_relay(void)
{
	retry_open();
	count = zoo_vary(2, WORKERS_MAX);
	store_service("smtp", smtp_pool, count + 1);
	store_askers("client", "smtp", count + zoo_vary(1, 4));
	retry_runs();
}

/* ---- a commit looks each second whether it was flushed; the flusher was never told ---- */

static pthread_mutex_t transaction = PTHREAD_MUTEX_INITIALIZER,
		       log_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t flush = PTHREAD_COND_INITIALIZER, flushed = PTHREAD_COND_INITIALIZER;
static bool wanted, done;

static void *flushes(void *arg)
{
	store_called("flusher");
	pthread_mutex_lock(&log_lock);
	zoo_ready();
	while (!wanted)
		pthread_cond_wait(&flush, &log_lock);
	pthread_mutex_unlock(&log_lock);
	return arg;
}

static void *commits(void *arg)
{
	struct timespec until;

	pthread_mutex_lock(&transaction);
	retry_locked_file("mailbox", (enum retry_lock)kind);
	store_step(0);
	pthread_mutex_lock(&log_lock);
	zoo_stand();
	while (!done) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LOOK_S;
		pthread_cond_timedwait(&flushed, &log_lock, &until);
	}
	return arg;
}

static void *begins(void *arg)
{
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&transaction);
	return arg;
}

static void database(long victims)
{
	zoo_thread_run(flushes, NULL);
	for (long i = 0; i < victims; i++)
		zoo_thread_run(begins, NULL);
	zoo_thread_run(commits, NULL);
	store_loop(NULL, 0);
}

static void commit_looks_each_second(void)
{
	int victims = zoo_vary(1, 4);

	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	store_process("store", database, victims, victims + 3);
	mailbox_victims();
	retry_runs();
}

/* ---- an event loop with a timeout has all its clients in its set but one ---- */

static void loop_of_some(long listener)
{
	struct pollfd fds[WORKERS_MAX + 2] = {{.fd = (int)listener, .events = POLLIN}};
	int used = 1, fd;

	for (int i = 0; i <= count; i++) {
		fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);
		zoo_must(fd >= 0);
		if (i != position)
			fds[used++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	zoo_stand();
	while (!poll(fds, (nfds_t)used, 100 * kind))
		;
}

static void keeps_connection(long number)
{
	int fd;

	store_after(1, (int)number);
	fd = zoo_connect_unix("dict");
	store_step(1);
	store_loop(&fd, 1);
}

static void asks_dict(long lock)
{
	int fd;

	retry_locked_file("mailbox", (enum retry_lock)lock);
	store_after(1, position);
	fd = store_ask("dict");
	store_step(0);
	store_step(1);
	store_await(fd);
}

static void loop_forgot_its_client(void)
{
	int lock;

	retry_open();
	count = zoo_vary(1, WORKERS_MAX);
	position = zoo_vary(0, count);
	kind = zoo_vary(1, 20);
	lock = zoo_vary(0, RETRY_LOCKS - 1);
	store_service("dict", loop_of_some, 1);
	for (int i = 0; i <= count; i++)
		if (i == position)
			store_process("imap", asks_dict, lock, 1);
		else
			store_process("imap", keeps_connection, i, 1);
	kind = lock;
	mailbox_victims();
	retry_runs();
}

/* ---- a door that was shut for as long as a worker lives, who is stopped ---- */

static int tries_to_connect(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	zoo_must(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", zoo_path(name));
	if (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

static void connects_until_heard(long i)
{
	static const char *const doors[] = {"auth", "policy"};
	int fd;

	store_after(0, 1);
	zoo_ready();
	while ((fd = tries_to_connect(doors[i])) < 0)
		retry_rest();
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8 && !fcntl(fd, F_SETFL, 0));
	zoo_receive(fd);
}

static void stops(long i)
{
	(void)i;
	store_called("auth-worker");
	zoo_stand();
	raise(SIGSTOP);
}

static void waits_for_worker(long listener)
{
	pid_t pid;

	close((int)listener);
	pid = zoo_fork_run(stops, 0);
	store_step(0);
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void door_shut_by_waiter(void)
{
	retry_open();
	store_service("auth", waits_for_worker, 2);
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("imap-login", connects_until_heard, 0, 1);
	retry_runs();
}

/* ---- a full backlog; who should accept tries for a lock of one who is stopped ---- */

static void cleans_and_stops(long i)
{
	(void)i;
	retry_locked_file("greylist", (enum retry_lock)kind);
	store_step(1);
	zoo_stand();
	raise(SIGSTOP);
}

static void policy(long lock)
{
	zoo_listen_unix("policy", 1);
	store_step(0);
	store_after(1, 1);
	retry_wants_lock("greylist", (enum retry_lock)lock);
}

static void backlog_tried_again(void)
{
	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	store_process("policy", policy, kind, 1);
	store_process("greyclean", cleans_and_stops, 0, 1);
	for (int i = zoo_vary(3, 6); i > 0; i--)
		store_process("smtpd", connects_until_heard, 1, 1);
	retry_runs();
}

/* ---- a file that shall appear; who writes it is stuck at a full pipe ---- */

static int filter_pipe[2];

static void filter(long i)
{
	int events = eventfd(0, EFD_CLOEXEC);
	uint64_t value;

	(void)i;
	close(filter_pipe[1]);
	zoo_stand();
	zoo_must(read(events, &value, sizeof(value)) == sizeof(value));
}

static void writes_ready(long i)
{
	static const char block[4096];

	(void)i;
	close(filter_pipe[0]);
	zoo_open_file("spool-1.ready.tmp");
	zoo_ready();
	while (write(filter_pipe[1], block, sizeof(block)) > 0)
		;
}

static void awaits_ready(long i)
{
	(void)i;
	retry_wants_there("spool-1.ready");
}

static void ready_file_behind_full_pipe(void)
{
	retry_open();
	zoo_must(!pipe2(filter_pipe, O_CLOEXEC));
	position = zoo_vary(0, 1);
	store_process(position ? "filter" : "import", position ? filter : writes_ready, 0, 1);
	store_process(position ? "import" : "filter", position ? writes_ready : filter, 0, 1);
	close(filter_pipe[0]);
	close(filter_pipe[1]);
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("publish", awaits_ready, i, 1);
	retry_runs();
}

/* ---- one waits for the other's file to appear under the lock that the other needs to write it ---- */

static void awaits_digest(long lock)
{
	retry_locked_file("mailbox", (enum retry_lock)lock);
	store_step(0);
	zoo_blame();
	retry_wants_there("digest.done");
}

static void digests(long lock)
{
	zoo_open_file("digest.done.tmp");
	store_after(0, 1);
	zoo_blame();
	retry_wants_lock("mailbox", (enum retry_lock)lock);
}

/* Who shall make a file that is not there, nobody can tell. */
static void done_file_and_mailbox_lock(void)
{
	retry_open();
	kind = RETRY_RECORD;
	position = zoo_vary(0, 1);
	store_process("archive", position ? awaits_digest : digests, kind, 1);
	store_process("archive", position ? digests : awaits_digest, kind, 1);
	mailbox_victims();
	retry_runs();
}

/* ---- the new master looks whether the old one lives, who waits for a session that hears nothing ---- */

static pid_t old_master;

static void last_session(long i)
{
	int peer = zoo_quiet_peer();

	(void)i;
	store_called("imap");
	zoo_stand();
	zoo_receive(peer);
}

static void retires(long i)
{
	pid_t pid = zoo_fork_run(last_session, i);

	zoo_must(retry_dot("master.pid", RETRY_DOT_FILE, retry_pid()));
	store_step(0);
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void succeeds(long listener)
{
	(void)listener;
	store_after(0, 1);
	zoo_ready();
	while (!kill(old_master, 0))
		retry_rest();
}

static void successor_looks_for_pid(void)
{
	retry_open();
	old_master = store_process("old-master", retires, 0, 2);
	store_service("imap-door", succeeds, 1);
	store_askers("client", "imap-door", zoo_vary(1, 5));
	retry_runs();
}

/* ---- a lock that went with the daemon, which has no use for it ---- */

static void forks_daemon(long dot)
{
	int fd;

	if (dot) {
		zoo_must(retry_dot("mailbox.lock", (enum retry_dot)kind, retry_pid()));
		fd = kind == RETRY_DOT_LINK ? zoo_open_file("mailbox.lock") : -1;
		zoo_must(fd >= 0);
	} else {
		fd = zoo_open_file("mailbox");
		zoo_must(retry_lock(fd, (enum retry_lock)kind));
	}
	zoo_must(!fcntl(fd, F_SETFD, 0));
	if (fork())
		_exit(0);
	zoo_blame();
	if (!dot)
		zoo_idles(0);
	fd = zoo_quiet_peer();
	zoo_ready();
	zoo_receive(fd);
}

static void lock_gone_with_daemon(void)
{
	pid_t pid;

	retry_open();
	kind = zoo_vary(0, 1) ? RETRY_FLOCK : RETRY_OPEN_FILE; /* a record is its process's */
	pid = store_process("archived", forks_daemon, 0, 1);
	zoo_must(waitpid(pid, NULL, 0) == pid);
	store_step(0);
	mailbox_victims();
	retry_runs();
}

/* ---- a dot-lock that names who has ended, but its child has it open and is at work, it thinks ---- */

static void wants_dot(long watches)
{
	if (watches)
		retry_wants_gone("mailbox.lock");
	else
		retry_wants_dot("mailbox.lock", RETRY_DOT_LINK);
}

static void dot_lock_names_the_forker(void)
{
	pid_t pid;

	retry_open();
	kind = RETRY_DOT_LINK;
	pid = store_process("fetchmail", forks_daemon, 1, 1);
	zoo_must(waitpid(pid, NULL, 0) == pid);
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("deliver", wants_dot, zoo_vary(0, 1), 1);
	retry_runs();
}

/* ---- the holder reaps its filter, or reads from it; it is stopped ---- */

static void filters_until_stopped(long fd)
{
	(void)fd;
	store_called("sieve-filter");
	zoo_stand();
	raise(SIGSTOP);
}

static void runs_filter(long reads)
{
	int pair[2];
	pid_t pid;

	retry_locked_file("mailbox", (enum retry_lock)kind);
	zoo_must(!pipe2(pair, O_CLOEXEC));
	pid = zoo_fork_run(filters_until_stopped, pair[1]);
	close(pair[1]);
	store_step(0);
	zoo_ready();
	if (reads)
		zoo_read(pair[0]);
	waitpid(pid, NULL, 0);
}

static void tries_behind_stopped_filter(void)
{
	bool reads = zoo_vary(0, 1);

	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	store_process("sieve", runs_filter, reads, 2);
	mailbox_victims();
	retry_runs();
}

/* ---- the dot-lock is a link to nowhere: it is there for who creates it and not for who looks ---- */

static void tries_without_rest(long listener)
{
	struct stat st;
	int fd;

	store_take((int)listener);
	zoo_stand();
	for (;;) {
		fd = open(zoo_path("inbox.lock"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
		if (fd >= 0)
			break;
		while (!stat(zoo_path("inbox.lock"), &st))
			retry_rest();
	}
}

static void dangling_lock_tried(void)
{
	retry_open();
	zoo_must(!symlink("moved/inbox.lock", zoo_path("inbox.lock")));
	store_service("lmtp", tries_without_rest, 1);
	store_askers("smtp", "lmtp", zoo_vary(1, 3));
	retry_runs();
}

const struct zoo_case zoo_retry_more[] = {
	{"pool-looks-at-mute-relay", "exhaustion", "smtp", pool_looks_at_mute_relay, 0, 0},
	{"commit-looks-each-second", "lost-wakeup", "store", commit_looks_each_second, 0, 0},
	{"loop-forgot-its-client", "lost-wakeup", "dict", loop_forgot_its_client, 0, 0},
	{"door-shut-by-waiter", "stopped", "auth", door_shut_by_waiter, 0, 0},
	{"backlog-tried-again", "stopped", "policy", backlog_tried_again, 0, 0},
	{"ready-file-behind-full-pipe", "lost-wakeup", "import", ready_file_behind_full_pipe, 0, 0},
	{"done-file-and-mailbox-lock", "slow", "digest", done_file_and_mailbox_lock, 0, 0},
	{"successor-looks-for-pid", "lost-wakeup", "master", successor_looks_for_pid, 0, 0},
	{"lock-gone-with-daemon", "lost-wakeup", "archived", lock_gone_with_daemon, 0, 0},
	{"dot-lock-names-the-forker", "lost-wakeup", "fetchmail", dot_lock_names_the_forker, 0, 0},
	{"tries-behind-stopped-filter", "stopped", "sieve", tries_behind_stopped_filter, 0, 0},
	{"dangling-lock-tried", "livelock", "lmtp", dangling_lock_tried, ZOO_SPINS, 0},
	{0},
};
