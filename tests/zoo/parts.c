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

struct zoo_board *zoo_board;
const char *zoo_dir;

/* ---- what cases are made of ---- */

int zoo_tid(void)
{
	return (int)syscall(SYS_gettid);
}

void zoo_must(bool right)
{
	if (!right)
		abort();
}

void zoo_ready(void)
{
	atomic_fetch_add(&zoo_board->ready, 1);
}

void zoo_blame(void)
{
	for (int i = 0, none = 0; i < ZOO_CULPRITS; i++, none = 0)
		if (atomic_compare_exchange_strong(&zoo_board->culprits[i], &none, zoo_tid()))
			return;
}

/* Lets nobody go on before `count` are here. Spins: a blocked thread would be seen to wait. */
void zoo_meet(int count)
{
	atomic_fetch_add(&zoo_board->go, 1);
	while (atomic_load(&zoo_board->go) < count)
		sched_yield();
}

void zoo_stand_for_ever(void)
{
	for (;;)
		pause();
}

int zoo_open_file(const char *name)
{
	auto_free char *path = text_fmt("%s/%s", zoo_dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	zoo_must(fd >= 0);
	return fd;
}

int zoo_locked_file(const char *name, int how)
{
	int fd = zoo_open_file(name);

	zoo_must(!flock(fd, how));
	return fd;
}

pid_t zoo_fork_run(void (*run)(long), long arg)
{
	pid_t pid = fork();

	zoo_must(pid >= 0);
	if (pid)
		return pid;
	run(arg);
	zoo_stand_for_ever();
	_exit(0);
}

void zoo_wait_for_children(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
	zoo_stand_for_ever();
}

pthread_t zoo_thread_run(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	zoo_must(!pthread_create(&thread, NULL, run, arg));
	return thread;
}

void *zoo_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	zoo_must(p != MAP_FAILED);
	return p;
}

void zoo_silence(int pair[2])
{
	zoo_must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

sem_t *zoo_never(void)
{
	sem_t *sem = zoo_shared(sizeof(*sem));

	sem_init(sem, 1, 0);
	return sem;
}

static void flock_waiter(long i)
{
	int fd = zoo_open_file("held");

	(void)i;
	zoo_meet(4);
	zoo_ready();
	flock(fd, LOCK_EX);
}

void zoo_with_three_waiters(void (*holder)(long))
{
	zoo_fork_run(holder, 0);
	for (int i = 0; i < 3; i++)
		zoo_fork_run(flock_waiter, i);
	zoo_wait_for_children();
}

/* ---- running ---- */

const struct zoo_case *const zoo_groups[] = {zoo_locks, zoo_waits, NULL};

static pid_t start(
	void (*run)(struct zoo_board *, const char *), struct zoo_board *b, const char *d)
{
	pid_t pid = fork();

	zoo_must(pid >= 0);
	if (pid) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(60);
	zoo_board = b;
	zoo_dir = d;
	run(b, d);
	zoo_stand_for_ever();
	_exit(0);
}

pid_t zoo_start(const struct zoo_case *zoo, struct zoo_board *b, const char *d)
{
	return start(zoo->run, b, d);
}

pid_t zoo_start_noise(struct zoo_board *b, const char *d)
{
	return start(zoo_noise, b, d);
}

void zoo_end(pid_t leader)
{
	kill(-leader, SIGKILL);
	waitpid(leader, NULL, 0);
}
