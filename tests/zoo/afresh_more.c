/* More of those of afresh.c: pools, and those who take their time or spin. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LONG_S 60

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ends_of_pipe[2];

/* ---- pools ---- */

static void asks_own_kind(long i)
{
	int fd = zoo_connect_unix("pool");

	(void)i;
	zoo_stand();
	zoo_receive(fd);
}

static void asks_own_pool(void)
{
	int workers = zoo_vary(3, 6);

	zoo_listen_unix("pool", 8);
	zoo_several(asks_own_kind, workers);
}

static void *waits_for_its_subtask(void *arg)
{
	sem_t done;

	sem_init(&done, 0, 0);
	zoo_stand();
	sem_wait(&done);
	return arg;
}

static void tasks_behind_themselves(void)
{
	int workers = zoo_vary(3, 6);

	zoo_stands(workers);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_its_subtask, NULL);
	zoo_idle();
}

static sem_t free_connections;

static void *waits_for_connection(void *arg)
{
	zoo_ready();
	sem_wait(&free_connections);
	return arg;
}

static void *has_all_connections(void *arg)
{
	int fd = zoo_quiet_peer();

	zoo_stand();
	zoo_receive(fd);
	return arg;
}

static void connections_lent(void)
{
	int workers = zoo_vary(3, 6);

	sem_init(&free_connections, 0, 0);
	zoo_stands(workers + 1);
	zoo_thread_run(has_all_connections, NULL);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_connection, NULL);
	zoo_idle();
}

static pthread_barrier_t barrier;

static void *meets_others(void *arg)
{
	zoo_stand();
	pthread_barrier_wait(&barrier);
	return arg;
}

static void barrier_one_missing(void)
{
	pthread_barrier_init(&barrier, NULL, 4);
	zoo_stands(4);
	zoo_thread_run(has_all_connections, NULL);
	for (int i = 0; i < 3; i++)
		zoo_thread_run(meets_others, NULL);
	zoo_idle();
}

static int service;

static void is_stopped(long i)
{
	(void)i;
	zoo_stand();
	raise(SIGSTOP);
}

static void asks_stopped(long i)
{
	int fd;

	(void)i;
	close(service);
	fd = zoo_connect_unix("backend");
	zoo_ready();
	zoo_receive(fd);
}

static void prefork_behind_stopped(void)
{
	int workers = zoo_vary(3, 6);

	service = zoo_listen_unix("backend", 8);
	zoo_stands(workers + 1);
	zoo_fork_run(is_stopped, 0);
	for (int i = 0; i < workers; i++)
		zoo_fork_run(asks_stopped, i);
	close(service);
	zoo_wait_for_children();
}

static struct sockaddr_un log_address;

static void logs(long i)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)i;
	close(service);
	zoo_must(!connect(fd, (struct sockaddr *)&log_address, sizeof(log_address)));
	while (send(fd, "line", 4, MSG_DONTWAIT) > 0)
		;
	zoo_ready();
	send(fd, "line", 4, 0);
}

static void log_daemon_stopped(void)
{
	int clients = zoo_vary(1, 4);

	log_address = (struct sockaddr_un){.sun_family = AF_UNIX};
	zoo_must((size_t)snprintf(log_address.sun_path, sizeof(log_address.sun_path), "%s",
			 zoo_path("log")) < sizeof(log_address.sun_path));
	service = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	zoo_must(!bind(service, (struct sockaddr *)&log_address, sizeof(log_address)));
	zoo_stands(clients + 1);
	zoo_fork_run(is_stopped, 0);
	for (int i = 0; i < clients; i++)
		zoo_fork_run(logs, i);
	close(service);
	zoo_idle();
}

/* ---- a chain of five ---- */

static void holds_and_reads(long i)
{
	int fd = zoo_quiet_peer();

	(void)i;
	zoo_locked_file("spool", LOCK_EX);
	zoo_meet(1);
	zoo_stand();
	zoo_receive(fd);
}

static void wants_spool(long i)
{
	int fd = zoo_open_file("spool");

	(void)i;
	close(service);
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void waits_for_its_child(long i)
{
	pid_t pid = zoo_fork_run(wants_spool, i);

	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void connects(long i)
{
	(void)i;
	close(service);
	zoo_ready();
	zoo_connect_unix("submit");
}

static void chain_of_five(void)
{
	zoo_stands(4);
	zoo_fork_run(holds_and_reads, 0);
	service = zoo_listen_unix("submit", 0);
	zoo_connect_unix("submit");
	zoo_fork_run(waits_for_its_child, 0);
	zoo_fork_run(connects, 0);
	close(service);
	zoo_idle();
}

static void io_never_asked_for(void)
{
	aio_context_t context = 0;
	struct io_event event;

	zoo_stands(1);
	zoo_must(!syscall(SYS_io_setup, 1, &context));
	zoo_stand();
	syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
}

/* ---- those who take their time ---- */

static void reads_for_long(long i)
{
	const struct timespec rest = {.tv_sec = LONG_S};

	(void)i;
	zoo_locked_file("index", LOCK_SH);
	zoo_meet(3);
	zoo_stand();
	nanosleep(&rest, NULL);
}

static void writes_next(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	zoo_meet(3);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void writer_behind_readers(void)
{
	zoo_stands(3);
	zoo_fork_run(reads_for_long, 0);
	zoo_fork_run(reads_for_long, 1);
	zoo_fork_run(writes_next, 0);
	zoo_idle();
}

static void filters(long i)
{
	const struct timespec rest = {.tv_sec = LONG_S};

	(void)i;
	close(ends_of_pipe[0]);
	zoo_stand();
	nanosleep(&rest, NULL);
}

static void reads_filter(void)
{
	zoo_stands(2);
	zoo_must(!pipe2(ends_of_pipe, O_CLOEXEC));
	zoo_fork_run(filters, 0);
	close(ends_of_pipe[1]);
	zoo_ready();
	zoo_read(ends_of_pipe[0]);
}

/* ---- those who spin ---- */

static void creates_again(void)
{
	close(zoo_open_file("seq"));
	zoo_stands(1);
	zoo_stand();
	while (open(zoo_path("seq"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		;
}

static void hangup_ignored(void)
{
	struct pollfd pfd = {.events = POLLIN};

	zoo_stands(1);
	zoo_must(!pipe2(ends_of_pipe, O_CLOEXEC));
	close(ends_of_pipe[1]);
	pfd.fd = ends_of_pipe[0];
	zoo_stand();
	while (poll(&pfd, 1, -1) >= 0)
		;
}

static void is_never_accepted(long i)
{
	int fd = zoo_connect_unix("imap");

	(void)i;
	close(service);
	zoo_ready();
	zoo_receive(fd);
}

static void accept_without_descriptors(void)
{
	struct pollfd pfd = {.events = POLLIN};
	struct rlimit limit;
	int next;

	service = zoo_listen_unix("imap", 8);
	zoo_stands(2);
	zoo_fork_run(is_never_accepted, 0);
	pfd.fd = service;
	next = fcntl(service, F_DUPFD_CLOEXEC, 0);
	zoo_must(next >= 0 && !getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)next + 1;
	zoo_must(!setrlimit(RLIMIT_NOFILE, &limit));
	zoo_stand();
	while (poll(&pfd, 1, -1) >= 0)
		zoo_must(accept4(service, NULL, NULL, SOCK_CLOEXEC) < 0);
}

static atomic_int done;

static void *spins_under_mutex(void *arg)
{
	zoo_blame();
	pthread_mutex_lock(&lock);
	zoo_meet(1);
	zoo_ready();
	while (!atomic_load(&done))
		;
	return arg;
}

static void *would_end_it(void *arg)
{
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	pthread_mutex_lock(&lock);
	atomic_store(&done, 1);
	return arg;
}

static void spins_holding_mutex(void)
{
	zoo_stands(2);
	zoo_thread_run(spins_under_mutex, NULL);
	zoo_thread_run(would_end_it, NULL);
	zoo_idle();
}

const struct zoo_case zoo_afresh_more[] = {
	{"asks-own-pool", "exhaustion", "lookup", asks_own_pool, 0, 0},
	{"tasks-behind-themselves", "lost-wakeup", "store", tasks_behind_themselves, 0, 0},
	{"connections-lent", "lost-wakeup", "lookup", connections_lent, 0, 0},
	{"barrier-one-missing", "lost-wakeup", "store", barrier_one_missing, 0, 0},
	{"prefork-behind-stopped", "stopped", "session", prefork_behind_stopped, 0, 0},
	{"log-daemon-stopped", "stopped", "deliver", log_daemon_stopped, 0, 0},
	{"chain-of-five", "lost-wakeup", "queue", chain_of_five, 0, 0},
	{"io-never-asked-for", "lost-wakeup", "store", io_never_asked_for, 0, 0},
	{"writer-behind-readers", "slow", "index", writer_behind_readers, 0, 0},
	{"reads-filter", "slow", "deliver", reads_filter, 0, 0},
	{"creates-again", "livelock", "deliver", creates_again, ZOO_SPINS, 0},
	{"hangup-ignored", "livelock", "session", hangup_ignored, ZOO_SPINS, 0},
	{"accept-without-descriptors", "livelock", "session", accept_without_descriptors, ZOO_SPINS,
		0},
	{"spins-holding-mutex", "livelock", "store", spins_holding_mutex, ZOO_SPINS, 0},
	{0},
};
