/* Daemons that are well, built in other ways than those before them. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int members, door, ends[2];

static int epoll_of(const int *fds, int count)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < count; i++)
		zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &event));
	return set;
}

/* An accept lock by records; its holder waits at two doors. */
static void prefork_worker(long i)
{
	int lock = zoo_open_file("accept"), own[2] = {door, eventfd(0, EFD_CLOEXEC)};
	struct epoll_event event;

	if (i == 0)
		zoo_must(zoo_posix_lock(lock, F_WRLCK));
	zoo_meet(members);
	zoo_ready();
	if (i)
		zoo_posix_lock(lock, F_WRLCK);
	else
		epoll_wait(epoll_of(own, 2), &event, 1, -1);
}

static void prefork_records(void)
{
	door = zoo_listen_unix("door", 8);
	members = zoo_vary(3, 6);
	zoo_several(prefork_worker, members);
}

/* A thread a processor, each with its own set and its own way to be woken. */
static void *shard(void *arg)
{
	int own[2] = {door, eventfd(0, EFD_CLOEXEC)}, set = epoll_of(own, 2);
	struct epoll_event event;

	zoo_ready();
	epoll_wait(set, &event, 1, -1);
	return arg;
}

static void sharded_server(void)
{
	door = zoo_listen_unix("door", 8);
	members = zoo_vary(2, 6);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(shard, NULL);
	pthread_join(zoo_thread_run(shard, NULL), NULL);
}

/* One loop over signals, a timer and a door; helpers that wait for jobs with their lock. */
static pthread_mutex_t jobs = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job = PTHREAD_COND_INITIALIZER;

static void *helper(void *arg)
{
	pthread_mutex_lock(&jobs);
	zoo_ready();
	pthread_cond_wait(&job, &jobs);
	return arg;
}

static void event_loop(void)
{
	struct pollfd fds[3];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	fds[0] = (struct pollfd){.fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN};
	fds[1] = (struct pollfd){.fd = timerfd_create(CLOCK_MONOTONIC, 0), .events = POLLIN};
	fds[2] = (struct pollfd){.fd = zoo_listen_unix("door", 8), .events = POLLIN};
	members = zoo_vary(1, 5);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(helper, NULL);
	poll(fds, 3, -1);
}

/* A configuration that every session has locked for reading while it waits for its client. */
static pthread_rwlock_t config = PTHREAD_RWLOCK_INITIALIZER;

static void *reads_config(void *arg)
{
	zoo_must(!pthread_rwlock_rdlock(&config));
	zoo_ready();
	zoo_receive((int)(long)arg);
	return NULL;
}

static void config_readers(void)
{
	int quiet = zoo_quiet_peer();

	members = zoo_vary(2, 5);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(reads_config, (void *)(long)quiet);
	zoo_idle();
}

/* The index is made anew: a long work that gets on. */
static void reindexes(void)
{
	volatile unsigned int sum = 0;

	zoo_stands(1);
	zoo_ready();
	for (;;)
		sum = sum * 31 + 1;
}

/* A mailbox is in use; whoever else comes tries again in a minute. */
static void tries_later(long i)
{
	const struct timespec minute = {.tv_sec = 60};
	int fd = zoo_open_file("mailbox");

	(void)i;
	if (i == 0)
		flock(fd, LOCK_EX);
	zoo_meet(members);
	if (i)
		zoo_must(flock(fd, LOCK_EX | LOCK_NB) < 0);
	zoo_ready();
	if (i)
		nanosleep(&minute, NULL);
	else
		zoo_idle();
}

static void mailbox_in_use(void)
{
	members = zoo_vary(2, 4);
	zoo_several(tries_later, members);
}

/* Filters that wait for their next input, and a master that waits for whichever answers. */
static int to[4][2], from[4][2];

static void waits_for_input(long i)
{
	for (int k = 0; k < members; k++) {
		close(to[k][1]);
		close(from[k][0]);
	}
	zoo_ready();
	zoo_read(to[i][0]);
}

static void filters(void)
{
	struct pollfd fds[4];

	members = zoo_vary(2, 4);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_must(!pipe2(to[i], O_CLOEXEC) && !pipe2(from[i], O_CLOEXEC));
	for (int i = 0; i < members; i++) {
		zoo_fork_run(waits_for_input, i);
		fds[i] = (struct pollfd){.fd = from[i][0], .events = POLLIN};
	}
	for (int i = 0; i < members; i++) {
		close(to[i][0]);
		close(from[i][1]);
	}
	poll(fds, (nfds_t)members, -1);
}

static mqd_t requests;

static void takes_request(long i)
{
	char text[16];

	(void)i;
	zoo_ready();
	zoo_must(mq_receive(requests, text, sizeof(text), NULL) < 0);
}

static void request_queue(void)
{
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 16};
	char name[64];

	snprintf(name, sizeof(name), "/zoo-%d", (int)getpgrp());
	requests = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attr);
	zoo_must(requests >= 0 && !mq_unlink(name));
	zoo_several(takes_request, zoo_vary(2, 5));
}

/* Who logs and who writes the log: both idle. */
static void reads_log(long i)
{
	if (i) {
		zoo_ready();
		zoo_idle();
	}
	zoo_ready();
	zoo_receive(ends[0]);
}

static void quiet_log(void)
{
	zoo_must(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends));
	zoo_several(reads_log, zoo_vary(2, 4));
}

/* Work that takes a lock of an open file and gives it back, in several processes, with a short sleep under it. */
static void locks_open_file(long i)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = zoo_open_file("uidlist");

	(void)i;
	zoo_ready();
	for (;;) {
		fcntl(fd, F_OFD_SETLKW, &lock);
		poll(NULL, 0, 1);
		fcntl(fd, F_OFD_SETLK, &none);
	}
}

static void busy_open_file(void)
{
	zoo_several(locks_open_file, zoo_vary(2, 4));
}

/* A child that works for its parent, and others that are asked by datagrams and are not. */
static void master_of_two(void)
{
	const struct timespec work = {.tv_sec = 20};
	pid_t child;

	zoo_stands(2);
	child = fork();
	if (!child) {
		zoo_ready();
		nanosleep(&work, NULL);
		_exit(0);
	}
	zoo_ready();
	waitpid(child, NULL, 0);
}

const struct zoo_case zoo_strangers_healthy[] = {
	{"prefork-records", NULL, "session", prefork_records, ZOO_HELD_OUT, 0},
	{"sharded-server", NULL, "web", sharded_server, ZOO_HELD_OUT, 0},
	{"event-loop", NULL, "master", event_loop, ZOO_HELD_OUT, 0},
	{"config-readers", NULL, "session", config_readers, ZOO_HELD_OUT, 0},
	{"reindexes", NULL, "index", reindexes, ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"mailbox-in-use", NULL, "pop", mailbox_in_use, ZOO_HELD_OUT, 0},
	{"filters", NULL, "filter", filters, ZOO_HELD_OUT, 0},
	{"request-queue", NULL, "relay", request_queue, ZOO_HELD_OUT, 0},
	{"quiet-log", NULL, "log", quiet_log, ZOO_HELD_OUT, 0},
	{"busy-open-file", NULL, "index", busy_open_file, ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED,
		0},
	{"master-of-two", NULL, "agent", master_of_two, ZOO_HELD_OUT, 0},
	{0},
};
