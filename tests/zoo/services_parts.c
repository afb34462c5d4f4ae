#include "tests/zoo/services_parts.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DOOR_MAX 64

static bool neighbours_first;

static void config(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

static void neighbours(void)
{
	store_prefork(zoo_vary(0, 3));
	store_idle_sessions(zoo_vary(0, 3));
	if (zoo_vary(0, 1))
		store_cleaner();
	if (zoo_vary(0, 1))
		store_service("config", config, 1);
}

void services_open(void)
{
	store_open();
	neighbours_first = zoo_vary(0, 1);
	if (neighbours_first)
		neighbours();
}

void services_run(void)
{
	if (!neighbours_first)
		neighbours();
	store_runs();
}

void services_start(void (*const *starts)(void))
{
	int count = 0, first;

	while (starts[count])
		count++;
	first = zoo_vary(0, count - 1);
	for (int i = 0; i < count; i++)
		starts[(first + i) % count]();
}

int services_dial(const char *service)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", zoo_path(service));
	while (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		zoo_must(errno == ENOENT || errno == ECONNREFUSED);
		sched_yield();
	}
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

void services_asks(const char *service)
{
	store_await(services_dial(service));
}

static void (*session_waits)(void);
static char door[DOOR_MAX];
static const char *asked;

static void session(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	close((int)listener);
	session_waits();
}

static void client(long i)
{
	(void)i;
	services_asks(door);
}

void services_sessions(const char *name, void (*waits)(void), int count)
{
	static int doors;

	session_waits = waits;
	for (int i = 0; i < count; i++) {
		snprintf(door, sizeof(door), "%s-door-%d", name, doors++);
		store_service(door, session, 1);
		store_process("client", client, i, 1);
	}
}

static void asker(long i)
{
	(void)i;
	services_asks(asked);
}

void services_askers(const char *name, const char *service, int count)
{
	asked = service;
	for (int i = 0; i < count; i++)
		store_process(name, asker, i, 1);
}

static void asks_again(long i)
{
	char reply;
	int fd;

	(void)i;
	zoo_ready();
	for (;;) {
		fd = services_dial(asked);
		zoo_must(recv(fd, &reply, 1, 0) == 1);
		close(fd);
	}
}

void services_converses(const char *service)
{
	int fd = services_dial(service);
	char reply;

	zoo_ready();
	while (recv(fd, &reply, 1, 0) == 1)
		zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
}

void services_ask_again(const char *name, const char *service, int count)
{
	asked = service;
	for (int i = 0; i < count; i++)
		store_process(name, asks_again, i, 1);
}

void services_pool(const char *name, void (*run)(long), int count)
{
	int listener = zoo_listen_unix(name, 32);

	for (int i = 0; i < count; i++)
		store_process(name, run, listener, 1);
	close(listener);
}

void services_reply(int fd)
{
	zoo_must(send(fd, ".", 1, MSG_NOSIGNAL) == 1);
}

void services_answer(int fd)
{
	services_reply(fd);
	close(fd);
}

void services_shared_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(mutex, &attr));
}

void services_rest(int ms)
{
	const struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&rest, NULL);
}

void services_serve(int listener, void *(*run)(void *), int count)
{
	int fds[STORE_FDS] = {listener};

	for (int i = 1; i <= count; i++) {
		fds[i] = store_take(listener);
		zoo_thread_run(run, NULL);
	}
	store_loop(fds, count + 1);
}
