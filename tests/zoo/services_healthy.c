/*
 * Whole small mail stores that are well, at rest and at work: who is waited for has much to do, or has to wait a while
 * by its rules.
 */
#include "tests/zoo/services_parts.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS  3
#define PENALTY_S 20
#define TRIES_MS  (300 * 1000) /* RFC 5321, 4.5.3.2: minutes for a reply */
#define CHUNK	  4096

static int sessions, others, workers;

static void loops(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

static void computes(void)
{
	volatile uint64_t sum = 0;

	for (int i = 0; i < 1000 * 1000; i++)
		sum += (uint64_t)i * sum;
}

/* ---- a pool that works off its queue ---- */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_grew = PTHREAD_COND_INITIALIZER;
static int queue[STORE_FDS], queued;

static void *works_off(void *arg)
{
	store_called("worker");
	zoo_ready();
	for (;;) {
		int fd;

		pthread_mutex_lock(&queue_lock);
		while (!queued)
			pthread_cond_wait(&queue_grew, &queue_lock);
		fd = queue[--queued];
		pthread_mutex_unlock(&queue_lock);
		computes();
		services_reply(fd);
	}
	return arg;
}

/* Each client has one request under way, so the queue has room for all. */
static void *reads_requests(void *arg)
{
	int fd = (int)(long)arg;
	char request[8];

	store_called("reader");
	zoo_ready();
	while (recv(fd, request, sizeof(request), MSG_WAITALL) == 8) {
		pthread_mutex_lock(&queue_lock);
		queue[queued++] = fd;
		pthread_cond_signal(&queue_grew);
		pthread_mutex_unlock(&queue_lock);
	}
	return arg;
}

static void working_store(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(works_off, NULL);
	for (int i = 0; i < sessions; i++) {
		long fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);

		zoo_must(fd >= 0);
		zoo_thread_run(reads_requests, (void *)fd);
	}
	loops(listener);
}

static void asks_on_and_on(long i)
{
	(void)i;
	services_converses("store");
}

static void pool_works_off_its_queue(void)
{
	sessions = zoo_vary(1, 5);
	workers = zoo_vary(1, 4);
	services_open();
	store_service("store", working_store, workers + sessions + 1);
	for (int i = 0; i < sessions; i++)
		store_process("imap", asks_on_and_on, i, 1);
	services_run();
}

/* ---- children in sessions whose clients say nothing ---- */

static void in_session(long listener)
{
	struct pollfd client = {.fd = store_take((int)listener), .events = POLLIN};

	services_reply(client.fd);
	store_step(0);
	zoo_ready();
	poll(&client, 1, TRIES_MS);
}

static void accepts_next(long listener)
{
	int fd = zoo_open_file("mx.accept");

	store_after(0, sessions);
	zoo_ready();
	flock(fd, LOCK_EX);
	store_take((int)listener);
}

static void quiet_client(long i)
{
	struct pollfd server = {.fd = services_dial("mx"), .events = POLLIN};
	char greeting;

	(void)i;
	zoo_must(recv(server.fd, &greeting, 1, 0) == 1);
	zoo_ready();
	poll(&server, 1, TRIES_MS);
}

static void children_of_quiet_clients(void)
{
	int listener;

	sessions = zoo_vary(1, 5);
	others = zoo_vary(1, 4);
	services_open();
	listener = zoo_listen_unix("mx", 16);
	for (int i = 0; i < sessions; i++)
		store_process("mx", in_session, listener, 1);
	for (int i = 0; i < others; i++)
		store_process("mx", accepts_next, listener, 1);
	close(listener);
	for (int i = 0; i < sessions; i++)
		store_process("client", quiet_client, i, 1);
	services_run();
}

/* ---- many daemons between two logins ---- */

static void serves_quietly(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= sessions; i++) {
		fds[i] = store_take((int)listener);
		services_reply(fds[i]);
	}
	store_loop(fds, sessions + 1);
}

/* It has asked them all, and their replies. */
static void proxies(long i)
{
	static const char *const names[] = {"auth", "anvil", "dict"};
	int fds[4] = {zoo_quiet_peer()};
	char reply;

	(void)i;
	for (int s = 0; s < 3; s++) {
		fds[s + 1] = services_dial(names[s]);
		zoo_must(recv(fds[s + 1], &reply, 1, 0) == 1);
	}
	store_loop(fds, 4);
}

static void daemons_between_logins(void)
{
	sessions = zoo_vary(1, 5);
	services_open();
	store_log(store_reads_log, 1);
	for (int i = 0; i < sessions; i++)
		store_process("login", proxies, i, 1);
	store_service("auth", serves_quietly, 1);
	store_service("dict", serves_quietly, 1);
	store_service("anvil", serves_quietly, 1);
	services_run();
}

/* ---- an agent at a host far away that answers byte by byte ---- */

static int remote_port;

static void tarpit(long listener)
{
	int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);

	zoo_must(fd >= 0);
	zoo_ready();
	while (send(fd, "2", 1, MSG_NOSIGNAL) == 1)
		services_rest(SLICE_MS * 10);
}

static void sends_slowly(long listener)
{
	struct pollfd remote = {.events = POLLIN};
	char byte;

	store_take((int)listener);
	zoo_must(zoo_posix_lock(zoo_open_file("queue-1"), F_WRLCK));
	remote.fd = zoo_connect_tcp(remote_port);
	zoo_ready();
	while (poll(&remote, 1, TRIES_MS) == 1)
		zoo_must(recv(remote.fd, &byte, 1, 0) == 1);
}

static void idle_agent(long listener)
{
	struct pollfd work = {.fd = (int)listener, .events = POLLIN};

	store_after(0, 1);
	zoo_ready();
	poll(&work, 1, TRIES_MS / 3);
}

static void qmgr_sends_one(long listener)
{
	int fds[2] = {(int)listener, services_dial("smtp")};

	store_step(0);
	store_loop(fds, 2);
}

static void one_remote_host_is_slow(void)
{
	int listener;

	others = zoo_vary(0, 4);
	services_open();
	listener = zoo_listen_tcp(4, &remote_port);
	store_process("remote", tarpit, listener, 1);
	close(listener);
	listener = zoo_listen_unix("smtp", 16);
	store_process("smtp", sends_slowly, listener, 1);
	for (int i = 0; i < others; i++)
		store_process("smtp", idle_agent, listener, 1);
	close(listener);
	store_service("qmgr", qmgr_sends_one, 1);
	services_run();
}

/* ---- a large message is converted ---- */

static pthread_cond_t converted = PTHREAD_COND_INITIALIZER;

static void *converts_much(void *arg)
{
	store_called("convert");
	zoo_ready();
	for (;;)
		computes();
	return arg;
}

static void *waits_for_conversion(void *arg)
{
	store_called("rpc");
	pthread_mutex_lock(&queue_lock);
	zoo_ready();
	pthread_cond_wait(&converted, &queue_lock);
	return arg;
}

static void converting_store(long listener)
{
	store_idle_workers(workers);
	zoo_thread_run(converts_much, NULL);
	services_serve((int)listener, waits_for_conversion, sessions);
}

static void asks_store(void)
{
	services_asks("store");
}

static void large_message_converted(void)
{
	sessions = zoo_vary(1, 3);
	workers = zoo_vary(1, 4);
	services_open();
	services_sessions("web", asks_store, sessions);
	store_service("store", converting_store, sessions + workers + 2);
	services_run();
}

/* ---- a queue manager and its daemons at rest ---- */

static void keeps_active(long listener)
{
	for (int i = 0; i < others; i++)
		zoo_must(zoo_posix_lock(zoo_open_numbered("deferred", i), F_WRLCK));
	loops(listener);
}

static void pickup(long i)
{
	struct pollfd fifo = {.fd = open(zoo_path("pickup"), O_RDWR | O_CLOEXEC), .events = POLLIN};

	(void)i;
	zoo_must(fifo.fd >= 0);
	zoo_ready();
	poll(&fifo, 1, TRIES_MS / 5);
}

static void queue_manager_at_rest(void)
{
	static const char *const services[] = {"cleanup", "rewrite", "tlsmgr", "bounce"};
	int count = zoo_vary(1, 4);

	others = zoo_vary(0, 3);
	services_open();
	zoo_must(!mkfifo(zoo_path("pickup"), 0600));
	for (int i = 0; i < count; i++)
		store_service(services[i], loops, 1);
	store_service("qmgr", keeps_active, 1);
	store_process("pickup", pickup, 0, 1);
	services_run();
}

/* ---- one big service at rest ---- */

static void *scans_notifications(void *arg)
{
	struct timespec until;

	store_called("notify");
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += TRIES_MS / 1000;
	pthread_mutex_lock(&queue_lock);
	zoo_ready();
	pthread_cond_timedwait(&converted, &queue_lock, &until);
	return arg;
}

static void *waits_for_tracking(void *arg)
{
	store_called("tracking");
	zoo_ready();
	sem_wait(arg);
	return arg;
}

static void big_service(long listener)
{
	zoo_thread_run(scans_notifications, NULL);
	zoo_thread_run(waits_for_tracking, zoo_never());
	store_idle_workers(workers);
	serves_quietly(listener);
}

static void keeps_session(long i)
{
	int fd = services_dial("store");
	char reply;

	(void)i;
	zoo_must(recv(fd, &reply, 1, 0) == 1);
	store_loop(&fd, 1);
}

static void big_service_at_rest(void)
{
	sessions = zoo_vary(0, 5);
	workers = zoo_vary(1, 8);
	services_open();
	store_service("store", big_service, workers + 3);
	for (int i = 0; i < sessions; i++)
		store_process("web", keeps_session, i, 1);
	services_run();
}

/* ---- auth lets those wait who gave a wrong password ---- */

static void auth_penalizes(long listener)
{
	const struct itimerspec later = {.it_value.tv_sec = PENALTY_S};
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < sessions; i++) {
		int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

		store_take((int)listener);
		zoo_must(!timerfd_settime(timer, 0, &later, NULL) &&
			 !epoll_ctl(set, EPOLL_CTL_ADD, timer, &event));
	}
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	zoo_ready();
	epoll_wait(set, &event, 1, -1);
}

static void asks_auth(void)
{
	services_asks("auth");
}

static void wrong_password_waits(void)
{
	sessions = zoo_vary(1, 4);
	services_open();
	services_sessions("login", asks_auth, sessions);
	store_service("auth", auth_penalizes, 1);
	services_run();
}

#define AT_WORK (ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED)

const struct zoo_case zoo_services_healthy[] = {
	{"pool-works-off-its-queue", NULL, "store", pool_works_off_its_queue, AT_WORK, 0},
	{"children-of-quiet-clients", NULL, "receive", children_of_quiet_clients, ZOO_HELD_OUT, 0},
	{"daemons-between-logins", NULL, "session", daemons_between_logins, ZOO_HELD_OUT, 0},
	{"one-remote-host-is-slow", NULL, "relay", one_remote_host_is_slow,
		ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"large-message-converted", NULL, "store", large_message_converted, AT_WORK, 0},
	{"queue-manager-at-rest", NULL, "queue", queue_manager_at_rest, ZOO_HELD_OUT, 0},
	{"big-service-at-rest", NULL, "store", big_service_at_rest, ZOO_HELD_OUT, 0},
	{"wrong-password-waits", NULL, "auth", wrong_password_waits, ZOO_HELD_OUT, 0},
	{0},
};
