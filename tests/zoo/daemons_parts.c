#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define CREW_MAX 16

struct member {
	const char *name;
	void (*run)(long);
	long arg;
};

struct daemon_shared *daemon_shared;

static struct member crew[CREW_MAX];
static int members, port;
static enum daemon_lock lock_kind;

void daemons_open(void)
{
	pthread_mutexattr_t mutex;
	pthread_rwlockattr_t rwlock;
	pthread_condattr_t cond;

	store_open();
	daemon_shared = zoo_shared(sizeof(*daemon_shared));
	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	for (int i = 0; i < DAEMON_MUTEXES; i++)
		pthread_mutex_init(&daemon_shared->mutex[i], &mutex);
	pthread_rwlockattr_init(&rwlock);
	pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
	pthread_rwlock_init(&daemon_shared->rwlock, &rwlock);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&daemon_shared->cond, &cond);
	sem_init(&daemon_shared->slots, 1, 0);
}

/* ---- a crew ---- */

void crew_add(const char *name, void (*run)(long), long arg)
{
	zoo_must(members < CREW_MAX);
	crew[members++] = (struct member){name, run, arg};
}

static void *as_thread(void *arg)
{
	const struct member *member = arg;

	store_called(member->name);
	member->run(member->arg);
	zoo_stand_for_ever();
}

static void with_threads(long any)
{
	(void)any;
	for (int i = 0; i < members; i++)
		zoo_thread_run(as_thread, &crew[i]);
	store_loop(NULL, 0);
}

static void turn_crew(void)
{
	for (int i = members - 1; i > 0; i--) {
		int other = zoo_vary(0, i);
		struct member member = crew[i];

		crew[i] = crew[other];
		crew[other] = member;
	}
}

void crew_forks(void)
{
	turn_crew();
	for (int i = 0; i < members; i++)
		store_process(crew[i].name, crew[i].run, crew[i].arg, 1);
	members = 0;
}

void crew_threads(const char *process)
{
	turn_crew();
	store_process(process, with_threads, 0, members + 1);
	members = 0;
}

void crew_either(const char *process)
{
	if (zoo_vary(0, 1))
		crew_threads(process);
	else
		crew_forks();
}

/* ---- services ---- */

pid_t daemon_service(const char *name, void (*run)(long), int threads)
{
	int listener = zoo_vary(0, 1) ? zoo_listen_unix(name, 16) : zoo_listen_tcp(16, &port);
	pid_t pid = store_process(name, run, listener, threads);

	close(listener);
	return pid;
}

int daemon_ask(const char *name)
{
	int fd;

	if (!port)
		return store_ask(name);
	fd = zoo_connect_tcp(port);
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

static const char *asked;

static void asks(long i)
{
	(void)i;
	store_await(daemon_ask(asked));
}

void daemon_askers(const char *client, const char *name, int count)
{
	asked = name;
	for (int i = 0; i < count; i++)
		store_process(client, asks, i, 1);
}

/* ---- locks of processes ---- */

void daemon_lock_is(enum daemon_lock kind)
{
	lock_kind = kind;
}

void daemon_draws_lock(void)
{
	daemon_lock_is((enum daemon_lock)zoo_vary(BY_FLOCK, BY_MUTEX));
}

void daemon_takes_lock(void)
{
	int fd = zoo_open_file("spool.lock");

	switch (lock_kind) {
	case BY_FLOCK:
		zoo_must(!flock(fd, LOCK_EX));
		return;
	case BY_RECORD:
		zoo_must(zoo_posix_lock(fd, F_WRLCK));
		return;
	case BY_MUTEX:
		close(fd);
		pthread_mutex_lock(&daemon_shared->mutex[0]);
		return;
	}
}

void daemon_wants_held(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_file("held", LOCK_EX);
}

void daemon_wants_mutex(long i)
{
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[i]);
}

void daemons_beside(void)
{
	store_idle_sessions(zoo_vary(1, 4));
	if (zoo_vary(0, 1))
		store_cleaner();
	store_anvil();
}

void daemon_stops(void)
{
	zoo_stand();
	raise(SIGSTOP);
}
