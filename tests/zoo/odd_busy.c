/* More of those of odd.c: who runs without getting on, pools, and an end. */
#include "tests/zoo/parts_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_US	   50
#define LONG_WORK  200000
#define LIMIT	   4096
#define DELIVERIES 3

static int asked[2], workers, callers;

static void awaits_reply(long i)
{
	(void)i;
	close(asked[0]);
	zoo_must(send(asked[1], "x", 1, 0) == 1);
	zoo_ready();
	zoo_receive(asked[1]);
}

/* Its only client waits for the reply meanwhile. */
static void with_client(void (*serve)(long))
{
	zoo_pair(asked);
	zoo_stands(2);
	zoo_fork_run(serve, 0);
	zoo_fork_run(awaits_reply, 0);
	close(asked[0]);
	close(asked[1]);
	zoo_idle();
}

/* ---- who runs ---- */

static int deliveries;

static bool moves_all(const char *folder, unsigned long *number)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool changed = false;
	char to[64];

	zoo_must(dir != NULL);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(to, sizeof(to), "message-%lu", ++*number);
		changed |= !renameat(dirfd(dir), entry->d_name, dirfd(dir), to);
	}
	closedir(dir);
	return changed;
}

/* Looks again as long as the folder changes, and it is who changes it. */
static void rescans(long i)
{
	unsigned long number = 0;
	char folder[ZOO_PATH_MAX];

	(void)i;
	close(asked[1]);
	snprintf(folder, sizeof(folder), "%s", zoo_path("cur"));
	zoo_must(!mkdir(folder, 0700));
	for (int n = 0; n < deliveries; n++)
		close(zoo_open_numbered("cur/new", n));
	zoo_stand();
	while (moves_all(folder, &number))
		;
}

static void rescans_for_ever(void)
{
	deliveries = zoo_vary(2, 6);
	with_client(rescans);
}

static volatile unsigned long worked;

static void ticks(int number)
{
	for (int i = 0; i < LONG_WORK; i++)
		worked = worked + (unsigned long)number;
}

/* The timer comes again before its handler is done. */
static void under_storm(long i)
{
	const struct itimerval often = {{.tv_usec = TICK_US}, {.tv_usec = TICK_US}};

	(void)i;
	close(asked[1]);
	zoo_must(signal(SIGALRM, ticks) != SIG_ERR);
	zoo_stand();
	setitimer(ITIMER_REAL, &often, NULL);
	for (volatile unsigned long step = 0; step < ~0UL; step = step + 1)
		;
}

static void timer_storm(void)
{
	with_client(under_storm);
}

static atomic_int *sequence;

static void writes_and_ends(long i)
{
	atomic_fetch_add(sequence, 1);
	_exit((int)i);
}

static void reads_sequence(long i)
{
	(void)i;
	zoo_stand();
	while (atomic_load(sequence) & 1)
		;
}

/* Who reads waits until nobody writes; the writer ended amid its writing. */
static void sequence_left_odd(void)
{
	int readers = zoo_vary(1, 2);

	sequence = zoo_shared(sizeof(*sequence));
	zoo_stands(readers);
	waitpid(zoo_fork_run(writes_and_ends, 0), NULL, 0);
	for (int i = 0; i < readers; i++)
		zoo_fork_run(reads_sequence, i);
	zoo_idle();
}

/* ---- pools, with callers at the door ---- */

static int door, port, pipe_of_log[2];

static void calls(long i)
{
	int fd = zoo_connect_unix("imap");

	(void)i;
	close(door);
	zoo_ready();
	zoo_receive(fd);
}

static void more_callers(void)
{
	for (int i = 0; i < callers; i++)
		zoo_fork_run(calls, i);
}

static void accepts_and_is_mute(long listener)
{
	sem_t *never = zoo_never();

	close(door);
	for (int i = 0; i < workers; i++)
		zoo_must(accept((int)listener, NULL, NULL) >= 0);
	zoo_stand();
	sem_wait(never);
}

static void asks_mute(long i)
{
	int fd = zoo_connect_tcp(port);

	(void)i;
	close(door);
	zoo_must(send(fd, "question", 8, 0) == 8);
	zoo_ready();
	zoo_receive(fd);
}

static void awaits_helper(long i)
{
	pid_t helper = zoo_fork_run(asks_mute, i);

	zoo_stand();
	waitpid(helper, NULL, 0);
}

/* Each worker awaits a helper of its own, and all helpers one server: used up, but by a server that hangs itself. */
static void helpers_at_mute_server(void)
{
	int listener;

	workers = zoo_vary(3, 5);
	callers = zoo_vary(2, 4);
	door = zoo_listen_unix("imap", 16);
	zoo_stands(2 * workers + 1 + callers);
	more_callers();
	listener = zoo_listen_tcp(16, &port);
	zoo_fork_run(accepts_and_is_mute, listener);
	close(listener);
	for (int i = 0; i < workers; i++)
		zoo_fork_run(awaits_helper, i);
	close(door);
	zoo_wait_for_children();
}

static void reads_no_log(long i)
{
	sem_t *never = zoo_never();

	(void)i;
	close(door);
	close(pipe_of_log[1]);
	zoo_stand();
	sem_wait(never);
}

static void *logs(void *arg)
{
	zoo_stand();
	zoo_must(write(pipe_of_log[1], "line", 4) < 0);
	return arg;
}

/* The same: what all workers wait for hangs itself. */
static void workers_at_full_log(void)
{
	static const char line[LIMIT];

	workers = zoo_vary(3, 6);
	callers = zoo_vary(2, 4);
	door = zoo_listen_unix("imap", 16);
	zoo_stands(1 + workers + callers);
	more_callers();
	zoo_must(!pipe2(pipe_of_log, O_CLOEXEC));
	zoo_fork_run(reads_no_log, 0);
	close(pipe_of_log[0]);
	fcntl(pipe_of_log[1], F_SETFL, O_NONBLOCK);
	while (write(pipe_of_log[1], line, sizeof(line)) > 0)
		;
	fcntl(pipe_of_log[1], F_SETFL, 0);
	for (int i = 0; i < workers; i++)
		zoo_thread_run(logs, NULL);
	zoo_stand_for_ever();
}

/* ---- an end ---- */

/* The mailbox grew to what the limit allows. */
static void writes_past_limit(long i)
{
	static const char message[LIMIT];
	struct rlimit limit = {.rlim_cur = LIMIT, .rlim_max = LIMIT};
	int fd = zoo_open_numbered("mailbox", i);

	zoo_must(!setrlimit(RLIMIT_FSIZE, &limit) &&
		 write(fd, message, sizeof(message)) == sizeof(message));
	zoo_stand();
	zoo_must(write(fd, message, sizeof(message)) == sizeof(message));
}

static void mailbox_too_big(void)
{
	zoo_stands(1);
	zoo_fork_run(writes_past_limit, 0);
	zoo_idle();
}

/* Each delivery ends so, and the queue tries again. */
static void mailbox_too_big_again(void)
{
	zoo_stands(DELIVERIES);
	for (int i = 0; i < DELIVERIES; i++)
		waitpid(zoo_fork_run(writes_past_limit, i), NULL, 0);
	zoo_idle();
}

const struct zoo_case zoo_odd_busy[] = {
	{"rescans-for-ever", "livelock", "session", rescans_for_ever, ZOO_SPINS, 0},
	{"timer-storm", "livelock", "timer", timer_storm, ZOO_SPINS, 0},
	{"sequence-left-odd", "livelock", "index", sequence_left_odd, ZOO_SPINS, 0},
	{"helpers-at-mute-server", "lost-wakeup", "session", helpers_at_mute_server, 0, 0},
	{"workers-at-full-log", "lost-wakeup", "session", workers_at_full_log, 0, 0},
	{"mailbox-too-big", "crash", "mbox", mailbox_too_big, ZOO_DIES, 1},
	{"mailbox-too-big-again", "crash-loop", "mbox", mailbox_too_big_again, ZOO_DIES,
		DELIVERIES},
	{0},
};
