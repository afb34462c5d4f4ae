/* What looks like the cases of odd.c, odd_more.c and odd_busy.c, and is well. */
#include "tests/zoo/parts_private.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DAY_S	    86400
#define HOUR_S	    3600
#define MS_IN_NS    1000000
#define BLOCK	    4096
#define MUCH	    (4 << 20)
#define MEMBERS_MAX 8

static int door, members;

/* ---- accept locks ---- */

/* Each has the mutex at another address. */
static void accepts_in_turn(long i)
{
	pthread_mutex_t *accepting = zoo_map_apart(i);

	zoo_ready();
	pthread_mutex_lock(accepting);
	accept4(door, NULL, NULL, SOCK_CLOEXEC);
}

static void accept_mutex_elsewhere(void)
{
	pthread_mutex_t *accepting = zoo_map_apart(0);
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(accepting, &attr));
	munmap(accepting, ZOO_MAP_SIZE);
	door = zoo_listen_unix("imap", 8);
	zoo_several(accepts_in_turn, zoo_vary(3, 6));
}

static int sem_set;

static void accepts_in_turn_of_set(long i)
{
	struct sembuf take = {.sem_op = -1, .sem_flg = SEM_UNDO};

	(void)i;
	zoo_ready();
	zoo_must(!semop(sem_set, &take, 1));
	accept4(door, NULL, NULL, SOCK_CLOEXEC);
}

static void accept_lock_of_set(void)
{
	struct sembuf give = {.sem_op = 1};

	sem_set = semget(IPC_PRIVATE, 1, 0600);
	zoo_must(sem_set >= 0 && !semop(sem_set, &give, 1));
	door = zoo_listen_unix("web", 8);
	zoo_several(accepts_in_turn_of_set, zoo_vary(3, 6));
}

static pthread_mutex_t inner = PTHREAD_MUTEX_INITIALIZER;

static void *takes_turns_inside(void *arg)
{
	zoo_ready();
	pthread_mutex_lock(&inner);
	accept4(door, NULL, NULL, SOCK_CLOEXEC);
	return arg;
}

static void daemon_inside(long i)
{
	(void)i;
	for (int t = 0; t < members; t++)
		zoo_thread_run(takes_turns_inside, NULL);
	zoo_idle();
}

static void daemon_in_namespace(void)
{
	members = zoo_vary(2, 5);
	zoo_stands(members);
	zoo_must(!unshare(CLONE_NEWPID) || !unshare(CLONE_NEWUSER | CLONE_NEWPID));
	door = zoo_listen_unix("lookup", 8);
	zoo_fork_run(daemon_inside, 0);
	zoo_wait_for_children();
}

/* ---- who waits for something to do ---- */

static int ring[MEMBERS_MAX][2];

/* Each hears its neighbours of both sides, and whoever comes. */
static void directs(long me)
{
	int left = ring[me][0], right = ring[(me + 1) % members][1];
	struct pollfd fds[3] = {{.fd = left, .events = POLLIN}, {.fd = right, .events = POLLIN},
		{.events = POLLIN}};
	char name[32];

	for (int i = 0; i < members; i++) {
		if (ring[i][0] != left)
			close(ring[i][0]);
		if (ring[i][1] != right)
			close(ring[i][1]);
	}
	snprintf(name, sizeof(name), "director-%ld", me);
	fds[2].fd = zoo_listen_unix(name, 8);
	zoo_ready();
	poll(fds, 3, -1);
}

static void idle_directors(void)
{
	members = zoo_vary(3, 6);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_pair(ring[i]);
	for (int i = 0; i < members; i++)
		zoo_fork_run(directs, i);
	for (int i = 0; i < members; i++) {
		close(ring[i][0]);
		close(ring[i][1]);
	}
	zoo_wait_for_children();
}

static void has_own_range(long i)
{
	int fd = zoo_open_file("slots"), client = zoo_quiet_peer();
	struct flock slot = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 10, .l_len = 10};

	zoo_must(!fcntl(fd, i % 2 ? F_SETLK : F_OFD_SETLK, &slot));
	zoo_ready();
	zoo_receive(client);
}

static void slots_of_sessions(void)
{
	zoo_several(has_own_range, zoo_vary(3, 6));
}

static void awaits_push(long fd)
{
	char c;

	zoo_must(recv((int)fd, &c, 1, 0) == 1);
	zoo_ready();
	zoo_receive((int)fd);
}

/* All that came was read; told of new bytes only, it waits for them, and the clients for news. */
static void pushes_to_idle_clients(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC), clients = zoo_vary(2, 6), pair[2];

	zoo_stands(1 + clients);
	door = zoo_listen_unix("imap", 8);
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, door, &event));
	for (int i = 0; i < clients; i++) {
		zoo_pair(pair);
		zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &event));
		zoo_fork_run(awaits_push, pair[1]);
		close(pair[1]);
		zoo_must(send(pair[0], "*", 1, 0) == 1);
	}
	while (epoll_wait(set, &event, 1, 0) > 0)
		;
	zoo_ready();
	epoll_wait(set, &event, 1, -1);
}

static void reads_terminal(int fd)
{
	zoo_ready();
	zoo_read(fd);
}

/* A console: whose keys it carries is away. */
static void console_of_nobody(void)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};

	zoo_stands(2);
	fds[0].fd = zoo_on_terminal(reads_terminal);
	fds[1].fd = zoo_listen_unix("console", 8);
	zoo_ready();
	poll(fds, 2, -1);
}

static void *rotates_at_midnight(void *arg)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DAY_S - until.tv_sec % DAY_S;
	zoo_ready();
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL))
		;
	return arg;
}

/* Told to reload by a signal, and looks by itself every hour. */
static void reloads_when_told(void)
{
	const struct timespec hour = {.tv_sec = HOUR_S};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	zoo_stands(2);
	zoo_thread_run(rotates_at_midnight, NULL);
	zoo_ready();
	sigtimedwait(&set, NULL, &hour);
}

static void awaits_files(long i)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	struct fanotify_event_metadata event;

	(void)i;
	close(zoo_open_file("message"));
	zoo_must(fd >= 0 &&
		 !fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, zoo_path("message")));
	zoo_ready();
	zoo_must(read(fd, &event, sizeof(event)) < 0);
}

static void scanner_without_work(void)
{
	zoo_stands(2);
	zoo_fork_run(awaits_files, 0);
	zoo_fork_run(zoo_idles, 0);
	zoo_wait_for_children();
}

static atomic_int *listener_number;

static void works_in_sandbox(long master)
{
	int fd = zoo_sandbox();

	atomic_store(listener_number, fd);
	zoo_await(&zoo_board->go, 1);
	close(fd);
	zoo_ready();
	zoo_receive((int)master);
}

/* The converter has nothing to convert, so that nobody is asked. */
static void sandbox_without_work(void)
{
	struct seccomp_notif request = {0};
	int pidfd, listener, work[2];

	zoo_stands(2);
	zoo_pair(work);
	listener_number = zoo_shared(sizeof(*listener_number));
	pidfd = (int)syscall(SYS_pidfd_open, zoo_fork_run(works_in_sandbox, work[1]), 0);
	close(work[1]);
	zoo_await(listener_number, 1);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, atomic_load(listener_number), 0);
	zoo_must(listener >= 0);
	close(pidfd);
	zoo_meet(1);
	zoo_ready();
	ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request);
}

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t not_empty;
	int jobs;
} * queue;

static void takes_jobs(long i)
{
	(void)i;
	zoo_ready();
	pthread_mutex_lock(&queue->mutex);
	while (!queue->jobs)
		pthread_cond_wait(&queue->not_empty, &queue->mutex);
}

static void shared_queue_empty(void)
{
	pthread_mutexattr_t mutex_attr;
	pthread_condattr_t attr;

	queue = zoo_shared(sizeof(*queue));
	pthread_mutexattr_init(&mutex_attr);
	pthread_mutexattr_setpshared(&mutex_attr, PTHREAD_PROCESS_SHARED);
	pthread_condattr_init(&attr);
	pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(&queue->mutex, &mutex_attr) &&
		 !pthread_cond_init(&queue->not_empty, &attr));
	zoo_several(takes_jobs, zoo_vary(2, 5));
}

static void answers_by_datagram(long i)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)i;
	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	zoo_ready();
	zoo_receive(fd);
}

static void datagram_services(void)
{
	zoo_several(answers_by_datagram, zoo_vary(1, 3));
}

/* ---- who is busy and gets on ---- */

static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;

static void *in_convoy(void *arg)
{
	const struct timespec work = {.tv_nsec = MS_IN_NS};

	zoo_ready();
	for (;;) {
		pthread_mutex_lock(&busy);
		nanosleep(&work, NULL);
		pthread_mutex_unlock(&busy);
	}
	return arg;
}

static void mutex_convoy(void)
{
	members = zoo_vary(3, 8);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(in_convoy, NULL);
	zoo_idle();
}

/* The old way to supervise: are they still there? */
static void looks_every_10_ms(void)
{
	const struct timespec rest = {.tv_nsec = 10 * MS_IN_NS};
	pid_t children[MEMBERS_MAX];

	members = zoo_vary(2, 5);
	zoo_stands(1 + members);
	for (int i = 0; i < members; i++)
		children[i] = zoo_fork_run(zoo_idles, i);
	zoo_ready();
	for (;;) {
		for (int i = 0; i < members; i++)
			zoo_must(!kill(children[i], 0));
		nanosleep(&rest, NULL);
	}
}

static int download[2];

static void downloads_slowly(long i)
{
	const struct timespec rest = {.tv_nsec = 2 * MS_IN_NS};
	char some[BLOCK];

	(void)i;
	close(download[0]);
	zoo_ready();
	while (recv(download[1], some, sizeof(some), 0) > 0)
		nanosleep(&rest, NULL);
}

static void sends_again_and_again(long i)
{
	int fd = zoo_open_file("mailbox");

	(void)i;
	close(download[1]);
	zoo_must(!ftruncate(fd, MUCH));
	zoo_ready();
	for (;;) {
		off_t from = 0;

		zoo_must(sendfile(download[0], fd, &from, MUCH) > 0);
	}
}

static void slow_client_drains(void)
{
	zoo_pair(download);
	zoo_stands(2);
	zoo_fork_run(sends_again_and_again, 0);
	zoo_fork_run(downloads_slowly, 0);
	close(download[0]);
	close(download[1]);
	zoo_idle();
}

const struct zoo_case zoo_odd_healthy[] = {
	{"accept-mutex-elsewhere", NULL, "session", accept_mutex_elsewhere, 0, 0},
	{"accept-lock-of-set", NULL, "web", accept_lock_of_set, 0, 0},
	{"daemon-in-namespace", NULL, "lookup", daemon_in_namespace, 0, 0},
	{"idle-directors", NULL, "proxy", idle_directors, 0, 0},
	{"slots-of-sessions", NULL, "pop", slots_of_sessions, 0, 0},
	{"pushes-to-idle-clients", NULL, "session", pushes_to_idle_clients, 0, 0},
	{"console-of-nobody", NULL, "agent", console_of_nobody, 0, 0},
	{"reloads-when-told", NULL, "master", reloads_when_told, 0, 0},
	{"scanner-without-work", NULL, "scan", scanner_without_work, 0, 0},
	{"sandbox-without-work", NULL, "filter", sandbox_without_work, 0, 0},
	{"shared-queue-empty", NULL, "queue", shared_queue_empty, 0, 0},
	{"datagram-services", NULL, "lookup", datagram_services, 0, 0},
	{"mutex-convoy", NULL, "store", mutex_convoy, ZOO_PROGRESSED, 0},
	{"looks-every-10-ms", NULL, "master", looks_every_10_ms, ZOO_SPINS, 0},
	{"slow-client-drains", NULL, "pop", slow_client_drains, ZOO_PROGRESSED, 0},
	{0},
};
