/* Troubles around locks in memory: mutexes of every kind, read-write locks, joins. */
#include "tests/zoo/parts_private.h"

#include <sys/file.h>

static pthread_mutex_t *mutexes;
static int members, quiet;

static void mutexes_init(int type, bool process_shared, bool robust)
{
	pthread_mutexattr_t attr;

	mutexes = zoo_shared(4 * sizeof(*mutexes));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	if (process_shared)
		pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 4; i++)
		pthread_mutex_init(&mutexes[i], &attr);
}

static void ring_member(long i)
{
	pthread_mutex_lock(&mutexes[i]);
	zoo_meet(members);
	zoo_stand();
	pthread_mutex_lock(&mutexes[(i + 1) % members]);
}

static void *ring_thread(void *arg)
{
	ring_member((long)arg);
	return NULL;
}

static void *mutex_victim(void *arg)
{
	while (atomic_load(&zoo_board->go) < members)
		;
	zoo_ready();
	pthread_mutex_lock(arg);
	return NULL;
}

/* `victims` more want one of the mutexes. */
static void mutex_ring(int type, bool robust, int count)
{
	int victims = zoo_vary(0, 4);

	members = count;
	mutexes_init(type, false, robust);
	zoo_stands(count + victims);
	for (long i = 0; i < count; i++)
		zoo_thread_run(ring_thread, (void *)i);
	for (int i = 0; i < victims; i++)
		zoo_thread_run(mutex_victim, &mutexes[0]);
	zoo_idle();
}

static void mutex_abba(void)
{
	mutex_ring(PTHREAD_MUTEX_NORMAL, false, 2);
}

static void mutex_abba_errorcheck(void)
{
	mutex_ring(PTHREAD_MUTEX_ERRORCHECK, false, 2);
}

static void mutex_abba_robust(void)
{
	mutex_ring(PTHREAD_MUTEX_NORMAL, true, 2);
}

static void mutex_three_recursive(void)
{
	mutex_ring(PTHREAD_MUTEX_RECURSIVE, false, 3);
}

static void mutex_abba_processes(void)
{
	members = 2;
	mutexes_init(PTHREAD_MUTEX_NORMAL, true, false);
	zoo_stands(2);
	zoo_fork_run(ring_member, 0);
	zoo_fork_run(ring_member, 1);
	zoo_wait_for_children();
}

static void mutex_self(void)
{
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_stands(1);
	pthread_mutex_lock(mutexes);
	zoo_stand();
	pthread_mutex_lock(mutexes);
}

static void *lock_and_end(void *arg)
{
	pthread_mutex_lock(arg);
	return NULL;
}

static void mutex_owner_ended(void)
{
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_stands(1);
	pthread_join(zoo_thread_run(lock_and_end, mutexes), NULL);
	zoo_stand();
	pthread_mutex_lock(mutexes);
}

static void *lock_wanted(void *arg)
{
	zoo_stand();
	pthread_mutex_lock(arg);
	return NULL;
}

static void join_under_mutex(void)
{
	pthread_t thread;

	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_stands(2);
	pthread_mutex_lock(mutexes);
	thread = zoo_thread_run(lock_wanted, mutexes);
	zoo_stand();
	pthread_join(thread, NULL);
}

/* ---- kinds mixed ---- */

static void *mixed_first(void *arg)
{
	zoo_locked_file("mixed-a", LOCK_EX);
	zoo_meet(3);
	zoo_stand();
	pthread_mutex_lock(arg);
	return NULL;
}

static void *mixed_second(void *arg)
{
	int fd = zoo_open_file("mixed-b");

	pthread_mutex_lock(arg);
	zoo_meet(3);
	zoo_stand();
	flock(fd, LOCK_EX);
	return NULL;
}

static void mixed_other(long i)
{
	int fd = zoo_open_file("mixed-a");

	(void)i;
	zoo_locked_file("mixed-b", LOCK_EX);
	zoo_meet(3);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void mixed_three(void)
{
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_stands(3);
	zoo_fork_run(mixed_other, 0);
	zoo_thread_run(mixed_first, mutexes);
	zoo_thread_run(mixed_second, mutexes);
	zoo_idle();
}

/* One holds the mutex and waits for an answer; the others want the mutex. */
static void *holds_and_reads(void *arg)
{
	pthread_mutex_lock(arg);
	zoo_meet(members);
	zoo_stand();
	zoo_receive(quiet);
	return NULL;
}

static void mutex_behind_reader(void)
{
	int victims = zoo_vary(1, 6);

	quiet = zoo_quiet_peer();
	members = 1;
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_stands(1 + victims);
	zoo_thread_run(holds_and_reads, mutexes);
	for (int i = 0; i < victims; i++)
		zoo_thread_run(mutex_victim, mutexes);
	zoo_idle();
}

/* ---- read-write locks ---- */

static pthread_rwlock_t rwlocks[2];

static void *rwlock_member(void *arg)
{
	long i = (long)arg;

	pthread_rwlock_wrlock(&rwlocks[i]);
	zoo_meet(2);
	zoo_stand();
	if (i)
		pthread_rwlock_rdlock(&rwlocks[1 - i]);
	else
		pthread_rwlock_wrlock(&rwlocks[1 - i]);
	return NULL;
}

static void rwlock_abba(void)
{
	for (int i = 0; i < 2; i++)
		pthread_rwlock_init(&rwlocks[i], NULL);
	zoo_stands(2);
	for (long i = 0; i < 2; i++)
		zoo_thread_run(rwlock_member, (void *)i);
	zoo_idle();
}

static void *rwlock_then_mutex(void *arg)
{
	pthread_rwlock_wrlock(&rwlocks[0]);
	zoo_meet(2);
	zoo_stand();
	pthread_mutex_lock(arg);
	return NULL;
}

static void *mutex_then_rwlock(void *arg)
{
	pthread_mutex_lock(arg);
	zoo_meet(2);
	zoo_stand();
	pthread_rwlock_rdlock(&rwlocks[0]);
	return NULL;
}

static void rwlock_and_mutex(void)
{
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	pthread_rwlock_init(&rwlocks[0], NULL);
	zoo_stands(2);
	zoo_thread_run(rwlock_then_mutex, mutexes);
	zoo_thread_run(mutex_then_rwlock, mutexes);
	zoo_idle();
}

static void *read_lock_and_end(void *arg)
{
	pthread_rwlock_rdlock(arg);
	return NULL;
}

/* Its reader has ended and left it locked. */
static void rwlock_lost(void)
{
	pthread_rwlock_init(&rwlocks[0], NULL);
	zoo_stands(1);
	pthread_join(zoo_thread_run(read_lock_and_end, &rwlocks[0]), NULL);
	zoo_stand();
	pthread_rwlock_wrlock(&rwlocks[0]);
}

const struct zoo_case zoo_mutexes[] = {
	{"mutex-abba", "deadlock", "store", mutex_abba, 0, 0},
	{"mutex-abba-errorcheck", "deadlock", "session", mutex_abba_errorcheck, 0, 0},
	{"mutex-abba-robust", "deadlock", "lookup", mutex_abba_robust, 0, 0},
	{"mutex-three-recursive", "deadlock", "relay", mutex_three_recursive, 0, 0},
	{"mutex-abba-processes", "deadlock", "queue", mutex_abba_processes, 0, 0},
	{"mutex-self", "deadlock", "store", mutex_self, 0, 0},
	{"join-under-mutex", "deadlock", "store", join_under_mutex, 0, 0},
	{"mixed-three", "deadlock", "store", mixed_three, 0, 0},
	{"rwlock-abba", "deadlock", "store", rwlock_abba, 0, 0},
	{"rwlock-and-mutex", "deadlock", "store", rwlock_and_mutex, 0, 0},
	{"rwlock-lost", "lost-wakeup", "store", rwlock_lost, 0, 0},
	{"mutex-owner-ended", "lost-wakeup", "store", mutex_owner_ended, 0, 0},
	{"mutex-behind-reader", "lost-wakeup", "store", mutex_behind_reader, 0, 0},
	{0},
};
