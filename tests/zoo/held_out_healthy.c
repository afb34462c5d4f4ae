/* Look-alikes that were written after the diagnosis was finished. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int members, fds[2][2];

static pthread_mutex_t *accept_mutex;
static int listener;

static void mutex_worker(long i)
{
	struct pollfd fd = {.fd = listener, .events = POLLIN};

	if (i == 0)
		pthread_mutex_lock(accept_mutex);
	zoo_meet(members);
	zoo_ready();
	if (i == 0)
		poll(&fd, 1, -1);
	else
		pthread_mutex_lock(accept_mutex);
}

static void accept_mutex_pool(void)
{
	pthread_mutexattr_t attr;
	int port;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	accept_mutex = zoo_shared(sizeof(*accept_mutex));
	pthread_mutex_init(accept_mutex, &attr);
	listener = zoo_listen_tcp(8, &port);
	members = zoo_vary(3, 6);
	zoo_several(mutex_worker, members);
}

static int queue_id;

static void takes_message(long i)
{
	char message[64];

	(void)i;
	zoo_ready();
	zoo_must(msgrcv(queue_id, message, 32, 0, 0) < 0);
}

static void message_workers(void)
{
	queue_id = msgget(IPC_PRIVATE, 0600);
	zoo_several(takes_message, zoo_vary(2, 4));
}

static void takes_semaphore(long i)
{
	struct sembuf down = {.sem_op = -1};

	(void)i;
	zoo_ready();
	semop(queue_id, &down, 1);
}

static void semop_workers(void)
{
	queue_id = semget(IPC_PRIVATE, 1, 0600);
	zoo_several(takes_semaphore, zoo_vary(2, 4));
}

static void *timed_worker(void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3600;
	pthread_mutex_lock(&lock);
	zoo_ready();
	pthread_cond_timedwait(&cond, &lock, &until);
	return arg;
}

static void timed_pool(void)
{
	int count = zoo_vary(2, 6);

	zoo_stands(count);
	for (int i = 0; i < count; i++)
		zoo_thread_run(timed_worker, NULL);
	zoo_idle();
}

static void polls_its_client(long i)
{
	struct pollfd fd = {.fd = zoo_quiet_peer(), .events = POLLIN};

	(void)i;
	zoo_ready();
	poll(&fd, 1, -1);
}

static void polling_sessions(void)
{
	zoo_several(polls_its_client, zoo_vary(2, 6));
}

static void idle_one(long i)
{
	(void)i;
	zoo_ready();
	zoo_idle();
}

/* A supervisor that sleeps until a signal, with its children. */
static void supervised(void)
{
	sigset_t none;

	members = zoo_vary(2, 4);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_fork_run(idle_one, i);
	sigemptyset(&none);
	sigsuspend(&none);
}

static void waits_for_any(void)
{
	siginfo_t info;

	members = zoo_vary(2, 4);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_fork_run(idle_one, i);
	waitid(P_ALL, 0, &info, WEXITED);
}

static void reads_input(long i)
{
	(void)i;
	close(fds[0][1]);
	close(fds[1][0]);
	zoo_ready();
	zoo_read(fds[0][0]);
}

/* A filter that waits for its next input; its parent waits for whatever comes first. */
static void coprocess(void)
{
	struct pollfd polled[2];

	zoo_must(!pipe2(fds[0], O_CLOEXEC) && !pipe2(fds[1], O_CLOEXEC));
	zoo_stands(1);
	zoo_fork_run(reads_input, 0);
	close(fds[0][0]);
	close(fds[1][1]);
	polled[0] = (struct pollfd){.fd = fds[1][0], .events = POLLIN};
	polled[1] = (struct pollfd){.fd = zoo_listen_unix("control", 4), .events = POLLIN};
	poll(polled, 2, -1);
}

static void *waits_for_signal(void *arg)
{
	sigset_t set;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	zoo_ready();
	sigwait(&set, &signal);
	return arg;
}

static void *sleeps(void *arg)
{
	const struct timespec hour = {.tv_sec = 3600};

	zoo_ready();
	nanosleep(&hour, NULL);
	return arg;
}

static void *accepts(void *arg)
{
	zoo_ready();
	accept((int)(long)arg, NULL, NULL);
	return NULL;
}

/* A daemon as they are: one thread a task, and workers that wait for work. */
static void whole_daemon(void)
{
	int port, door = zoo_listen_tcp(8, &port), workers = zoo_vary(2, 5);
	sem_t *work = zoo_never();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	zoo_stands(3 + workers);
	zoo_thread_run(waits_for_signal, NULL);
	zoo_thread_run(sleeps, NULL);
	zoo_thread_run(accepts, (void *)(long)door);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(timed_worker, NULL);
	sem_wait(work);
}

/* Records are locked and given back all the time by several. */
static void locks_and_gives_back(long i)
{
	int fd = zoo_open_file("counter");
	struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	(void)i;
	zoo_ready();
	for (;;) {
		zoo_posix_lock(fd, F_WRLCK);
		fcntl(fd, F_SETLK, &none);
	}
}

static void busy_records(void)
{
	zoo_several(locks_and_gives_back, zoo_vary(2, 4));
}

const struct zoo_case zoo_held_out_healthy[] = {
	{"accept-mutex-pool", NULL, "web", accept_mutex_pool, ZOO_HELD_OUT, 0},
	{"message-workers", NULL, "queue", message_workers, ZOO_HELD_OUT, 0},
	{"semop-workers", NULL, "queue", semop_workers, ZOO_HELD_OUT, 0},
	{"timed-pool", NULL, "store", timed_pool, ZOO_HELD_OUT, 0},
	{"polling-sessions", NULL, "session", polling_sessions, ZOO_HELD_OUT, 0},
	{"supervised", NULL, "master", supervised, ZOO_HELD_OUT, 0},
	{"waits-for-any", NULL, "master", waits_for_any, ZOO_HELD_OUT, 0},
	{"coprocess", NULL, "filter", coprocess, ZOO_HELD_OUT, 0},
	{"whole-daemon", NULL, "store", whole_daemon, ZOO_HELD_OUT, 0},
	{"busy-records", NULL, "index", busy_records, ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{0},
};
