/* Pools whose every worker is in the same wait, and servers that take no more. */
#include "tests/zoo/parts_private.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int quiet, port;

/* ---- threads ---- */

static void *poll_worker(void *arg)
{
	struct pollfd fd = {.fd = quiet, .events = POLLIN};

	(void)arg;
	prctl(PR_SET_NAME, "worker");
	zoo_stand();
	poll(&fd, 1, 9000000);
	return NULL;
}

static void pool_of_threads(void *(*run)(void *), void *arg)
{
	int count = zoo_vary(3, 8);

	zoo_stands(count);
	for (int i = 0; i < count; i++)
		zoo_thread_run(run, arg);
	zoo_idle();
}

static void pool_on_socket(void)
{
	quiet = zoo_quiet_peer();
	pool_of_threads(poll_worker, NULL);
}

static void *sem_worker(void *arg)
{
	prctl(PR_SET_NAME, "worker");
	zoo_stand();
	sem_wait(arg);
	return NULL;
}

static void pool_on_semaphore(void)
{
	pool_of_threads(sem_worker, zoo_never());
}

/* A request each to a server that has been stopped and accepts nobody. */
static void *tcp_worker(void *arg)
{
	int fd = zoo_connect_tcp(port);

	(void)arg;
	prctl(PR_SET_NAME, "worker");
	zoo_must(send(fd, "x", 1, 0) == 1);
	zoo_ready();
	zoo_receive(fd);
	return NULL;
}

static void deaf_server(long listener)
{
	zoo_must(listener >= 0);
	zoo_blame();
	zoo_meet(1);
	raise(SIGSTOP);
}

static void pool_on_stopped_server(void)
{
	int listener = zoo_listen_tcp(16, &port);

	zoo_fork_run(deaf_server, listener);
	close(listener);
	zoo_await(&zoo_board->go, 1);
	pool_of_threads(tcp_worker, NULL);
}

/* ---- processes ---- */

static void process_worker(long i)
{
	(void)i;
	zoo_stand();
	zoo_receive(quiet);
}

static void pool_of_processes(void)
{
	int count = zoo_vary(3, 6);

	quiet = zoo_quiet_peer();
	zoo_several(process_worker, count);
}

/* ---- connections ---- */

static void *handler(void *arg)
{
	int fd = accept((int)(long)arg, NULL, NULL);

	prctl(PR_SET_NAME, "handler");
	zoo_must(fd >= 0);
	zoo_stand();
	zoo_receive(fd);
	return NULL;
}

static void quiet_client(long i)
{
	struct pollfd fds[2];

	(void)i;
	fds[0] = (struct pollfd){.fd = zoo_connect_unix("door"), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
	zoo_ready();
	poll(fds, 2, -1);
}

/* As many quiet clients as there are handlers, and more at the door. */
static void connection_limit(void)
{
	int listener = zoo_listen_unix("door", 16), handlers = zoo_vary(3, 6);
	int count = handlers + zoo_vary(2, 5);

	zoo_stands(handlers + count);
	for (int i = 0; i < count; i++)
		zoo_fork_run(quiet_client, i);
	for (int i = 0; i < handlers; i++)
		zoo_thread_run(handler, (void *)(long)listener);
	zoo_idle();
}

/* The only thread that accepts waits for something else. */
static void busy_server(long listener)
{
	sem_t *never = zoo_never();

	zoo_must(listener >= 0);
	zoo_stand();
	sem_wait(never);
}

static void caller(long i)
{
	int fd = zoo_connect_unix("desk");

	(void)i;
	zoo_ready();
	zoo_receive(fd);
}

static void nobody_accepts(void)
{
	int listener = zoo_listen_unix("desk", 16), count = zoo_vary(2, 5);

	zoo_stands(1 + count);
	zoo_fork_run(busy_server, listener);
	close(listener);
	for (int i = 0; i < count; i++)
		zoo_fork_run(caller, i);
	zoo_wait_for_children();
}

const struct zoo_case zoo_pools[] = {
	{"pool-on-socket", "exhaustion", "store", pool_on_socket, 0, 0},
	{"pool-on-semaphore", "exhaustion", "session", pool_on_semaphore, 0, 0},
	{"pool-on-stopped-server", "stopped", "agent", pool_on_stopped_server, 0, 0},
	{"pool-of-processes", "exhaustion", "deliver", pool_of_processes, 0, 0},
	{"connection-limit", "exhaustion", "session", connection_limit, 0, 0},
	{"nobody-accepts", "lost-wakeup", "lookup", nobody_accepts, 0, 0},
	{0},
};
