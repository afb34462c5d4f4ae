/* Troubles of locks that are rare, and were debugged nevertheless: who owns what is not where one looks first. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	 4096
#define RETRY_NS 200000000
#define HOUR_S	 3600
#define RANGE	 10

static int victims;

static void init_shared_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(mutex, &attr));
}

/* ---- shared memory that is not at the same address ---- */

static atomic_uintptr_t *mapped_at;

static void crosses_elsewhere(long me)
{
	pthread_mutex_t *mutexes = zoo_map_apart(me);

	atomic_store(&mapped_at[me], (uintptr_t)mutexes);
	pthread_mutex_lock(&mutexes[me]);
	zoo_meet(2);
	zoo_must(atomic_load(&mapped_at[0]) != atomic_load(&mapped_at[1]));
	zoo_stand();
	pthread_mutex_lock(&mutexes[!me]);
}

static void wants_mapped(long i)
{
	pthread_mutex_t *mutexes = zoo_map_apart(2 + i);

	zoo_await(&zoo_board->go, 2);
	zoo_ready();
	pthread_mutex_lock(&mutexes[i % 2]);
}

static void mapped_elsewhere(void)
{
	pthread_mutex_t *mutexes = zoo_map_apart(0);

	victims = zoo_vary(0, 3);
	mapped_at = zoo_shared(2 * sizeof(*mapped_at));
	for (int i = 0; i < 2; i++)
		init_shared_mutex(&mutexes[i]);
	munmap(mutexes, ZOO_MAP_SIZE);
	zoo_stands(2 + victims);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_mapped, i);
	for (int i = 0; i < 2; i++)
		zoo_fork_run(crosses_elsewhere, i);
	zoo_idle();
}

/* ---- threads whose numbers mean others outside ---- */

static pthread_mutex_t inner[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

/* /proc is the outer one's: it gives the number there. */
static void blame_as_seen_outside(void)
{
	char text[64] = "", *last;

	zoo_must(readlink("/proc/thread-self", text, sizeof(text) - 1) > 0);
	last = strrchr(text, '/');
	zoo_must(last != NULL);
	for (int i = 0, none = 0; i < ZOO_CULPRITS; i++, none = 0)
		if (atomic_compare_exchange_strong(&zoo_board->culprits[i], &none, atoi(last + 1)))
			return;
}

static void *crosses_inside(void *arg)
{
	pthread_mutex_t *mine = arg;

	pthread_mutex_lock(mine);
	zoo_meet(2);
	blame_as_seen_outside();
	zoo_ready();
	pthread_mutex_lock(mine == inner ? &inner[1] : inner);
	return NULL;
}

static void *wants_inside(void *arg)
{
	zoo_await(&zoo_board->go, 2);
	zoo_ready();
	pthread_mutex_lock(arg);
	return NULL;
}

static void store_in_namespace(long i)
{
	(void)i;
	for (int v = 0; v < victims; v++)
		zoo_thread_run(wants_inside, &inner[v % 2]);
	for (int t = 0; t < 2; t++)
		zoo_thread_run(crosses_inside, &inner[t]);
	zoo_idle();
}

static void threads_in_namespace(void)
{
	victims = zoo_vary(0, 3);
	zoo_stands(2 + victims);
	zoo_must(!unshare(CLONE_NEWPID) || !unshare(CLONE_NEWUSER | CLONE_NEWPID));
	zoo_fork_run(store_in_namespace, 0);
	zoo_idle();
}

/* ---- System V semaphores used as locks ---- */

static int sem_set;

static void make_set(int count)
{
	sem_set = semget(IPC_PRIVATE, count, 0600);
	zoo_must(sem_set >= 0);
	for (int i = 0; i < count; i++) {
		struct sembuf up = {.sem_num = (unsigned short)i, .sem_op = 1};

		zoo_must(!semop(sem_set, &up, 1));
	}
}

static bool down(long number)
{
	struct sembuf take = {.sem_num = (unsigned short)number, .sem_op = -1, .sem_flg = SEM_UNDO};

	return !semop(sem_set, &take, 1);
}

static void crosses_in_set(long me)
{
	zoo_must(down(me));
	zoo_meet(2);
	zoo_stand();
	down(!me);
}

static void wants_in_set(long i)
{
	zoo_await(&zoo_board->go, 2);
	zoo_ready();
	down(i % 2);
}

static void semop_crossed(void)
{
	victims = zoo_vary(0, 2);
	make_set(2);
	zoo_stands(2 + victims);
	for (int i = 0; i < 2; i++)
		zoo_fork_run(crosses_in_set, i);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_in_set, i);
	zoo_idle();
}

static void takes_and_is_stopped(long i)
{
	zoo_must(down(i));
	zoo_meet(1);
	zoo_stand();
	raise(SIGSTOP);
}

static void wants_of_stopped(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	down(0);
}

static void semop_holder_stopped(void)
{
	victims = zoo_vary(1, 4);
	make_set(1);
	zoo_stands(1 + victims);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_of_stopped, i);
	zoo_fork_run(takes_and_is_stopped, 0);
	zoo_idle();
}

/* ---- mutexes of one process ---- */

static pthread_mutex_t timed[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static int hours;

/* Each would give up, hours from now. */
static void *crosses_for_hours(void *arg)
{
	pthread_mutex_t *mine = arg;
	struct timespec until;

	pthread_mutex_lock(mine);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += hours * HOUR_S;
	zoo_meet(2);
	zoo_stand();
	pthread_mutex_timedlock(mine == timed ? &timed[1] : timed, &until);
	return NULL;
}

static void timed_abba(void)
{
	hours = zoo_vary(1, 5);
	zoo_stands(2);
	for (int i = 0; i < 2; i++)
		zoo_thread_run(crosses_for_hours, &timed[i]);
	zoo_idle();
}

static pthread_mutex_t nested;

/* Idle at two connections: who stands idle at a door with a lock may be the next to accept. */
static void *gives_back_once(void *arg)
{
	struct pollfd clients[2] = {{.fd = zoo_quiet_peer(), .events = POLLIN},
		{.fd = zoo_quiet_peer(), .events = POLLIN}};

	pthread_mutex_lock(&nested);
	pthread_mutex_lock(&nested);
	pthread_mutex_unlock(&nested);
	zoo_meet(1);
	zoo_stand();
	poll(clients, 2, -1);
	return arg;
}

static void *wants_nested(void *arg)
{
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	pthread_mutex_lock(&nested);
	return arg;
}

static void recursive_unlocked_once(void)
{
	pthread_mutexattr_t attr;

	victims = zoo_vary(1, 4);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	zoo_must(!pthread_mutex_init(&nested, &attr));
	zoo_stands(1 + victims);
	for (int i = 0; i < victims; i++)
		zoo_thread_run(wants_nested, NULL);
	zoo_thread_run(gives_back_once, NULL);
	zoo_idle();
}

/* The loop is woken by a byte; nobody reads the bytes while the loop wants the mutex. */
static pthread_mutex_t jobs_mutex = PTHREAD_MUTEX_INITIALIZER;
static int wakeup[2];

static void *wakes_under_mutex(void *arg)
{
	static const char some[PAGE];

	pthread_mutex_lock(&jobs_mutex);
	fcntl(wakeup[1], F_SETFL, O_NONBLOCK);
	while (write(wakeup[1], some, sizeof(some)) > 0)
		;
	fcntl(wakeup[1], F_SETFL, 0);
	zoo_meet(1);
	zoo_stand();
	zoo_must(write(wakeup[1], some, 1) < 0);
	return arg;
}

static void *loop_takes_jobs(void *arg)
{
	zoo_await(&zoo_board->go, 1);
	zoo_stand();
	pthread_mutex_lock(&jobs_mutex);
	zoo_read(wakeup[0]);
	return arg;
}

static void wakeup_pipe_full(void)
{
	zoo_must(!pipe2(wakeup, O_CLOEXEC));
	zoo_stands(2);
	zoo_thread_run(loop_takes_jobs, NULL);
	zoo_thread_run(wakes_under_mutex, NULL);
	zoo_idle();
}

static void *hears_no_cancel(void *arg)
{
	sem_t *never = zoo_never();

	zoo_must(!pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
	zoo_meet(1);
	zoo_stand();
	sem_wait(never);
	return arg;
}

static void cancel_not_heard(void)
{
	pthread_t worker;

	zoo_stands(2);
	worker = zoo_thread_run(hears_no_cancel, NULL);
	zoo_await(&zoo_board->go, 1);
	zoo_must(!pthread_cancel(worker));
	zoo_ready();
	pthread_join(worker, NULL);
}

/* ---- a mutex of several processes whose owner is gone ---- */

static pthread_mutex_t *common;

static void ends_with_mutex(long i)
{
	pthread_mutex_lock(common);
	_exit((int)i);
}

static void wants_mutex_under_lock(long i)
{
	(void)i;
	zoo_locked_file("index", LOCK_EX);
	zoo_meet(1);
	zoo_stand();
	pthread_mutex_lock(common);
}

static void wants_index(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void shared_owner_ended(void)
{
	victims = zoo_vary(1, 4);
	common = zoo_shared(sizeof(*common));
	init_shared_mutex(common);
	zoo_stands(1 + victims);
	waitpid(zoo_fork_run(ends_with_mutex, 0), NULL, 0);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_index, i);
	zoo_fork_run(wants_mutex_under_lock, 0);
	zoo_idle();
}

/* ---- locks of files ---- */

static void lock_range(int fd, int how, short type, int number)
{
	struct flock range = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = number * RANGE, .l_len = RANGE};

	fcntl(fd, how, &range);
}

/* The kernel refuses such a pair of POSIX locks; of these it knows no owner. */
static void upgrades_open_file(long i)
{
	int fd = zoo_open_file("uidlist");

	(void)i;
	lock_range(fd, F_OFD_SETLKW, F_RDLCK, 0);
	zoo_meet(2);
	zoo_stand();
	lock_range(fd, F_OFD_SETLKW, F_WRLCK, 0);
}

static void ofd_both_upgrade(void)
{
	zoo_stands(2);
	zoo_fork_run(upgrades_open_file, 0);
	zoo_fork_run(upgrades_open_file, 1);
	zoo_idle();
}

/* Both wait for a peer, each with a range of the same file; but only the first one's is wanted. */
static void holds_range(long number)
{
	int fd = zoo_open_file("mailbox"), peer = zoo_quiet_peer();

	lock_range(fd, F_SETLKW, F_WRLCK, (int)number);
	zoo_meet(2);
	if (!number)
		zoo_blame();
	zoo_ready();
	zoo_receive(peer);
}

static void wants_first_range(long i)
{
	int fd = zoo_open_file("mailbox");

	(void)i;
	zoo_await(&zoo_board->go, 2);
	zoo_ready();
	lock_range(fd, F_SETLKW, F_WRLCK, 0);
}

static void ranges_apart(void)
{
	int first = zoo_vary(0, 1);

	victims = zoo_vary(1, 3);
	zoo_stands(2 + victims);
	zoo_fork_run(holds_range, first);
	zoo_fork_run(holds_range, !first);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_first_range, i);
	zoo_idle();
}

/* As a message is moved there and another back. */
static void moves(long me)
{
	static const char *const names[] = {"inbox.lock", "trash.lock"};
	const struct timespec rest = {.tv_nsec = RETRY_NS};
	int fd = zoo_open_file(names[me]);

	dprintf(fd, "%d\n", (int)getpid());
	close(fd);
	zoo_meet(2);
	zoo_stand();
	while (open(zoo_path(names[!me]), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) < 0)
		nanosleep(&rest, NULL);
}

static void dot_locks_crossed(void)
{
	zoo_stands(2);
	zoo_fork_run(moves, 0);
	zoo_fork_run(moves, 1);
	zoo_idle();
}

const struct zoo_case zoo_odd[] = {
	{"mapped-elsewhere", "deadlock", "index", mapped_elsewhere, 0, 0},
	{"threads-in-namespace", "deadlock", "store", threads_in_namespace, 0, 0},
	{"semop-crossed", "deadlock", "queue", semop_crossed, 0, 0},
	{"semop-holder-stopped", "stopped", "queue", semop_holder_stopped, 0, 0},
	{"timed-abba", "deadlock", "session", timed_abba, 0, 0},
	{"recursive-unlocked-once", "lost-wakeup", "store", recursive_unlocked_once, 0, 0},
	{"wakeup-pipe-full", "deadlock", "proxy", wakeup_pipe_full, 0, 0},
	{"cancel-not-heard", "lost-wakeup", "lookup", cancel_not_heard, ZOO_STOPPING, 0},
	{"shared-owner-ended", "lost-wakeup", "deliver", shared_owner_ended, 0, 0},
	{"ofd-both-upgrade", "deadlock", "index", ofd_both_upgrade, 0, 0},
	{"ranges-apart", "lost-wakeup", "pop", ranges_apart, 0, 0},
	{"dot-locks-crossed", "deadlock", "mbox", dot_locks_crossed, 0, 0},
	{0},
};
