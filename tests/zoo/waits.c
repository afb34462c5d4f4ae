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

/* ---- pipes, sockets, children ---- */

static int pipes[2][2];

static void pipe_reader(long i)
{
	char c;

	close(pipes[i][1]);
	close(pipes[1 - i][0]);
	zoo_meet(2);
	zoo_blame();
	zoo_ready();
	zoo_must(read(pipes[i][0], &c, 1) <= 0);
}

static void pipe_cycle(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_must(!pipe2(pipes[0], O_CLOEXEC) && !pipe2(pipes[1], O_CLOEXEC));
	zoo_fork_run(pipe_reader, 0);
	zoo_fork_run(pipe_reader, 1);
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	zoo_wait_for_children();
}

static void pipe_self(struct zoo_board *b, const char *d)
{
	char c;

	(void)b, (void)d;
	zoo_must(!pipe2(pipes[0], O_CLOEXEC));
	zoo_blame();
	zoo_ready();
	zoo_must(read(pipes[0][0], &c, 1) <= 0);
}

static void full_pipe_writer(long i)
{
	static char block[1 << 20];

	(void)i;
	close(pipes[0][0]);
	zoo_locked_file("full", LOCK_EX);
	zoo_meet(2);
	zoo_blame();
	zoo_ready();
	zoo_must(write(pipes[0][1], block, sizeof(block)) <= 0);
}

static void full_pipe_reader(long i)
{
	int fd = zoo_open_file("full");

	(void)i;
	close(pipes[0][1]);
	zoo_meet(2);
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void full_pipe(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_must(!pipe2(pipes[0], O_CLOEXEC));
	zoo_fork_run(full_pipe_writer, 0);
	zoo_fork_run(full_pipe_reader, 0);
	close(pipes[0][0]);
	close(pipes[0][1]);
	zoo_wait_for_children();
}

static void fifo_alone(struct zoo_board *b, const char *d)
{
	auto_free char *path = text_fmt("%s/fifo", d);

	(void)b;
	zoo_must(!mkfifo(path, 0600));
	zoo_blame();
	zoo_ready();
	zoo_must(open(path, O_RDONLY | O_CLOEXEC) < 0);
}

static void socket_silent(struct zoo_board *b, const char *d)
{
	int pair[2];
	char c;

	(void)b, (void)d;
	zoo_silence(pair);
	zoo_blame();
	zoo_ready();
	zoo_must(recv(pair[0], &c, 1, 0) <= 0);
}

static void child_of_lock(long i)
{
	int fd = zoo_open_file("parent");

	(void)i;
	zoo_blame();
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void parent_and_child(struct zoo_board *b, const char *d)
{
	int fd = zoo_locked_file("parent", LOCK_EX);
	pid_t child;

	(void)b, (void)d;
	child = fork();
	if (!child) {
		close(fd);
		child_of_lock(0);
		_exit(0);
	}
	zoo_blame();
	zoo_ready();
	waitpid(child, NULL, 0);
}

static void at_once(long i)
{
	(void)i;
	zoo_ready();
	_exit(0);
}

static void child_not_reaped(struct zoo_board *b, const char *d)
{
	sem_t zoo_never;

	(void)b, (void)d;
	sem_init(&zoo_never, 0, 0);
	zoo_fork_run(at_once, 0);
	zoo_blame();
	zoo_ready();
	sem_wait(&zoo_never);
}

/* ---- events in memory ---- */

static void *cond_waiter(void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	(void)arg;
	pthread_mutex_lock(&lock);
	zoo_blame();
	zoo_ready();
	for (;;)
		pthread_cond_wait(&cond, &lock);
	return NULL;
}

static void cond_lost(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	pthread_join(zoo_thread_run(cond_waiter, NULL), NULL);
}

static void sem_lost(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_blame();
	zoo_ready();
	sem_wait(zoo_never());
}

static void *read_lock_and_end(void *arg)
{
	pthread_rwlock_rdlock(arg);
	return NULL;
}

static void rwlock_lost(struct zoo_board *b, const char *d)
{
	pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

	(void)b, (void)d;
	pthread_join(zoo_thread_run(read_lock_and_end, &lock), NULL);
	zoo_blame();
	zoo_ready();
	pthread_rwlock_wrlock(&lock);
}

/* ---- pools ---- */

static int dead[2];

static void *poll_worker(void *arg)
{
	struct pollfd fd = {.fd = dead[0], .events = POLLIN};

	(void)arg;
	prctl(PR_SET_NAME, "worker");
	zoo_blame();
	zoo_ready();
	poll(&fd, 1, 9000000);
	return NULL;
}

static void idle_leader(void)
{
	struct pollfd fds[2];
	int pair[2];

	zoo_silence(pair);
	fds[0] = (struct pollfd){.fd = pair[0], .events = POLLIN};
	fds[1] = (struct pollfd){.fd = pair[1], .events = POLLIN};
	poll(fds, 2, -1);
}

static void pool_on_socket(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_silence(dead);
	for (int i = 0; i < POOL; i++)
		zoo_thread_run(poll_worker, NULL);
	idle_leader();
}

static void *sem_worker(void *arg)
{
	prctl(PR_SET_NAME, "worker");
	zoo_blame();
	zoo_ready();
	sem_wait(arg);
	return NULL;
}

static void pool_on_semaphore(struct zoo_board *b, const char *d)
{
	sem_t *sem = zoo_never();

	(void)b, (void)d;
	for (int i = 0; i < POOL; i++)
		zoo_thread_run(sem_worker, sem);
	idle_leader();
}

static void process_worker(long i)
{
	char c;

	(void)i;
	zoo_blame();
	zoo_ready();
	zoo_must(recv(dead[0], &c, 1, 0) <= 0);
}

static void pool_of_processes(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_silence(dead);
	for (int i = 0; i < POOL; i++)
		zoo_fork_run(process_worker, i);
	zoo_wait_for_children();
}

/* ---- stopped, spinning ---- */

static void stopped_alone(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_blame();
	zoo_ready();
	raise(SIGSTOP);
}

static void *spinner(void *arg)
{
	(void)arg;
	zoo_blame();
	zoo_ready();
	for (;;)
		atomic_load(&zoo_board->go);
	return NULL;
}

static void livelock(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_thread_run(spinner, NULL);
	idle_leader();
}

/* ---- healthy ---- */

static void accept_worker(long i)
{
	int fd = zoo_open_file("accept");

	if (i == 0) {
		flock(fd, LOCK_EX);
		zoo_meet(POOL);
		zoo_ready();
		idle_leader();
	}
	zoo_meet(POOL);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void accept_pool(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	for (int i = 0; i < POOL; i++)
		zoo_fork_run(accept_worker, i);
	zoo_wait_for_children();
}

static void *cond_worker(void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	(void)arg;
	pthread_mutex_lock(&lock);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&cond, &lock);
	return NULL;
}

static void idle_threads(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	for (int i = 0; i < POOL; i++)
		zoo_thread_run(cond_worker, NULL);
	idle_leader();
}

static void shared_holder(long i)
{
	(void)i;
	zoo_locked_file("shared", LOCK_SH);
	zoo_ready();
	idle_leader();
}

static void shared_locks(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	for (int i = 0; i < POOL; i++)
		zoo_fork_run(shared_holder, i);
	zoo_wait_for_children();
}

static void session_holder(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	zoo_meet(4);
	zoo_ready();
	idle_leader();
}

static void maildrop_lock(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_with_three_waiters(session_holder);
}

static void slow_holder(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	zoo_meet(4);
	zoo_ready();
	poll(NULL, 0, 3600000);
}

static void slow_work(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_with_three_waiters(slow_holder);
}

static void busy(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_thread_run(spinner, NULL);
	idle_leader();
}

static void served_client(long i)
{
	char c;

	(void)i;
	zoo_ready();
	zoo_must(recv(dead[0], &c, 1, 0) <= 0);
}

static void one_session(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_silence(dead);
	zoo_fork_run(served_client, 0);
	zoo_wait_for_children();
}

static void supervisor(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	zoo_fork_run(served_client, 0);
	zoo_wait_for_children();
}

static void idle_child(long i)
{
	(void)i;
	zoo_ready();
	idle_leader();
}

static void long_child(struct zoo_board *b, const char *d)
{
	(void)b, (void)d;
	waitpid(zoo_fork_run(idle_child, 0), NULL, 0);
}

const struct zoo_case zoo_waits[] = {
	{"pipe-cycle", "deadlock", pipe_cycle, 2, false, false, false},
	{"pipe-self", "deadlock", pipe_self, 1, false, false, false},
	{"full-pipe", "deadlock", full_pipe, 2, false, false, false},
	{"parent-and-child", "deadlock", parent_and_child, 2, false, false, false},
	{"stopped-alone", "stopped", stopped_alone, 1, false, false, false},
	{"fifo-alone", "lost-wakeup", fifo_alone, 1, false, false, false},
	{"socket-silent", "lost-wakeup", socket_silent, 1, false, false, false},
	{"child-not-reaped", "lost-wakeup", child_not_reaped, 2, false, false, false},
	{"cond-lost", "lost-wakeup", cond_lost, 1, false, false, false},
	{"semaphore-lost", "lost-wakeup", sem_lost, 1, false, false, false},
	{"rwlock-lost", "lost-wakeup", rwlock_lost, 1, false, false, false},
	{"pool-on-socket", "exhaustion", pool_on_socket, POOL, false, false, false},
	{"pool-on-semaphore", "exhaustion", pool_on_semaphore, POOL, false, false, false},
	{"pool-of-processes", "exhaustion", pool_of_processes, POOL, false, false, false},
	{"livelock", "livelock", livelock, 1, true, false, false},
	{"idle-accept-pool", NULL, accept_pool, POOL, false, false, false},
	{"idle-threads", NULL, idle_threads, POOL, false, false, false},
	{"shared-locks", NULL, shared_locks, POOL, false, false, false},
	{"maildrop-lock", NULL, maildrop_lock, 4, false, false, false},
	{"slow-work-under-lock", NULL, slow_work, 4, false, false, false},
	{"busy", NULL, busy, 1, true, true, false},
	{"one-session", NULL, one_session, 1, false, false, false},
	{"supervisor", NULL, supervisor, 1, false, false, false},
	{"long-child", NULL, long_child, 1, false, false, false},
	{0},
};

void zoo_noise(struct zoo_board *b, const char *d)
{
	for (int i = 0; i < POOL; i++)
		zoo_fork_run(accept_worker, i);
	for (int i = 0; i < POOL; i++)
		zoo_thread_run(cond_worker, NULL);
	(void)b, (void)d;
	idle_leader();
}
