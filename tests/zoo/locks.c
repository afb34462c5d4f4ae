#include "tests/zoo/parts.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- file locks ---- */

static long ring;

static void flock_in_ring(long i)
{
	char name[] = "ring-0", next[] = "ring-0";
	int fd;

	name[5] = (char)('0' + i);
	next[5] = (char)('0' + (i + 1) % ring);
	zoo_locked_file(name, LOCK_EX);
	fd = zoo_open_file(next);
	zoo_meet((int)ring);
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void flock_ring(long count)
{
	ring = count;
	for (long i = 0; i < count; i++)
		zoo_fork_run(flock_in_ring, i);
	zoo_wait_for_children();
}

static void flock_cross(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	flock_ring(2);
}

static void flock_three(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	flock_ring(3);
}

static void flock_self(struct zoo_board *b, const char *d)
{
	int fd;

	(void)b, (void)d;
	zoo_locked_file("self", LOCK_EX);
	fd = zoo_open_file("self");
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void ofd_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	fcntl(fd, F_OFD_SETLKW, &lock);
}

static void ofd_member(long i)
{
	int mine = zoo_open_file(i ? "ofd-b" : "ofd-a"),
	    other = zoo_open_file(i ? "ofd-a" : "ofd-b");

	ofd_lock(mine);
	zoo_meet(2);
	zoo_blame();
	zoo_ready();
	ofd_lock(other);
}

static void ofd_cross(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_fork_run(ofd_member, 0);
	zoo_fork_run(ofd_member, 1);
	zoo_wait_for_children();
}

static void posix_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};

	fcntl(fd, F_SETLKW, &lock);
}

static void posix_waiter(long i)
{
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_meet(4);
	zoo_ready();
	posix_lock(fd);
}

static void stopped_holder(long i)
{
	(void)i;
	posix_lock(zoo_open_file("queue"));
	zoo_blame();
	zoo_meet(4);
	zoo_ready();
	raise(SIGSTOP);
}

static void queue_behind_stopped(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_fork_run(stopped_holder, 0);
	for (int i = 0; i < 3; i++)
		zoo_fork_run(posix_waiter, i);
	zoo_wait_for_children();
}

static void event_holder(long i)
{
	sem_t zoo_never;

	(void)i;
	sem_init(&zoo_never, 0, 0);
	zoo_locked_file("held", LOCK_EX);
	zoo_blame();
	zoo_meet(4);
	zoo_ready();
	sem_wait(&zoo_never);
}

static void queue_behind_event(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_with_three_waiters(event_holder);
}

static void parked_holder(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	atomic_store(&zoo_board->parked, zoo_tid());
	zoo_blame();
	zoo_meet(4);
	zoo_ready();
	zoo_stand_for_ever();
}

static void queue_behind_fault(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_with_three_waiters(parked_holder);
}

static void parked_alone(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	atomic_store(&zoo_board->parked, zoo_tid());
	zoo_blame();
	zoo_ready();
	zoo_stand_for_ever();
}

/* ---- mutexes ---- */

static pthread_mutex_t *mutexes;

static void mutexes_init(int type, bool process_shared, bool robust)
{
	pthread_mutexattr_t attr;

	mutexes = zoo_shared(2 * sizeof(*mutexes));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, type);
	if (process_shared)
		pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (robust)
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&mutexes[0], &attr);
	pthread_mutex_init(&mutexes[1], &attr);
}

static void abba_member(long i)
{
	pthread_mutex_lock(&mutexes[i]);
	zoo_meet(2);
	zoo_blame();
	zoo_ready();
	pthread_mutex_lock(&mutexes[1 - i]);
}

static void *abba_thread(void *arg)
{
	abba_member(arg != NULL);
	return NULL;
}

static void abba(int type, bool robust)
{
	pthread_t one;

	mutexes_init(type, false, robust);
	one = zoo_thread_run(abba_thread, NULL);
	zoo_thread_run(abba_thread, mutexes);
	pthread_join(one, NULL);
}

static void mutex_abba(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	abba(PTHREAD_MUTEX_NORMAL, false);
}

static void mutex_abba_errorcheck(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	abba(PTHREAD_MUTEX_ERRORCHECK, false);
}

static void mutex_abba_robust(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	abba(PTHREAD_MUTEX_NORMAL, true);
}

static void mutex_abba_processes(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	mutexes_init(PTHREAD_MUTEX_NORMAL, true, false);
	zoo_fork_run(abba_member, 0);
	zoo_fork_run(abba_member, 1);
	zoo_wait_for_children();
}

static void mutex_self(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	pthread_mutex_lock(mutexes);
	zoo_blame();
	zoo_ready();
	pthread_mutex_lock(mutexes);
}

static void *lock_and_end(void *arg)
{
	(void)arg;
	pthread_mutex_lock(mutexes);
	return NULL;
}

static void mutex_owner_ended(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	pthread_join(zoo_thread_run(lock_and_end, NULL), NULL);
	zoo_blame();
	zoo_ready();
	pthread_mutex_lock(mutexes);
}

static void *lock_wanted(void *arg)
{
	(void)arg;
	zoo_blame();
	zoo_ready();
	pthread_mutex_lock(mutexes);
	return NULL;
}

static void join_under_mutex(struct zoo_board *b, const char *d)
{
	pthread_t thread;

	(void)b, (void)d;
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	pthread_mutex_lock(mutexes);
	thread = zoo_thread_run(lock_wanted, NULL);
	zoo_blame();
	zoo_ready();
	pthread_join(thread, NULL);
}

static void *mixed_first(void *arg)
{
	(void)arg;
	zoo_locked_file("mixed-a", LOCK_EX);
	zoo_meet(3);
	zoo_blame();
	zoo_ready();
	pthread_mutex_lock(mutexes);
	return NULL;
}

static void *mixed_second(void *arg)
{
	int fd = zoo_open_file("mixed-b");

	(void)arg;
	pthread_mutex_lock(mutexes);
	zoo_meet(3);
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
	return NULL;
}

static void mixed_other(long i)
{
	int fd = zoo_open_file("mixed-a");

	(void)i;
	zoo_locked_file("mixed-b", LOCK_EX);
	zoo_meet(3);
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void mixed_three(struct zoo_board *b, const char *d)
{
	pthread_t one;

	(void)b, (void)d;
	mutexes_init(PTHREAD_MUTEX_NORMAL, false, false);
	zoo_fork_run(mixed_other, 0);
	one = zoo_thread_run(mixed_first, NULL);
	zoo_thread_run(mixed_second, NULL);
	pthread_join(one, NULL);
}

const struct zoo_case zoo_locks[] = {
	{"flock-cross", "deadlock", flock_cross, 2, false, false, false},
	{"flock-three", "deadlock", flock_three, 3, false, false, false},
	{"flock-self", "deadlock", flock_self, 1, false, false, false},
	{"ofd-cross", "deadlock", ofd_cross, 2, false, false, false},
	{"mutex-abba", "deadlock", mutex_abba, 2, false, false, false},
	{"mutex-abba-errorcheck", "deadlock", mutex_abba_errorcheck, 2, false, false, false},
	{"mutex-abba-robust", "deadlock", mutex_abba_robust, 2, false, false, false},
	{"mutex-abba-processes", "deadlock", mutex_abba_processes, 2, false, false, false},
	{"mutex-self", "deadlock", mutex_self, 1, false, false, false},
	{"join-under-mutex", "deadlock", join_under_mutex, 2, false, false, false},
	{"mixed-three", "deadlock", mixed_three, 3, false, false, false},
	{"queue-behind-stopped", "stopped", queue_behind_stopped, 4, false, false, false},
	{"queue-behind-event", "lost-wakeup", queue_behind_event, 4, false, false, false},
	{"mutex-owner-ended", "lost-wakeup", mutex_owner_ended, 1, false, false, false},
	{"queue-behind-fault", "blocked-on-fault", queue_behind_fault, 4, false, false, true},
	{"parked-alone", "blocked-on-fault", parked_alone, 1, false, false, false},
	{0},
};
