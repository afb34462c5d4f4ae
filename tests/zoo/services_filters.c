/*
 * Whole small mail stores with one trouble each, continued: mail filters with their scanner, and a replica behind a
 * pipe.
 */
#include "tests/zoo/services_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static int sessions, others, workers, hit;

/* ---- the scanner behind the filter is stopped ---- */

static void clamd_stops(long listener)
{
	store_take((int)listener);
	zoo_stand();
	raise(SIGSTOP);
}

static pthread_mutex_t scanner_lock = PTHREAD_MUTEX_INITIALIZER;

static void *scans(void *arg)
{
	int fd = services_dial("clamd");

	store_called("scan");
	pthread_mutex_lock(&scanner_lock);
	store_step(0);
	store_await(fd);
	return arg;
}

static void *wants_scanner(void *arg)
{
	store_called("scan");
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&scanner_lock);
	return arg;
}

static void milter(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= sessions; i++) {
		fds[i] = store_take((int)listener);
		zoo_thread_run(i == hit ? scans : wants_scanner, NULL);
	}
	store_loop(fds, sessions + 1);
}

static void asks_milter(void)
{
	services_asks("milter");
}

static void starts_milter(void)
{
	store_service("milter", milter, sessions + 1);
}

static void starts_clamd(void)
{
	store_service("clamd", clamd_stops, 1);
}

static void starts_filtered(void)
{
	services_sessions("smtp-in", asks_milter, sessions);
}

static void scanner_stopped_behind_milter(void)
{
	static void (*const starts[])(void) = {starts_milter, starts_clamd, starts_filtered, NULL};

	sessions = zoo_vary(1, 5);
	hit = zoo_vary(1, sessions);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- the filter asks the server whose children all wait for the filter ---- */

static void filtered_child(long listener)
{
	int fd;

	store_take((int)listener);
	fd = services_dial("milter");
	store_step(0);
	zoo_stand();
	zoo_receive(fd);
}

static void *verifies_sender(void *arg)
{
	int fd;

	store_called("verify");
	store_after(0, workers);
	fd = services_dial("mx");
	zoo_stand();
	zoo_receive(fd);
	return arg;
}

static void verifying_milter(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= workers; i++) {
		fds[i] = store_take((int)listener);
		zoo_thread_run(verifies_sender, NULL);
	}
	store_loop(fds, workers + 1);
}

static void starts_verifying_milter(void)
{
	store_service("milter", verifying_milter, workers + 1);
}

static void starts_children(void)
{
	int listener = zoo_listen_unix("mx", 16);

	for (int i = 0; i < workers; i++)
		store_process("mx", filtered_child, listener, 1);
	close(listener);
	services_askers("client", "mx", workers + others);
}

static void filter_asks_its_server(void)
{
	static void (*const starts[])(void) = {starts_verifying_milter, starts_children, NULL};

	workers = zoo_vary(2, 4);
	others = zoo_vary(0, 3);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- a replica asks back before it reads on ---- */

static int to_replica[2];
static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;

static void *replicates(void *arg)
{
	static const char block[4096];

	store_called("replicate");
	pthread_mutex_lock(&journal);
	zoo_must(!fcntl(to_replica[1], F_SETFL, O_NONBLOCK));
	while (write(to_replica[1], block, sizeof(block)) > 0)
		;
	zoo_must(errno == EAGAIN && !fcntl(to_replica[1], F_SETFL, 0));
	store_step(0);
	zoo_stand();
	zoo_must(write(to_replica[1], block, sizeof(block)) < 0);
	return arg;
}

static void *answers_replica(void *arg)
{
	store_called("rpc");
	store_after(0, 1);
	zoo_stand();
	pthread_mutex_lock(&journal);
	services_reply((int)(long)arg);
	return NULL;
}

static void *appends(void *arg)
{
	store_called("append");
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&journal);
	return arg;
}

static void primary(long listener)
{
	int peers = zoo_listen_unix("peers", 4), peer;

	close(to_replica[0]);
	zoo_thread_run(replicates, NULL);
	peer = store_take(peers);
	zoo_thread_run(answers_replica, (void *)(long)peer);
	services_serve((int)listener, appends, sessions);
}

static void asks_store(void)
{
	services_asks("store");
}

static void replica(long i)
{
	int fd;

	(void)i;
	close(to_replica[1]);
	fd = services_dial("peers");
	zoo_stand();
	zoo_receive(fd);
}

static void replica_asks_back(void)
{
	bool first = zoo_vary(0, 1);

	sessions = zoo_vary(1, 4);
	services_open();
	zoo_must(!pipe2(to_replica, O_CLOEXEC));
	if (first)
		store_process("replica", replica, 0, 1);
	store_service("store", primary, sessions + 3);
	if (!first)
		store_process("replica", replica, 0, 1);
	close(to_replica[0]);
	close(to_replica[1]);
	services_sessions("imap", asks_store, sessions);
	services_run();
}

const struct zoo_case zoo_services_filters[] = {
	{"scanner-stopped-behind-milter", "stopped", "filter", scanner_stopped_behind_milter,
		ZOO_HELD_OUT, 0},
	{"filter-asks-its-server", "exhaustion", "filter", filter_asks_its_server, ZOO_HELD_OUT, 0},
	{"replica-asks-back", "deadlock", "store", replica_asks_back, ZOO_HELD_OUT, 0},
	{0},
};
