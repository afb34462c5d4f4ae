/*
 * What a mail engineer thinks of first, in daemons of a few processes or threads, by somebody who had not read the
 * diagnosis: locks taken in another order, replies that do not come, pools behind one server. In which order they
 * start, by which socket they ask, and who beside them waits, is drawn.
 */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOTLOCK_RETRY_S 5
#define TARPIT_S	600
#define REPLY		8

static int workers;

static void wants_mutex(long i)
{
	store_after(1, 1);
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[i]);
}

static void wants_held(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_file("held", LOCK_EX);
}

static void adds_those_who_want_held(int count)
{
	for (int i = 0; i < count; i++)
		store_process("imap", wants_held, i, 1);
}

/* ---- APPEND takes mailbox, then quota; a recalculation the other way round ---- */

static void takes_two(long first)
{
	pthread_mutex_lock(&daemon_shared->mutex[first]);
	store_step(0);
	store_after(0, 2);
	store_step(1);
	zoo_stand();
	pthread_mutex_lock(&daemon_shared->mutex[1 - first]);
}

static void cross(bool threads)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	crew_add("append", takes_two, 0);
	crew_add("recalc", takes_two, 1);
	for (int i = 0; i < more; i++)
		crew_add("fetch", wants_mutex, zoo_vary(0, 1));
	if (threads)
		crew_threads("imap");
	else
		crew_forks();
	store_runs();
}

static void quota_and_mailbox_crossed(void)
{
	cross(false);
}

static void quota_and_mailbox_crossed_in_threads(void)
{
	cross(true);
}

/* ---- a ring of processes in which each link is of another kind ---- */

/* By the kind of its number i waits for i + 1, who has or serves it. */
enum link { LINK_FLOCK, LINK_SOCKET, LINK_FIFO, LINK_RECORD, LINKS };

static const char *numbered(const char *name, long number)
{
	static char text[32];

	snprintf(text, sizeof(text), "%s-%ld", name, number);
	return text;
}

static void holds_link(long i)
{
	int fd;

	switch (i) {
	case LINK_FLOCK:
		zoo_locked_file(numbered("link", i), LOCK_EX);
		return;
	case LINK_RECORD:
		fd = zoo_open_file(numbered("link", i));
		zoo_must(zoo_posix_lock(fd, F_WRLCK));
	}
}

static int opens_link(long i)
{
	switch (i) {
	case LINK_SOCKET:
		return store_ask(numbered("link", i));
	case LINK_FIFO:
		return open(zoo_path(numbered("link", i)), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	default:
		return zoo_open_file(numbered("link", i));
	}
}

/* Takes the request, and would answer when it has what it waits for. */
static void serves_link(long i, int door)
{
	if (i == LINK_SOCKET)
		store_take(door);
	else if (i == LINK_FIFO)
		zoo_must(open(zoo_path(numbered("link", i)), O_WRONLY | O_CLOEXEC) >= 0);
}

static void waits_at_link(long i, int fd)
{
	switch (i) {
	case LINK_FLOCK:
		flock(fd, LOCK_EX);
		return;
	case LINK_RECORD:
		zoo_posix_lock(fd, F_WRLCK);
		return;
	default:
		zoo_read(fd);
	}
}

static void in_ring(long i)
{
	long before = (i + LINKS - 1) % LINKS;
	int door = before == LINK_SOCKET ? zoo_listen_unix(numbered("link", before), 8) : -1, fd;

	if (!i)
		zoo_locked_file("held", LOCK_EX);
	holds_link(before);
	store_step(0);
	store_after(0, LINKS);
	fd = opens_link(i);
	zoo_must(fd >= 0 && !fcntl(fd, F_SETFL, 0));
	store_step(1);
	store_after(1, LINKS);
	serves_link(before, door);
	store_step(2);
	store_after(2, LINKS);
	zoo_stand();
	waits_at_link(i, fd);
}

static void links_of_four_kinds(void)
{
	daemons_open();
	zoo_must(!mkfifo(zoo_path(numbered("link", LINK_FIFO)), 0600));
	for (int i = 0; i < LINKS; i++)
		crew_add("daemon", in_ring, i);
	crew_forks();
	adds_those_who_want_held(zoo_vary(0, 3));
	store_runs();
}

/* ---- two threads read one connection, and one of them took both replies ---- */

static int connection;

static void answers_two(long listener)
{
	static const char replies[2 * REPLY];
	int fd = store_take((int)listener), fds[2] = {(int)listener, fd};
	char request[REPLY];

	zoo_must(recv(fd, request, sizeof(request), MSG_WAITALL) == REPLY);
	zoo_must(send(fd, replies, sizeof(replies), 0) == sizeof(replies));
	zoo_blame();
	store_loop(fds, 2);
}

static void *takes_both(void *arg)
{
	char replies[2 * REPLY];

	store_called("lookup");
	zoo_must(recv(connection, replies, sizeof(replies), MSG_WAITALL) == sizeof(replies));
	store_step(0);
	zoo_stand();
	zoo_idle();
	return arg;
}

static void *wants_its_reply(void *arg)
{
	store_called("lookup");
	store_after(0, 1);
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(1);
	zoo_ready();
	zoo_receive(connection);
	return arg;
}

static void *wants_connection(void *arg)
{
	store_called("lookup");
	wants_mutex(0);
	return arg;
}

static void looks_up(long i)
{
	(void)i;
	connection = store_ask("dict");
	zoo_must(send(connection, "request\n", REPLY, 0) == REPLY);
	zoo_thread_run(takes_both, NULL);
	zoo_thread_run(wants_its_reply, NULL);
	for (int n = 0; n < workers; n++)
		zoo_thread_run(wants_connection, NULL);
	store_loop(NULL, 0);
}

static void reply_read_by_other_thread(void)
{
	workers = zoo_vary(0, 3);
	daemons_open();
	store_service("dict", answers_two, 1);
	store_process("auth", looks_up, 0, workers + 3);
	if (zoo_vary(0, 1))
		store_anvil();
	store_runs();
}

/* ---- the client has closed its half, and the server takes that for the end ---- */

static void forgets_half_closed(long listener)
{
	int fd = (int)listener;

	for (int i = 0; i < workers; i++)
		zoo_receive(store_take(fd));
	zoo_blame();
	store_loop(&fd, 1);
}

static void closes_its_half(long i)
{
	int fd = daemon_ask("milter");

	(void)i;
	shutdown(fd, SHUT_WR);
	store_await(fd);
}

static void half_closed_and_forgotten(void)
{
	workers = zoo_vary(1, 4);
	daemons_open();
	daemon_service("milter", forgets_half_closed, 1);
	for (int i = 0; i < workers; i++)
		store_process("smtpd", closes_its_half, i, 1);
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

/* ---- all of a pool are at one server: it is mute, stopped, or in no hurry ---- */

enum server { MUTE, STOPPED, TARPIT };

static enum server server;

static void scanner(long listener)
{
	const struct timespec tarpit = {.tv_sec = TARPIT_S};
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= workers; i++)
		fds[i] = store_take((int)listener);
	switch (server) {
	case STOPPED:
		daemon_stops();
		return;
	case TARPIT:
		zoo_stand();
		nanosleep(&tarpit, NULL);
		return;
	case MUTE:
		zoo_blame();
		store_loop(fds, workers + 1);
	}
}

/* Before it asks, it has a client; there are more of them than workers. */
static void pool_worker(long listener)
{
	store_take((int)listener);
	if (server != STOPPED)
		zoo_blame();
	store_await(daemon_ask("scanner"));
}

static void pool_client(long i)
{
	(void)i;
	store_await(store_ask("lmtp"));
}

static void pool_at(enum server which)
{
	int listener, waiting = zoo_vary(1, 3);

	server = which;
	workers = zoo_vary(2, 5);
	daemons_open();
	listener = zoo_listen_unix("lmtp", 16);
	daemon_service("scanner", scanner, 1);
	for (int i = 0; i < workers; i++)
		crew_add("lmtp", pool_worker, listener);
	switch (which) {
	case MUTE:
		crew_forks();
		break;
	case STOPPED:
		crew_either("lmtp");
		break;
	case TARPIT:
		crew_threads("lmtp");
	}
	close(listener);
	for (int i = 0; i < workers + waiting; i++)
		store_process("smtp", pool_client, i, 1);
	store_runs();
}

static void lmtp_pool_at_mute_scanner(void)
{
	pool_at(MUTE);
}

static void lmtp_pool_at_stopped_scanner(void)
{
	pool_at(STOPPED);
}

static void lmtp_pool_at_tarpit(void)
{
	pool_at(TARPIT);
}

/* ---- whoever has the lock of the spool is stopped ---- */

static void stops_with_lock(long i)
{
	(void)i;
	daemon_takes_lock();
	store_step(0);
	daemon_stops();
}

static void queue_manager(long listener)
{
	for (int i = 0; i < workers; i++)
		store_take((int)listener);
	store_after(0, 1);
	zoo_ready();
	daemon_takes_lock();
}

static void wants_spool(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_ready();
	daemon_takes_lock();
}

static void spool_lock_of_stopped(void)
{
	int more = zoo_vary(0, 3);

	workers = zoo_vary(1, 3);
	daemons_open();
	daemon_draws_lock();
	crew_add("cleanup", stops_with_lock, 0);
	for (int i = 0; i < more; i++)
		crew_add("pickup", wants_spool, 0);
	daemon_service("qmgr", queue_manager, 1);
	crew_forks();
	daemon_askers("submit", "qmgr", workers);
	store_runs();
}

/* ---- the flush is announced before the committer waits for it ---- */

static void announces_flush(long listener)
{
	int fd = (int)listener;

	pthread_mutex_lock(&daemon_shared->mutex[0]);
	pthread_cond_broadcast(&daemon_shared->cond);
	pthread_mutex_unlock(&daemon_shared->mutex[0]);
	store_step(0);
	zoo_blame();
	store_loop(&fd, 1);
}

static void commits(long i)
{
	zoo_locked_file("held", LOCK_EX);
	store_after(0, 1);
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(1);
	zoo_stand();
	pthread_cond_wait(&daemon_shared->cond, &daemon_shared->mutex[0]);
	(void)i;
}

static void flush_announced_before(void)
{
	daemons_open();
	store_service("flusher", announces_flush, 1);
	store_process("commit", commits, 0, 1);
	adds_those_who_want_held(zoo_vary(1, 4));
	if (zoo_vary(0, 1))
		store_cleaner();
	store_runs();
}

/* ---- a session that has the configuration locked asks for its reload ---- */

/* The lock names its writer alone: who reads can be known only where the threads of one process alone could. */
static pthread_rwlock_t of_threads = PTHREAD_RWLOCK_INITIALIZER, *config;

static void has_config(long i)
{
	(void)i;
	if (config == &of_threads)
		pthread_rwlock_rdlock(config);
	else
		pthread_rwlock_wrlock(config);
	store_step(1);
	zoo_blame();
	store_await(store_ask("reload"));
}

static void reloads(long listener)
{
	store_take((int)listener);
	zoo_stand();
	pthread_rwlock_wrlock(config);
}

static void wants_config(long i)
{
	(void)i;
	store_after(1, 1);
	zoo_ready();
	pthread_rwlock_wrlock(config);
}

static void reload_asked_under_rwlock(void)
{
	int listener, more = zoo_vary(0, 3);

	daemons_open();
	config = &daemon_shared->rwlock;
	listener = zoo_listen_unix("reload", 8);
	crew_add("session", has_config, 0);
	crew_add("reload", reloads, listener);
	for (int i = 0; i < more; i++)
		crew_add("session", wants_config, 0);
	crew_forks();
	close(listener);
	store_runs();
}

/* Another who wants it as the writer could be the reader as well: there is none. */
static void reload_asked_by_reader_in_threads(void)
{
	int listener;

	daemons_open();
	config = &of_threads;
	listener = zoo_listen_unix("reload", 8);
	crew_add("session", has_config, 0);
	crew_add("reload", reloads, listener);
	crew_threads("config");
	close(listener);
	store_idle_sessions(zoo_vary(0, 3));
	store_runs();
}

/* ---- sessions that were killed never gave their slots back ---- */

static void ends_with_slot(long i)
{
	sem_wait(&daemon_shared->slots);
	_exit((int)i);
}

static void wants_slot(long i)
{
	(void)i;
	zoo_stand();
	sem_wait(&daemon_shared->slots);
}

static void slots_of_ended_sessions(void)
{
	int slots = zoo_vary(1, 3), waiting = zoo_vary(2, 5), status;

	daemons_open();
	for (int i = 0; i < slots; i++) {
		sem_post(&daemon_shared->slots);
		zoo_must(waitpid(zoo_fork_run(ends_with_slot, 0), &status, 0) > 0);
	}
	for (int i = 0; i < waiting; i++)
		crew_add("imap", wants_slot, i);
	crew_threads("imap");
	store_anvil();
	store_runs();
}

/* ---- the maildrop is locked in two ways while its owner asks a mute helper ---- */

static void forgets(long listener)
{
	int fds[2] = {(int)listener, store_take((int)listener)};

	zoo_blame();
	store_loop(fds, 2);
}

static void locks_and_asks(long i)
{
	(void)i;
	zoo_open_file("mbox.lock");
	zoo_locked_file("held", LOCK_EX);
	store_step(1);
	store_await(daemon_ask("filter"));
}

static void tries_dot_lock(long i)
{
	const struct timespec retry = {.tv_sec = DOTLOCK_RETRY_S + i};

	store_after(1, 1);
	zoo_ready();
	while (open(zoo_path("mbox.lock"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&retry, NULL);
}

static void maildrop_locked_by_asker(void)
{
	int sleepers = zoo_vary(0, 2);

	daemons_open();
	daemon_service("filter", forgets, 1);
	store_process("deliver", locks_and_asks, 0, 1);
	adds_those_who_want_held(zoo_vary(1, 3));
	for (int i = 0; i < sleepers; i++)
		store_process("pop3d", tries_dot_lock, i, 1);
	store_runs();
}

const struct zoo_case zoo_daemons[] = {
	{"quota-and-mailbox-crossed", "deadlock", "session", quota_and_mailbox_crossed,
		ZOO_HELD_OUT, 0},
	{"quota-and-mailbox-crossed-in-threads", "deadlock", "session",
		quota_and_mailbox_crossed_in_threads, ZOO_HELD_OUT, 0},
	{"links-of-four-kinds", "deadlock", "store", links_of_four_kinds, ZOO_HELD_OUT, 0},
	{"reply-read-by-other-thread", "lost-wakeup", "lookup", reply_read_by_other_thread,
		ZOO_HELD_OUT, 0},
	{"half-closed-and-forgotten", "lost-wakeup", "agent", half_closed_and_forgotten,
		ZOO_HELD_OUT, 0},
	{"lmtp-pool-at-mute-scanner", "exhaustion", "deliver", lmtp_pool_at_mute_scanner,
		ZOO_HELD_OUT, 0},
	{"lmtp-pool-at-stopped-scanner", "stopped", "deliver", lmtp_pool_at_stopped_scanner,
		ZOO_HELD_OUT, 0},
	{"lmtp-pool-at-tarpit", "exhaustion", "deliver", lmtp_pool_at_tarpit, ZOO_HELD_OUT, 0},
	{"spool-lock-of-stopped", "stopped", "queue", spool_lock_of_stopped, ZOO_HELD_OUT, 0},
	{"flush-announced-before", "lost-wakeup", "store", flush_announced_before, ZOO_HELD_OUT, 0},
	{"reload-asked-under-rwlock", "deadlock", "session", reload_asked_under_rwlock,
		ZOO_HELD_OUT, 0},
	{"reload-asked-by-reader-in-threads", "deadlock", "session",
		reload_asked_by_reader_in_threads, ZOO_HELD_OUT, 0},
	{"slots-of-ended-sessions", "exhaustion", "session", slots_of_ended_sessions, ZOO_HELD_OUT,
		0},
	{"maildrop-locked-by-asker", "lost-wakeup", "deliver", maildrop_locked_by_asker,
		ZOO_HELD_OUT, 0},
	{0},
};
