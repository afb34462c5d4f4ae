/*
 * How everybody's daemons come to an end, by the same hand as plain.c: pools that are used up, wakeups that are
 * lost, loops that get nowhere, and signals.
 */
#include "tests/zoo/stores_parts.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OBJECT_SIZE (256 << 10)
#define RESTARTS    3

static int workers, waiting, idle, port;
static int job_pair[2];

static void asks_by_tcp(long i)
{
	int fd = zoo_connect_tcp(port);

	(void)i;
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	store_await(fd);
}

static void asks_after(long i)
{
	(void)i;
	store_after(0, 1);
	store_await(store_ask("imap"));
}

/* ---- pools that are used up ---- */

static void mute(long listener)
{
	store_serve((int)listener, workers);
}

static void *looks_up(void *arg)
{
	int fd = store_ask("directory");

	store_called("worker");
	zoo_blame();
	store_await(fd);
	return arg;
}

static void lookup_pool(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(looks_up, NULL);
	store_serve((int)listener, waiting);
}

static void lookups_at_mute_directory(void)
{
	store_open();
	workers = zoo_vary(3, 7);
	waiting = workers + zoo_vary(1, 4);
	store_service("directory", mute, 1);
	store_service("lmtp", lookup_pool, workers + 1);
	store_askers("smtp", "lmtp", waiting);
	store_runs_beside_others();
}

static void checks_policy(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_blame();
	store_await(store_ask("policy"));
}

static void prefork_at_mute_policy(void)
{
	int listener;

	store_open();
	workers = zoo_vary(3, 6);
	listener = zoo_listen_tcp(16, &port);
	store_service("policy", mute, 1);
	for (int i = 0; i < workers; i++)
		store_process("smtpd", checks_policy, listener, 1);
	close(listener);
	for (int i = workers + zoo_vary(1, 4); i > 0; i--)
		store_process("client", asks_by_tcp, i, 1);
	store_runs_beside_others();
}

/* So many sessions may be; all are of clients that say nothing, and others are at the door. */
static pthread_mutex_t session_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t session_ended = PTHREAD_COND_INITIALIZER;

static void *session(void *arg)
{
	store_called("session");
	zoo_stand();
	zoo_receive((int)(intptr_t)arg);
	return arg;
}

static void limited_server(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(session,
			(void *)(intptr_t)store_take((int)listener)); /* NOLINT: a number */
	store_step(0);
	pthread_mutex_lock(&session_lock);
	zoo_stand();
	pthread_cond_wait(&session_ended, &session_lock);
}

static void says_nothing(long i)
{
	int fd = store_ask("imap");

	(void)i;
	store_loop(&fd, 1);
}

static void sessions_at_limit(void)
{
	store_open();
	workers = zoo_vary(3, 8);
	store_service("imap", limited_server, workers + 1);
	for (int i = 0; i < workers; i++)
		store_process("idler", says_nothing, i, 1);
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("client", asks_after, i, 1);
	store_runs_beside_others();
}

/* Each has a connection to the database and needs one more. */
static sem_t connections;

static void *takes_two_connections(void *arg)
{
	store_called("worker");
	sem_wait(&connections);
	store_step(0);
	store_after(0, workers);
	zoo_stand();
	sem_wait(&connections);
	return arg;
}

static void connection_pool(long listener)
{
	sem_init(&connections, 0, (unsigned int)workers);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(takes_two_connections, NULL);
	store_serve((int)listener, waiting);
}

static void two_connections_each(void)
{
	store_open();
	workers = zoo_vary(2, 6);
	waiting = workers + zoo_vary(0, 3);
	store_service("lmtp", connection_pool, workers + 1);
	store_askers("smtp", "lmtp", waiting);
	store_runs_beside_others();
}

/* ---- eventfd: two jobs were told of, one is done ---- */

static int job_event;

static void *does_one_job(void *arg)
{
	uint64_t count;

	store_called("worker");
	store_after(0, 1);
	zoo_must(read(job_event, &count, sizeof(count)) == sizeof(count) && count > 1);
	zoo_stand();
	zoo_must(read(job_event, &count, sizeof(count)) < 0);
	return arg;
}

static void tells_of_jobs(long listener)
{
	const uint64_t one = 1;
	int fds[STORE_FDS] = {(int)listener};

	job_event = eventfd(0, EFD_CLOEXEC);
	zoo_thread_run(does_one_job, NULL);
	store_idle_workers(idle);
	zoo_must(write(job_event, &one, sizeof(one)) == sizeof(one)); /* housekeeping */
	for (int i = 1; i <= waiting; i++) {
		fds[i] = store_take((int)listener);
		zoo_must(write(job_event, &one, sizeof(one)) == sizeof(one));
	}
	store_step(0);
	store_loop(fds, waiting + 1);
}

static void two_jobs_as_one(void)
{
	store_open();
	waiting = zoo_vary(1, 4);
	idle = 2 * zoo_vary(0, 2); /* one alone would stand as one that is stuck does */
	store_service("convert", tells_of_jobs, 2 + idle);
	store_askers("client", "convert", waiting);
	store_runs_beside_others();
}

/* ---- signalfd: the signal came to a thread that does not block it ---- */

static void heard(int signal)
{
	(void)signal;
	store_step(1);
}

static void reads_signals(long end)
{
	struct signalfd_siginfo info;
	sigset_t set;
	int fd;

	(void)end;
	close(job_pair[0]);
	signal(SIGHUP, heard);
	store_idle_workers(idle);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	store_step(0);
	store_after(1, 1);
	zoo_stand();
	zoo_must(read(fd, &info, sizeof(info)) < 0);
}

static void asks_for_reload(long master)
{
	close(job_pair[1]);
	store_after(0, 1);
	zoo_must(!kill((pid_t)master, SIGHUP));
	zoo_ready();
	zoo_receive(job_pair[0]);
}

static void signal_to_other_thread(void)
{
	pid_t master;

	store_open();
	idle = zoo_vary(2, 4); /* one alone would stand as one that is stuck does */
	zoo_pair(job_pair);
	master = store_process("master", reads_signals, 0, 1 + idle);
	store_process("reload", asks_for_reload, master, 1);
	close(job_pair[0]);
	close(job_pair[1]);
	store_runs_beside_others();
}

/* ---- loops that get nowhere ---- */

static void *receives_again(void *arg)
{
	char request[8];

	store_called("session");
	zoo_stand();
	while (recv((int)(intptr_t)arg, request, sizeof(request), MSG_DONTWAIT) < 0)
		;
	return arg;
}

static void receiving_server(long listener)
{
	store_idle_workers(idle);
	zoo_thread_run(
		receives_again, (void *)(intptr_t)store_take((int)listener)); /* NOLINT: a number */
	store_serve((int)listener, waiting);
}

static void receives_without_waiting(void)
{
	store_open();
	waiting = zoo_vary(0, 3);
	idle = zoo_vary(0, 3);
	store_service("imap", receiving_server, 2 + idle);
	store_askers("client", "imap", 1 + waiting);
	store_runs_beside_others();
}

/* In step, so that neither ever finds the other's lock free. */
static void backs_off(long me)
{
	int mine = zoo_open_numbered("folder", me), other = zoo_open_numbered("folder", !me);

	zoo_stand();
	for (int round = 1;; round++) {
		zoo_must(!flock(mine, LOCK_EX | LOCK_NB));
		store_step(0);
		store_after(0, 2 * round);
		zoo_must(flock(other, LOCK_EX | LOCK_NB) < 0);
		store_step(1);
		store_after(1, 2 * round);
		flock(mine, LOCK_UN);
		store_step(2);
		store_after(2, 2 * round);
	}
}

static void both_back_off(void)
{
	int first;

	store_open();
	first = zoo_vary(0, 1);
	store_process("rename", backs_off, first, 1);
	store_process("rename", backs_off, !first, 1);
	store_runs_beside_others();
}

/* ---- ends ---- */

/* All others stand: what ends now takes none of them along unseen. */
static void last_of_all(void)
{
	zoo_await(&zoo_board->stand, 1);
	zoo_await(&zoo_board->ready, atomic_load(&zoo_board->stand) - 1);
	zoo_stand();
}

static void (*volatile convert)(void);

static void *calls_no_converter(void *arg)
{
	store_called("worker");
	last_of_all();
	convert();
	return arg;
}

static void *asserts(void *arg)
{
	store_called("worker");
	pthread_mutex_lock(&session_lock);
	last_of_all();
	abort();
	return arg;
}

static int parse_part(volatile const char *outer)
{
	volatile char header[2048];

	if (!outer)
		return 0;
	header[0] = outer[0];
	return parse_part(header) + header[0];
}

static void *parses_nested(void *arg)
{
	volatile char message = 1;

	store_called("parser");
	last_of_all();
	zoo_must(parse_part(&message) == 1);
	return arg;
}

struct registration {
	void (*notify)(struct registration *);
	char rest[OBJECT_SIZE];
};

static struct registration *registration;

static void notify(struct registration *to)
{
	to->rest[0]++;
}

static void *unsubscribes(void *arg)
{
	store_called("session");
	zoo_blame();
	free(registration);
	store_step(0);
	zoo_ready();
	zoo_stand_for_ever();
	return arg;
}

static void *notifies(void *arg)
{
	store_called("notifier");
	store_after(0, 1);
	last_of_all();
	registration->notify(registration);
	return arg;
}

static void *(*ending)(void *);

static void ends(long listener)
{
	registration = malloc(sizeof(*registration));
	zoo_must(registration != NULL);
	registration->notify = notify;
	zoo_thread_run(ending, NULL);
	if (ending == notifies)
		zoo_thread_run(unsubscribes, NULL);
	store_idle_workers(idle);
	store_serve((int)listener, waiting);
}

static void ends_in(void *(*run)(void *), const char *name)
{
	store_open();
	ending = run;
	idle = zoo_vary(0, 4);
	waiting = zoo_vary(0, 3);
	store_service(name, ends, 2 + idle + (run == notifies));
	store_askers("client", name, waiting);
	store_runs_beside_others();
}

static void no_converter(void)
{
	ends_in(calls_no_converter, "imap");
}

static void asserts_under_lock(void)
{
	ends_in(asserts, "imap");
}

static void nested_without_limit(void)
{
	ends_in(parses_nested, "imap");
}

static void notified_after_unsubscribe(void)
{
	ends_in(notifies, "imap");
}

static void bounces(long i)
{
	const char *volatile text = NULL;

	(void)i;
	zoo_stand();
	zoo_must(strlen(text) > 0);
}

static void starts_bouncer_again(long listener)
{
	for (int i = 0; i < RESTARTS; i++)
		zoo_must(waitpid(zoo_fork_run(bounces, i), NULL, 0) > 0);
	store_serve((int)listener, waiting);
}

static void bouncer_restarted(void)
{
	store_open();
	waiting = zoo_vary(0, 4);
	store_service("bounce", starts_bouncer_again, 1 + RESTARTS);
	store_askers("qmgr", "bounce", waiting);
	store_runs_beside_others();
}
const struct zoo_case zoo_plain_ends[] = {
	{"lookups-at-mute-directory", "exhaustion", "deliver", lookups_at_mute_directory,
		ZOO_HELD_OUT, 0},
	{"prefork-at-mute-policy", "exhaustion", "receive", prefork_at_mute_policy, ZOO_HELD_OUT,
		0},
	{"sessions-at-limit", "exhaustion", "session", sessions_at_limit, ZOO_HELD_OUT, 0},
	{"two-connections-each", "exhaustion", "deliver", two_connections_each, ZOO_HELD_OUT, 0},
	{"two-jobs-as-one", "lost-wakeup", "filter", two_jobs_as_one, ZOO_HELD_OUT, 0},
	{"signal-to-other-thread", "lost-wakeup", "master", signal_to_other_thread, ZOO_HELD_OUT,
		0},
	{"receives-without-waiting", "livelock", "session", receives_without_waiting,
		ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"both-back-off", "livelock", "deliver", both_back_off,
		ZOO_HELD_OUT | ZOO_SPINS | ZOO_ALONE, 0},
	{"no-converter", "crash", "session", no_converter, ZOO_HELD_OUT | ZOO_DIES, 1},
	{"asserts-under-lock", "crash", "store", asserts_under_lock, ZOO_HELD_OUT | ZOO_DIES, 1},
	{"nested-without-limit", "crash", "filter", nested_without_limit, ZOO_HELD_OUT | ZOO_DIES,
		1},
	{"notified-after-unsubscribe", "crash", "store", notified_after_unsubscribe,
		ZOO_HELD_OUT | ZOO_DIES, 1},
	{"bouncer-restarted", "crash-loop", "queue", bouncer_restarted, ZOO_HELD_OUT | ZOO_DIES,
		RESTARTS},
	{0},
};
