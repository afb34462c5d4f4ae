/* Troubles that were written after the diagnosis was finished. */
#include "tests/zoo/parts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int members, fds[6][2];

/* ---- cycles ---- */

/* Five daemons, each with an idle main thread and one that holds a lock and wants the next. */
static void *ring_worker(void *arg)
{
	long i = (long)arg;
	int mine = zoo_open_numbered("table", i);
	int next = zoo_open_numbered("table", (i + 1) % 5);

	zoo_must(!flock(mine, LOCK_EX));
	zoo_meet(5);
	zoo_stand();
	flock(next, LOCK_EX);
	return NULL;
}

static void ring_daemon(long i)
{
	zoo_thread_run(ring_worker, (void *)i);
	zoo_idle();
}

static void five_daemons(void)
{
	zoo_stands(5);
	for (long i = 0; i < 5; i++)
		zoo_fork_run(ring_daemon, i);
	zoo_wait_for_children();
}

/* Each waits for a word of the next; every end is in one process alone. */
static void listens_to_next(long i)
{
	for (int k = 0; k < 3; k++) {
		if (k != i)
			close(fds[k][0]);
		if ((k + 1) % 3 != i)
			close(fds[k][1]);
	}
	zoo_meet(3);
	zoo_stand();
	zoo_receive(fds[i][0]);
}

static void sockets_in_ring(void)
{
	zoo_stands(3);
	for (int i = 0; i < 3; i++)
		zoo_pair(fds[i]);
	for (long i = 0; i < 3; i++)
		zoo_fork_run(listens_to_next, i);
	for (int i = 0; i < 6; i++)
		close(fds[i / 2][i % 2]);
	zoo_wait_for_children();
}

/* Both write first, more than the socket takes. */
static void writes_first(long i)
{
	static char block[4 << 20];

	close(fds[0][1 - i]);
	zoo_meet(2);
	zoo_stand();
	zoo_must(send(fds[0][i], block, sizeof(block), MSG_NOSIGNAL) <= 0);
}

static void both_write(void)
{
	zoo_pair(fds[0]);
	zoo_stands(2);
	zoo_fork_run(writes_first, 0);
	zoo_fork_run(writes_first, 1);
	close(fds[0][0]);
	close(fds[0][1]);
	zoo_wait_for_children();
}

/* Two threads of the server have each other's mutex; its clients wait for answers. */
static pthread_mutex_t pair[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static void *serves(void *arg)
{
	long i = (long)arg;

	pthread_mutex_lock(&pair[i]);
	zoo_meet(2 + members);
	zoo_stand();
	pthread_mutex_lock(&pair[1 - i]);
	return NULL;
}

static void asks(long i)
{
	int fd = zoo_connect_unix("service");

	(void)i;
	zoo_meet(2 + members);
	zoo_ready();
	zoo_receive(fd);
}

static void clients_of_deadlock(void)
{
	int listener = zoo_listen_unix("service", 8);

	members = zoo_vary(1, 4);
	zoo_stands(2 + members);
	for (int i = 0; i < members; i++)
		zoo_fork_run(asks, i);
	for (int i = 0; i < members; i++)
		zoo_must(accept(listener, NULL, NULL) >= 0);
	zoo_thread_run(serves, (void *)0);
	zoo_thread_run(serves, (void *)1);
	zoo_idle();
}

/* ---- chains ---- */

static void stopped_helper(void)
{
	zoo_stand();
	raise(SIGSTOP);
	_exit(0);
}

static void holds_and_waits_for_helper(long count)
{
	pid_t helper;

	zoo_locked_file("held", LOCK_EX);
	zoo_meet((int)count);
	helper = fork();
	if (!helper)
		stopped_helper();
	waitpid(helper, NULL, 0);
}

static void lock_behind_helper(void)
{
	zoo_with_victims(holds_and_waits_for_helper, zoo_vary(2, 5));
}

/* Both read, both want to write: one is refused, keeps its own and waits for an event. */
static void upgrades(long i)
{
	int fd = zoo_open_file("shared");
	sem_t *never = zoo_never();

	(void)i;
	zoo_must(zoo_posix_lock(fd, F_RDLCK));
	zoo_meet(2);
	zoo_ready();
	if (zoo_posix_lock(fd, F_WRLCK) || errno != EDEADLK)
		return;
	zoo_blame();
	sem_wait(never);
}

static void refused_upgrade(void)
{
	zoo_stands(2);
	zoo_fork_run(upgrades, 0);
	zoo_fork_run(upgrades, 1);
	zoo_wait_for_children();
}

/* ---- events ---- */

static void semop_lost(void)
{
	struct sembuf down = {.sem_op = -1};
	int id = semget(IPC_PRIVATE, 1, 0600);

	zoo_must(id >= 0);
	zoo_stands(1);
	zoo_stand();
	semop(id, &down, 1);
}

static void message_lost(void)
{
	char message[64];
	int id = msgget(IPC_PRIVATE, 0600);

	zoo_must(id >= 0);
	zoo_stands(1);
	zoo_stand();
	zoo_must(msgrcv(id, message, 32, 0, 0) < 0);
}

static void *waits_epoll(void *arg)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC);

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
	zoo_stand();
	epoll_wait(set, &event, 1, -1);
	return arg;
}

static void epoll_lost(void)
{
	zoo_stands(1);
	zoo_thread_run(waits_epoll, NULL);
	zoo_idle();
}

/* ---- pools, the processor, deaths ---- */

static void opens_pipe(long i)
{
	(void)i;
	zoo_stand();
	zoo_must(open(zoo_path("to-filter"), O_WRONLY | O_CLOEXEC) < 0);
}

static void pool_on_fifo(void)
{
	int count = zoo_vary(3, 6);

	zoo_must(!mkfifo(zoo_path("to-filter"), 0600));
	zoo_several(opens_pipe, count);
}

/* It connects again and again to where nobody listens. */
static void connects_again(void)
{
	struct sockaddr_in nobody = {.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd;

	zoo_stands(1);
	zoo_stand();
	do {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		members = connect(fd, (struct sockaddr *)&nobody, sizeof(nobody));
		close(fd);
	} while (members);
}

static void reads_past_end(long i)
{
	int fd = zoo_open_file("empty");
	volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	(void)i;
	zoo_must(p != MAP_FAILED);
	zoo_stand();
	zoo_must(p[0]);
}

static void bus_error(void)
{
	zoo_stands(1);
	zoo_fork_run(reads_past_end, 0);
	zoo_idle();
}

const struct zoo_case zoo_held_out[] = {
	{"five-daemons", "deadlock", "deliver", five_daemons, ZOO_HELD_OUT, 0},
	{"sockets-in-ring", "deadlock", "lookup", sockets_in_ring, ZOO_HELD_OUT, 0},
	{"both-write", "deadlock", "proxy", both_write, ZOO_HELD_OUT, 0},
	{"clients-of-deadlock", "deadlock", "server", clients_of_deadlock, ZOO_HELD_OUT, 0},
	{"lock-behind-helper", "stopped", "cleanup", lock_behind_helper, ZOO_HELD_OUT, 0},
	{"refused-upgrade", "lost-wakeup", "expire", refused_upgrade, ZOO_HELD_OUT, 0},
	{"semop-lost", "lost-wakeup", "queue", semop_lost, ZOO_HELD_OUT, 0},
	{"message-lost", "lost-wakeup", "queue", message_lost, ZOO_HELD_OUT, 0},
	{"epoll-lost", "lost-wakeup", "web", epoll_lost, ZOO_HELD_OUT, 0},
	{"pool-on-fifo", "exhaustion", "filter", pool_on_fifo, ZOO_HELD_OUT, 0},
	{"connects-again", "livelock", "relay", connects_again, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"bus-error", "crash", "index", bus_error, ZOO_HELD_OUT | ZOO_DIES, 1},
	{0},
};
