/* The daemons of daemons.c when nothing ails them: at rest, in turn, or at work. */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TURN_S	 2
#define HOUR_S	 3600
#define STAGES	 4
#define GREETING 8

static int count;

static struct timespec in_an_hour(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	at.tv_sec += HOUR_S;
	return at;
}

/* ---- clients in IDLE: each was answered, and neither side has anything to say ---- */

static void greets(int fd)
{
	zoo_must(send(fd, "+ idling", GREETING, MSG_NOSIGNAL) == GREETING);
}

static void serves_idle(long listener)
{
	int fd = store_take((int)listener);

	greets(fd);
	store_loop(&fd, 1);
}

static void serves_idle_in_read(long listener)
{
	int fd = store_take((int)listener);

	greets(fd);
	zoo_ready();
	zoo_receive(fd);
}

static void idles(long i)
{
	char greeting[GREETING];
	int fd = store_ask("imap");

	(void)i;
	zoo_must(recv(fd, greeting, GREETING, MSG_WAITALL) == GREETING);
	zoo_ready();
	zoo_receive(fd);
}

static void clients_in_idle(void)
{
	int listener;

	count = zoo_vary(1, 5);
	daemons_open();
	listener = zoo_listen_unix("imap", 8);
	for (int i = 0; i < count; i++)
		crew_add("imap", zoo_vary(0, 1) ? serves_idle : serves_idle_in_read, listener);
	crew_either("imap");
	close(listener);
	for (int i = 0; i < count; i++)
		store_process("client", idles, i, 1);
	store_runs();
}

/* ---- deliveries that take the lock of the spool in turn ---- */

static void delivers_in_turn(long i)
{
	const struct timespec turn = {.tv_sec = TURN_S, .tv_nsec = i};
	int fd = zoo_open_file("held");

	for (zoo_ready();;) {
		zoo_must(!flock(fd, LOCK_EX));
		nanosleep(&turn, NULL);
		zoo_must(!flock(fd, LOCK_UN));
		nanosleep(&turn, NULL);
	}
}

static void delivers_by_mutex(long i)
{
	const struct timespec turn = {.tv_sec = TURN_S, .tv_nsec = i};

	for (zoo_ready();;) {
		pthread_mutex_lock(&daemon_shared->mutex[0]);
		nanosleep(&turn, NULL);
		pthread_mutex_unlock(&daemon_shared->mutex[0]);
		nanosleep(&turn, NULL);
	}
}

static void lock_of_spool_in_turn(void)
{
	int deliveries = zoo_vary(2, 5), by_mutex = zoo_vary(0, 1);

	daemons_open();
	for (int i = 0; i < deliveries; i++)
		crew_add("lmtp", by_mutex ? delivers_by_mutex : delivers_in_turn, i);
	crew_either("lmtp");
	store_runs();
}

/* ---- a pipeline without input ---- */

static int stages[STAGES + 1][2];

static void keeps_of_stage(long i)
{
	for (int n = 0; n <= count; n++) {
		if (n != i)
			close(stages[n][0]);
		if (n != i + 1)
			close(stages[n][1]);
	}
}

static void filters(long i)
{
	keeps_of_stage(i);
	zoo_ready();
	zoo_read(stages[i][0]);
}

static void feeds(long i)
{
	int fd;

	keeps_of_stage(i);
	fd = zoo_quiet_peer();
	store_loop(&fd, 1);
}

static void pipeline_at_rest(void)
{
	count = zoo_vary(1, STAGES);
	daemons_open();
	for (int i = 0; i <= count; i++)
		zoo_must(!pipe2(stages[i], O_CLOEXEC));
	crew_add("fetch", feeds, -1);
	for (int i = 0; i < count; i++)
		crew_add("filter", filters, i);
	crew_add("archive", filters, count);
	crew_forks();
	keeps_of_stage(STAGES + 1);
	store_runs();
}

/* ---- a proxy between clients and a server, all of them quiet ---- */

static void proxy_session(long listener)
{
	int fds[2] = {store_take((int)listener)};
	char reply[GREETING];

	fds[1] = store_ask("backend");
	zoo_must(recv(fds[1], reply, GREETING, MSG_WAITALL) == GREETING);
	greets(fds[0]);
	store_loop(fds, 2);
}

static void proxy_client(long i)
{
	char reply[GREETING];
	int fd = store_ask("proxy");

	(void)i;
	zoo_must(recv(fd, reply, GREETING, MSG_WAITALL) == GREETING);
	zoo_ready();
	zoo_receive(fd);
}

static void proxy_without_traffic(void)
{
	int proxy, backend;

	count = zoo_vary(1, 4);
	daemons_open();
	proxy = zoo_listen_unix("proxy", 8);
	backend = zoo_listen_unix("backend", 8);
	for (int i = 0; i < count; i++) {
		crew_add("backend", serves_idle_in_read, backend);
		store_process("proxy", proxy_session, proxy, 1);
		store_process("client", proxy_client, i, 1);
	}
	crew_either("backend");
	close(proxy);
	close(backend);
	store_runs();
}

/* ---- a master that waits for any of its children, which wait for clients ---- */

static void accepts(long listener)
{
	zoo_ready();
	accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);
}

static void waits_for_any(long i)
{
	int listener = zoo_listen_unix("smtpd", 8), status;

	(void)i;
	for (int n = 0; n < count; n++)
		zoo_fork_run(accepts, listener);
	zoo_ready();
	while (wait(&status) > 0)
		;
}

static void master_of_acceptors(void)
{
	count = zoo_vary(2, 6);
	daemons_open();
	store_process("master", waits_for_any, 0, count + 1);
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

/* ---- consumers around a queue that is empty, in shared memory ---- */

static void consumes(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&daemon_shared->cond, &daemon_shared->mutex[0]);
}

static void produces(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

static void consumers_without_work(void)
{
	int consumers = zoo_vary(2, 5);

	daemons_open();
	daemon_service("accept", produces, 1);
	for (int i = 0; i < consumers; i++)
		crew_add("task", consumes, i);
	crew_either("task");
	store_runs();
}

/* ---- sessions that share what none of them changes ---- */

static void shares(long i)
{
	int client = zoo_quiet_peer();

	zoo_locked_file("config", LOCK_SH);
	pthread_rwlock_rdlock(&daemon_shared->rwlock);
	zoo_locked_file(i % 2 ? "drop-1" : "drop-0", LOCK_SH);
	store_loop(&client, 1);
}

static void sessions_share_config(void)
{
	int sessions = zoo_vary(2, 5);

	daemons_open();
	for (int i = 0; i < sessions; i++)
		crew_add("pop3d", shares, i);
	crew_forks();
	store_anvil();
	store_runs();
}

/* ---- all wait with a time limit of an hour ---- */

static void waits_by_semaphore(long i)
{
	const struct timespec at = in_an_hour(CLOCK_REALTIME);

	(void)i;
	zoo_ready();
	sem_timedwait(&daemon_shared->slots, &at);
}

static void waits_by_condition(long i)
{
	const struct timespec at = in_an_hour(CLOCK_REALTIME);

	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	zoo_ready();
	pthread_cond_timedwait(&daemon_shared->cond, &daemon_shared->mutex[0], &at);
}

static void waits_by_signal(long i)
{
	const struct timespec hour = {.tv_sec = HOUR_S + i};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	zoo_ready();
	sigtimedwait(&set, NULL, &hour);
}

static void housekeepers_with_limits(void)
{
	int each = zoo_vary(2, 4);

	daemons_open();
	for (int i = 0; i < each; i++) {
		crew_add("expire", waits_by_semaphore, i);
		crew_add("purge", waits_by_condition, i);
		crew_add("rotate", waits_by_signal, i);
	}
	crew_either("housekeep");
	store_cleaner();
	store_runs();
}

/* ---- a scanner computes, and those who asked it wait ---- */

static void scans(long listener)
{
	volatile unsigned int sum = 0;

	for (int i = 0; i < count; i++)
		store_take((int)listener);
	zoo_ready();
	for (;;)
		sum = sum * 31 + 7;
}

static void scanner_at_work(void)
{
	count = zoo_vary(1, 3);
	daemons_open();
	daemon_service("scanner", scans, 1);
	daemon_askers("lmtp", "scanner", count);
	store_prefork(zoo_vary(2, 4));
	store_runs();
}

/* ---- a log daemon at rest, by FIFO and by datagram ---- */

static void log_daemon(long i)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[2] = {open(zoo_path("log-fifo"), O_RDWR | O_CLOEXEC),
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};

	(void)i;
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", zoo_path("log"));
	zoo_must(fds[0] >= 0 && !bind(fds[1], (struct sockaddr *)&address, sizeof(address)));
	store_loop(fds, 2);
}

static void logs_seldom(long i)
{
	int client = zoo_quiet_peer();

	zoo_must(open(zoo_path("log-fifo"), (i % 2 ? O_RDWR : O_WRONLY) | O_CLOEXEC) >= 0);
	store_loop(&client, 1);
}

static void log_daemon_at_rest(void)
{
	int loggers = zoo_vary(1, 4);

	daemons_open();
	zoo_must(!mkfifo(zoo_path("log-fifo"), 0600));
	crew_add("syslogd", log_daemon, 0);
	for (int i = 0; i < loggers; i++)
		crew_add("smtpd", logs_seldom, i);
	crew_forks();
	store_runs();
}

const struct zoo_case zoo_daemons_healthy[] = {
	{"clients-in-idle", NULL, "session", clients_in_idle, ZOO_HELD_OUT, 0},
	{"lock-of-spool-in-turn", NULL, "deliver", lock_of_spool_in_turn,
		ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"pipeline-at-rest", NULL, "agent", pipeline_at_rest, ZOO_HELD_OUT, 0},
	{"proxy-without-traffic", NULL, "session", proxy_without_traffic, ZOO_HELD_OUT, 0},
	{"master-of-acceptors", NULL, "store", master_of_acceptors, ZOO_HELD_OUT, 0},
	{"consumers-without-work", NULL, "queue", consumers_without_work, ZOO_HELD_OUT, 0},
	{"sessions-share-config", NULL, "session", sessions_share_config, ZOO_HELD_OUT, 0},
	{"housekeepers-with-limits", NULL, "store", housekeepers_with_limits, ZOO_HELD_OUT, 0},
	{"scanner-at-work", NULL, "agent", scanner_at_work,
		ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"log-daemon-at-rest", NULL, "agent", log_daemon_at_rest, ZOO_HELD_OUT, 0},
	{0},
};
