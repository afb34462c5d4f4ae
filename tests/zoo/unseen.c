/* Cycles and chains over kinds of waiting that the others do not have: descriptors of processes, vfork(), pipes that
 * somebody inherited, words of a lock of one's own, a process whose first thread has ended. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int members, ends[2];
static pthread_mutex_t own[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

static void wants_file(const char *name)
{
	flock(zoo_open_file(name), LOCK_EX);
}

static void close_ends(void)
{
	close(ends[0]);
	close(ends[1]);
}

static void *shared_mutex(void)
{
	pthread_mutex_t *mutex = zoo_shared(sizeof(*mutex));
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_mutex_init(mutex, &attr));
	return mutex;
}

/* ---- cycles ---- */

/* A mutex, a file lock and an answer: a process each. */
static pthread_mutex_t *common;

static void one_of_three_kinds(long i)
{
	if (i != 1)
		close(ends[0]);
	if (i != 2)
		close(ends[1]);
	if (i == 0)
		pthread_mutex_lock(common);
	if (i == 1)
		zoo_locked_file("folder", LOCK_EX);
	zoo_meet(3);
	zoo_stand();
	if (i == 0)
		wants_file("folder");
	else if (i == 1)
		zoo_receive(ends[0]);
	else
		pthread_mutex_lock(common);
}

static void kinds_of_three(void)
{
	common = shared_mutex();
	zoo_pair(ends);
	zoo_stands(3);
	for (long i = 0; i < 3; i++)
		zoo_fork_run(one_of_three_kinds, i);
	close_ends();
	zoo_wait_for_children();
}

static pthread_t ring[3];

static void *joins_next(void *arg)
{
	zoo_meet(4);
	zoo_stand();
	pthread_join(ring[((long)arg + 1) % 3], NULL);
	return NULL;
}

static void join_ring(void)
{
	zoo_stands(3);
	for (long i = 0; i < 3; i++)
		ring[i] = zoo_thread_run(joins_next, (void *)i);
	zoo_meet(4);
	zoo_idle();
}

/* It waits for a child that waits for another, which reads what only the first could write. */
static void waits_for_reader(void)
{
	pid_t reader = fork();

	close(ends[1]);
	if (!reader) {
		zoo_stand();
		zoo_read(ends[0]);
	}
	close(ends[0]);
	zoo_stand();
	waitpid(reader, NULL, 0);
	_exit(0);
}

static void ancestor_holds_pipe(void)
{
	pid_t child;

	zoo_must(!pipe2(ends, O_CLOEXEC));
	zoo_stands(3);
	child = fork();
	if (!child)
		waits_for_reader();
	close(ends[0]);
	zoo_stand();
	waitpid(child, NULL, 0);
}

/* One reads to the end of a pipe, which another that was begun later has open by mistake. */
static void reads_to_end(long i)
{
	if (i == 0) {
		zoo_locked_file("index", LOCK_EX);
		close(ends[1]);
	}
	zoo_meet(2);
	zoo_stand();
	if (i == 0)
		zoo_read(ends[0]);
	else
		wants_file("index");
}

static void end_inherited(void)
{
	zoo_must(!pipe2(ends, O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(reads_to_end, 0);
	zoo_fork_run(reads_to_end, 1);
	close_ends();
	zoo_wait_for_children();
}

/* Until the child of vfork() runs a program its parent stands still. */
static void vfork_and_lock(void)
{
	int other = zoo_open_file("passwd");

	zoo_locked_file("passwd", LOCK_EX);
	zoo_stands(2);
	zoo_stand();
	if (!vfork()) {
		zoo_stand();
		flock(other, LOCK_EX);
		_exit(0);
	}
}

/* A supervisor that polls the descriptor of a process, which wants what the supervisor has locked. */
static void pidfd_and_lock(void)
{
	struct pollfd fd = {.events = POLLIN};
	pid_t child;

	zoo_stands(2);
	zoo_locked_file("state", LOCK_EX);
	child = fork();
	if (!child) {
		zoo_stand();
		wants_file("state");
	}
	fd.fd = (int)syscall(SYS_pidfd_open, child, 0);
	zoo_must(fd.fd >= 0);
	zoo_stand();
	poll(&fd, 1, -1);
}

/* Records of a fixed length: the socket takes no more, and whoever would take one wants what the sender has locked. */
static void sends_records(long i)
{
	char record[4096] = {0};

	(void)i;
	zoo_locked_file("journal", LOCK_EX);
	close(ends[1]);
	while (send(ends[0], record, sizeof(record), MSG_DONTWAIT) > 0)
		;
	zoo_meet(2);
	zoo_stand();
	zoo_must(send(ends[0], record, sizeof(record), 0) < 0);
}

static void takes_records(long i)
{
	(void)i;
	close(ends[0]);
	zoo_meet(2);
	zoo_stand();
	wants_file("journal");
}

static void seqpacket_and_lock(void)
{
	zoo_must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	zoo_stands(2);
	zoo_fork_run(sends_records, 0);
	zoo_fork_run(takes_records, 0);
	close_ends();
	zoo_wait_for_children();
}

/* ---- locks of one's own make ---- */

static atomic_int words[2];

/* The word says who has it. */
static void own_lock(atomic_int *word, int taken)
{
	int seen = 0;

	while (!atomic_compare_exchange_strong(word, &seen, taken)) {
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		seen = 0;
	}
}

static void *crosses_words(void *arg)
{
	long i = (long)arg;

	own_lock(&words[i], zoo_tid());
	zoo_meet(2);
	zoo_stand();
	own_lock(&words[1 - i], zoo_tid());
	return NULL;
}

static void words_with_owner(void)
{
	zoo_stands(2);
	for (long i = 0; i < 2; i++)
		zoo_thread_run(crosses_words, (void *)i);
	zoo_idle();
}

/* The word says only that it is taken; its taker waits for an answer. */
static void *takes_word_and_reads(void *arg)
{
	own_lock(&words[0], 1);
	zoo_meet(1 + members);
	zoo_stand();
	zoo_receive((int)(long)arg);
	return NULL;
}

static void *wants_word(void *arg)
{
	zoo_meet(1 + members);
	zoo_ready();
	own_lock(&words[0], 1);
	return arg;
}

static void word_without_owner(void)
{
	int quiet = zoo_quiet_peer();

	members = zoo_vary(1, 3);
	zoo_stands(1 + members);
	zoo_thread_run(takes_word_and_reads, (void *)(long)quiet);
	for (int i = 0; i < members; i++)
		zoo_thread_run(wants_word, NULL);
	zoo_idle();
}

/* ---- a process whose first thread has ended ---- */

static void *mutex_then_file(void *arg)
{
	pthread_mutex_lock(&own[0]);
	zoo_meet(2);
	zoo_stand();
	wants_file("cache");
	return arg;
}

static void *file_then_mutex(void *arg)
{
	zoo_locked_file("cache", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	pthread_mutex_lock(&own[0]);
	return arg;
}

static void leader_gone(void)
{
	zoo_stands(2);
	zoo_thread_run(mutex_then_file, NULL);
	zoo_thread_run(file_then_mutex, NULL);
	syscall(SYS_exit, 0);
}

/* ---- chains ---- */

static void stopped_under_lock(long i)
{
	(void)i;
	zoo_locked_file("spool", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	raise(SIGSTOP);
}

static void *waits_for_helper(void *arg)
{
	pid_t helper;

	pthread_mutex_lock(&own[0]);
	helper = fork();
	if (!helper) {
		zoo_meet(2);
		zoo_ready();
		wants_file("spool");
		_exit(0);
	}
	zoo_meet(3);
	zoo_ready();
	waitpid(helper, NULL, 0);
	return arg;
}

static void *wants_own(void *arg)
{
	int fd = accept(*(int *)arg, NULL, NULL);

	zoo_must(fd >= 0);
	zoo_await(&zoo_board->go, 3);
	zoo_ready();
	pthread_mutex_lock(&own[0]);
	return NULL;
}

static void asks_server(long i)
{
	int fd = zoo_connect_unix("server");

	(void)i;
	zoo_ready();
	zoo_receive(fd);
}

/* Client, handler, who has its mutex, that one's helper, and who has the helper's file locked, which was stopped. */
static void long_way(void)
{
	static int listener;

	listener = zoo_listen_unix("server", 4);
	zoo_stands(5);
	zoo_fork_run(asks_server, 0);
	zoo_fork_run(stopped_under_lock, 0);
	zoo_thread_run(waits_for_helper, NULL);
	zoo_thread_run(wants_own, &listener);
	zoo_idle();
}

/* A process is stopped that nobody waits for; what hangs are two others. */
static void crosses_files(long i)
{
	zoo_locked_file(i ? "b" : "a", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	wants_file(i ? "a" : "b");
}

static void stopped_aside(long i)
{
	(void)i;
	zoo_ready();
	raise(SIGSTOP);
}

static void deadlock_beside_stopped(void)
{
	zoo_stands(3);
	zoo_fork_run(stopped_aside, 0);
	zoo_fork_run(crosses_files, 0);
	zoo_fork_run(crosses_files, 1);
	zoo_wait_for_children();
}

/* Who has the mutex of several processes was stopped. */
static void stopped_with_mutex(long i)
{
	(void)i;
	pthread_mutex_lock(common);
	zoo_meet(1);
	zoo_stand();
	raise(SIGSTOP);
}

static void wants_common(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	pthread_mutex_lock(common);
}

static void mutex_of_stopped(void)
{
	common = shared_mutex();
	members = zoo_vary(1, 4);
	zoo_stands(1 + members);
	zoo_fork_run(stopped_with_mutex, 0);
	for (int i = 0; i < members; i++)
		zoo_fork_run(wants_common, i);
	zoo_wait_for_children();
}

/* A debugger has it, and went for a coffee. */
static void traced(long i)
{
	(void)i;
	close(ends[0]);
	zoo_must(!ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	zoo_stand();
	raise(SIGTRAP);
}

static void asks_traced(long i)
{
	(void)i;
	close(ends[1]);
	zoo_ready();
	zoo_receive(ends[0]);
}

static void held_by_debugger(void)
{
	pid_t child;

	zoo_pair(ends);
	zoo_stands(2);
	zoo_fork_run(asks_traced, 0);
	child = zoo_fork_run(traced, 0);
	close_ends();
	zoo_must(waitpid(child, NULL, WUNTRACED) == child);
	zoo_idle();
}

/* A lease must be given back before anybody opens the file; its owner was stopped. */
static void has_lease(long i)
{
	int fd = zoo_open_file("leased");

	(void)i;
	signal(SIGIO, SIG_IGN); /* which tells that somebody wants it, and would end it */
	zoo_must(!fcntl(fd, F_SETLEASE, F_WRLCK));
	zoo_meet(1);
	zoo_stand();
	raise(SIGSTOP);
}

static void opens_leased(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	zoo_open_file("leased");
	zoo_stand_for_ever();
}

static void lease_of_stopped(void)
{
	zoo_stands(2);
	zoo_fork_run(has_lease, 0);
	zoo_fork_run(opens_leased, 0);
	zoo_wait_for_children();
}

const struct zoo_case zoo_unseen[] = {
	{"kinds-of-three", "deadlock", "relay", kinds_of_three, ZOO_HELD_OUT, 0},
	{"join-ring", "deadlock", "cleanup", join_ring, ZOO_HELD_OUT, 0},
	{"ancestor-holds-pipe", "deadlock", "agent", ancestor_holds_pipe, ZOO_HELD_OUT, 0},
	{"end-inherited", "deadlock", "index", end_inherited, ZOO_HELD_OUT, 0},
	{"vfork-and-lock", "deadlock", "master", vfork_and_lock, ZOO_HELD_OUT, 0},
	{"pidfd-and-lock", "deadlock", "master", pidfd_and_lock, ZOO_HELD_OUT, 0},
	{"seqpacket-and-lock", "deadlock", "log", seqpacket_and_lock, ZOO_HELD_OUT, 0},
	{"words-with-owner", "deadlock", "store", words_with_owner, ZOO_HELD_OUT, 0},
	{"word-without-owner", "lost-wakeup", "store", word_without_owner, ZOO_HELD_OUT, 0},
	{"leader-gone", "deadlock", "lookup", leader_gone, ZOO_HELD_OUT, 0},
	{"long-way", "stopped", "web", long_way, ZOO_HELD_OUT, 0},
	{"deadlock-beside-stopped", "deadlock", "deliver", deadlock_beside_stopped, ZOO_HELD_OUT,
		0},
	{"mutex-of-stopped", "stopped", "session", mutex_of_stopped, ZOO_HELD_OUT, 0},
	{"held-by-debugger", "stopped", "lookup", held_by_debugger, ZOO_HELD_OUT, 0},
	{"lease-of-stopped", "stopped", "export", lease_of_stopped, ZOO_HELD_OUT, 0},
	{0},
};
