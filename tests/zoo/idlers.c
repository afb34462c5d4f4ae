/* Healthy: what waits for work, and looks like trouble. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int count, listener;

static void wait_epoll(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	epoll_wait(set, &event, 1, -1);
}

/* Workers take turns: a lock around accept(), whose holder waits for a connection. */
static void accept_worker(long i)
{
	int fd = zoo_open_file("accept");

	if (i == 0)
		flock(fd, LOCK_EX);
	zoo_meet(count);
	zoo_ready();
	if (i == 0)
		wait_epoll(listener);
	else
		flock(fd, LOCK_EX);
}

static void accept_pool(void)
{
	int port;

	listener = zoo_listen_tcp(8, &port);
	count = zoo_vary(3, 7);
	zoo_several(accept_worker, count);
}

static void of_threads(void *(*run)(void *), void *arg, int low, int high)
{
	int n = zoo_vary(low, high);

	zoo_stands(n);
	for (int i = 0; i < n; i++)
		zoo_thread_run(run, arg);
	zoo_idle();
}

static void of_processes(void (*run)(long), int low, int high)
{
	count = zoo_vary(low, high);
	zoo_several(run, count);
}

static void *cond_worker(void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	(void)arg;
	pthread_mutex_lock(&lock);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&cond, &lock);
	return arg;
}

static void idle_threads(void)
{
	of_threads(cond_worker, NULL, 2, 8);
}

static void *sem_worker(void *arg)
{
	zoo_ready();
	sem_wait(arg);
	return NULL;
}

static void idle_semaphore_pool(void)
{
	of_threads(sem_worker, zoo_never(), 2, 8);
}

static void *accept_thread(void *arg)
{
	zoo_ready();
	accept((int)(long)arg, NULL, NULL);
	return NULL;
}

static void idle_accept_threads(void)
{
	int port, shared = zoo_listen_tcp(8, &port);

	of_threads(accept_thread, (void *)(long)shared, 2, 6);
}

/* A hundred clients, each connected and silent, and the server that waits for all of them. */
static void *idle_client(void *arg)
{
	int fd = zoo_connect_tcp((int)(long)arg);

	zoo_ready();
	zoo_receive(fd);
	return NULL;
}

static void hundred_idle_clients(void)
{
	int port, door = zoo_listen_tcp(128, &port), set = epoll_create1(EPOLL_CLOEXEC);

	zoo_stands(100);
	if (!fork()) {
		for (int i = 0; i < 100; i++)
			zoo_thread_run(idle_client, (void *)(long)port);
		zoo_idle();
	}
	for (int i = 0; i < 100; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		int fd = accept(door, NULL, NULL);

		zoo_must(fd >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	}
	epoll_wait(set, &(struct epoll_event){0}, 1, -1);
}

static void shared_holder(long i)
{
	(void)i;
	zoo_locked_file("shared", LOCK_SH);
	zoo_ready();
	zoo_idle();
}

static void shared_locks(void)
{
	of_processes(shared_holder, 2, 6);
}

static void record_reader(long i)
{
	(void)i;
	zoo_posix_lock(zoo_open_file("records"), F_RDLCK);
	zoo_ready();
	zoo_idle();
}

static void shared_records(void)
{
	of_processes(record_reader, 2, 6);
}

/* A session holds its maildrop as long as it lasts, and other deliveries to it wait. */
static void session_holder(long all)
{
	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)all);
	zoo_ready();
	zoo_idle();
}

static void maildrop_lock(void)
{
	zoo_with_victims(session_holder, zoo_vary(1, 3));
}

static void session(long i)
{
	int fd = zoo_quiet_peer();

	(void)i;
	zoo_ready();
	zoo_receive(fd);
}

static void one_session(void)
{
	of_processes(session, 1, 1);
}

static void many_sessions(void)
{
	of_processes(session, 3, 8);
}

static void idle_child(long i)
{
	(void)i;
	zoo_ready();
	zoo_idle();
}

static void long_child(void)
{
	zoo_stands(1);
	waitpid(zoo_fork_run(idle_child, 0), NULL, 0);
}

static void sleeper(long i)
{
	const struct timespec hour = {.tv_sec = 3600 + i};

	zoo_ready();
	nanosleep(&hour, NULL);
}

static void cron_like(void)
{
	of_processes(sleeper, 1, 3);
}

static int pipe_ends[2];

static void pipe_reader(long i)
{
	(void)i;
	close(pipe_ends[1]);
	zoo_ready();
	zoo_read(pipe_ends[0]);
}

/* The parent feeds it when there is something to do. */
static void pipe_of_work(void)
{
	zoo_must(!pipe2(pipe_ends, O_CLOEXEC));
	zoo_stands(1);
	zoo_fork_run(pipe_reader, 0);
	close(pipe_ends[0]);
	zoo_idle();
}

static void log_reader(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char line[1024];

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.90s", zoo_path("log"));
	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	zoo_stands(1);
	zoo_ready();
	zoo_must(recvfrom(fd, line, sizeof(line), 0, NULL, NULL) <= 0);
}

static void fifo_service(void)
{
	zoo_must(!mkfifo(zoo_path("pickup"), 0600));
	zoo_stands(1);
	zoo_ready();
	zoo_must(open(zoo_path("pickup"), O_RDONLY | O_CLOEXEC) < 0);
}

static void signal_waiter(void)
{
	sigset_t set;
	int signal;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_stands(1);
	zoo_ready();
	sigwait(&set, &signal);
}

static void descriptor_waiters(long i)
{
	uint64_t value;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	fd = i == 0   ? eventfd(0, EFD_CLOEXEC)
	     : i == 1 ? timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)
	     : i == 2 ? inotify_init1(IN_CLOEXEC)
		      : signalfd(-1, &set, SFD_CLOEXEC);
	zoo_ready();
	zoo_must(read(fd, &value, sizeof(value)) <= 0);
}

static void kernel_objects(void)
{
	of_processes(descriptor_waiters, 4, 4);
}

static void *select_thread(void *arg)
{
	struct pollfd fd = {.fd = (int)(long)arg, .events = POLLIN};

	zoo_ready();
	ppoll(&fd, 1, NULL, NULL);
	return NULL;
}

static void one_descriptor_pollers(void)
{
	of_threads(select_thread, (void *)(long)zoo_quiet_peer(), 1, 4);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *rwlock_reader(void *arg)
{
	pthread_rwlock_rdlock(&rwlock);
	return sem_worker(arg);
}

static void rwlock_readers(void)
{
	of_threads(rwlock_reader, zoo_never(), 2, 6);
}

static void *joined(void *arg)
{
	return sem_worker(arg);
}

static void main_joins(void)
{
	zoo_stands(1);
	pthread_join(zoo_thread_run(joined, zoo_never()), NULL);
}

static void paused(void)
{
	zoo_stands(1);
	zoo_ready();
	zoo_stand_for_ever();
}

const struct zoo_case zoo_idlers[] = {
	{"idle-accept-pool", NULL, "receive", accept_pool, 0, 0},
	{"idle-threads", NULL, "store", idle_threads, 0, 0},
	{"idle-semaphore-pool", NULL, "store", idle_semaphore_pool, 0, 0},
	{"idle-accept-threads", NULL, "web", idle_accept_threads, 0, 0},
	{"hundred-idle-clients", NULL, "session", hundred_idle_clients, 0, 0},
	{"shared-locks", NULL, "session", shared_locks, 0, 0},
	{"shared-records", NULL, "session", shared_records, 0, 0},
	{"maildrop-lock", NULL, "pop", maildrop_lock, 0, 0},
	{"one-session", NULL, "session", one_session, 0, 0},
	{"many-sessions", NULL, "session", many_sessions, 0, 0},
	{"long-child", NULL, "agent", long_child, 0, 0},
	{"cron-like", NULL, "queue", cron_like, 0, 0},
	{"pipe-of-work", NULL, "queue", pipe_of_work, 0, 0},
	{"log-reader", NULL, "log", log_reader, 0, 0},
	{"fifo-service", NULL, "pickup", fifo_service, 0, 0},
	{"signal-waiter", NULL, "master", signal_waiter, 0, 0},
	{"kernel-objects", NULL, "master", kernel_objects, 0, 0},
	{"one-descriptor-pollers", NULL, "proxy", one_descriptor_pollers, 0, 0},
	{"rwlock-readers", NULL, "lookup", rwlock_readers, 0, 0},
	{"main-joins", NULL, "lookup", main_joins, 0, 0},
	{"paused", NULL, "master", paused, 0, 0},
	{0},
};
