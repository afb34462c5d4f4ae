/* What looks like the cases of retry.c and retry_more.c, and is well, or only slow: who looks again gets what he looks
 * for. */
#include "tests/zoo/retry_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HOLD_MS	   30
#define SERVE_MS   60
#define MS_IN_NS   1000000L
#define S_IN_NS	   1000000000L
#define MESSAGES   5
#define SPOOLS_MAX 4

static int kind;

/* ---- a dot-lock that each has for 30 ms ---- */

static void delivers_by_dot(long how)
{
	zoo_ready();
	for (;;) {
		while (!retry_dot("inbox.lock", (enum retry_dot)how, retry_pid()))
			retry_rest();
		retry_pause(HOLD_MS);
		zoo_must(!unlink(zoo_path("inbox.lock")));
		retry_rest();
	}
}

static void dot_lock_short_turns(void)
{
	static const enum retry_dot hows[] = {RETRY_DOT_FILE, RETRY_DOT_LINK, RETRY_DOT_TARGET};

	retry_open();
	kind = (int)hows[zoo_vary(0, 2)];
	for (int i = zoo_vary(3, 5); i > 0; i--)
		store_process("deliver", delivers_by_dot, kind, 1);
	retry_runs();
}

/* ---- the same with a lock of the file ---- */

static void delivers_by_lock(long i)
{
	int fd;

	(void)i;
	zoo_ready();
	for (;;) {
		fd = zoo_open_file("inbox");
		while (!retry_lock(fd, (enum retry_lock)kind))
			retry_rest();
		retry_pause(HOLD_MS);
		close(fd);
		retry_rest();
	}
}

static void file_lock_tried_in_turn(void)
{
	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process("lmtp", delivers_by_lock, i, 1);
	retry_runs();
}

/* ---- and with a mutex ---- */

static pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;

static void *updates_cache(void *arg)
{
	store_called("worker");
	zoo_ready();
	for (;;) {
		while (pthread_mutex_trylock(&cache))
			retry_rest();
		retry_pause(HOLD_MS);
		pthread_mutex_unlock(&cache);
		retry_rest();
	}
	return arg;
}

static void cache_of_threads(long threads)
{
	for (long i = 0; i < threads; i++)
		zoo_thread_run(updates_cache, NULL);
	store_loop(NULL, 0);
}

static void mutex_tried_in_turn(void)
{
	int threads = zoo_vary(2, 5);

	retry_open();
	store_process("imapd", cache_of_threads, threads, threads + 1);
	retry_runs();
}

/* ---- daemons that look into their spool each second, and find nothing ---- */

static void looks_for_trigger(long number)
{
	char name[RETRY_NAME];

	snprintf(name, sizeof(name), "trigger-%ld", number);
	retry_wants_there(name);
}

static void spools_looked_into(void)
{
	retry_open();
	for (int i = zoo_vary(1, SPOOLS_MAX); i > 0; i--)
		retry_spool();
	for (int i = zoo_vary(1, SPOOLS_MAX); i > 0; i--)
		store_process("reloader", looks_for_trigger, i, 1);
	retry_runs();
}

/* ---- a door with a short backlog, behind which one is served after the other ---- */

static void serves_slowly(long i)
{
	int listener = zoo_listen_unix("policy", 1), fd;

	(void)i;
	store_step(0);
	zoo_stand();
	for (;;) {
		fd = store_take(listener);
		retry_pause(SERVE_MS);
		send(fd, "dunno\n", 6, MSG_NOSIGNAL);
		close(fd);
	}
}

static int tries_policy(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	zoo_must(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", zoo_path("policy"));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	zoo_must(!fcntl(fd, F_SETFL, 0));
	return fd;
}

static void asks_policy(long i)
{
	char reply[8];
	int fd;

	(void)i;
	store_after(0, 1);
	zoo_ready();
	for (;;) {
		while ((fd = tries_policy()) < 0)
			retry_rest();
		zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
		zoo_must(recv(fd, reply, sizeof(reply), 0) == 6);
		close(fd);
	}
}

static void door_served_slowly(void)
{
	retry_open();
	store_process("policy", serves_slowly, 0, 1);
	for (int i = zoo_vary(3, 6); i > 0; i--)
		store_process("smtpd", asks_policy, i, 1);
	retry_runs();
}

/* ---- an idle store in which everybody wakes now and then ---- */

static pthread_mutex_t jobs_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_come = PTHREAD_COND_INITIALIZER;
static sem_t *jobs;
static int number_of_jobs;

static struct timespec after_ms(int ms)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	time.tv_nsec += ms * MS_IN_NS;
	time.tv_sec += time.tv_nsec / S_IN_NS;
	time.tv_nsec %= S_IN_NS;
	return time;
}

static void *looks_for_jobs(void *arg)
{
	struct timespec until;

	store_called("worker");
	pthread_mutex_lock(&jobs_lock);
	zoo_ready();
	while (!number_of_jobs) {
		until = after_ms(200);
		pthread_cond_timedwait(&jobs_come, &jobs_lock, &until);
	}
	pthread_mutex_unlock(&jobs_lock);
	return arg;
}

static void *takes_posted_job(void *arg)
{
	struct timespec until;

	store_called("expirer");
	zoo_ready();
	do
		until = after_ms(300);
	while (sem_timedwait(jobs, &until));
	return arg;
}

static void idle_with_timers(long threads)
{
	const struct itimerspec each = {.it_value.tv_sec = 1, .it_interval.tv_sec = 1};
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	for (long i = 0; i < threads; i++)
		zoo_thread_run(i % 3 ? looks_for_jobs : takes_posted_job, NULL);
	zoo_must(!timerfd_settime(timer, 0, &each, NULL));
	store_loop(&timer, 1);
}

static void heartbeats_of_idle_store(void)
{
	int threads = zoo_vary(2, 6);

	retry_open();
	jobs = zoo_never();
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("store", idle_with_timers, threads, threads + 1);
	retry_heartbeat();
	retry_runs();
}

/* ---- a queue runner between two runs; all its mail is to be tried later ---- */

static void look_at_queue(void)
{
	char name[RETRY_NAME];
	struct stat st;

	for (int i = 0; i < MESSAGES; i++) {
		snprintf(name, sizeof(name), "deferred-%d", i);
		zoo_must(!stat(zoo_path(name), &st) && st.st_mtime > time(NULL));
	}
}

static void runs_queue(long i)
{
	char name[RETRY_NAME];
	struct timespec later[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) + 3600}};

	(void)i;
	zoo_must(retry_dot("runner.pid", RETRY_DOT_FILE, retry_pid()));
	retry_locked_file("runner", (enum retry_lock)kind);
	for (int message = 0; message < MESSAGES; message++) {
		snprintf(name, sizeof(name), "deferred-%d", message);
		zoo_must(!futimens(zoo_open_file(name), later));
	}
	store_step(0);
	zoo_ready();
	for (;;) {
		look_at_queue();
		retry_rest();
	}
}

/* A second one looks once, and is content. */
static void starts_as_well(long listener)
{
	int fd = (int)listener;

	store_after(0, 1);
	zoo_must(!retry_dot("runner.pid", RETRY_DOT_FILE, retry_pid()));
	zoo_must(!retry_lock(zoo_open_file("runner"), (enum retry_lock)kind));
	store_loop(&fd, 1);
}

static void runner_between_runs(void)
{
	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	store_process("qrunner", runs_queue, 0, 1);
	store_service("starter", starts_as_well, 1);
	retry_runs();
}

/* ---- long work under a dot-lock, whose owner says all the time that it lives ---- */

static void rebuilds(long i)
{
	int fd;

	zoo_must(retry_dot("folder.lock", RETRY_DOT_LINK, retry_pid()));
	store_step(0);
	zoo_stand();
	for (;; i++) {
		fd = zoo_open_file("folder.index.new");
		zoo_must(pwrite(fd, "record\n", 7, i % 1000 * 7) == 7);
		close(fd);
		zoo_must(!utimensat(AT_FDCWD, zoo_path("folder.lock"), NULL, 0));
		retry_pause(HOLD_MS);
	}
}

static void behind_rebuild(long watches)
{
	store_after(0, 1);
	if (watches)
		retry_wants_gone("folder.lock");
	else
		retry_wants_dot("folder.lock", RETRY_DOT_LINK);
}

static void rebuild_touches_its_lock(void)
{
	retry_open();
	store_process("rebuild", rebuilds, 0, 1);
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("imapd", behind_rebuild, zoo_vary(0, 1), 1);
	retry_runs();
}

const struct zoo_case zoo_retry_healthy[] = {
	{"dot-lock-short-turns", NULL, "deliver", dot_lock_short_turns, ZOO_PROGRESSED, 0},
	{"file-lock-tried-in-turn", NULL, "lmtp", file_lock_tried_in_turn, ZOO_PROGRESSED, 0},
	{"mutex-tried-in-turn", NULL, "imapd", mutex_tried_in_turn, ZOO_PROGRESSED, 0},
	{"spools-looked-into", NULL, "pickup", spools_looked_into, 0, 0},
	{"door-served-slowly", "slow", "policy", door_served_slowly, ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"heartbeats-of-idle-store", NULL, "store", heartbeats_of_idle_store, 0, 0},
	{"runner-between-runs", NULL, "qrunner", runner_between_runs, 0, 0},
	{"rebuild-touches-its-lock", "slow", "rebuild", rebuild_touches_its_lock,
		ZOO_SPINS | ZOO_PROGRESSED, 0},
	{0},
};
