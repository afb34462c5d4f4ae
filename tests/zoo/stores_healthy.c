/* Miniature stores that look like those of stores.c and stores_more.c, and are well. */
#include "tests/zoo/stores_parts.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S	      300
#define KEEP_ALIVE_MS 30000

static int count, port;

static void receives_in_time(int fd)
{
	const struct timeval limit = {.tv_sec = LIMIT_S};

	zoo_must(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	store_await(fd);
}

static void idle_threads(long listener)
{
	int fd = (int)listener;

	store_idle_workers(count);
	store_loop(&fd, 1);
}

static void store_at_rest(void)
{
	count = zoo_vary(2, 6);
	store_open();
	store_log(store_reads_log, 1);
	store_anvil();
	store_cleaner();
	store_service("auth", idle_threads, count + 1);
	store_service("indexer", idle_threads, count + 1);
	store_prefork(zoo_vary(2, 5));
	store_idle_sessions(zoo_vary(1, 4));
	store_runs();
}

/* ---- the log has much to do, and does it ---- */

static void logs_much(long i)
{
	(void)i;
	zoo_ready();
	for (;;) {
		int file = zoo_locked_file("maillog.lock", LOCK_EX);

		store_log_line();
		close(file);
	}
}

static void log_under_load(void)
{
	store_open();
	store_log(store_reads_log, 1);
	for (int i = zoo_vary(2, 4); i > 0; i--)
		store_process("lmtp", logs_much, i, 1);
	store_anvil();
	store_prefork(3);
	store_cleaner();
	store_runs();
}

/* ---- a backup reads in its own time, and deliveries have only just begun to wait ---- */

static void backs_up(long i)
{
	int fd = zoo_open_file("index");
	const struct timespec pause = {.tv_sec = 20};

	(void)i;
	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	store_step(0);
	zoo_ready();
	nanosleep(&pause, NULL);
}

static void delivers_after_backup(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	store_after(0, 1);
	store_wants_range("index");
}

static void deliveries_behind_backup(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_process("backup", backs_up, 0, 1);
	store_service("lmtp", delivers_after_backup, 1);
	store_sessions("relay", "lmtp", 1);
	store_anvil();
	store_idle_sessions(zoo_vary(1, 4));
	store_runs();
}

/* ---- auth asks a directory that takes its time, within a limit ---- */

static void directory(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= count; i++)
		fds[i] = store_take((int)listener);
	store_loop(fds, count + 1);
}

static void *looks_up(void *arg)
{
	int fd = zoo_connect_tcp(port);

	store_called("worker");
	zoo_must(send(fd, "SEARCH\r\n", 8, MSG_NOSIGNAL) == 8);
	receives_in_time(fd);
	return arg;
}

static void auth_of_directory(long listener)
{
	for (int i = 0; i < count; i++)
		zoo_thread_run(looks_up, NULL);
	store_idle_workers(2);
	store_serve((int)listener, count);
}

static void auth_asks_slow_directory(void)
{
	int listener = zoo_listen_tcp(16, &port);

	count = zoo_vary(1, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_process("ldap", directory, listener, 1);
	close(listener);
	store_service("auth", auth_of_directory, count + 3);
	store_sessions("imap", "auth", count);
	store_prefork(3);
	store_runs();
}

/* ---- an administrator's tool is stopped, and nobody waits for it ---- */

static void paused(long i)
{
	(void)i;
	zoo_ready();
	raise(SIGSTOP);
}

static void paused_tool(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_anvil();
	store_process("doveadm", paused, 0, 1);
	store_prefork(zoo_vary(2, 5));
	store_idle_sessions(zoo_vary(1, 4));
	store_cleaner();
	store_runs();
}

/* ---- as many quiet clients as handlers, and nobody at the door ---- */

static void *handles_client(void *arg)
{
	int client = zoo_quiet_peer();

	store_called("handler");
	zoo_ready();
	zoo_receive(client);
	return arg;
}

static void handlers(long listener)
{
	int fd = (int)listener;

	for (int i = 0; i < count; i++)
		zoo_thread_run(handles_client, NULL);
	store_loop(&fd, 1);
}

static void all_handlers_idle(void)
{
	count = zoo_vary(3, 6);
	store_open();
	store_log(store_reads_log, 1);
	store_anvil();
	store_service("imap", handlers, count + 1);
	store_cleaner();
	store_runs();
}

/* ---- two replicas listen to each other, and each says "still here" now and then ---- */

static void keeps_alive(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	char text[64];

	zoo_ready();
	for (;;)
		if (poll(&pfd, 1, KEEP_ALIVE_MS) == 0)
			zoo_must(send(fd, "NOOP\r\n", 6, MSG_NOSIGNAL) == 6);
		else
			zoo_must(recv(fd, text, sizeof(text), 0) > 0);
}

static void calls_replica(long i)
{
	(void)i;
	keeps_alive(zoo_connect_tcp(port));
}

static void answers_replica(long listener)
{
	keeps_alive(accept((int)listener, NULL, NULL));
}

static void replicas_in_step(void)
{
	int listener = zoo_listen_tcp(4, &port);

	store_open();
	store_log(store_reads_log, 1);
	store_process("replica", answers_replica, listener, 1);
	close(listener);
	store_process("replicator", calls_replica, 0, 1);
	store_anvil();
	store_idle_sessions(zoo_vary(1, 3));
	store_prefork(3);
	store_runs();
}

/* ---- a transport at its limit, whose remote hosts are slow ---- */

static void delivers_slowly(long i)
{
	int qmgr = store_ask("transport"), remote = zoo_quiet_peer();

	(void)i;
	zoo_must(qmgr >= 0);
	receives_in_time(remote);
}

static void manages_full_queue(long listener)
{
	store_serve((int)listener, count);
}

static void transport_at_its_limit(void)
{
	count = zoo_vary(3, 6);
	store_open();
	store_log(store_reads_log, 1);
	store_service("transport", manages_full_queue, 1);
	for (int i = 0; i < count; i++)
		store_process("smtp", delivers_slowly, i, 1);
	store_anvil();
	store_cleaner();
	store_runs();
}

/* ---- sessions count themselves at anvil, keep that connection, and wait for their clients ---- */

static void counted_session(long i)
{
	struct pollfd pfd = {.events = POLLIN};

	(void)i;
	zoo_must(store_ask("counter") >= 0);
	pfd.fd = zoo_quiet_peer();
	zoo_ready();
	poll(&pfd, 1, LIMIT_S * 1000);
}

static void counts_sessions(long listener)
{
	store_serve((int)listener, count);
}

static void sessions_counted(void)
{
	count = zoo_vary(2, 6);
	store_open();
	store_log(store_reads_log, 1);
	store_service("counter", counts_sessions, 1);
	for (int i = 0; i < count; i++)
		store_process("smtpd", counted_session, i, 1);
	store_prefork(2);
	store_runs();
}

/* ---- the indexer works, and who waits for it is answered in turn ---- */

static void *indexes(void *arg)
{
	store_called("worker");
	zoo_must(zoo_posix_lock(zoo_open_file("fts.index"), F_WRLCK));
	store_step(0);
	zoo_ready();
	for (;;)
		atomic_load(&zoo_board->go);
	return arg;
}

static void indexer(long listener)
{
	zoo_thread_run(indexes, NULL);
	store_idle_workers(2);
	store_serve((int)listener, count);
}

static void searches(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_range("fts.index");
}

static void indexer_catches_up(void)
{
	count = zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("fts", indexer, 4);
	store_sessions("lmtp", "fts", count);
	store_process("imap", searches, 0, 1);
	store_cleaner();
	store_runs();
}

/* ---- sessions have just ended; their master has the signal, and still accepts ---- */

static void ends(long i)
{
	_exit((int)i);
}

static void master_reaps_soon(long listener)
{
	int fd = (int)listener;
	siginfo_t info;

	for (int i = 0; i < count; i++)
		zoo_must(!waitid(P_PID, (id_t)zoo_fork_run(ends, 0), &info, WEXITED | WNOWAIT));
	store_loop(&fd, 1);
}

static void sessions_just_ended(void)
{
	count = zoo_vary(1, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_service("pop3", master_reaps_soon, 1);
	store_anvil();
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

const struct zoo_case zoo_stores_healthy[] = {
	{"store-at-rest", NULL, "store", store_at_rest, 0, 0},
	{"log-under-load", NULL, "deliver", log_under_load, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"deliveries-behind-backup", NULL, "index", deliveries_behind_backup, 0, 0},
	{"auth-asks-slow-directory", NULL, "lookup", auth_asks_slow_directory, 0, 0},
	{"paused-tool", NULL, "agent", paused_tool, 0, 0},
	{"all-handlers-idle", NULL, "session", all_handlers_idle, 0, 0},
	{"replicas-in-step", NULL, "store", replicas_in_step, 0, 0},
	{"transport-at-its-limit", NULL, "queue", transport_at_its_limit, 0, 0},
	{"sessions-counted", NULL, "session", sessions_counted, 0, 0},
	{"indexer-catches-up", NULL, "index", indexer_catches_up, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"sessions-just-ended", NULL, "session", sessions_just_ended, 0, 0},
	{0},
};
