/* More of the same: calls that wait in themselves, the processor burnt in other ways, datagrams, and pools of
 * processes behind something. */
#include "tests/zoo/parts_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int members, ends[2];

/* ---- calls that wait in themselves ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begins_again(void)
{
	pthread_once(&once, begins_again);
}

static void *begins(void *arg)
{
	zoo_stand();
	pthread_once(&once, begins_again);
	return arg;
}

static void once_in_once(void)
{
	zoo_stands(1);
	zoo_thread_run(begins, NULL);
	zoo_idle();
}

/* A handler that takes what the code below it has. */
static pthread_mutex_t stats = PTHREAD_MUTEX_INITIALIZER;

static void takes_stats(int signal)
{
	(void)signal;
	pthread_mutex_lock(&stats);
}

static void handler_takes_lock(void)
{
	zoo_stands(1);
	signal(SIGUSR1, takes_stats);
	pthread_mutex_lock(&stats);
	zoo_stand();
	raise(SIGUSR1);
}

/* exit() waits in a handler for a thread that waits for what exit()'s caller has. */
static pthread_t flusher;
static pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;

static void joins_flusher(void)
{
	zoo_stand();
	pthread_join(flusher, NULL);
}

static void *flushes(void *arg)
{
	zoo_stand();
	pthread_mutex_lock(&cache);
	return arg;
}

static void exit_joins(void)
{
	zoo_stands(2);
	pthread_mutex_lock(&cache);
	flusher = zoo_thread_run(flushes, NULL);
	atexit(joins_flusher);
	exit(0);
}

/* Whoever reads the table waits for an answer meanwhile; the lock counts its readers and names none. */
static pthread_rwlock_t table = PTHREAD_RWLOCK_INITIALIZER;

static void *reads_table(void *arg)
{
	pthread_rwlock_rdlock(&table);
	zoo_meet(1 + members);
	zoo_stand();
	zoo_receive((int)(long)arg);
	return NULL;
}

static void *changes_table(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	pthread_rwlock_wrlock(&table);
	return arg;
}

static void reader_waits_for_answer(void)
{
	int quiet = zoo_quiet_peer();

	members = zoo_vary(1, 3);
	zoo_stands(1 + members);
	zoo_thread_run(reads_table, (void *)(long)quiet);
	for (int i = 0; i < members; i++)
		zoo_thread_run(changes_table, NULL);
	zoo_idle();
}

/* ---- events that do not come ---- */

static void *reads_signals(void *arg)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	zoo_stand();
	zoo_must(read(fd, &info, sizeof(info)) < 0);
	return arg;
}

static void signalfd_lost(void)
{
	zoo_stands(1);
	zoo_thread_run(reads_signals, NULL);
	zoo_idle();
}

/* A token that one took and did not give back; who wants it next reads for ever with a record locked. */
static void takes_token(long i)
{
	int fd = zoo_open_file("mailbox");
	eventfd_t value;

	(void)i;
	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	zoo_meet(1 + members);
	zoo_stand();
	eventfd_read(ends[0], &value);
}

static void wants_mailbox(long i)
{
	int fd = zoo_open_file("mailbox");

	(void)i;
	zoo_meet(1 + members);
	zoo_ready();
	zoo_posix_lock(fd, F_RDLCK);
}

static void token_lost(void)
{
	ends[0] = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	members = zoo_vary(2, 4);
	zoo_stands(1 + members);
	zoo_fork_run(takes_token, 0);
	for (int i = 0; i < members; i++)
		zoo_fork_run(wants_mailbox, i);
	zoo_wait_for_children();
}

/* ---- the processor ---- */

/* A child that ends at once is begun again, and again. */
static void spawn_storm(void)
{
	zoo_stands(1);
	zoo_stand();
	for (;;) {
		pid_t child = fork();

		if (!child)
			_exit(1);
		waitpid(child, NULL, 0);
	}
}

/* No descriptor is left: whoever came stands at the door, and the door is always ready. */
static void no_descriptor_left(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	int listener = zoo_listen_unix("door", 8), set = epoll_create1(EPOLL_CLOEXEC);
	struct rlimit limit = {0};

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, listener, &event));
	zoo_stands(1);
	zoo_connect_unix("door");
	setrlimit(RLIMIT_NOFILE, &limit);
	zoo_stand();
	while (epoll_wait(set, &event, 1, -1) == 1)
		zoo_must(accept(listener, NULL, NULL) < 0);
}

/* Two give a job to each other that neither will do. */
static void hands_on(long i)
{
	char job;

	close(ends[1 - i]);
	zoo_stand();
	while (read(ends[i], &job, 1) == 1 && write(ends[i], &job, 1) == 1)
		;
}

static void handed_to_and_fro(void)
{
	zoo_pair(ends);
	zoo_must(write(ends[0], "j", 1) == 1);
	zoo_stands(2);
	for (long i = 0; i < 2; i++)
		zoo_fork_run(hands_on, i);
	close(ends[0]);
	close(ends[1]);
	zoo_wait_for_children();
}

/* ---- datagrams ---- */

static void stopped_resolver(long fd)
{
	zoo_must(fd >= 0);
	zoo_stand();
	raise(SIGSTOP);
}

static void asks_resolver(long port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	zoo_must(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	zoo_must(send(fd, "name", 4, 0) == 4);
	zoo_ready();
	zoo_receive(fd);
}

static void resolver_stopped(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);

	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len) &&
		 !getsockname(fd, (struct sockaddr *)&addr, &len));
	members = zoo_vary(2, 4);
	zoo_stands(1 + members);
	zoo_fork_run(stopped_resolver, fd);
	close(fd);
	for (int i = 0; i < members; i++)
		zoo_fork_run(asks_resolver, ntohs(addr.sin_port));
	zoo_wait_for_children();
}

/* ---- TCP both ways ---- */

static void writes_tcp(long fd)
{
	static char block[8 << 20];
	int other = fd == ends[0] ? ends[1] : ends[0];

	close(other);
	zoo_meet(2);
	zoo_stand();
	zoo_must(send((int)fd, block, sizeof(block), MSG_NOSIGNAL) <= 0);
}

static void tcp_both_write(void)
{
	int port, listener = zoo_listen_tcp(1, &port);

	ends[0] = zoo_connect_tcp(port);
	ends[1] = accept(listener, NULL, NULL);
	zoo_must(ends[1] >= 0);
	close(listener);
	zoo_stands(2);
	zoo_fork_run(writes_tcp, ends[0]);
	zoo_fork_run(writes_tcp, ends[1]);
	close(ends[0]);
	close(ends[1]);
	zoo_wait_for_children();
}

/* ---- pools ---- */

/* Every child of a prefork server wants the index, which one of another kind has, that reads from a scanner that
 * was stopped. */
static void stopped_scanner(long i)
{
	zoo_must(!i);
	close(ends[0]);
	zoo_stand();
	raise(SIGSTOP);
}

static void holds_index(long i)
{
	zoo_must(!i && zoo_posix_lock(zoo_open_file("index"), F_WRLCK));
	close(ends[1]);
	zoo_meet(1 + members);
	zoo_ready();
	zoo_read(ends[0]);
}

static void wants_index(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	close(ends[0]);
	close(ends[1]);
	zoo_meet(1 + members);
	zoo_ready();
	zoo_posix_lock(fd, F_WRLCK);
}

static void prefork_behind_scanner(void)
{
	zoo_must(!pipe2(ends, O_CLOEXEC));
	members = zoo_vary(3, 5);
	zoo_stands(2 + members);
	zoo_fork_run(stopped_scanner, 0);
	zoo_fork_run(holds_index, 0);
	for (int i = 0; i < members; i++)
		zoo_fork_run(wants_index, i);
	close(ends[0]);
	close(ends[1]);
	zoo_wait_for_children();
}

/* Slots of a connection pool that are all lent and never given back; each worker waits for one. */
static pthread_mutex_t pool = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t slot = PTHREAD_COND_INITIALIZER;

static void *wants_slot(void *arg)
{
	pthread_mutex_lock(&pool);
	zoo_stand();
	pthread_cond_wait(&slot, &pool);
	return arg;
}

static void no_slot_left(void)
{
	members = zoo_vary(3, 6);
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_thread_run(wants_slot, NULL);
	zoo_idle();
}

const struct zoo_case zoo_strangers_more[] = {
	{"once-in-once", "lost-wakeup", "lookup", once_in_once, ZOO_HELD_OUT, 0},
	{"handler-takes-lock", "deadlock", "agent", handler_takes_lock, ZOO_HELD_OUT, 0},
	{"exit-joins", "deadlock", "cleanup", exit_joins, ZOO_HELD_OUT | ZOO_STOPPING, 0},
	{"reader-waits-for-answer", "lost-wakeup", "directory", reader_waits_for_answer,
		ZOO_HELD_OUT, 0},
	{"signalfd-lost", "lost-wakeup", "master", signalfd_lost, ZOO_HELD_OUT, 0},
	{"token-lost", "lost-wakeup", "deliver", token_lost, ZOO_HELD_OUT, 0},
	{"spawn-storm", "livelock", "master", spawn_storm, ZOO_HELD_OUT | ZOO_SPINS | ZOO_ALONE, 0},
	{"no-descriptor-left", "livelock", "web", no_descriptor_left, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"handed-to-and-fro", "livelock", "handover", handed_to_and_fro, ZOO_HELD_OUT | ZOO_SPINS,
		0},
	{"resolver-stopped", "stopped", "receive", resolver_stopped, ZOO_HELD_OUT, 0},
	{"tcp-both-write", "deadlock", "proxy", tcp_both_write, ZOO_HELD_OUT, 0},
	{"prefork-behind-scanner", "stopped", "session", prefork_behind_scanner, ZOO_HELD_OUT, 0},
	{"no-slot-left", "exhaustion", "web", no_slot_left, ZOO_HELD_OUT, 0},
	{0},
};
