/* Well, in ways that the other healthy ones are not: waits that look like a fault's, and work that looks like none. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int members, door, ends[2];

static void many_threads(void *(*run)(void *), int count)
{
	members = count;
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(run, (void *)(long)i);
	zoo_idle();
}

/* A client that asked to hear of news within a minute, and its server, which has none yet. */
static void asks_for_news(long i)
{
	struct pollfd fd = {.events = POLLIN};

	close(ends[1 - i]);
	fd.fd = ends[i];
	zoo_ready();
	poll(&fd, 1, 60000);
}

static void long_poll(void)
{
	zoo_pair(ends);
	zoo_several(asks_for_news, 2);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void *waits_for_work(void *arg)
{
	pthread_mutex_lock(&lock);
	zoo_ready();
	pthread_cond_wait(&cond, &lock);
	return arg;
}

static void two_hundred_threads(void)
{
	many_threads(waits_for_work, 200);
}

/* Each reads two folders under locks that all may have, and waits for its client. */
static void reads_two(long i)
{
	(void)i;
	zoo_locked_file("tree", LOCK_SH);
	zoo_locked_file("branch", LOCK_SH);
	zoo_ready();
	zoo_idle();
}

static void shared_within_shared(void)
{
	zoo_several(reads_two, zoo_vary(2, 5));
}

/* Only one of them is woken when somebody comes. */
static void waits_exclusively(long i)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE};
	int set = epoll_create1(EPOLL_CLOEXEC);

	(void)i;
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, door, &event));
	zoo_ready();
	epoll_wait(set, &event, 1, -1);
}

static void woken_alone(void)
{
	door = zoo_listen_unix("door", 8);
	zoo_several(waits_exclusively, zoo_vary(3, 6));
}

/* An administrator has stopped a report for a while. */
static void stopped_a_while(long i)
{
	zoo_ready();
	if (i)
		zoo_idle();
	raise(SIGSTOP);
}

static void job_stopped(void)
{
	zoo_several(stopped_a_while, 2);
}

/* Asks a name server that does not answer, and will ask the next in five seconds. */
static void asks_name(long i)
{
	struct pollfd fd = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), .events = POLLIN};

	(void)i;
	zoo_ready();
	poll(&fd, 1, 5000);
	zoo_idle();
}

static void name_not_found(void)
{
	zoo_several(asks_name, zoo_vary(1, 4));
}

/* A queue served one after the other, slowly; it gets on. */
static void one_after_other(long i)
{
	const struct timespec moment = {.tv_nsec = 50000000};
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_ready();
	for (;;) {
		flock(fd, LOCK_EX);
		nanosleep(&moment, NULL);
		flock(fd, LOCK_UN);
	}
}

static void slow_queue(void)
{
	zoo_several(one_after_other, zoo_vary(2, 4));
}

/* One collects garbage, and all others stand until it is done. */
static void *stands_for_collector(void *arg)
{
	zoo_ready();
	if (!arg)
		for (;;)
			atomic_load(&zoo_board->go);
	pthread_mutex_lock(&lock);
	pthread_cond_wait(&cond, &lock);
	return arg;
}

static void collector(void)
{
	many_threads(stands_for_collector, zoo_vary(3, 8));
}

/* A download holds its mailbox; the client reads when it likes. */
static void downloads(long i)
{
	static char block[1 << 20];

	close(ends[1 - i]);
	if (i == 0)
		zoo_locked_file("maildrop", LOCK_EX);
	zoo_ready();
	if (i == 0)
		zoo_must(send(ends[0], block, sizeof(block), MSG_NOSIGNAL) > 0);
	else
		zoo_idle();
}

static void long_download(void)
{
	zoo_pair(ends);
	zoo_several(downloads, 2);
}

/* Its children have ended, and it will look after them when the next client has come. */
static void reaps_later(void)
{
	siginfo_t info;

	door = zoo_listen_unix("door", 8);
	members = zoo_vary(2, 6);
	zoo_stands(1);
	for (int i = 0; i < members; i++)
		if (!fork())
			_exit(0);
	for (int i = 0; i < members; i++)
		zoo_must(!waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
	zoo_ready();
	zoo_must(accept(door, NULL, NULL) < 0);
}

static void *looks_now_and_then(void *arg)
{
	struct itimerspec ten = {.it_value = {.tv_sec = 10}, .it_interval = {.tv_sec = 10}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t count;

	zoo_must(!timerfd_settime(fd, 0, &ten, NULL));
	zoo_ready();
	zoo_must(read(fd, &count, sizeof(count)) == sizeof(count));
	return arg;
}

static void by_timer(void)
{
	many_threads(looks_now_and_then, zoo_vary(1, 3));
}

/* One makes, one presses, one takes it away. */
static int pressed[2];

static void compresses(long i)
{
	static char block[4096];
	volatile unsigned int sum = 0;

	zoo_ready();
	for (;;) {
		if (i)
			zoo_must(read(i == 1 ? ends[0] : pressed[0], block, sizeof(block)) > 0);
		for (int k = 0; k < 100000; k++)
			sum = sum * 31 + (unsigned char)block[k % 4096];
		if (i < 2)
			zoo_must(write(i ? pressed[1] : ends[1], block, sizeof(block)) > 0);
	}
}

static void compressor(void)
{
	zoo_must(!pipe2(ends, O_CLOEXEC) && !pipe2(pressed, O_CLOEXEC));
	zoo_several(compresses, 3);
}

/* Its first thread has ended; those that serve have not. */
static void *serves(void *arg)
{
	zoo_ready();
	zoo_must(accept(door, NULL, NULL) < 0);
	return arg;
}

static void without_leader(void)
{
	door = zoo_listen_unix("door", 8);
	members = zoo_vary(2, 4);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(serves, NULL);
	syscall(SYS_exit, 0);
}

/* A supervisor polls the descriptors of its idle children. */
static void idle_child(long i)
{
	(void)i;
	zoo_ready();
	zoo_idle();
}

static void supervises_by_descriptor(void)
{
	struct pollfd fds[4];

	members = zoo_vary(2, 4);
	zoo_stands(members + 1);
	for (int i = 0; i < members; i++) {
		fds[i].events = POLLIN;
		fds[i].fd = (int)syscall(SYS_pidfd_open, zoo_fork_run(idle_child, i), 0);
		zoo_must(fds[i].fd >= 0);
	}
	zoo_ready();
	poll(fds, (nfds_t)members, -1);
}

/* What wakes it are signals, whose handler writes to the loop's own pipe. */
static void hears_itself(void)
{
	struct pollfd fd = {.events = POLLIN};

	zoo_must(!pipe2(ends, O_CLOEXEC));
	fd.fd = ends[0];
	zoo_stands(1);
	zoo_ready();
	poll(&fd, 1, -1);
}

/* Waits for whatever its ring brings: nothing was asked of it. */
static void ring_server(void)
{
	struct io_uring_params params;
	int fd;

	memset(&params, 0, sizeof(params));
	door = zoo_listen_unix("door", 8);
	fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	zoo_must(fd >= 0);
	zoo_stands(1);
	zoo_ready();
	syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

/* Follows a log that nobody writes. */
static void follows(long i)
{
	char event[512];
	int fd = inotify_init1(IN_CLOEXEC);

	(void)i;
	close(zoo_open_file("log"));
	zoo_must(inotify_add_watch(fd, zoo_path("log"), IN_MODIFY) >= 0);
	zoo_ready();
	zoo_must(read(fd, event, sizeof(event)) < 0);
}

static void log_followers(void)
{
	zoo_several(follows, zoo_vary(1, 3));
}

/* All but one are at the barrier; that one still works. */
static pthread_barrier_t barrier;

static void *in_step(void *arg)
{
	zoo_ready();
	while (!arg)
		atomic_load(&zoo_board->go);
	pthread_barrier_wait(&barrier);
	return arg;
}

static void in_steps(void)
{
	int count = zoo_vary(3, 6);

	pthread_barrier_init(&barrier, NULL, (unsigned int)count);
	many_threads(in_step, count);
}

/* The child begins its program in a while; its parent stands until then. */
static void vfork_for_a_while(void)
{
	const struct timespec while_ = {.tv_sec = 20};

	zoo_stands(2);
	zoo_ready();
	if (!vfork()) {
		zoo_ready();
		nanosleep(&while_, NULL);
		_exit(0);
	}
	zoo_idle();
}

const struct zoo_case zoo_unseen_healthy[] = {
	{"long-poll", NULL, "web", long_poll, ZOO_HELD_OUT, 0},
	{"two-hundred-threads", NULL, "store", two_hundred_threads, ZOO_HELD_OUT, 0},
	{"shared-within-shared", NULL, "session", shared_within_shared, ZOO_HELD_OUT, 0},
	{"woken-alone", NULL, "web", woken_alone, ZOO_HELD_OUT, 0},
	{"job-stopped", NULL, "report", job_stopped, ZOO_HELD_OUT, 0},
	{"name-not-found", NULL, "receive", name_not_found, ZOO_HELD_OUT, 0},
	{"slow-queue", NULL, "queue", slow_queue, ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"collector", NULL, "store", collector, ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"long-download", NULL, "pop", long_download, ZOO_HELD_OUT, 0},
	{"reaps-later", NULL, "master", reaps_later, ZOO_HELD_OUT, 0},
	{"by-timer", NULL, "timer", by_timer, ZOO_HELD_OUT, 0},
	{"compressor", NULL, "filter", compressor, ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"without-leader", NULL, "lookup", without_leader, ZOO_HELD_OUT, 0},
	{"supervises-by-descriptor", NULL, "master", supervises_by_descriptor, ZOO_HELD_OUT, 0},
	{"hears-itself", NULL, "master", hears_itself, ZOO_HELD_OUT, 0},
	{"ring-server", NULL, "store", ring_server, ZOO_HELD_OUT, 0},
	{"log-followers", NULL, "log", log_followers, ZOO_HELD_OUT, 0},
	{"in-steps", NULL, "index", in_steps, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"vfork-for-a-while", NULL, "master", vfork_for_a_while, ZOO_HELD_OUT, 0},
	{0},
};
