/*
 * Whole small mail stores with one trouble each, continued: a queue manager with its agents, one big service with an
 * information store and a transport, and deliveries by children.
 */
#include "tests/zoo/services_parts.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MTA_MS	 (150 * 60 * 1000)
#define RETRY_MS 200
#define OBJECT	 (1 << 20) /* given back to the kernel when it is freed */
#define CRASHES	 4
#define RING	 3

static int sessions, others, workers, hit;

static void takes_and_loops(long listener)
{
	store_serve((int)listener, sessions);
}

/* ---- cleanup, rewrite and the queue manager wait in a ring ---- */

static void cleanup_keeps_queue_file(long listener)
{
	int fd;

	store_take((int)listener);
	zoo_must(zoo_posix_lock(zoo_open_file("queue-1"), F_WRLCK));
	store_step(0);
	store_after(0, 2);
	fd = services_dial("rewrite");
	zoo_stand();
	zoo_receive(fd);
}

static void rewrite_reads_transport(long listener)
{
	int table = zoo_open_file("transport");

	store_take((int)listener);
	zoo_stand();
	flock(table, LOCK_SH);
}

static void qmgr_keeps_transport(long any)
{
	int message = zoo_open_file("queue-1");

	(void)any;
	zoo_locked_file("transport", LOCK_EX);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	zoo_posix_lock(message, F_WRLCK);
}

static void asks_cleanup(void)
{
	services_asks("cleanup");
}

static void starts_cleanup(void)
{
	store_service("cleanup", cleanup_keeps_queue_file, 1);
}

static void starts_rewrite(void)
{
	store_service("rewrite", rewrite_reads_transport, 1);
}

static void starts_qmgr(void)
{
	store_service("qmgr", qmgr_keeps_transport, 1);
}

static void starts_senders(void)
{
	services_sessions("smtpd", asks_cleanup, sessions);
}

static void starts_flushers(void)
{
	services_askers("postqueue", "qmgr", others);
}

static void cleanup_rewrite_qmgr(void)
{
	static void (*const starts[])(void) = {
		starts_cleanup, starts_rewrite, starts_qmgr, starts_senders, starts_flushers, NULL};

	sessions = zoo_vary(1, 4);
	others = zoo_vary(0, 3);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- the local agent crashes at one message again and again ---- */

static void crashes_at_message(long i)
{
	volatile char *volatile body = NULL;

	zoo_must(zoo_posix_lock(zoo_open_file("queue-2"), F_WRLCK));
	zoo_blame();
	body[i] = 0;
}

static void local_crashes_again(void)
{
	sessions = zoo_vary(0, 3);
	services_open();
	store_service("qmgr", takes_and_loops, 1);
	services_askers("sendmail", "qmgr", sessions);
	for (long i = 0; i < CRASHES; i++)
		waitpid(store_process("local", crashes_at_message, i, 0), NULL, 0);
	services_run();
}

/* ---- all agents at a relay that is switched off, and the queue behind them ---- */

static int relay_port;

static void relay_is_off(long listener)
{
	int quiet[2] = {zoo_quiet_peer(), zoo_quiet_peer()};

	(void)listener;
	zoo_blame();
	store_loop(quiet, 2);
}

static void sends_to_relay(long listener)
{
	int fd;

	store_take((int)listener);
	fd = zoo_connect_tcp(relay_port);
	zoo_must(send(fd, "EHLO me\r\n", 9, MSG_NOSIGNAL) == 9);
	zoo_stand();
	zoo_receive(fd);
}

static void qmgr_has_more(long listener)
{
	int fds[STORE_FDS] = {(int)listener}, count = 1;

	for (int i = 0; i < workers + others; i++)
		fds[count++] = services_dial("smtp");
	for (int i = 0; i < sessions; i++)
		fds[count++] = store_take((int)listener);
	store_loop(fds, count);
}

static void agents_at_relay_switched_off(void)
{
	int listener;

	sessions = zoo_vary(1, 4);
	others = zoo_vary(1, 5);
	workers = zoo_vary(2, 5);
	services_open();
	listener = zoo_listen_tcp(16, &relay_port);
	store_process("relay", relay_is_off, listener, 1);
	close(listener);
	listener = zoo_listen_unix("smtp", 16);
	for (int i = 0; i < workers; i++)
		store_process("smtp", sends_to_relay, listener, 1);
	close(listener);
	store_service("qmgr", qmgr_has_more, 1);
	services_askers("sendmail", "qmgr", sessions);
	services_run();
}

/* ---- the aliases are locked by one who reads them from somebody who says nothing ---- */

static void postmap(long i)
{
	int input = zoo_quiet_peer();

	(void)i;
	zoo_locked_file("aliases", LOCK_EX);
	store_step(0);
	zoo_stand();
	zoo_read(input);
}

static void local_reads_aliases(long listener)
{
	store_take((int)listener);
	store_after(0, 1);
	store_wants_file("aliases", LOCK_SH);
}

static void qmgr_asks_local(long listener)
{
	store_take((int)listener);
	services_asks("local");
}

static void asks_qmgr(void)
{
	services_asks("qmgr");
}

static void reads_aliases(void)
{
	store_after(0, 1);
	store_wants_file("aliases", LOCK_SH);
}

static void starts_postmap(void)
{
	store_process("postmap", postmap, 0, 1);
}

static void starts_local(void)
{
	store_service("local", local_reads_aliases, 1);
}

static void starts_asking_qmgr(void)
{
	store_service("qmgr", qmgr_asks_local, 1);
}

static void starts_verifying(void)
{
	services_sessions("verify", asks_qmgr, sessions);
}

static void starts_lmtp(void)
{
	services_sessions("lmtp", reads_aliases, others);
}

static void postmap_reads_its_input(void)
{
	static void (*const starts[])(void) = {starts_postmap, starts_local, starts_asking_qmgr,
		starts_verifying, starts_lmtp, NULL};

	sessions = zoo_vary(1, 3);
	others = zoo_vary(0, 3);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- one service: conversion, transport and tracking in a ring of mutexes ---- */

static pthread_mutex_t tables[RING] = {
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static void *goes_round(void *arg)
{
	static const char *const names[RING] = {"conversion", "transport", "tracking"};
	long me = (long)arg;

	store_called(names[me]);
	pthread_mutex_lock(&tables[me]);
	store_step(0);
	store_after(0, RING);
	zoo_stand();
	pthread_mutex_lock(&tables[(me + 1) % RING]);
	return NULL;
}

static void *wants_table(void *arg)
{
	store_called("notify");
	store_after(0, RING);
	zoo_ready();
	pthread_mutex_lock(&tables[(long)arg]);
	return NULL;
}

static void ring_store(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	store_idle_workers(2);
	for (long i = 0; i < RING; i++)
		zoo_thread_run(goes_round, (void *)((i + hit) % RING));
	for (int i = 1; i <= sessions; i++) {
		fds[i] = store_take((int)listener);
		zoo_thread_run(wants_table, (void *)(long)((i + others) % RING));
	}
	store_loop(fds, sessions + 1);
}

static void asks_store(void)
{
	services_asks("store");
}

static void starts_ring_store(void)
{
	store_service("store", ring_store, RING + sessions + 3);
}

static void starts_web(void)
{
	services_sessions("web", asks_store, sessions);
}

static void conversion_transport_tracking(void)
{
	static void (*const starts[])(void) = {starts_ring_store, starts_web, NULL};

	sessions = zoo_vary(1, 5);
	others = zoo_vary(0, RING - 1);
	hit = zoo_vary(0, RING - 1);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- a notification to a client that has logged off ---- */

static char *volatile registered;

static void *logs_off(void *arg)
{
	store_called("logoff");
	free(registered);
	store_step(0);
	return arg;
}

static void *tells_session(void *arg)
{
	store_called("notify");
	store_after(0, 1);
	zoo_blame();
	registered[OBJECT / 2]++;
	return arg;
}

static void notifying_store(long listener)
{
	for (int i = 0; i < sessions; i++)
		store_take((int)listener);
	registered = malloc(OBJECT);
	zoo_must(registered);
	registered[OBJECT / 2] = 1;
	zoo_thread_run(tells_session, NULL);
	zoo_thread_run(logs_off, NULL);
	pause();
}

static void starts_notifying(void)
{
	store_service("store", notifying_store, 0);
}

static void notified_after_log_off(void)
{
	static void (*const starts[])(void) = {starts_notifying, starts_web, NULL};

	sessions = zoo_vary(1, 5);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- the tasks of a store wait for a transfer agent that is disabled ---- */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_done = PTHREAD_COND_INITIALIZER;

static void *flushes_in_transit(void *arg)
{
	struct pollfd mta = {.fd = services_dial("mta"), .events = POLLIN};

	store_called("task");
	zoo_stand();
	poll(&mta, 1, MTA_MS);
	return arg;
}

static void *queues_and_waits(void *arg)
{
	store_called("rpc");
	pthread_mutex_lock(&queue_lock);
	zoo_ready();
	pthread_cond_wait(&job_done, &queue_lock);
	return arg;
}

static void tasks_store(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(flushes_in_transit, NULL);
	services_serve((int)listener, queues_and_waits, sessions);
}

static void disabled_mta(long listener)
{
	int quiet[2] = {zoo_quiet_peer(), zoo_quiet_peer()};

	(void)listener;
	zoo_blame();
	store_loop(quiet, 2);
}

static void starts_mta(void)
{
	store_service("mta", disabled_mta, 1);
}

static void starts_tasks(void)
{
	store_service("store", tasks_store, workers + sessions + 1);
}

static void tasks_at_disabled_mta(void)
{
	static void (*const starts[])(void) = {starts_mta, starts_tasks, starts_web, NULL};

	sessions = zoo_vary(1, 5);
	workers = zoo_vary(2, 6);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- a converter was forked while another thread had a mutex ---- */

static pthread_mutex_t charsets = PTHREAD_MUTEX_INITIALIZER;

static void *loads_charset(void *arg)
{
	store_called("charset");
	pthread_mutex_lock(&charsets);
	store_step(0);
	store_after(1, 1);
	pthread_mutex_unlock(&charsets);
	store_loop(NULL, 0);
	return arg;
}

static void *reads_converter(void *arg)
{
	store_called("submit");
	pthread_mutex_lock(&queue_lock);
	store_step(2);
	zoo_ready();
	zoo_receive((int)(long)arg);
	return NULL;
}

static void *wants_queue(void *arg)
{
	store_called("rpc");
	store_after(2, 1);
	zoo_ready();
	pthread_mutex_lock(&queue_lock);
	return arg;
}

static void converts(int fd)
{
	store_called("convert");
	zoo_stand();
	pthread_mutex_lock(&charsets);
	services_reply(fd);
}

static void forking_store(long listener)
{
	int pair[2];

	zoo_thread_run(loads_charset, NULL);
	store_after(0, 1);
	zoo_pair(pair);
	if (!fork()) {
		close(pair[0]);
		converts(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	store_step(1);
	zoo_thread_run(reads_converter, (void *)(long)pair[0]);
	services_serve((int)listener, wants_queue, sessions);
}

static void starts_forking(void)
{
	store_service("store", forking_store, sessions + 4);
}

static void converter_forked_with_mutex(void)
{
	static void (*const starts[])(void) = {starts_forking, starts_web, NULL};

	sessions = zoo_vary(1, 5);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- a sibling has the other end of what the child reads ---- */

static void fetcher(void)
{
	store_called("fetchmail");
	zoo_stand();
	zoo_idle();
}

static void vacation(int input)
{
	store_called("vacation");
	zoo_stand(); /* it reads, and who keeps the end has nothing to say: one of the two */
	zoo_read(input);
	_exit(0);
}

static void local_feeds_vacation(long listener)
{
	int feed[2];
	pid_t pid;

	store_take((int)listener);
	zoo_locked_file("inbox", LOCK_EX);
	store_step(0);
	zoo_must(!pipe2(feed, O_CLOEXEC));
	if (!fork()) {
		close(feed[0]);
		fetcher();
	}
	pid = fork();
	if (!pid) {
		close(feed[1]);
		vacation(feed[0]);
	}
	close(feed[0]);
	close(feed[1]);
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void wants_inbox(void)
{
	store_after(0, 1);
	store_wants_file("inbox", LOCK_EX);
}

static void starts_feeding(void)
{
	store_service("local", local_feeds_vacation, 3);
}

static void starts_imap(void)
{
	services_sessions("imap", wants_inbox, others);
}

static void sibling_keeps_the_end(void)
{
	static void (*const starts[])(void) = {
		starts_feeding, starts_asking_qmgr, starts_verifying, starts_imap, NULL};

	sessions = zoo_vary(1, 3);
	others = zoo_vary(0, 3);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- a recipe's expression takes for ever, under the dot-lock ---- */

static void procmail(void)
{
	volatile uint64_t steps = 0;

	store_called("procmail");
	close(zoo_open_file("inbox.lock"));
	store_step(0);
	zoo_stand();
	for (;;)
		steps++;
}

static void local_runs_procmail(long listener)
{
	pid_t pid;

	store_take((int)listener);
	pid = fork();
	if (!pid)
		procmail();
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void wants_dot_lock(void)
{
	store_after(0, 1);
	zoo_ready();
	while (open(zoo_path("inbox.lock"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) < 0)
		services_rest(RETRY_MS);
}

static void starts_procmail(void)
{
	store_service("local", local_runs_procmail, 2);
}

static void starts_dot_lockers(void)
{
	services_sessions("pop3", wants_dot_lock, others);
}

static void recipe_burns_under_dot_lock(void)
{
	static void (*const starts[])(void) = {
		starts_procmail, starts_asking_qmgr, starts_verifying, starts_dot_lockers, NULL};

	sessions = zoo_vary(1, 3);
	others = zoo_vary(0, 3);
	services_open();
	services_start(starts);
	services_run();
}

const struct zoo_case zoo_services_more[] = {
	{"cleanup-rewrite-qmgr", "deadlock", "queue", cleanup_rewrite_qmgr, ZOO_HELD_OUT, 0},
	{"local-crashes-again", "crash-loop", "deliver", local_crashes_again,
		ZOO_HELD_OUT | ZOO_DIES, CRASHES},
	{"agents-at-relay-switched-off", "exhaustion", "relay", agents_at_relay_switched_off,
		ZOO_HELD_OUT, 0},
	{"postmap-reads-its-input", "lost-wakeup", "update", postmap_reads_its_input, ZOO_HELD_OUT,
		0},
	{"conversion-transport-tracking", "deadlock", "store", conversion_transport_tracking,
		ZOO_HELD_OUT, 0},
	{"notified-after-log-off", "crash", "store", notified_after_log_off,
		ZOO_HELD_OUT | ZOO_DIES, 1},
	{"tasks-at-disabled-mta", "exhaustion", "store", tasks_at_disabled_mta, ZOO_HELD_OUT, 0},
	{"converter-forked-with-mutex", "lost-wakeup", "store", converter_forked_with_mutex,
		ZOO_HELD_OUT, 0},
	{"sibling-keeps-the-end", "lost-wakeup", "deliver", sibling_keeps_the_end, ZOO_HELD_OUT, 0},
	{"recipe-burns-under-dot-lock", "livelock", "mbox", recipe_burns_under_dot_lock,
		ZOO_HELD_OUT | ZOO_SPINS, 0},
	{0},
};
