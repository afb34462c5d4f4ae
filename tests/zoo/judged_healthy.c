/*
 * Beside judged.c, to see whether the diagnosis cries wolf: stores that wait a lot, and in which all is well. Written
 * by somebody who had not read the diagnosis.
 */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	  4096
#define BLOCKS	  64
#define NS_PER_MS 1000000L
#define HOUR_S	  3600

static int count;

static void neighbours(void)
{
	store_idle_sessions(zoo_vary(0, 3));
	if (zoo_vary(0, 1))
		store_cleaner();
	if (zoo_vary(0, 1))
		store_anvil();
}

static void rests(long ms)
{
	const struct timespec time = {.tv_nsec = ms * NS_PER_MS};

	nanosleep(&time, NULL);
}

/* ---- fsync() takes its time under the lock, and the others have it in turn ---- */

static void syncs_in_turn(long i)
{
	static const char block[BLOCK];
	int lock = zoo_open_file("queue.lock"), fd = zoo_open_numbered("queue", i);

	zoo_ready();
	for (;;) {
		zoo_must(!flock(lock, LOCK_EX));
		for (int b = 0; b < BLOCKS; b++)
			zoo_must(pwrite(fd, block, BLOCK, b * BLOCK) == BLOCK);
		zoo_must(!fsync(fd));
		rests(20);
		zoo_must(!flock(lock, LOCK_UN));
		rests(5);
	}
}

static void others_wait_for_long_fsync(void)
{
	daemons_open();
	count = zoo_vary(2, 5);
	for (int i = 0; i < count; i++)
		crew_add("cleanup", syncs_in_turn, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- one process, a hundred clients that say nothing: it waits for any of them ---- */

static void is_idle_with_all(long listener)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	zoo_must(set >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	for (int i = 0; i < count; i++) {
		int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);

		zoo_must(fd >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	}
	zoo_ready();
	epoll_wait(set, &event, 1, -1);
}

static void is_idle_client(long i)
{
	int fd = zoo_connect_unix("imap");

	(void)i;
	zoo_ready();
	zoo_receive(fd);
}

static void hundred_sessions_in_one_process(void)
{
	daemons_open();
	count = zoo_vary(90, 110);
	store_service("imap", is_idle_with_all, 1);
	for (int i = 0; i < count; i++)
		store_process("client", is_idle_client, i, 1);
	store_idle_sessions(zoo_vary(0, 3));
	store_runs();
}

/* ---- an idle pool around a mutex in shared memory; who has it stands in accept() ---- */

static void accepts_in_turn(long listener)
{
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);
}

static void acceptors_around_shared_mutex(void)
{
	int listener;

	daemons_open();
	count = zoo_vary(3, 8);
	listener = zoo_listen_unix("httpd", 16);
	for (int i = 0; i < count; i++)
		crew_add("httpd", accepts_in_turn, listener);
	crew_forks();
	close(listener);
	neighbours();
	store_runs();
}

/* ---- everybody reads, for hours ---- */

static void reads_for_hours(long i)
{
	int client = zoo_quiet_peer();

	(void)i;
	zoo_locked_file("mailbox", LOCK_SH);
	zoo_must(zoo_posix_lock(zoo_open_file("index"), F_RDLCK));
	pthread_rwlock_rdlock(&daemon_shared->rwlock);
	zoo_ready();
	zoo_receive(client);
}

static void readers_share_for_hours(void)
{
	daemons_open();
	count = zoo_vary(2, 7);
	for (int i = 0; i < count; i++)
		crew_add("imap", reads_for_hours, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- every POP3 session has its own maildrop ---- */

static void has_own_maildrop(long i)
{
	int client = zoo_quiet_peer(), fd = zoo_open_numbered("maildrop", i);

	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	zoo_ready();
	zoo_receive(client);
}

static void maildrop_for_each(void)
{
	daemons_open();
	count = zoo_vary(2, 8);
	for (int i = 0; i < count; i++)
		crew_add("pop3", has_own_maildrop, i);
	crew_either("pop3");
	neighbours();
	store_runs();
}

/* ---- a scheduler that sleeps until its next run, with its lock file locked as such daemons do ---- */

static void schedules(long i)
{
	struct timespec next;

	(void)i;
	zoo_must(zoo_posix_lock(zoo_open_file("crond.pid"), F_WRLCK));
	clock_gettime(CLOCK_REALTIME, &next);
	next.tv_sec += HOUR_S;
	zoo_ready();
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &next, NULL);
}

static void waits_for_its_hour(long hours)
{
	const struct timespec time = {.tv_sec = hours * HOUR_S};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_ready();
	sigtimedwait(&set, NULL, &time);
}

static void scheduler_between_runs(void)
{
	daemons_open();
	count = zoo_vary(1, 4);
	crew_add("crond", schedules, 0);
	for (int i = 0; i < count; i++)
		crew_add("purge", waits_for_its_hour, zoo_vary(1, 5));
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- a full pipe whose reader is slow, but reads ---- */

static int work[2];

static void produces(long i)
{
	static const char block[BLOCK];

	(void)i;
	close(work[0]);
	zoo_ready();
	while (write(work[1], block, BLOCK) > 0)
		;
}

static void consumes_slowly(long i)
{
	char block[BLOCK];

	(void)i;
	close(work[1]);
	zoo_ready();
	while (read(work[0], block, BLOCK) > 0)
		rests(100);
}

static void held_back_by_slow_consumer(void)
{
	daemons_open();
	zoo_must(!pipe2(work, O_CLOEXEC));
	count = zoo_vary(1, 3);
	for (int i = 0; i < count; i++)
		crew_add("export", produces, i);
	crew_add("upload", consumes_slowly, 0);
	crew_forks();
	close(work[0]);
	close(work[1]);
	neighbours();
	store_runs();
}

/* ---- a parent waits for a child that works ---- */

static void works(void)
{
	volatile unsigned int sum = 0;

	store_called("fts-rebuild");
	zoo_ready();
	for (;;)
		sum++;
}

static void waits_for_worker(long i)
{
	pid_t pid;

	(void)i;
	zoo_locked_file("fts", LOCK_EX);
	pid = fork();
	zoo_must(pid >= 0);
	if (!pid)
		works();
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void parent_of_rebuilder(void)
{
	daemons_open();
	store_process("doveadm", waits_for_worker, 0, 2);
	neighbours();
	store_idle_sessions(zoo_vary(1, 3));
	store_runs();
}

/* ---- workers of several processes around a queue in shared memory that is empty ---- */

static void waits_for_shared_job(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&daemon_shared->cond, &daemon_shared->mutex[0]);
}

static void shared_memory_pool_idle(void)
{
	daemons_open();
	count = zoo_vary(2, 6);
	for (int i = 0; i < count; i++)
		crew_add("worker", waits_for_shared_job, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- a mutex that goes from one to the next ---- */

static void has_its_turn(long i)
{
	zoo_ready();
	for (;;) {
		pthread_mutex_lock(&daemon_shared->mutex[0]);
		rests(15 + i);
		pthread_mutex_unlock(&daemon_shared->mutex[0]);
		rests(2);
	}
}

static void lock_handed_to_the_next(void)
{
	daemons_open();
	count = zoo_vary(2, 6);
	for (int i = 0; i < count; i++)
		crew_add("lmtp", has_its_turn, i);
	crew_either("lmtp");
	neighbours();
	store_runs();
}

const struct zoo_case zoo_judged_healthy[] = {
	{"others-wait-for-long-fsync", NULL, "queue", others_wait_for_long_fsync,
		ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"hundred-sessions-in-one-process", NULL, "session", hundred_sessions_in_one_process,
		ZOO_HELD_OUT, 0},
	{"acceptors-around-shared-mutex", NULL, "web", acceptors_around_shared_mutex, ZOO_HELD_OUT,
		0},
	{"readers-share-for-hours", NULL, "session", readers_share_for_hours, ZOO_HELD_OUT, 0},
	{"maildrop-for-each", NULL, "pop", maildrop_for_each, ZOO_HELD_OUT, 0},
	{"scheduler-between-runs", NULL, "timer", scheduler_between_runs, ZOO_HELD_OUT, 0},
	{"held-back-by-slow-consumer", NULL, "agent", held_back_by_slow_consumer,
		ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"parent-of-rebuilder", NULL, "index", parent_of_rebuilder,
		ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"shared-memory-pool-idle", NULL, "queue", shared_memory_pool_idle, ZOO_HELD_OUT, 0},
	{"lock-handed-to-the-next", NULL, "deliver", lock_handed_to_the_next,
		ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{0},
};
