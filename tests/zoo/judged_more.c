/*
 * More of judged.c: waits for what nobody will do, pools and limits that are used up, loops
 * without an end, deaths. Written by somebody who had not read the diagnosis.
 */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_SIZE (1 << 20)

static int clients, workers;

static void add_those_who_want(void (*run)(long), int count)
{
	for (int i = 0; i < count; i++)
		crew_add("imap", run, 0);
}

/* A server that has taken all requests and sees to other things. */
static void mute(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 1; i <= workers; i++)
		fds[i] = store_take((int)listener);
	zoo_blame();
	store_loop(fds, workers + 1);
}

/* ---- the waiter was woken, but its mutex is with one who asks a mute filter ---- */

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static bool told;

static void waits_for_news(long i)
{
	(void)i;
	pthread_mutex_lock(&list);
	zoo_ready();
	store_step(1);
	while (!told)
		pthread_cond_wait(&news, &list);
}

static void tells_and_asks(long i)
{
	(void)i;
	store_after(1, 1);
	pthread_mutex_lock(&list);
	told = true;
	pthread_cond_signal(&news);
	store_step(0);
	store_await(store_ask("spamd"));
}

static void wants_list(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&list);
}

static void woken_but_lock_is_elsewhere(void)
{
	int more = zoo_vary(0, 3);

	daemons_open();
	workers = 1;
	store_service("spamd", mute, 1);
	crew_add("notifier", waits_for_news, 0);
	crew_add("delivery", tells_and_asks, 0);
	for (int i = 0; i < more; i++)
		crew_add("session", wants_list, i);
	crew_threads("lmtpd");
	daemons_beside();
	store_runs();
}

/* ---- one condition for "not empty" and "not full": the one signal went to the wrong kind ---- */

static int full;

static void takes_jobs(long i)
{
	(void)i;
	pthread_mutex_lock(&list);
	zoo_blame();
	zoo_ready();
	store_step(2);
	do
		pthread_cond_wait(&news, &list);
	while (!full);
}

/* As the last signal left it: the queue is full, and those who could empty it were not woken. */
static void adds_job(long listener)
{
	int fd = store_take((int)listener);

	zoo_must(fd >= 0);
	store_after(2, workers);
	pthread_mutex_lock(&list);
	full = 1;
	zoo_blame();
	zoo_ready();
	while (full)
		pthread_cond_wait(&news, &list);
}

static void one_signal_for_two_kinds(void)
{
	int listener;

	daemons_open();
	workers = zoo_vary(2, 4);
	listener = zoo_listen_unix("queue", 8);
	crew_add("producer", adds_job, listener);
	for (int i = 0; i < workers; i++)
		crew_add("consumer", takes_jobs, i);
	crew_threads("queued");
	close(listener);
	store_askers("smtpd", "queue", 1);
	daemons_beside();
	store_runs();
}

/* ---- a child is waited for before its output is read ---- */

static void reports(int out)
{
	static char report[REPORT_SIZE];

	store_called("report");
	zoo_stand();
	zoo_must(write(out, report, sizeof(report)) > 0);
}

static void waits_first(long i)
{
	int out[2];
	pid_t pid;

	(void)i;
	zoo_locked_file("held", LOCK_EX);
	store_step(0);
	zoo_must(!pipe2(out, O_CLOEXEC));
	pid = fork();
	zoo_must(pid >= 0);
	if (!pid) {
		close(out[0]);
		reports(out[1]);
		_exit(0);
	}
	close(out[1]);
	zoo_stand();
	waitpid(pid, NULL, 0);
	zoo_read(out[0]);
}

static void waits_then_reads(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	store_process("quotad", waits_first, 0, 2);
	add_those_who_want(daemon_wants_held, more);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- a FIFO is opened under a mutex, and nobody reads it any more ---- */

static void triggers(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(0);
	zoo_stand();
	zoo_must(open(zoo_path("trigger"), O_WRONLY | O_CLOEXEC) >= 0);
}

static void trigger_fifo_without_reader(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	zoo_must(!mkfifo(zoo_path("trigger"), 0600));
	crew_add("postdrop", triggers, 0);
	add_those_who_want(daemon_wants_mutex, more);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- all of a pool want the lock of one who waits for the pool ---- */

static void indexes_client(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	store_step(1);
	store_after(0, 1);
	zoo_blame();
	store_wants_file("held", LOCK_EX);
}

static void reindexes(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	store_after(1, workers);
	store_step(0);
	zoo_blame();
	store_await(store_ask("indexer"));
}

static void pool_behind_lock_of_asker(void)
{
	int listener;

	daemons_open();
	workers = zoo_vary(2, 5);
	listener = zoo_listen_unix("indexer", 16);
	for (int i = 0; i < workers; i++)
		crew_add("worker", indexes_client, listener);
	crew_threads("indexer");
	close(listener);
	store_process("reindex", reindexes, 0, 1);
	store_askers("imap", "indexer", workers);
	daemons_beside();
	store_runs();
}

/* ---- all slots of a pool are at a mute scanner; the acceptor waits for a free one ---- */

static int scanner_port;
static sem_t free_slots;

static void has_scanned(long listener)
{
	int fd = store_take((int)listener), scanner;

	zoo_must(fd >= 0);
	scanner = zoo_connect_tcp(scanner_port);
	zoo_must(send(scanner, "request\n", 8, MSG_NOSIGNAL) == 8);
	store_step(1);
	zoo_blame();
	store_await(scanner);
}

static void awaits_slot(long i)
{
	(void)i;
	store_after(1, workers);
	store_step(0);
	zoo_ready();
	sem_wait(&free_slots);
}

static void asks_late(long i)
{
	(void)i;
	store_after(0, 1);
	store_await(store_ask("lmtp"));
}

static void pool_at_mute_antivirus(void)
{
	int listener, scanner;

	daemons_open();
	workers = zoo_vary(2, 5);
	clients = zoo_vary(1, 3);
	sem_init(&free_slots, 0, 0);
	scanner = zoo_listen_tcp(16, &scanner_port);
	store_process("clamd", mute, scanner, 1);
	close(scanner);
	listener = zoo_listen_unix("lmtp", 16);
	crew_add("acceptor", awaits_slot, 0);
	for (int i = 0; i < workers; i++)
		crew_add("worker", has_scanned, listener);
	crew_threads("lmtpd");
	close(listener);
	store_askers("smtp", "lmtp", workers);
	for (int i = 0; i < clients; i++)
		store_process("smtp", asks_late, i, 1);
	daemons_beside();
	store_runs();
}

/* ---- as many sessions as are allowed are with clients that say nothing ---- */

static pthread_cond_t session_ends = PTHREAD_COND_INITIALIZER;

static void hears_nothing(long listener)
{
	int fd = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);

	zoo_must(fd >= 0);
	store_step(1);
	zoo_stand();
	zoo_receive(fd);
}

static void awaits_end_of_session(long i)
{
	(void)i;
	store_after(1, workers);
	pthread_mutex_lock(&list);
	store_step(0);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&session_ends, &list);
}

static void connects_only(long i)
{
	int fd = zoo_connect_unix("pop3");

	(void)i;
	zoo_blame();
	store_loop(&fd, 1);
}

static void wants_greeting(long i)
{
	(void)i;
	store_after(0, 1);
	store_await(zoo_connect_unix("pop3"));
}

static void limit_of_silent_clients(void)
{
	int listener;

	daemons_open();
	workers = zoo_vary(3, 6);
	clients = zoo_vary(1, 4);
	listener = zoo_listen_unix("pop3", 16);
	crew_add("acceptor", awaits_end_of_session, 0);
	for (int i = 0; i < workers; i++)
		crew_add("session", hears_nothing, listener);
	crew_threads("pop3d");
	close(listener);
	for (int i = 0; i < workers; i++)
		store_process("silent", connects_only, i, 1);
	for (int i = 0; i < clients; i++)
		store_process("client", wants_greeting, i, 1);
	daemons_beside();
	store_runs();
}

/* ---- SIGUSR1 was handled before pause() ---- */

static volatile sig_atomic_t rescan;

static void is_told(int sig)
{
	(void)sig;
	rescan = 1;
}

static void pauses_too_late(int reply)
{
	struct sigaction action = {.sa_handler = is_told};

	store_called("scan");
	zoo_must(!sigaction(SIGUSR1, &action, NULL));
	store_step(1);
	while (!rescan)
		sched_yield();
	zoo_stand();
	pause();
	zoo_must(write(reply, "done\n", 5) == 5);
}

static void tells_child(long i)
{
	int reply[2];
	pid_t pid;

	(void)i;
	zoo_locked_file("held", LOCK_EX);
	zoo_must(!pipe2(reply, O_CLOEXEC));
	pid = fork();
	zoo_must(pid >= 0);
	if (!pid) {
		close(reply[0]);
		pauses_too_late(reply[1]);
		zoo_stand_for_ever();
	}
	close(reply[1]);
	store_after(1, 1);
	zoo_must(!kill(pid, SIGUSR1));
	store_step(0);
	zoo_ready();
	zoo_read(reply[0]);
}

static void told_before_pause(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	store_process("maintd", tells_child, 0, 2);
	add_those_who_want(daemon_wants_held, more);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- an eventfd is full, and its reader wants the writer's mutex ---- */

static int counter = -1;

static void adds_to_counter(long i)
{
	const uint64_t one = 1;

	(void)i;
	pthread_mutex_lock(&list);
	store_step(0);
	zoo_stand();
	zoo_must(write(counter, &one, sizeof(one)) > 0);
}

static void reads_counter(long i)
{
	uint64_t value;

	(void)i;
	store_after(0, 1);
	zoo_stand();
	pthread_mutex_lock(&list);
	zoo_must(read(counter, &value, sizeof(value)) > 0);
}

static void fill_counter(void)
{
	const uint64_t most = UINT64_MAX - 1;

	counter = eventfd(0, EFD_CLOEXEC);
	zoo_must(counter >= 0 && write(counter, &most, sizeof(most)) == sizeof(most));
}

static void event_counter_full(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	fill_counter();
	crew_add("notifier", adds_to_counter, 0);
	crew_add("pusher", reads_counter, 0);
	for (int i = 0; i < more; i++)
		crew_add("session", wants_list, i);
	crew_threads("imapd");
	close(counter);
	daemons_beside();
	store_runs();
}

/* ---- the flusher's timer was set to nothing, which disarms it ---- */

static pthread_cond_t flushed = PTHREAD_COND_INITIALIZER;

static void flushes_by_timer(long i)
{
	const struct itimerspec none = {0};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t times;

	(void)i;
	zoo_must(timer >= 0 && !timerfd_settime(timer, 0, &none, NULL));
	zoo_stand();
	zoo_must(read(timer, &times, sizeof(times)) > 0);
}

static void commits(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	pthread_mutex_lock(&list);
	zoo_ready();
	for (;;)
		pthread_cond_wait(&flushed, &list);
}

static void flush_timer_set_to_zero(void)
{
	int listener;

	daemons_open();
	clients = zoo_vary(1, 4);
	listener = zoo_listen_unix("storage", 8);
	crew_add("flusher", flushes_by_timer, 0);
	for (int i = 0; i < clients; i++)
		crew_add("commit", commits, listener);
	crew_threads("storaged");
	close(listener);
	store_askers("imap", "storage", clients);
	daemons_beside();
	store_runs();
}

const struct zoo_case zoo_judged_more[] = {
	{"woken-but-lock-is-elsewhere", "lost-wakeup", "deliver", woken_but_lock_is_elsewhere,
		ZOO_HELD_OUT, 0},
	{"one-signal-for-two-kinds", "exhaustion", "queue", one_signal_for_two_kinds, ZOO_HELD_OUT,
		0},
	{"waits-then-reads", "deadlock", "store", waits_then_reads, ZOO_HELD_OUT, 0},
	{"trigger-fifo-without-reader", "lost-wakeup", "queue", trigger_fifo_without_reader,
		ZOO_HELD_OUT, 0},
	{"pool-behind-lock-of-asker", "deadlock", "index", pool_behind_lock_of_asker, ZOO_HELD_OUT,
		0},
	{"pool-at-mute-antivirus", "exhaustion", "deliver", pool_at_mute_antivirus, ZOO_HELD_OUT,
		0},
	{"limit-of-silent-clients", "exhaustion", "session", limit_of_silent_clients, ZOO_HELD_OUT,
		0},
	{"told-before-pause", "lost-wakeup", "store", told_before_pause, ZOO_HELD_OUT, 0},
	{"event-counter-full", "lost-wakeup", "session", event_counter_full, ZOO_HELD_OUT, 0},
	{"flush-timer-set-to-zero", "lost-wakeup", "store", flush_timer_set_to_zero, ZOO_HELD_OUT,
		0},
	{0},
};
