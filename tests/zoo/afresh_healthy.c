/* What looks like the cases of afresh.c and afresh_more.c, and is well. */
#include "tests/zoo/parts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HOUR_S 3600

static pthread_mutex_t *accepting;
static int listener;

static void *takes_turns(void *arg)
{
	zoo_ready();
	pthread_mutex_lock(accepting);
	accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return arg;
}

/* One thread of many processes accepts, by a robust mutex that inherits priority. */
static void accepts_in_turn(long i)
{
	(void)i;
	zoo_thread_run(takes_turns, NULL);
	zoo_thread_run(takes_turns, NULL);
	zoo_stand_for_ever();
}

static void pool_accepts_in_turn(void)
{
	int workers = zoo_vary(3, 6);
	pthread_mutexattr_t attr;

	accepting = zoo_shared(sizeof(*accepting));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	zoo_must(!pthread_mutex_init(accepting, &attr));
	listener = zoo_listen_unix("imap", 8);
	zoo_stands(2 * workers);
	for (int i = 0; i < workers; i++)
		zoo_fork_run(accepts_in_turn, i);
	zoo_wait_for_children();
}

static void master_of_idle_children(void)
{
	int children = zoo_vary(2, 6);

	zoo_several(zoo_idles, children);
}

static void hourly_housekeeper(void)
{
	const struct itimerspec hourly = {.it_value.tv_sec = HOUR_S, .it_interval.tv_sec = HOUR_S};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	zoo_stands(1);
	timerfd_settime(fd, 0, &hourly, NULL);
	zoo_ready();
	zoo_read(fd);
}

static void watches_spool(void)
{
	int fd = inotify_init1(IN_CLOEXEC);

	zoo_stands(1);
	zoo_must(!mkdir(zoo_path("new"), 0700) &&
		 inotify_add_watch(fd, zoo_path("new"), IN_CREATE) >= 0);
	zoo_ready();
	zoo_read(fd);
}

/* Clients are connected and say nothing; each is armed for one event. */
static int epoll_set;

static void *waits_for_events(void *arg)
{
	struct epoll_event event;

	zoo_ready();
	epoll_wait(epoll_set, &event, 1, -1);
	return arg;
}

static void says_nothing(long fd)
{
	zoo_ready();
	zoo_receive((int)fd);
}

static void workers_of_quiet_clients(void)
{
	int workers = zoo_vary(2, 4), clients = zoo_vary(2, 6);

	epoll_set = epoll_create1(EPOLL_CLOEXEC);
	zoo_stands(workers + clients);
	for (int i = 0; i < clients; i++) {
		struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
		int pair[2];

		zoo_pair(pair);
		zoo_must(!epoll_ctl(epoll_set, EPOLL_CTL_ADD, pair[0], &event));
		zoo_fork_run(says_nothing, pair[1]);
		close(pair[1]);
	}
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_events, NULL);
	zoo_stand_for_ever();
}

static void supervises(void)
{
	struct pollfd pfd = {.events = POLLIN};

	zoo_stands(2);
	pfd.fd = (int)syscall(SYS_pidfd_open, zoo_fork_run(zoo_idles, 0), 0);
	zoo_ready();
	poll(&pfd, 1, -1);
}

static void *idle_thread(void *arg)
{
	zoo_ready();
	zoo_idle();
	return arg;
}

static void joins_its_workers(void)
{
	pthread_t threads[2];

	zoo_stands(3);
	for (int i = 0; i < 2; i++)
		threads[i] = zoo_thread_run(idle_thread, NULL);
	zoo_ready();
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* Left by one who was killed, and nobody wants it. */
static void lock_file_left(void)
{
	int fd = zoo_open_file("mbox.lock");

	dprintf(fd, "%d\n", 4194300);
	close(fd);
	zoo_stands(1);
	zoo_ready();
	zoo_idle();
}

static void disk_thread_idle(void)
{
	aio_context_t context = 0;
	struct io_event event;

	zoo_stands(1);
	zoo_must(!syscall(SYS_io_setup, 8, &context));
	zoo_ready();
	syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
}

/* What is burnt here is work: replies come meanwhile. */
static void indexes(long i)
{
	volatile unsigned long words = (unsigned long)i;

	zoo_ready();
	for (;;)
		words = words + 1;
}

static void indexer_works(void)
{
	zoo_stands(2);
	zoo_fork_run(indexes, 0);
	zoo_fork_run(zoo_idles, 0);
	zoo_wait_for_children();
}

static void ends(long i)
{
	_exit((int)i);
}

/* The signal of the child's end was blocked in time, and another child lives. */
static void reads_child_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_stands(2);
	zoo_fork_run(zoo_idles, 0);
	zoo_ready();
	zoo_read(signalfd(-1, &set, SFD_CLOEXEC));
}

static void one_not_reaped_yet(void)
{
	siginfo_t info;

	zoo_stands(1);
	zoo_must(!waitid(P_PID, (id_t)zoo_fork_run(ends, 0), &info, WEXITED | WNOWAIT));
	zoo_ready();
	zoo_idle();
}

static void holds_maildrop(long i)
{
	int client = zoo_quiet_peer();

	(void)i;
	zoo_must(zoo_posix_lock(zoo_open_file("maildrop"), F_WRLCK));
	zoo_ready();
	zoo_receive(client);
}

static void session_holds_maildrop(void)
{
	zoo_stands(1);
	zoo_fork_run(holds_maildrop, 0);
	zoo_idle();
}

static sem_t jobs;

static void *waits_for_job(void *arg)
{
	zoo_ready();
	sem_wait(&jobs);
	return arg;
}

static void workers_without_work(void)
{
	int workers = zoo_vary(3, 8);

	sem_init(&jobs, 0, 0);
	zoo_stands(workers);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_job, NULL);
	zoo_idle();
}

const struct zoo_case zoo_afresh_healthy[] = {
	{"pool-accepts-in-turn", NULL, "session", pool_accepts_in_turn, 0, 0},
	{"master-of-idle-children", NULL, "store", master_of_idle_children, 0, 0},
	{"hourly-housekeeper", NULL, "agent", hourly_housekeeper, 0, 0},
	{"watches-spool", NULL, "queue", watches_spool, 0, 0},
	{"workers-of-quiet-clients", NULL, "session", workers_of_quiet_clients, 0, 0},
	{"supervises", NULL, "agent", supervises, 0, 0},
	{"joins-its-workers", NULL, "store", joins_its_workers, 0, 0},
	{"lock-file-left", NULL, "deliver", lock_file_left, 0, 0},
	{"disk-thread-idle", NULL, "store", disk_thread_idle, 0, 0},
	{"indexer-works", NULL, "index", indexer_works, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"reads-child-signals", NULL, "store", reads_child_signals, 0, 0},
	{"one-not-reaped-yet", NULL, "store", one_not_reaped_yet, 0, 0},
	{"session-holds-maildrop", NULL, "session", session_holds_maildrop, 0, 0},
	{"workers-without-work", NULL, "store", workers_without_work, 0, 0},
	{0},
};
