/* Troubles thought of by somebody who had not read the diagnosis, nor the cases before these. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGES_AGO_S 3600
#define RETRY_S	   30

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int victims;

/* ---- a mutex of several processes ---- */

static pthread_mutex_t *common;

static void make_common(int protocol, int robust)
{
	pthread_mutexattr_t attr;

	common = zoo_shared(sizeof(*common));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setprotocol(&attr, protocol);
	pthread_mutexattr_setrobust(&attr, robust);
	zoo_must(!pthread_mutex_init(common, &attr));
}

static void common_victim(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	pthread_mutex_lock(common);
}

static void common_then_file(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	pthread_mutex_lock(common);
	zoo_meet(2);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void file_then_common(long i)
{
	(void)i;
	zoo_locked_file("index", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	pthread_mutex_lock(common);
}

static void pi_mutex_and_flock(void)
{
	make_common(PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
	zoo_stands(2);
	zoo_fork_run(common_then_file, 0);
	zoo_fork_run(file_then_common, 0);
	zoo_idle();
}

static void robust_holder(long i)
{
	int fd = zoo_quiet_peer();

	(void)i;
	pthread_mutex_lock(common);
	zoo_meet(1);
	zoo_stand();
	zoo_receive(fd);
}

static void robust_mutex_held_by_reader(void)
{
	make_common(PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST);
	victims = zoo_vary(1, 4);
	zoo_stands(victims + 1);
	zoo_fork_run(robust_holder, 0);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(common_victim, i);
	zoo_idle();
}

/* ---- a mutex that was held at fork() ---- */

static void *keeps_mutex(void *arg)
{
	pthread_mutex_lock(&lock);
	zoo_meet(1);
	zoo_ready();
	zoo_idle();
	return arg;
}

static void wants_copied_mutex(long i)
{
	(void)i;
	zoo_stand();
	pthread_mutex_lock(&lock);
}

static void forked_with_mutex(void)
{
	pid_t pid;

	zoo_stands(3);
	zoo_thread_run(keeps_mutex, NULL);
	zoo_await(&zoo_board->go, 1);
	pid = zoo_fork_run(wants_copied_mutex, 0);
	zoo_ready();
	waitpid(pid, NULL, 0);
}

/* ---- locks of files ---- */

static void tries_lock_file(long i)
{
	const struct timespec pause = {.tv_sec = RETRY_S};

	(void)i;
	zoo_stand();
	while (open(zoo_path("mbox.lock"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&pause, NULL);
}

/* The pid in it is somebody else's by now, who began long after the file was written. */
static void lock_file_of_another(void)
{
	int fd = zoo_open_file("mbox.lock");
	struct timeval times[2];

	zoo_stands(2);
	dprintf(fd, "%d\n", zoo_fork_run(zoo_idles, 0));
	gettimeofday(&times[0], NULL);
	times[0].tv_sec -= AGES_AGO_S;
	times[1] = times[0];
	zoo_must(!futimes(fd, times));
	close(fd);
	zoo_fork_run(tries_lock_file, 0);
	zoo_idle();
}

static void wants_queue(long i)
{
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void waits_for_signal(long i)
{
	sigset_t set;
	int got;

	(void)i;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_meet(1);
	zoo_stand();
	sigwait(&set, &got);
}

static void leaves_its_lock(long i)
{
	zoo_locked_file("queue", LOCK_EX);
	zoo_fork_run(waits_for_signal, i);
	_exit(0);
}

static void flock_of_grandchild(void)
{
	victims = zoo_vary(1, 3);
	zoo_stands(victims + 1);
	waitpid(zoo_fork_run(leaves_its_lock, 0), NULL, 0);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_queue, i);
	zoo_idle();
}

static void ofd_lock(int fd)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};

	fcntl(fd, F_OFD_SETLKW, &range);
}

static void *ofd_crosses(void *arg)
{
	static const char *const names[] = {"list", "cache"};
	const char *const *mine = arg;

	ofd_lock(zoo_open_file(*mine));
	zoo_meet(2);
	zoo_stand();
	ofd_lock(zoo_open_file(mine == names ? names[1] : names[0]));
	return NULL;
}

static void ofd_crossed_in_threads(void)
{
	static const char *names[] = {"list", "cache"};

	zoo_stands(2);
	for (int i = 0; i < 2; i++)
		zoo_thread_run(ofd_crosses, &names[i]);
	zoo_idle();
}

static void *holds_without_leader(void *arg)
{
	int fd = zoo_open_file("held"), quiet = zoo_quiet_peer();

	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	zoo_meet(1);
	zoo_stand();
	zoo_receive(quiet);
	return arg;
}

static void ends_its_first_thread(long i)
{
	(void)i;
	zoo_thread_run(holds_without_leader, NULL);
	pthread_exit(NULL);
}

static void posix_victim(long i)
{
	int fd = zoo_open_file("held");

	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	zoo_posix_lock(fd, F_WRLCK);
}

static void first_thread_gone(void)
{
	victims = zoo_vary(1, 3);
	zoo_stands(victims + 1);
	zoo_fork_run(ends_its_first_thread, 0);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(posix_victim, i);
	zoo_idle();
}

static void keeps_lease(long i)
{
	int fd = zoo_open_file("uidlist");

	(void)i;
	signal(SIGIO, SIG_IGN);
	zoo_must(!fcntl(fd, F_SETLEASE, F_WRLCK));
	zoo_meet(1);
	zoo_stand();
	zoo_idle();
}

static void opens_leased(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	zoo_open_file("uidlist");
}

static void lease_kept(void)
{
	zoo_stands(2);
	zoo_fork_run(keeps_lease, 0);
	zoo_fork_run(opens_leased, 0);
	zoo_idle();
}

const struct zoo_case zoo_afresh[] = {
	{"pi-mutex-and-flock", "deadlock", "index", pi_mutex_and_flock, 0, 0},
	{"robust-mutex-held-by-reader", "lost-wakeup", "store", robust_mutex_held_by_reader, 0, 0},
	{"forked-with-mutex", "lost-wakeup", "deliver", forked_with_mutex, 0, 0},
	{"lock-file-of-another", "slow", "deliver", lock_file_of_another, 0, 0},
	{"flock-of-grandchild", "lost-wakeup", "queue", flock_of_grandchild, 0, 0},
	{"ofd-crossed-in-threads", "deadlock", "index", ofd_crossed_in_threads, 0, 0},
	{"first-thread-gone", "lost-wakeup", "session", first_thread_gone, 0, 0},
	{"lease-kept", "lost-wakeup", "store", lease_kept, 0, 0},
	{0},
};
