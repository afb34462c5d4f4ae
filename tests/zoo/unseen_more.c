/* Events that never come, by calls that the others do not have, loops that get nowhere, and pools of other shapes. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int members, quiet;

static void one_thread(void *(*run)(void *), void *arg)
{
	zoo_stands(1);
	zoo_thread_run(run, arg);
	zoo_idle();
}

/* ---- events ---- */

/* The signal came before the wait; thirty of the same name wait for work, as they should. */
static pthread_mutex_t jobs = PTHREAD_MUTEX_INITIALIZER, reply = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job = PTHREAD_COND_INITIALIZER, replied = PTHREAD_COND_INITIALIZER;

static __attribute__((noinline)) void takes_job(void)
{
	pthread_mutex_lock(&jobs);
	zoo_ready();
	pthread_cond_wait(&job, &jobs);
}

static __attribute__((noinline)) void does_job(void)
{
	pthread_mutex_lock(&reply);
	zoo_stand();
	pthread_cond_wait(&replied, &reply);
}

static void *one_of_thirty(void *arg)
{
	prctl(PR_SET_NAME, "task");
	if (arg)
		does_job();
	else
		takes_job();
	return NULL;
}

static void lost_among_idle(void)
{
	int odd = zoo_vary(0, 29);

	zoo_stands(30);
	pthread_cond_signal(&replied);
	for (int i = 0; i < 30; i++)
		zoo_thread_run(one_of_thirty, i == odd ? &odd : NULL);
	zoo_idle();
}

/* The loop asked to hear of this connection once, and did not ask again. */
static void oneshot_server(long listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	int set = epoll_create1(EPOLL_CLOEXEC), fd = accept((int)listener, NULL, NULL);
	char c;

	zoo_must(fd >= 0 && !epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	event.events = EPOLLIN;
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	zoo_must(epoll_wait(set, &event, 1, -1) == 1 && recv(fd, &c, 1, 0) == 1);
	zoo_stand();
	epoll_wait(set, &event, 1, -1);
}

static void oneshot_client(long i)
{
	int fd = zoo_connect_unix("service");

	(void)i;
	zoo_must(send(fd, "more than one", 13, 0) == 13);
	zoo_ready();
	zoo_receive(fd);
}

static void not_armed_again(void)
{
	int listener = zoo_listen_unix("service", 8);

	zoo_stands(2);
	zoo_fork_run(oneshot_server, listener);
	close(listener);
	zoo_fork_run(oneshot_client, 0);
	zoo_wait_for_children();
}

/* The child ended before anybody waited to hear of it. */
static void heard(int number)
{
	(void)number;
}

static void child_gone_before(void)
{
	siginfo_t info;
	sigset_t none;
	pid_t child;

	sigemptyset(&none);
	signal(SIGCHLD, heard);
	zoo_stands(1);
	child = fork();
	if (!child)
		_exit(0);
	zoo_must(!waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	zoo_stand();
	sigsuspend(&none);
}

/* It watches a file that somebody has put another in the place of. */
static void watched_file_replaced(void)
{
	char event[512], old[ZOO_PATH_MAX];
	int fd = inotify_init1(IN_CLOEXEC);

	close(zoo_open_file("mailbox"));
	close(zoo_open_file("mailbox.new"));
	zoo_must(inotify_add_watch(fd, zoo_path("mailbox"), IN_MODIFY) >= 0);
	snprintf(old, sizeof(old), "%s", zoo_path("mailbox.old"));
	zoo_must(!rename(zoo_path("mailbox"), old));
	zoo_stands(1);
	zoo_stand();
	zoo_must(read(fd, event, sizeof(event)) < 0);
}

/* A file says that somebody is at work, who is long gone; it is looked for once a second. */
static void pid_file_left(void)
{
	const struct timespec second = {.tv_sec = 1};
	pid_t gone = fork();
	int fd;

	if (!gone)
		_exit(0);
	zoo_must(waitpid(gone, NULL, 0) == gone);
	fd = zoo_open_file("update.lock");
	dprintf(fd, "%d\n", (int)gone);
	close(fd);
	zoo_stands(1);
	zoo_stand();
	while (open(zoo_path("update.lock"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&second, NULL);
}

static void *reads_timer(void *arg)
{
	uint64_t count;

	zoo_stand();
	zoo_must(read(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), &count, sizeof(count)) < 0);
	return arg;
}

static void timer_not_armed(void)
{
	one_thread(reads_timer, NULL);
}

static pthread_barrier_t barrier;

static void *ends_early(void *arg)
{
	return arg;
}

static void *at_barrier(void *arg)
{
	pthread_join(zoo_thread_run(ends_early, NULL), NULL);
	zoo_stand();
	pthread_barrier_wait(&barrier);
	return arg;
}

static void partner_ended(void)
{
	pthread_barrier_init(&barrier, NULL, 2);
	one_thread(at_barrier, NULL);
}

/* Any of several words would do. */
static void *waits_for_words(void *arg)
{
	static unsigned int words[2];
	struct futex_waitv waits[2] = {
		{.uaddr = (uintptr_t)&words[0], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
		{.uaddr = (uintptr_t)&words[1], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG}};

	zoo_stand();
	syscall(SYS_futex_waitv, waits, 2, 0, NULL, 0);
	return arg;
}

static void words_of_several(void)
{
	one_thread(waits_for_words, NULL);
}

static void *waits_for_completion(void *arg)
{
	struct io_uring_params params;
	int fd;

	memset(&params, 0, sizeof(params));
	fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	zoo_must(fd >= 0);
	zoo_stand();
	syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	return arg;
}

static void completion_lost(void)
{
	one_thread(waits_for_completion, NULL);
}

/* The page is brought by another, who never does: a wait that is no call. */
static void *touches(void *arg)
{
	zoo_stand();
	zoo_must(*(volatile char *)arg == 0);
	return NULL;
}

static void page_not_brought(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	void *page = zoo_shared(4096);

	zoo_must(fd >= 0 && !ioctl(fd, UFFDIO_API, &api));
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	zoo_must(!ioctl(fd, UFFDIO_REGISTER, &range));
	one_thread(touches, page);
}

static void *selects_nothing(void *arg)
{
	fd_set none;

	FD_ZERO(&none);
	zoo_stand();
	select(0, &none, NULL, NULL, NULL);
	return arg;
}

static void nothing_selected(void)
{
	one_thread(selects_nothing, NULL);
}

/* The shell, as many a helper is one. */
static void script_reads_fifo(void)
{
	zoo_must(!mkfifo(zoo_path("orders"), 0600));
	zoo_must(!chdir(zoo_dir));
	zoo_must(!system(
		":")); /* it need not come from a disk any more, which would be a wait of its own */
	zoo_stands(1);
	zoo_stand();
	execl("/bin/sh", "sh", "-c", "read order <orders", NULL);
	zoo_must(false);
}

/* A stream of the C library is locked while its user waits for an answer. */
static FILE *stream;

static void *has_stream(void *arg)
{
	flockfile(stream);
	zoo_meet(1 + members);
	zoo_stand();
	zoo_receive((int)(long)arg);
	return NULL;
}

static void *prints(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	fputs("line\n", stream);
	return arg;
}

static void stream_locked(void)
{
	quiet = zoo_quiet_peer();
	stream = fdopen(zoo_open_file("log"), "w");
	members = zoo_vary(1, 4);
	zoo_stands(1 + members);
	zoo_thread_run(has_stream, (void *)(long)quiet);
	for (int i = 0; i < members; i++)
		zoo_thread_run(prints, NULL);
	zoo_idle();
}

/* It will come back, in an hour and forty minutes, and has the lock till then. */
static void sleeps_with_lock(long all)
{
	const struct timespec long_while = {.tv_sec = 6000};

	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)all);
	zoo_stand();
	nanosleep(&long_while, NULL);
}

static void lock_slept_with(void)
{
	zoo_with_victims(sleeps_with_lock, zoo_vary(1, 4));
}

/* ---- the processor ---- */

/* The other side is gone, which is told again and again, and nobody listens. */
static void hangup_not_heard(void)
{
	struct pollfd fd = {.events = POLLIN};
	int pair[2];

	zoo_pair(pair);
	close(pair[1]);
	fd.fd = pair[0];
	zoo_stands(1);
	zoo_stand();
	while (poll(&fd, 1, -1) >= 0)
		;
}

static void *spins_with_mutex(void *arg)
{
	pthread_mutex_lock(&jobs);
	zoo_meet(1 + members);
	zoo_stand();
	for (;;)
		atomic_load(&zoo_board->go);
	return arg;
}

static void *wants_jobs(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	pthread_mutex_lock(&jobs);
	return arg;
}

static void spins_under_mutex(void)
{
	members = zoo_vary(1, 4);
	zoo_stands(1 + members);
	zoo_thread_run(spins_with_mutex, NULL);
	for (int i = 0; i < members; i++)
		zoo_thread_run(wants_jobs, NULL);
	zoo_idle();
}

/* ---- pools ---- */

/* Threads that each have their own name. */
static void *numbered_worker(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "w%d", atomic_fetch_add(&zoo_board->go, 1));
	prctl(PR_SET_NAME, name);
	zoo_stand();
	sem_wait(arg);
	return NULL;
}

static void numbered_pool(void)
{
	sem_t *never = zoo_never();

	members = zoo_vary(3, 6);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(numbered_worker, never);
	zoo_idle();
}

static void *at_set(void *arg)
{
	struct sembuf down = {.sem_op = -1};

	zoo_stand();
	semop((int)(long)arg, &down, 1);
	return NULL;
}

static void pool_on_set(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);

	zoo_must(id >= 0);
	members = zoo_vary(3, 6);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(at_set, (void *)(long)id);
	zoo_idle();
}

/* As many children as there may be, each at a server that does not answer, and callers at the door. */
static void child_asks(long i)
{
	(void)i;
	zoo_stand();
	zoo_receive(quiet);
}

static void calls(long i)
{
	int fd = zoo_connect_unix("door");

	(void)i;
	zoo_ready();
	zoo_receive(fd);
}

static void children_at_limit(void)
{
	int callers = zoo_vary(1, 3), listener;

	members = zoo_vary(3, 5);
	zoo_stands(members + callers);
	quiet = zoo_quiet_peer();
	for (int i = 0; i < members; i++)
		zoo_fork_run(child_asks, i);
	listener = zoo_listen_unix("door", 8);
	for (int i = 0; i < callers; i++)
		if (!fork()) {
			close(listener);
			if (!fork())
				calls(i);
			_exit(0);
		}
	zoo_wait_for_children();
}

/* Each worker at a connection of its own to a server that took all of them and answers nobody. */
static int service;

static void mute_server(long listener)
{
	for (int i = 0; i < members; i++)
		zoo_must(accept((int)listener, NULL, NULL) >= 0);
	zoo_blame();
	zoo_idle();
}

static void *asks_mute(void *arg)
{
	int fd = zoo_connect_tcp(service);

	zoo_must(send(fd, "question", 8, 0) == 8);
	zoo_meet(members);
	zoo_stand();
	zoo_receive(fd);
	return arg;
}

static void pool_at_mute_server(void)
{
	int listener = zoo_listen_tcp(16, &service);

	members = zoo_vary(3, 6);
	zoo_stands(members);
	zoo_fork_run(mute_server, listener);
	close(listener);
	for (int i = 0; i < members; i++)
		zoo_thread_run(asks_mute, NULL);
	zoo_idle();
}

const struct zoo_case zoo_unseen_more[] = {
	{"lost-among-idle", "lost-wakeup", "store", lost_among_idle, ZOO_HELD_OUT, 0},
	{"not-armed-again", "lost-wakeup", "web", not_armed_again, ZOO_HELD_OUT, 0},
	{"child-gone-before", "lost-wakeup", "master", child_gone_before, ZOO_HELD_OUT, 0},
	{"watched-file-replaced", "lost-wakeup", "watch", watched_file_replaced, ZOO_HELD_OUT, 0},
	{"pid-file-left", "lost-wakeup", "update", pid_file_left, ZOO_HELD_OUT, 0},
	{"timer-not-armed", "lost-wakeup", "timer", timer_not_armed, ZOO_HELD_OUT, 0},
	{"partner-ended", "lost-wakeup", "index", partner_ended, ZOO_HELD_OUT, 0},
	{"words-of-several", "lost-wakeup", "store", words_of_several, ZOO_HELD_OUT, 0},
	{"completion-lost", "lost-wakeup", "store", completion_lost, ZOO_HELD_OUT, 0},
	{"page-not-brought", "lost-wakeup", "store", page_not_brought, ZOO_HELD_OUT, 0},
	{"nothing-selected", "lost-wakeup", "relay", nothing_selected, ZOO_HELD_OUT, 0},
	{"script-reads-fifo", "lost-wakeup", "helper", script_reads_fifo, ZOO_HELD_OUT, 0},
	{"stream-locked", "lost-wakeup", "log", stream_locked, ZOO_HELD_OUT, 0},
	{"lock-slept-with", "slow", "deliver", lock_slept_with, ZOO_HELD_OUT, 0},
	{"hangup-not-heard", "livelock", "proxy", hangup_not_heard, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"spins-under-mutex", "livelock", "store", spins_under_mutex, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"numbered-pool", "exhaustion", "store", numbered_pool, ZOO_HELD_OUT, 0},
	{"pool-on-set", "exhaustion", "queue", pool_on_set, ZOO_HELD_OUT, 0},
	{"children-at-limit", "exhaustion", "session", children_at_limit, ZOO_HELD_OUT, 0},
	{"pool-at-mute-server", "exhaustion", "filter", pool_at_mute_server, ZOO_HELD_OUT, 0},
	{0},
};
