/* More of daemons.c: pipes and children, limits, rings through three daemons, and those who burn the processor. */
#include "tests/zoo/daemons_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BATCH_SIZE (16 << 20) /* more than both buffers of a connection */
#define LINE	   "<22>lmtp: saved\n"
#define RING_MAX   4

static int clients, count;

static void wants_held(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_file("held", LOCK_EX);
}

static void wants_mutex(long i)
{
	(void)i;
	store_after(1, 1);
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
}

/* ---- a helper reads to the end of its input, which its parent keeps open ---- */

static int input[2];

static void helper(long i)
{
	char request[8];

	(void)i;
	close(input[1]);
	zoo_must(read(input[0], request, sizeof(request)) == sizeof(request));
	zoo_stand();
	zoo_read(input[0]);
}

static void asks_helper(long listener)
{
	int status;
	pid_t pid;

	store_take((int)listener);
	zoo_must(!pipe2(input, O_CLOEXEC));
	pid = zoo_fork_run(helper, 0);
	close(input[0]);
	zoo_must(write(input[1], "request\n", 8) == 8);
	zoo_stand();
	waitpid(pid, &status, 0);
}

static void helper_input_left_open(void)
{
	daemons_open();
	daemon_service("policy", asks_helper, 2);
	daemon_askers("smtpd", "policy", zoo_vary(1, 4));
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

/* ---- replicas that each send to the next, and none of them reads ---- */

static atomic_int *ports;
static bool by_tcp;

static int replica_door(long i)
{
	char name[32];
	int port = 0, fd;

	snprintf(name, sizeof(name), "replica-%ld", i);
	fd = by_tcp ? zoo_listen_tcp(4, &port) : zoo_listen_unix(name, 4);
	atomic_store(&ports[i], port);
	return fd;
}

static int to_replica(int i)
{
	char name[32];

	snprintf(name, sizeof(name), "replica-%d", i);
	return by_tcp ? zoo_connect_tcp(atomic_load(&ports[i])) : zoo_connect_unix(name);
}

static void sends_on(long i)
{
	void *batch = calloc(1, BATCH_SIZE);
	int door = replica_door(i), fd;

	zoo_must(batch);
	zoo_locked_file(i ? "other" : "held", LOCK_SH);
	store_step(0);
	store_after(0, count);
	fd = to_replica(((int)i + 1) % count);
	store_step(2);
	store_after(2, count);
	zoo_must(accept4(door, NULL, NULL, SOCK_CLOEXEC) >= 0);
	store_step(1);
	zoo_stand();
	zoo_must(send(fd, batch, BATCH_SIZE, MSG_NOSIGNAL) >= 0);
}

static void replicas_send_in_ring(void)
{
	int more = zoo_vary(0, 3);

	count = zoo_vary(2, RING_MAX);
	by_tcp = zoo_vary(0, 1);
	daemons_open();
	ports = zoo_shared(RING_MAX * sizeof(*ports));
	for (int i = 0; i < count; i++)
		crew_add("replica", sends_on, i);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_held, i);
	crew_forks();
	store_runs();
}

/* ---- clients that say nothing have all the slots ---- */

static void hears_client(long listener)
{
	int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);

	zoo_must(fd >= 0);
	store_step(0);
	zoo_stand();
	zoo_receive(fd);
}

static void says_nothing(long i)
{
	int fd = zoo_connect_unix("pop3");

	(void)i;
	zoo_blame();
	store_loop(&fd, 1);
}

static void wants_greeting(long i)
{
	(void)i;
	store_after(0, count);
	store_await(store_ask("pop3"));
}

static void slots_of_silent_clients(void)
{
	int listener, more = zoo_vary(1, 4);

	count = zoo_vary(2, 5);
	daemons_open();
	listener = zoo_listen_unix("pop3", 16);
	for (int i = 0; i < count; i++) {
		crew_add("pop3d", hears_client, listener);
		store_process("probe", says_nothing, i, 1);
	}
	crew_forks();
	close(listener);
	for (int i = 0; i < more; i++)
		store_process("client", wants_greeting, i, 1);
	store_runs();
}

/* ---- the byte that should wake a session was read by its sibling ---- */

static int bell[2];

static void sleeps_with_lock(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	store_after(0, 1);
	store_step(1);
	zoo_stand();
	zoo_read(bell[0]);
}

static void hears_bell(long i)
{
	char byte;

	(void)i;
	zoo_must(read(bell[0], &byte, 1) == 1);
	store_step(0);
	zoo_blame();
	store_loop(NULL, 0);
}

static void bell_heard_by_sibling(void)
{
	int more = zoo_vary(1, 4);

	daemons_open();
	for (int i = 0; i < more; i++)
		store_process("imap", wants_held, i, 1);
	zoo_must(!pipe2(bell, O_CLOEXEC));
	zoo_must(write(bell[1], "!", 1) == 1);
	crew_add("imap", sleeps_with_lock, 0);
	crew_add("imap", hears_bell, 0);
	crew_forks();
	close(bell[0]);
	close(bell[1]);
	store_runs();
}

/* ---- a parser turns at a literal with the mailbox locked ---- */

static bool locks_file;

static void parser_turns(long i)
{
	volatile const char *at = "{0+}";

	(void)i;
	if (locks_file)
		zoo_locked_file("held", LOCK_EX);
	else
		pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(1);
	zoo_stand();
	while (*at == '{') /* a literal of no bytes takes it no further */
		at += at[1] - '0';
}

static void wants_mailbox(long i)
{
	if (locks_file)
		wants_held(i);
	else
		wants_mutex(i);
}

static void parser_at_empty_literal(void)
{
	int more = zoo_vary(1, 4);

	locks_file = zoo_vary(0, 1);
	daemons_open();
	crew_add("parse", parser_turns, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_mailbox, i);
	crew_threads("imap");
	store_runs();
}

/* ---- the transport defers at once what the queue manager sends it at once ---- */

static int transport[2];

static void sends_back(int fd, bool begins)
{
	char message[64] = "deferred";

	zoo_stand();
	if (begins)
		zoo_must(send(fd, message, sizeof(message), 0) > 0);
	while (recv(fd, message, sizeof(message), MSG_WAITALL) > 0)
		if (send(fd, message, sizeof(message), 0) < 0)
			return;
}

static void queue_manager(long listener)
{
	for (int i = 0; i < clients; i++)
		store_take((int)listener);
	close(transport[1]);
	sends_back(transport[0], true);
}

static void defers(long i)
{
	(void)i;
	close(transport[0]);
	sends_back(transport[1], false);
}

static void deferred_at_once(void)
{
	clients = zoo_vary(1, 4);
	daemons_open();
	zoo_pair(transport);
	daemon_service("qmgr", queue_manager, 1);
	store_process("smtp", defers, 0, 1);
	close(transport[0]);
	close(transport[1]);
	daemon_askers("submit", "qmgr", clients);
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

/* ---- who has a lock wants it again, alone or before others ---- */

static void takes_mutex_twice(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(1);
	zoo_stand();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
}

static void adds_owner_of_mutex(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	crew_add("expunge", takes_mutex_twice, 0);
	for (int i = 0; i < more; i++)
		crew_add("fetch", wants_mutex, i);
}

static void own_mutex_once_more(void)
{
	adds_owner_of_mutex();
	crew_forks();
	store_runs();
}

static void own_mutex_once_more_in_threads(void)
{
	adds_owner_of_mutex();
	crew_threads("index");
	store_runs();
}

static void takes_file_twice(long i)
{
	int fd = zoo_open_file("held");

	(void)i;
	zoo_locked_file("held", LOCK_EX);
	zoo_stand();
	flock(fd, LOCK_EX);
}

/* Which of several threads opened a file is nowhere to be known: no other wants it. */
static void own_file_once_more(void)
{
	daemons_open();
	crew_add("expunge", takes_file_twice, 0);
	crew_threads("index");
	store_idle_sessions(zoo_vary(0, 3));
	store_runs();
}

/* ---- a master reaps in the order of starting, and the first child stays ---- */

static void stays(long i)
{
	(void)i;
	zoo_blame();
	store_loop(NULL, 0);
}

static void ends(long i)
{
	_exit((int)i);
}

static void reaps(long listener)
{
	pid_t first = zoo_fork_run(stays, 0), pid = 0;
	siginfo_t ended;
	int status;

	for (int i = 0; i < count; i++)
		pid = zoo_fork_run(ends, 0);
	for (int i = 0; i < clients; i++)
		store_take((int)listener);
	zoo_must(!waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOWAIT));
	zoo_stand();
	waitpid(first, &status, 0);
}

static void reaps_in_order(void)
{
	clients = zoo_vary(1, 3);
	count = zoo_vary(1, 3);
	daemons_open();
	daemon_service("delivery", reaps, 2);
	daemon_askers("smtp", "delivery", clients);
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

/* ---- delivery has the uidlist and asks quota, whose worker wants its cache, which waits for the index ---- */

static void delivers(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	store_step(1);
	zoo_blame();
	store_await(store_ask("quota"));
}

static void *fills_cache(void *arg)
{
	int fd = zoo_open_file("index");

	store_called("cache");
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(2);
	store_after(0, 1);
	zoo_stand();
	zoo_posix_lock(fd, F_WRLCK);
	return arg;
}

static void *wants_cache(void *arg)
{
	store_called("quota");
	store_after(2, 1);
	if (!arg)
		zoo_blame();
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	return arg;
}

static void quota_with_cache(long listener)
{
	zoo_thread_run(fills_cache, NULL);
	for (int i = 1; i < count; i++)
		zoo_thread_run(wants_cache, &count);
	store_take((int)listener);
	wants_cache(NULL);
}

static void indexes(long i)
{
	int fd = zoo_open_file("index");

	(void)i;
	zoo_must(zoo_posix_lock(fd, F_WRLCK));
	store_step(0);
	store_after(1, 1);
	fd = zoo_open_file("held");
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void delivery_quota_index(void)
{
	int more = zoo_vary(0, 3);

	count = zoo_vary(1, 3);
	daemons_open();
	store_service("quota", quota_with_cache, count + 1);
	crew_add("lmtp", delivers, 0);
	crew_add("index", indexes, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_held, i);
	crew_forks();
	store_runs();
}

/* ---- syslogd is stopped, and its datagram socket full ---- */

static struct sockaddr_un log_address = {.sun_family = AF_UNIX};

static void syslogd(long fd)
{
	(void)fd;
	daemon_stops();
}

static void logs(long number)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!number)
		zoo_locked_file("held", LOCK_EX);
	zoo_must(fd >= 0 && !connect(fd, (struct sockaddr *)&log_address, sizeof(log_address)));
	while (send(fd, LINE, sizeof(LINE), MSG_DONTWAIT) > 0)
		;
	zoo_must(errno == EAGAIN);
	if (!number)
		store_step(1);
	zoo_ready();
	send(fd, LINE, sizeof(LINE), 0);
}

static void syslog_socket_full(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), loggers = zoo_vary(1, 4),
	    more = zoo_vary(0, 3);

	daemons_open();
	strncpy(log_address.sun_path, zoo_path("log"), sizeof(log_address.sun_path) - 1);
	zoo_must(!bind(fd, (struct sockaddr *)&log_address, sizeof(log_address)));
	store_process("syslogd", syslogd, fd, 1);
	close(fd);
	for (int i = 0; i < loggers; i++)
		crew_add("lmtp", logs, i);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_held, i);
	crew_forks();
	store_runs();
}

/* ---- a master waits for its children with the lock that the last one wants ---- */

static void wants_masters_lock(long i)
{
	if (!i)
		zoo_blame();
	zoo_ready();
	daemon_takes_lock();
}

static void stops_children(long any)
{
	pid_t pid = 0;
	int status;

	(void)any;
	daemon_takes_lock();
	for (int i = count - 1; i >= 0; i--)
		pid = zoo_fork_run(wants_masters_lock, i);
	zoo_stand();
	waitpid(pid, &status, 0);
}

static void stop_waits(enum daemon_lock kind)
{
	count = zoo_vary(1, 4);
	daemons_open();
	daemon_lock_is(kind);
	store_process("master", stops_children, 0, count + 1);
	store_idle_sessions(zoo_vary(0, 2));
	store_runs();
}

static void stop_waits_under_lock(void)
{
	stop_waits(BY_RECORD);
}

static void stop_waits_under_mutex(void)
{
	stop_waits(BY_MUTEX);
}

/* ---- the front end has passed the request on, and the back end waits elsewhere ---- */

static int requests[2], control[2];

static void back_end(long i)
{
	(void)i;
	close(requests[1]);
	close(control[1]);
	store_after(0, 1);
	zoo_stand();
	zoo_read(control[0]);
}

static void front_end(long listener)
{
	close(requests[0]);
	close(control[0]);
	for (int i = 0; i < clients; i++) {
		store_take((int)listener);
		zoo_must(write(requests[1], "request\n", 8) == 8);
	}
	store_step(0);
	zoo_blame();
	store_loop(NULL, 0);
}

static void request_left_in_pipe(void)
{
	clients = zoo_vary(1, 4);
	daemons_open();
	zoo_must(!pipe2(requests, O_CLOEXEC) && !pipe2(control, O_CLOEXEC));
	store_process("back", back_end, 0, 1);
	daemon_service("front", front_end, 1);
	for (int i = 0; i < 2; i++) {
		close(requests[i]);
		close(control[i]);
	}
	daemon_askers("client", "front", clients);
	store_runs();
}

/* ---- the acceptor wants what an idle session has forgotten to give back ---- */

static void forgets_lock(long i)
{
	int fd = zoo_quiet_peer();

	(void)i;
	daemon_takes_lock();
	store_step(0);
	zoo_blame();
	store_loop(&fd, 1);
}

static void never_accepts(long listener)
{
	(void)listener;
	store_after(0, 1);
	zoo_ready();
	daemon_takes_lock();
}

static void lock_forgotten_by_idle(void)
{
	daemons_open();
	daemon_draws_lock();
	daemon_service("imap-login", never_accepts, 1);
	store_process("imap", forgets_lock, 0, 1);
	daemon_askers("client", "imap-login", zoo_vary(1, 5));
	store_idle_sessions(zoo_vary(0, 3));
	store_runs();
}

const struct zoo_case zoo_daemons_more[] = {
	{"helper-input-left-open", "deadlock", "agent", helper_input_left_open, ZOO_HELD_OUT, 0},
	{"replicas-send-in-ring", "deadlock", "store", replicas_send_in_ring, ZOO_HELD_OUT, 0},
	{"slots-of-silent-clients", "exhaustion", "session", slots_of_silent_clients, ZOO_HELD_OUT,
		0},
	{"bell-heard-by-sibling", "lost-wakeup", "session", bell_heard_by_sibling, ZOO_HELD_OUT, 0},
	{"parser-at-empty-literal", "livelock", "session", parser_at_empty_literal,
		ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"deferred-at-once", "livelock", "queue", deferred_at_once, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"own-file-once-more", "deadlock", "index", own_file_once_more, ZOO_HELD_OUT, 0},
	{"own-mutex-once-more", "deadlock", "index", own_mutex_once_more, ZOO_HELD_OUT, 0},
	{"own-mutex-once-more-in-threads", "deadlock", "index", own_mutex_once_more_in_threads,
		ZOO_HELD_OUT, 0},
	{"reaps-in-order", "lost-wakeup", "store", reaps_in_order, ZOO_HELD_OUT, 0},
	{"delivery-quota-index", "deadlock", "deliver", delivery_quota_index, ZOO_HELD_OUT, 0},
	{"syslog-socket-full", "stopped", "agent", syslog_socket_full, ZOO_HELD_OUT, 0},
	{"stop-waits-under-lock", "deadlock", "store", stop_waits_under_lock,
		ZOO_HELD_OUT | ZOO_STOPPING, 0},
	{"stop-waits-under-mutex", "deadlock", "store", stop_waits_under_mutex,
		ZOO_HELD_OUT | ZOO_STOPPING, 0},
	{"request-left-in-pipe", "lost-wakeup", "queue", request_left_in_pipe, ZOO_HELD_OUT, 0},
	{"lock-forgotten-by-idle", "lost-wakeup", "session", lock_forgotten_by_idle, ZOO_HELD_OUT,
		0},
	{0},
};
