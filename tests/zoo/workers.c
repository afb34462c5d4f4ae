/* Healthy: what works, however slowly. */
#include "tests/zoo/parts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *spinner(void *arg)
{
	(void)arg;
	zoo_ready();
	for (;;)
		atomic_load(&zoo_board->go);
	return arg;
}

static void spinners(int low, int high)
{
	int n = zoo_vary(low, high);

	zoo_stands(n);
	for (int i = 0; i < n; i++)
		zoo_thread_run(spinner, NULL);
	zoo_idle();
}

static void busy(void)
{
	spinners(1, 1);
}

static void heavy_load(void)
{
	spinners(3, 8);
}

/* Long work under a lock, with others behind it, all in time. */
static void slow_holder(long all)
{
	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)all);
	zoo_ready();
	poll(NULL, 0, 3600000);
}

static void slow_work_under_lock(void)
{
	zoo_with_victims(slow_holder, zoo_vary(1, 4));
}

static void busy_holder(long all)
{
	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)all);
	zoo_ready();
	for (;;)
		atomic_load(&zoo_board->go);
}

static void busy_work_under_lock(void)
{
	zoo_with_victims(busy_holder, zoo_vary(1, 4));
}

/* A lock that goes round: somebody always has it, and everybody gets it. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void *takes_turns(void *arg)
{
	const struct timespec moment = {.tv_nsec = 2000000};

	(void)arg;
	zoo_ready();
	for (;;) {
		pthread_mutex_lock(&turn);
		nanosleep(&moment, NULL);
		pthread_mutex_unlock(&turn);
	}
	return arg;
}

static void busy_pool(void)
{
	int n = zoo_vary(3, 6);

	zoo_stands(n);
	for (int i = 0; i < n; i++)
		zoo_thread_run(takes_turns, NULL);
	zoo_idle();
}

/* A request goes round between two processes. */
static void answers(int fd)
{
	char c = 'x';

	zoo_ready();
	while (send(fd, &c, 1, MSG_NOSIGNAL) == 1 && recv(fd, &c, 1, 0) == 1)
		;
}

static int talk[2];

static void talker(long i)
{
	answers(talk[i]);
}

static void conversation(void)
{
	zoo_pair(talk);
	zoo_stands(2);
	zoo_fork_run(talker, 0);
	zoo_fork_run(talker, 1);
	zoo_wait_for_children();
}

static void working_child(long i)
{
	(void)i;
	zoo_ready();
	for (;;)
		atomic_load(&zoo_board->go);
}

static void parent_of_busy_child(void)
{
	zoo_stands(1);
	waitpid(zoo_fork_run(working_child, 0), NULL, 0);
}

/* Children come and go; one may just have ended. */
static void forks_often(void)
{
	zoo_stands(1);
	zoo_ready();
	for (;;) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
}

static void waits_with_limit(long i)
{
	int fd = zoo_quiet_peer();
	struct timeval limit = {.tv_sec = 600 + i};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	zoo_ready();
	zoo_receive(fd);
}

static void long_waits(void)
{
	int n = zoo_vary(1, 3);

	zoo_several(waits_with_limit, n);
}

/* ---- the disk ---- */

static void *syncs(void *arg)
{
	char block[4096];
	int fd = open(ZOO_DISK_DIR "/log", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)arg;
	memset(block, 'x', sizeof(block));
	zoo_must(fd >= 0);
	zoo_ready();
	for (;;)
		if (pwrite(fd, block, sizeof(block), 0) < 0 || fsync(fd))
			zoo_must(errno == EINTR);
	return arg;
}

static void long_fsync(void)
{
	zoo_stands(1);
	zoo_thread_run(syncs, NULL);
	zoo_idle();
}

static void *reads_through(void *arg)
{
	static char block[1 << 16];
	int fd = open(ZOO_DISK_DIR "/mail", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)arg;
	zoo_must(fd >= 0);
	zoo_ready();
	for (off_t at = 0;; at = (at + (off_t)sizeof(block)) % (4 << 20)) {
		zoo_must(pwrite(fd, block, sizeof(block), at) > 0);
		fdatasync(fd);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		zoo_must(pread(fd, block, sizeof(block), at) > 0);
	}
	return arg;
}

static void slow_disk(void)
{
	int n = zoo_vary(1, 3);

	zoo_stands(n);
	for (int i = 0; i < n; i++)
		zoo_thread_run(reads_through, NULL);
	zoo_idle();
}

const struct zoo_case zoo_workers[] = {
	{"busy", NULL, "store", busy, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"heavy-load", NULL, "store", heavy_load, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"starved-host", NULL, "store", heavy_load, ZOO_SPINS | ZOO_STARVED | ZOO_OVERDUE, 0},
	{"slow-work-under-lock", NULL, "deliver", slow_work_under_lock, 0, 0},
	{"busy-work-under-lock", NULL, "deliver", busy_work_under_lock, ZOO_SPINS, 0},
	{"busy-pool", NULL, "store", busy_pool, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"conversation", NULL, "lookup", conversation, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"parent-of-busy-child", NULL, "agent", parent_of_busy_child, ZOO_SPINS, 0},
	{"forks-often", NULL, "master", forks_often, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"long-waits", NULL, "deliver", long_waits, 0, 0},
	{"long-fsync", NULL, "queue", long_fsync, ZOO_SPINS | ZOO_SLOW_DISK, 0},
	{"slow-disk", NULL, "store", slow_disk, ZOO_SPINS | ZOO_SLOW_DISK, 0},
	{0},
};
