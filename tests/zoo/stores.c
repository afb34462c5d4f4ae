/*
 * Miniature stores with one trouble each, by somebody who had not read the diagnosis: rings through several kinds
 * of wait, stopped processes, and locks that were left behind. Around it a store waits as stores do, and
 * most of those who wait for the trouble are two or more hops from it.
 */
#include "tests/zoo/stores_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOTLOCK_RETRY_S 5
#define BATCH_SIZE	(16 << 20) /* more than both buffers of a TCP connection */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int sessions, workers;

static void *wants_lock(void *arg)
{
	store_called("worker");
	store_after(1, 1);
	zoo_ready();
	pthread_mutex_lock(&lock);
	return arg;
}

static void wants_uidlist(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_file("uidlist", LOCK_EX);
}

/* ---- the log is stopped: session, auth, its cache, userdb, full pipe ---- */

static void log_stops(long fd)
{
	(void)fd;
	store_after(0, 1);
	zoo_stand();
	raise(SIGSTOP);
}

static void updates_userdb(long i)
{
	(void)i;
	zoo_locked_file("userdb", LOCK_EX);
	store_fill_log();
	store_step(0);
	zoo_ready();
	store_log_line();
}

static void *fills_cache(void *arg)
{
	store_called("worker");
	store_after(0, 1);
	pthread_mutex_lock(&lock);
	store_step(1);
	store_wants_file("userdb", LOCK_SH);
	return arg;
}

static void auth_with_cache(long listener)
{
	zoo_thread_run(fills_cache, NULL);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(wants_lock, NULL);
	store_idle_workers(2);
	store_serve((int)listener, workers + 1);
}

static void auth_behind_stopped_log(void)
{
	workers = zoo_vary(1, 3);
	store_open();
	store_log(log_stops, 1);
	store_anvil();
	store_process("userdb", updates_userdb, 0, 1);
	store_service("auth", auth_with_cache, workers + 4);
	store_sessions("imap", "auth", workers + 1);
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- the log wants the lock under which others write to it ---- */

static void rotates_log(long fd)
{
	int file = zoo_open_file("maillog.lock");

	(void)fd;
	store_after(0, 1);
	zoo_stand();
	flock(file, LOCK_EX);
}

static void *qmgr_logs(void *arg)
{
	store_called("qmgr/log");
	zoo_locked_file("maillog.lock", LOCK_EX);
	store_fill_log();
	store_step(0);
	zoo_stand();
	store_log_line();
	return arg;
}

static void qmgr_with_log(long listener)
{
	zoo_thread_run(qmgr_logs, NULL);
	store_idle_workers(1);
	store_serve((int)listener, sessions);
}

static void wants_to_log(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_file("maillog.lock", LOCK_EX);
}

static void log_rotation_ring(void)
{
	sessions = zoo_vary(1, 4);
	store_open();
	store_log(rotates_log, 1);
	store_cleaner();
	store_service("qmgr", qmgr_with_log, 3);
	store_sessions("smtp-in", "qmgr", sessions);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("cleanup", wants_to_log, i, 1);
	store_prefork(zoo_vary(2, 4));
	store_runs();
}

/* ---- index range, hand-off to the indexer, mutex of the mapped index ---- */

static pthread_mutex_t *keywords;

static void stores_flags(long i)
{
	int fd = zoo_open_file("index"), reply;

	(void)i;
	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	reply = store_ask("indexer");
	store_step(0);
	store_after(1, 1);
	zoo_stand();
	zoo_receive(reply);
}

static void *indexes(void *arg)
{
	store_called("worker");
	store_after(1, 1);
	zoo_stand();
	pthread_mutex_lock(keywords);
	return arg;
}

static void indexer(long listener)
{
	int fds[2] = {(int)listener, store_take((int)listener)};

	zoo_thread_run(indexes, NULL);
	store_idle_workers(2);
	store_loop(fds, 2);
}

static void appends(long listener)
{
	int fd = zoo_open_file("index");

	pthread_mutex_lock(keywords);
	zoo_must(store_take((int)listener) >= 0);
	store_after(0, 1);
	store_step(1);
	zoo_stand();
	zoo_posix_lock(fd, F_WRLCK);
}

static void wants_index(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_range("index");
}

static void index_hand_off_ring(void)
{
	pthread_mutexattr_t attr;

	keywords = zoo_shared(sizeof(*keywords));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(keywords, &attr));
	store_open();
	store_log(store_reads_log, 1);
	store_service("indexer", indexer, 4);
	store_process("imap", stores_flags, 0, 1);
	store_service("lmtp", appends, 1);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(0, 3); i > 0; i--)
		store_process("pop3", wants_index, i, 1);
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- queue manager, rewriting, map proxy, and the map's lock ---- */

static void qmgr_with_maps(long listener)
{
	zoo_locked_file("transport.db", LOCK_EX);
	for (int i = 0; i < sessions; i++)
		zoo_must(store_take((int)listener) >= 0);
	store_step(0);
	zoo_blame();
	store_await(store_ask("rewrite"));
}

static void rewrites(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_blame();
	store_await(store_ask("proxymap"));
}

static void proxies_maps(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_blame();
	store_wants_file("transport.db", LOCK_SH);
}

static void lookup_ring(void)
{
	sessions = zoo_vary(1, 4);
	store_open();
	store_log(store_reads_log, 1);
	store_anvil();
	store_service("proxymap", proxies_maps, 1);
	store_service("rewrite", rewrites, 1);
	store_service("qmgr", qmgr_with_maps, 1);
	store_sessions("pickup", "qmgr", sessions);
	store_prefork(zoo_vary(2, 4));
	store_cleaner();
	store_runs();
}

/* ---- two replicators send their whole change logs at once ---- */

static char batch[BATCH_SIZE];
static int port;

static void sends_batch(int fd)
{
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	while (send(fd, batch, sizeof(batch), MSG_NOSIGNAL) > 0)
		;
}

static void replicates_to(long i)
{
	(void)i;
	zoo_locked_file("changelog", LOCK_EX);
	sends_batch(zoo_connect_tcp(port));
}

static void replicates_from(long listener)
{
	sends_batch(accept((int)listener, NULL, NULL));
}

static void delivers_with_changelog(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	store_after(0, 2);
	store_wants_file("changelog", LOCK_EX);
}

static void wants_changelog(long i)
{
	(void)i;
	store_after(0, 2);
	store_wants_file("changelog", LOCK_EX);
}

static void replicators_both_send(void)
{
	int listener = zoo_listen_tcp(4, &port);

	store_open();
	store_log(store_reads_log, 1);
	store_process("replica", replicates_from, listener, 1);
	close(listener);
	store_process("replicator", replicates_to, 0, 1);
	store_service("lmtp", delivers_with_changelog, 1);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(0, 3); i > 0; i--)
		store_process("lda", wants_changelog, i, 1);
	store_anvil();
	store_idle_sessions(2);
	store_runs();
}

/* ---- the loop waits for the mutex of a worker, who writes to the loop's own full pipe ---- */

static int wakes[2];

static void *tells_loop(void *arg)
{
	static const char block[4096];

	store_called("worker");
	pthread_mutex_lock(&lock);
	zoo_must(!fcntl(wakes[1], F_SETFL, O_NONBLOCK));
	while (write(wakes[1], block, sizeof(block)) > 0)
		;
	zoo_must(!fcntl(wakes[1], F_SETFL, 0));
	store_step(0);
	zoo_stand();
	zoo_must(write(wakes[1], "done", 4) <= 0);
	return arg;
}

static void loop_of_store(long listener)
{
	zoo_must(!pipe2(wakes, O_CLOEXEC));
	for (int i = 0; i < sessions; i++)
		zoo_must(store_take((int)listener) >= 0);
	zoo_thread_run(tells_loop, NULL);
	store_idle_workers(workers);
	store_after(0, 1);
	zoo_stand();
	pthread_mutex_lock(&lock);
}

static void self_pipe_full(void)
{
	sessions = zoo_vary(1, 4);
	workers = zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("store", loop_of_store, 2 + workers);
	store_sessions("imap", "store", sessions);
	store_anvil();
	store_idle_sessions(1);
	store_runs();
}

/* ---- the cleaner was stopped with a dot-lock ---- */

static void expires_inbox(long i)
{
	int inbox = zoo_open_file("inbox"), fd;

	(void)i;
	fd = open(zoo_path("inbox.lock"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	zoo_must(inbox >= 0 && fd >= 0 && dprintf(fd, "%d\n", getpid()) > 0 && !close(fd));
	store_step(0);
	zoo_stand();
	raise(SIGSTOP);
}

static void delivers_to_inbox(long listener)
{
	const struct timespec pause = {.tv_sec = DOTLOCK_RETRY_S};
	int inbox = zoo_open_file("inbox");

	zoo_must(inbox >= 0 && store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	store_step(1);
	store_after(0, 1);
	zoo_ready();
	while (open(zoo_path("inbox.lock"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&pause, NULL);
}

static void dot_lock_of_stopped_cleaner(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_process("expire", expires_inbox, 0, 1);
	store_service("lmtp", delivers_to_inbox, 1);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("imap", wants_uidlist, i, 1);
	store_idle_sessions(zoo_vary(1, 2));
	store_prefork(3);
	store_runs();
}

/* ---- who accepts asks the stopped counter of connections ---- */

static int smtp_door;

static void anvil_stops(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_stand();
	raise(SIGSTOP);
}

static void accepts_and_asks(long i)
{
	int fd = zoo_open_file("smtp.accept");

	(void)i;
	zoo_ready();
	flock(fd, LOCK_EX);
	zoo_must(store_take(smtp_door) >= 0);
	zoo_receive(store_ask("anvil"));
}

static void accepter_asks_stopped_anvil(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_service("anvil", anvil_stops, 1);
	smtp_door = zoo_listen_unix("smtp", 16);
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process("smtpd", accepts_and_asks, i, 1);
	close(smtp_door);
	store_askers("client", "smtp", zoo_vary(2, 5));
	store_cleaner();
	store_idle_sessions(2);
	store_runs();
}

/* ---- locks left behind ---- */

static void *ends_with_lock(void *arg)
{
	zoo_blame();
	pthread_mutex_lock(&lock);
	return arg;
}

static void *lists_mailboxes(void *arg)
{
	store_called("worker");
	zoo_stand();
	pthread_mutex_lock(&lock);
	return arg;
}

static void store_of_list(long listener)
{
	pthread_join(zoo_thread_run(ends_with_lock, NULL), NULL);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(lists_mailboxes, NULL);
	store_idle_workers(2);
	store_serve((int)listener, workers);
}

static void list_lock_of_ended_thread(void)
{
	workers = zoo_vary(1, 3);
	store_open();
	store_log(store_reads_log, 1);
	store_service("store", store_of_list, workers + 3);
	store_sessions("imap", "store", workers);
	store_anvil();
	store_cleaner();
	store_runs();
}

static void keeps_range(long listener)
{
	int fd = (int)listener;

	zoo_must(zoo_posix_lock(zoo_open_file("index"), F_WRLCK));
	store_step(0);
	zoo_blame();
	store_loop(&fd, 1);
}

static void delivers_to_index(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	store_step(1);
	store_after(0, 1);
	store_wants_range("index");
}

static void idle_indexer_keeps_range(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_service("indexer", keeps_range, 1);
	store_service("lmtp", delivers_to_index, 1);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("lda", wants_uidlist, i, 1);
	store_anvil();
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* The filter was forked while another thread of its parent wrote to the log. */
static void *logs_at_fork(void *arg)
{
	store_called("worker");
	pthread_mutex_lock(&lock);
	store_step(0);
	store_after(2, 1);
	pthread_mutex_unlock(&lock);
	store_idle_workers(1);
	return arg;
}

static void filters(long listener)
{
	close((int)listener);
	store_called("filter");
	zoo_stand();
	pthread_mutex_lock(&lock);
}

static void delivers_by_filter(long listener)
{
	int pair[2];

	zoo_must(store_take((int)listener) >= 0);
	zoo_locked_file("uidlist", LOCK_EX);
	zoo_thread_run(logs_at_fork, NULL);
	store_after(0, 1);
	zoo_pair(pair);
	zoo_fork_run(filters, pair[0]);
	close(pair[1]);
	store_step(2);
	store_step(1);
	store_await(pair[0]);
}

static void filter_forked_under_lock(void)
{
	store_open();
	store_log(store_reads_log, 1);
	store_service("lmtp", delivers_by_filter, 3);
	store_sessions("relay", "lmtp", 1);
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("imap", wants_uidlist, i, 1);
	store_anvil();
	store_cleaner();
	store_runs();
}

const struct zoo_case zoo_stores[] = {
	{"auth-behind-stopped-log", "stopped", "auth", auth_behind_stopped_log, 0, 0},
	{"log-rotation-ring", "deadlock", "queue", log_rotation_ring, 0, 0},
	{"index-hand-off-ring", "deadlock", "index", index_hand_off_ring, 0, 0},
	{"lookup-ring", "deadlock", "queue", lookup_ring, 0, 0},
	{"replicators-both-send", "deadlock", "store", replicators_both_send, 0, 0},
	{"self-pipe-full", "deadlock", "store", self_pipe_full, 0, 0},
	{"dot-lock-of-stopped-cleaner", "stopped", "deliver", dot_lock_of_stopped_cleaner, 0, 0},
	{"accepter-asks-stopped-anvil", "stopped", "session", accepter_asks_stopped_anvil, 0, 0},
	{"list-lock-of-ended-thread", "lost-wakeup", "store", list_lock_of_ended_thread, 0, 0},
	{"idle-indexer-keeps-range", "lost-wakeup", "index", idle_indexer_keeps_range, 0, 0},
	{"filter-forked-under-lock", "lost-wakeup", "deliver", filter_forked_under_lock, 0, 0},
	{0},
};
