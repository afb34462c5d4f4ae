/* Troubles of other kinds than those before them: locks and queues that other stores use, and descriptors that went
 * through fork(). Written without a look at how the diagnosis judges them. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#define MEET_PROCESSES 2

static int members, pipes[2][2];

/* ---- locks of other makes ---- */

static pthread_spinlock_t spins[2];

static void *spins_for_other(void *arg)
{
	long i = (long)arg;

	pthread_spin_lock(&spins[i]);
	zoo_meet(2);
	zoo_stand();
	pthread_spin_lock(&spins[1 - i]);
	return NULL;
}

static void spinlocks_crossed(void)
{
	zoo_stands(2);
	for (int i = 0; i < 2; i++)
		pthread_spin_init(&spins[i], PTHREAD_PROCESS_PRIVATE);
	for (long i = 0; i < 2; i++)
		zoo_thread_run(spins_for_other, (void *)i);
	zoo_idle();
}

static mtx_t steps[3];

static int wants_next_step(void *arg)
{
	long i = (long)arg;

	mtx_lock(&steps[i]);
	zoo_meet(3);
	zoo_stand();
	mtx_lock(&steps[(i + 1) % 3]);
	return 0;
}

/* The first thread of the process is one of the three. */
static void c11_three(void)
{
	thrd_t thread;

	zoo_stands(3);
	for (int i = 0; i < 3; i++)
		mtx_init(&steps[i], mtx_plain);
	for (long i = 1; i < 3; i++)
		zoo_must(thrd_create(&thread, wants_next_step, (void *)i) == thrd_success);
	wants_next_step(NULL);
}

static pthread_mutex_t inherit;
static pthread_mutex_t ticket = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;

static void *owner_waits(void *arg)
{
	pthread_mutex_lock(&inherit);
	pthread_mutex_lock(&ticket);
	zoo_meet(1 + members);
	zoo_stand();
	pthread_cond_wait(&called, &ticket);
	return arg;
}

static void *wants_inherit(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	pthread_mutex_lock(&inherit);
	return arg;
}

/* A mutex that lends its waiters' priority; its owner waits for a call that nobody makes. */
static void pi_owner_waits(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&inherit, &attr);
	members = zoo_vary(1, 4);
	zoo_stands(1 + members);
	zoo_thread_run(owner_waits, NULL);
	for (int i = 0; i < members; i++)
		zoo_thread_run(wants_inherit, NULL);
	zoo_idle();
}

/* The condition is waited for with an outer lock held that whoever would signal it needs first. */
static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;

static void *waits_inside(void *arg)
{
	pthread_mutex_lock(&outer);
	pthread_mutex_lock(&inner);
	zoo_meet(1 + members);
	zoo_stand();
	pthread_cond_wait(&filled, &inner);
	return arg;
}

static void *would_fill(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	pthread_mutex_lock(&outer);
	pthread_cond_signal(&filled);
	return arg;
}

static void nested_monitor(void)
{
	members = zoo_vary(1, 3);
	zoo_stands(1 + members);
	zoo_thread_run(waits_inside, NULL);
	for (int i = 0; i < members; i++)
		zoo_thread_run(would_fill, NULL);
	zoo_idle();
}

/* ---- through fork() ---- */

static pthread_mutex_t copied = PTHREAD_MUTEX_INITIALIZER;

static void *keeps_lock(void *arg)
{
	pthread_mutex_lock(&copied);
	atomic_fetch_add(&zoo_board->go, 1);
	sem_wait(arg);
	return NULL;
}

/* A child of a process whose other thread held the lock at that moment. */
static void forked_under_lock(void)
{
	pid_t child;

	zoo_stands(2);
	zoo_thread_run(keeps_lock, zoo_never());
	zoo_await(&zoo_board->go, 1);
	child = fork();
	if (!child) {
		zoo_stand();
		pthread_mutex_lock(&copied);
	}
	zoo_ready();
	waitpid(child, NULL, 0);
}

/* The child wants the record that its parent has and waits for it with. */
static void record_through_fork(void)
{
	int fd = zoo_open_file("records");
	pid_t child;

	zoo_stands(2);
	zoo_must(!lockf(fd, F_LOCK, 0));
	child = fork();
	if (!child) {
		zoo_stand();
		zoo_must(!lockf(fd, F_LOCK, 0));
	}
	zoo_stand();
	waitpid(child, NULL, 0);
}

/* Left over, with a lock that came to it open and locked: it waits for its own work. */
static void left_over(void)
{
	if (fork())
		_exit(0);
	zoo_blame();
	zoo_idle();
}

static void wants_spool(long i)
{
	int fd = zoo_open_file("spool");

	(void)i;
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void lock_left_over(void)
{
	int status;
	pid_t child;

	members = zoo_vary(2, 4);
	zoo_stands(members);
	child = fork();
	if (!child) {
		zoo_locked_file("spool", LOCK_EX);
		left_over();
	}
	zoo_must(waitpid(child, &status, 0) == child);
	for (int i = 0; i < members; i++)
		zoo_fork_run(wants_spool, i);
	zoo_wait_for_children();
}

/* Locks of open files: each process has one and wants the other's; the kernel names no process. */
static void wants_other_region(long i)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	int mine = zoo_open_file(i ? "second" : "first"),
	    other = zoo_open_file(i ? "first" : "second");

	zoo_must(!fcntl(mine, F_OFD_SETLKW, &lock));
	zoo_meet(2);
	zoo_stand();
	fcntl(other, F_OFD_SETLKW, &lock);
}

static void wants_first_region(long i)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	int fd = zoo_open_file("first");

	(void)i;
	zoo_await(&zoo_board->go, MEET_PROCESSES);
	zoo_ready();
	fcntl(fd, F_OFD_SETLKW, &lock);
}

static void open_file_locks(void)
{
	members = zoo_vary(1, 3);
	zoo_stands(2 + members);
	for (long i = 0; i < 2; i++)
		zoo_fork_run(wants_other_region, i);
	for (int i = 0; i < members; i++)
		zoo_fork_run(wants_first_region, i);
	zoo_wait_for_children();
}

/* ---- queues ---- */

static void fill(int fd)
{
	static char block[1 << 16];

	zoo_must(!fcntl(fd, F_SETFL, O_NONBLOCK));
	while (write(fd, block, sizeof(block)) > 0)
		;
	zoo_must(!fcntl(fd, F_SETFL, 0));
}

static void *writes_more(void *arg)
{
	zoo_stand();
	zoo_must(write(*(int *)arg, "more", 4) <= 0);
	return NULL;
}

/* A filter and who feeds it: both pipes are full, and both write on. */
static void filter(long i)
{
	(void)i;
	close(pipes[0][1]);
	close(pipes[1][0]);
	fill(pipes[1][1]);
	zoo_meet(2);
	writes_more(&pipes[1][1]);
}

static void filter_both_full(void)
{
	zoo_must(!pipe2(pipes[0], O_CLOEXEC) && !pipe2(pipes[1], O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(filter, 0);
	close(pipes[0][0]);
	close(pipes[1][1]);
	fill(pipes[0][1]);
	zoo_meet(2);
	writes_more(&pipes[0][1]);
}

static int datagram_socket(bool reads)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", zoo_path("journal"));
	zoo_must(fd >= 0);
	if (reads)
		zoo_must(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	else
		zoo_must(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

/* It waits for something else than the next line. */
static void deaf_logger(long fd)
{
	sem_t *never = zoo_never();

	zoo_must(fd >= 0);
	zoo_stand();
	sem_wait(never);
}

static void logs(long i)
{
	int fd = datagram_socket(false);

	(void)i;
	fill(fd);
	zoo_ready();
	zoo_must(send(fd, "line", 4, 0) < 0);
}

static void log_not_read(void)
{
	int fd = datagram_socket(true);

	members = zoo_vary(2, 5);
	zoo_stands(1 + members);
	zoo_fork_run(deaf_logger, fd);
	close(fd);
	for (int i = 0; i < members; i++)
		zoo_fork_run(logs, i);
	zoo_wait_for_children();
}

/* Its accept queue is full, so that not even connect() comes back. */
static void busy_elsewhere(long listener)
{
	char message[64];
	int id = msgget(IPC_PRIVATE, 0600);

	zoo_must(id >= 0 && listener >= 0);
	zoo_meet(1);
	zoo_stand();
	zoo_must(msgrcv(id, message, 32, 0, 0) < 0);
}

static void comes_to_door(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	zoo_connect_unix("door");
	zoo_stand_for_ever();
}

static void door_full(void)
{
	int listener = zoo_listen_unix("door", 0);

	members = zoo_vary(2, 4);
	zoo_stands(1 + members);
	zoo_connect_unix("door");
	zoo_fork_run(busy_elsewhere, listener);
	close(listener);
	for (int i = 0; i < members; i++)
		zoo_fork_run(comes_to_door, i);
	zoo_wait_for_children();
}

/* A message queue whose reader waits for a child that was stopped. */
static mqd_t queue_of(int how)
{
	struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 16};
	char name[64];
	mqd_t mq;

	snprintf(name, sizeof(name), "/zoo-%d", (int)getpgrp());
	mq = mq_open(name, how | O_CREAT | O_CLOEXEC, 0600, &attr);
	zoo_must(mq >= 0);
	return mq;
}

static void stops(void)
{
	zoo_stand();
	raise(SIGSTOP);
	_exit(0);
}

static void reads_after_child(long i)
{
	mqd_t mq = queue_of(O_RDONLY);
	pid_t child = fork();

	zoo_must(mq >= 0 && !i);
	if (!child) {
		mq_close(mq);
		stops();
	}
	zoo_ready();
	waitpid(child, NULL, 0);
}

static void sends(long i)
{
	mqd_t mq = queue_of(O_WRONLY);

	(void)i;
	zoo_meet(members);
	zoo_ready();
	for (;;)
		mq_send(mq, "request", 7, 0);
}

static void queue_full(void)
{
	members = zoo_vary(2, 4);
	zoo_stands(2 + members);
	zoo_fork_run(reads_after_child, 0);
	for (int i = 0; i < members; i++)
		zoo_fork_run(sends, i);
	zoo_wait_for_children();
}

const struct zoo_case zoo_strangers[] = {
	{"spinlocks-crossed", "livelock", "index", spinlocks_crossed, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"c11-three", "deadlock", "web", c11_three, ZOO_HELD_OUT, 0},
	{"pi-owner-waits", "lost-wakeup", "timer", pi_owner_waits, ZOO_HELD_OUT, 0},
	{"nested-monitor", "lost-wakeup", "queue", nested_monitor, ZOO_HELD_OUT, 0},
	{"forked-under-lock", "lost-wakeup", "master", forked_under_lock, ZOO_HELD_OUT, 0},
	{"record-through-fork", "deadlock", "expire", record_through_fork, ZOO_HELD_OUT, 0},
	{"lock-left-over", "lost-wakeup", "spool", lock_left_over, ZOO_HELD_OUT, 0},
	{"open-file-locks", "deadlock", "index", open_file_locks, ZOO_HELD_OUT, 0},
	{"filter-both-full", "deadlock", "filter", filter_both_full, ZOO_HELD_OUT, 0},
	{"log-not-read", "lost-wakeup", "log", log_not_read, ZOO_HELD_OUT, 0},
	{"door-full", "lost-wakeup", "lookup", door_full, ZOO_HELD_OUT, 0},
	{"queue-full", "stopped", "relay", queue_full, ZOO_HELD_OUT, 0},
	{0},
};
