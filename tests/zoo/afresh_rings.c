/* More of those of afresh.c: several who wait for each other. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING	   3
#define MUCH	   (1 << 20)
#define SMALL	   (16 << 10)
#define STACK_SIZE (256 << 10)
#define BLOCK	   4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- rings ---- */

static int ring[RING][2]; /* [i][0] is read by i, [i][1] written by the one after it */

static void keeps_its_ends(long me)
{
	for (int i = 0; i < RING; i++) {
		if (i != me)
			close(ring[i][0]);
		if ((i + 1) % RING != me)
			close(ring[i][1]);
	}
}

static void in_ring(void (*run)(long))
{
	zoo_stands(RING);
	for (int i = 0; i < RING; i++)
		zoo_fork_run(run, i);
	keeps_its_ends(-2);
	for (int i = 0; i < RING; i++)
		close(ring[i][1]);
	zoo_idle();
}

static void writes_on(long me)
{
	int fd = ring[(me + RING - 1) % RING][1];
	char some[BLOCK] = "";

	keeps_its_ends(me);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, some, sizeof(some)) > 0)
		;
	fcntl(fd, F_SETFL, 0);
	zoo_meet(RING);
	zoo_stand();
	zoo_must(write(fd, some, sizeof(some)) < 0);
}

static void filters_in_ring(void)
{
	for (int i = 0; i < RING; i++)
		zoo_must(!pipe2(ring[i], O_CLOEXEC));
	in_ring(writes_on);
}

static void waits_for_credit(long me)
{
	keeps_its_ends(me);
	zoo_meet(RING);
	zoo_stand();
	zoo_receive(ring[me][0]);
}

static void credits_in_ring(void)
{
	for (int i = 0; i < RING; i++)
		zoo_must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ring[i]));
	in_ring(waits_for_credit);
}

static pthread_t threads[RING];

static void *joins_next(void *arg)
{
	pthread_t *mine = arg;

	zoo_await(&zoo_board->go, 1);
	zoo_stand();
	pthread_join(threads[(mine - threads + 1) % RING], NULL);
	return NULL;
}

static void joins_in_ring(void)
{
	zoo_stands(RING);
	for (int i = 0; i < RING; i++)
		threads[i] = zoo_thread_run(joins_next, &threads[i]);
	zoo_meet(1);
	zoo_idle();
}

/* ---- two ---- */

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *upgrades(void *arg)
{
	pthread_rwlock_rdlock(&rwlock);
	zoo_meet(2);
	zoo_stand();
	pthread_rwlock_wrlock(&rwlock);
	return arg;
}

static void both_upgrade(void)
{
	zoo_stands(2);
	zoo_thread_run(upgrades, NULL);
	zoo_thread_run(upgrades, NULL);
	zoo_idle();
}

static void *reads_again(void *arg)
{
	pthread_rwlock_rdlock(&rwlock);
	zoo_meet(1);
	while (!pthread_rwlock_tryrdlock(&rwlock))
		pthread_rwlock_unlock(&rwlock);
	zoo_stand();
	pthread_rwlock_rdlock(&rwlock);
	return arg;
}

static void *writes_between(void *arg)
{
	zoo_await(&zoo_board->go, 1);
	zoo_stand();
	pthread_rwlock_wrlock(&rwlock);
	return arg;
}

static void reads_again_behind_writer(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	zoo_must(!pthread_rwlock_init(&rwlock, &attr));
	zoo_stands(2);
	zoo_thread_run(reads_again, NULL);
	zoo_thread_run(writes_between, NULL);
	zoo_idle();
}

static int ends_of_pipe[2];

static int reads_from_parent(void *arg)
{
	char c;

	close(ends_of_pipe[1]);
	zoo_stand();
	zoo_must(read(ends_of_pipe[0], &c, 1) <= 0);
	return arg != NULL;
}

/* As posix_spawn() does: the parent stands still until its child has called exec. */
static void spawn_waits_for_spawner(void)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));

	zoo_stands(2);
	zoo_must(!pipe2(ends_of_pipe, O_CLOEXEC));
	zoo_stand();
	clone(reads_from_parent, stack + sizeof(stack), CLONE_VFORK | SIGCHLD, NULL);
}

static void reads_pipe(long i)
{
	(void)i;
	close(ends_of_pipe[1]);
	zoo_stand();
	zoo_read(ends_of_pipe[0]);
}

static void pidfd_and_pipe(void)
{
	struct pollfd pfd = {.events = POLLIN};

	zoo_stands(2);
	zoo_must(!pipe2(ends_of_pipe, O_CLOEXEC));
	pfd.fd = (int)syscall(SYS_pidfd_open, zoo_fork_run(reads_pipe, 0), 0);
	close(ends_of_pipe[0]);
	zoo_must(pfd.fd >= 0);
	zoo_stand();
	poll(&pfd, 1, -1);
}

static mqd_t queues[2][2]; /* [i] is written by i, [0] end; and read by the other, [1] */

static void sends_to_other(long me)
{
	mqd_t to = queues[me][0];
	struct mq_attr attr = {.mq_flags = O_NONBLOCK}, old;

	mq_close(queues[me][1]);
	mq_close(queues[!me][0]);
	mq_setattr(to, &attr, &old);
	while (!mq_send(to, "x", 1, 0))
		;
	mq_setattr(to, &old, NULL);
	zoo_meet(2);
	zoo_stand();
	mq_send(to, "x", 1, 0);
}

static void message_queues_full(void)
{
	char name[32];

	zoo_stands(2);
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "/zoo-%d-%d", (int)getpid(), i);
		queues[i][0] = mq_open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600, NULL);
		queues[i][1] = mq_open(name, O_RDONLY | O_CLOEXEC);
		mq_unlink(name);
		zoo_must(queues[i][0] >= 0 && queues[i][1] >= 0);
	}
	for (int i = 0; i < 2; i++)
		zoo_fork_run(sends_to_other, i);
	for (int i = 0; i < 2; i++) {
		mq_close(queues[i][0]);
		mq_close(queues[i][1]);
	}
	zoo_idle();
}

static int tcp[2];

static void small_buffers(int fd)
{
	int size = SMALL;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void pipelines(long me)
{
	static const char much[MUCH];

	close(tcp[!me]);
	zoo_meet(2);
	zoo_stand();
	zoo_must(send(tcp[me], much, sizeof(much), 0) < 0);
}

static void pipelined_both_full(void)
{
	int port, listener = zoo_listen_tcp(1, &port);

	tcp[0] = zoo_connect_tcp(port);
	tcp[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	zoo_stands(2);
	for (int i = 0; i < 2; i++)
		small_buffers(tcp[i]);
	for (int i = 0; i < 2; i++)
		zoo_fork_run(pipelines, i);
	close(tcp[0]);
	close(tcp[1]);
	zoo_idle();
}

/* A thread under the mutex wants a file; who has that waits for an answer of a thread that wants the mutex. */
static int call[2];

static void *wants_file_under_mutex(void *arg)
{
	int fd = zoo_open_file("uidlist");

	pthread_mutex_lock(&lock);
	zoo_meet(3);
	zoo_stand();
	zoo_posix_lock(fd, F_WRLCK);
	return arg;
}

static void *wants_mutex_to_answer(void *arg)
{
	zoo_meet(3);
	zoo_stand();
	pthread_mutex_lock(&lock);
	return arg;
}

static void asks_under_file(long i)
{
	(void)i;
	close(call[1]);
	zoo_must(zoo_posix_lock(zoo_open_file("uidlist"), F_WRLCK));
	zoo_meet(3);
	zoo_stand();
	zoo_receive(call[0]);
}

static void callback_under_lock(void)
{
	zoo_stands(3);
	zoo_pair(call);
	zoo_fork_run(asks_under_file, 0);
	close(call[0]);
	zoo_thread_run(wants_file_under_mutex, NULL);
	zoo_thread_run(wants_mutex_to_answer, NULL);
	zoo_idle();
}

const struct zoo_case zoo_afresh_rings[] = {
	{"filters-in-ring", "deadlock", "deliver", filters_in_ring, 0, 0},
	{"credits-in-ring", "deadlock", "queue", credits_in_ring, 0, 0},
	{"joins-in-ring", "deadlock", "store", joins_in_ring, 0, 0},
	{"both-upgrade", "deadlock", "index", both_upgrade, 0, 0},
	{"reads-again-behind-writer", "deadlock", "index", reads_again_behind_writer, 0, 0},
	{"spawn-waits-for-spawner", "deadlock", "agent", spawn_waits_for_spawner, 0, 0},
	{"pidfd-and-pipe", "deadlock", "agent", pidfd_and_pipe, 0, 0},
	{"message-queues-full", "deadlock", "queue", message_queues_full, 0, 0},
	{"pipelined-both-full", "deadlock", "session", pipelined_both_full, 0, 0},
	{"callback-under-lock", "deadlock", "store", callback_under_lock, 0, 0},
	{0},
};
