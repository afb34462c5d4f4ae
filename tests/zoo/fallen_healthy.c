/* What looks like the cases of fallen*.c, and is well: ends that nobody waits for, and slow ones who keep their limits. */
#include "tests/zoo/services_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	 4096
#define SERVE_MS 120
#define HOLD_MS	 15
#define TICK_MS	 60
#define LOOK_MS	 20
#define HOUR_S	 3600

static int others;

/* Serves them all in turn; each has a request under way at most times. */
static void serves_in_turn(int listener, int count)
{
	int fds[STORE_FDS];
	char request[8];

	for (int i = 0; i < count; i++)
		fds[i] = store_take(listener);
	zoo_ready();
	for (int i = 0;; i = (i + 1) % count) {
		services_rest(SERVE_MS);
		services_reply(fds[i]);
		zoo_must(recv(fds[i], request, sizeof(request), MSG_WAITALL) == 8);
	}
}

/* ---- a service that ended once, was restarted and has answered since ---- */

static int clients;

static void ends_at_first(long listener)
{
	(void)listener;
	_exit(1);
}

static void serves_since(long listener)
{
	store_called("dict");
	serves_in_turn((int)listener, clients);
}

static void restarts_once(long i)
{
	int listener = zoo_listen_unix("dict", 16);
	pid_t pid;

	(void)i;
	zoo_must(waitpid(zoo_fork_run(ends_at_first, listener), NULL, 0) > 0);
	pid = zoo_fork_run(serves_since, listener);
	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void asks_dict(long i)
{
	(void)i;
	services_converses("dict");
}

static void restarted_once_and_serves(void)
{
	clients = zoo_vary(1, 4);
	services_open();
	store_process("supervise", restarts_once, 0, 2);
	for (int i = 0; i < clients; i++)
		store_process("imap", asks_dict, i, 1);
	services_run();
}

/* ---- a scanner that takes its time and keeps the limit ---- */

static void scans(long listener)
{
	serves_in_turn((int)listener, clients);
}

static void asks_scan(long i)
{
	(void)i;
	services_converses("clamd");
}

static void scanner_within_its_limit(void)
{
	clients = zoo_vary(2, 6);
	services_open();
	store_service("clamd", scans, 1);
	for (int i = 0; i < clients; i++)
		store_process("smtpd", asks_scan, i, 1);
	services_run();
}

/* ---- sessions that ended, by a signal or a status, and are left for the next sweep ---- */

static void session_ends(long how)
{
	int pair[2];

	if (how == 0)
		raise(SIGTERM);
	if (how == 1)
		raise(SIGKILL);
	if (how == 2) {
		zoo_pair(pair);
		close(pair[0]);
		zoo_must(write(pair[1], "* BYE\r\n", 7) < 0);
	}
	_exit((int)how);
}

static void sweeps_each_hour(long i)
{
	const struct timespec hour = {.tv_sec = HOUR_S};
	siginfo_t info;

	(void)i;
	for (int n = 0; n < others; n++) {
		pid_t pid = zoo_fork_run(session_ends, n % 5);

		zoo_must(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	}
	zoo_ready();
	nanosleep(&hour, NULL);
}

static void dead_sessions_until_the_sweep(void)
{
	others = zoo_vary(3, 8);
	services_open();
	store_process("imap-master", sweeps_each_hour, 0, 1);
	services_run();
}

/* ---- helpers that come and go while sessions are answered ---- */

static void helps(long i)
{
	store_called("helper");
	services_rest(10 + (int)i % 3 * 10);
	_exit(i % 3 == 0);
}

static void begins_helpers(long i)
{
	(void)i;
	zoo_ready();
	for (long n = 0;; n++) {
		zoo_must(waitpid(zoo_fork_run(helps, n), NULL, 0) > 0);
		services_rest(TICK_MS);
	}
}

static void helpers_come_and_go(void)
{
	clients = zoo_vary(1, 3);
	services_open();
	store_process("cron", begins_helpers, 0, 1);
	store_service("clamd", scans, 1);
	for (int i = 0; i < clients; i++)
		store_process("smtpd", asks_scan, i, 1);
	services_run();
}

/* ---- daemons with long timers of all kinds, and nothing to do ---- */

static void sleeps_long(long kind)
{
	struct timespec until = {.tv_sec = HOUR_S};
	struct itimerspec each = {.it_value = until, .it_interval = until};
	uint64_t count;
	sigset_t set;
	int fd;

	zoo_ready();
	switch (kind) {
	case 0:
		nanosleep(&until, NULL);
		return;
	case 1:
		poll(NULL, 0, HOUR_S * 1000);
		return;
	case 2:
		fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
		zoo_must(!timerfd_settime(fd, 0, &each, NULL));
		zoo_must(read(fd, &count, sizeof(count)) == sizeof(count));
		return;
	case 3:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigtimedwait(&set, NULL, &until);
		return;
	default:
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += HOUR_S;
		sem_timedwait(zoo_never(), &until);
	}
}

static void long_timers_of_all_kinds(void)
{
	int first = zoo_vary(0, 4);

	services_open();
	for (int i = 0, count = zoo_vary(3, 8); i < count; i++)
		store_process("sweep", sleeps_long, (first + i) % 5, 1);
	services_run();
}

/* ---- a rate with a bucket that is refilled ---- */

static atomic_int *tokens;

static void refills(long i)
{
	(void)i;
	zoo_ready();
	for (;;) {
		services_rest(TICK_MS);
		if (atomic_load(tokens) < others)
			atomic_fetch_add(tokens, 1);
	}
}

static void sends_at_its_rate(long listener)
{
	int fd = store_take((int)listener);
	char request[8];

	zoo_ready();
	for (;;) {
		int have = atomic_load(tokens);

		if (!have || !atomic_compare_exchange_strong(tokens, &have, have - 1)) {
			services_rest(LOOK_MS);
			continue;
		}
		services_reply(fd);
		zoo_must(recv(fd, request, sizeof(request), MSG_WAITALL) == 8);
	}
}

static void asks_sender(long i)
{
	(void)i;
	services_converses("smtp");
}

static void bucket_refilled_in_time(void)
{
	others = zoo_vary(1, 4);
	services_open();
	tokens = zoo_shared(sizeof(*tokens));
	store_process("rate", refills, 0, 1);
	store_service("smtp", sends_at_its_rate, 1);
	store_process("qmgr", asks_sender, 0, 1);
	services_run();
}

/* ---- the owner of a robust lock ends with it; his heirs put it right and have it in turn ---- */

static pthread_mutex_t *robust;

static void ends_as_owner(long i)
{
	zoo_must(!pthread_mutex_lock(robust));
	_exit((int)i);
}

static void has_robust_in_turn(long i)
{
	(void)i;
	zoo_ready();
	for (;;) {
		if (pthread_mutex_lock(robust) == EOWNERDEAD)
			zoo_must(!pthread_mutex_consistent(robust));
		services_rest(HOLD_MS);
		pthread_mutex_unlock(robust);
		services_rest(HOLD_MS);
	}
}

static void heirs_put_it_right(void)
{
	pthread_mutexattr_t attr;

	services_open();
	robust = zoo_shared(sizeof(*robust));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	zoo_must(!pthread_mutex_init(robust, &attr));
	zoo_must(waitpid(store_process("imap", ends_as_owner, 1, 0), NULL, 0) > 0);
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process("imap", has_robust_in_turn, i, 1);
	services_run();
}

/* ---- a checkpoint that syncs and lets go of the journal between two pages ---- */

static void syncs_and_lets_go(long i)
{
	static const char page[CHUNK];
	int lock = zoo_open_file("journal"), fd = zoo_open_numbered("db", i);

	zoo_ready();
	for (;;) {
		zoo_must(!flock(lock, LOCK_EX));
		zoo_must(pwrite(fd, page, CHUNK, 0) == CHUNK && !fsync(fd));
		zoo_must(!flock(lock, LOCK_UN));
		services_rest(HOLD_MS);
	}
}

static void checkpoint_lets_go(void)
{
	services_open();
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process(i > 1 ? "imap" : "checkpoint", syncs_and_lets_go, i, 1);
	services_run();
}

/* ---- who is throttled after an early end of its service, and nobody asks for that ---- */

static void throttled(long i)
{
	int listener = zoo_listen_unix("managesieve", 8);

	zoo_must(waitpid(zoo_fork_run(ends_at_first, i), NULL, 0) > 0);
	zoo_ready();
	poll(NULL, 0, HOUR_S * 1000);
	close(listener);
}

static void throttled_unasked(void)
{
	services_open();
	for (int i = zoo_vary(1, 2); i > 0; i--)
		store_idle_sessions(zoo_vary(0, 2));
	store_process("supervise", throttled, 0, 1);
	services_run();
}

#define ANSWERS (ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED)

const struct zoo_case zoo_fallen_healthy[] = {
	{"restarted-once-and-serves", NULL, "dict", restarted_once_and_serves, ANSWERS, 0},
	{"scanner-within-its-limit", NULL, "filter", scanner_within_its_limit, ANSWERS, 0},
	{"dead-sessions-until-the-sweep", NULL, "session", dead_sessions_until_the_sweep,
		ZOO_HELD_OUT, 0},
	{"helpers-come-and-go", NULL, "agent", helpers_come_and_go, ANSWERS, 0},
	{"long-timers-of-all-kinds", NULL, "timer", long_timers_of_all_kinds, ZOO_HELD_OUT, 0},
	{"bucket-refilled-in-time", NULL, "relay", bucket_refilled_in_time, ANSWERS, 0},
	{"heirs-put-it-right", NULL, "session", heirs_put_it_right, ANSWERS, 0},
	{"checkpoint-lets-go", NULL, "store", checkpoint_lets_go, ANSWERS, 0},
	{"throttled-unasked", NULL, "agent", throttled_unasked, ZOO_HELD_OUT, 0},
	{0},
};
