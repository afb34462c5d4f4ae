/* More that nobody had thought of: children that do not get as far as their program, memory that waits for a disk, a
 * group of processes that was frozen, and a lock whose holder writes. */
#include "tests/zoo/parts_private.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int members, ends[2];

/* ---- children ---- */

/* What it is to read from is opened before its program begins, as posix_spawn() does it, and nobody writes there. */
static void begins_and_opens(void)
{
	struct clone_args args = {.flags = CLONE_VFORK, .exit_signal = SIGCHLD};

	zoo_must(!mkfifo(zoo_path("input"), 0600));
	zoo_stands(2);
	zoo_ready();
	if (!syscall(SYS_clone3, &args, sizeof(args))) {
		zoo_stand();
		zoo_must(open(zoo_path("input"), O_RDONLY | O_CLOEXEC) >= 0);
	}
}

/* It waits for its child, which reads from a pipe that nobody else has; both have both ends open. */
static void child_reads_own(void)
{
	pid_t child;

	zoo_must(!pipe2(ends, O_CLOEXEC));
	zoo_stands(2);
	child = fork();
	zoo_stand();
	if (!child)
		zoo_read(ends[0]);
	waitpid(child, NULL, 0);
}

/* As a script does that takes a lock, and whose helper's helper takes it again: all three have the locked file open. */
static void takes_again(void)
{
	zoo_stand();
	flock(zoo_open_file("script"), LOCK_EX);
	_exit(0);
}

static void script_locks_twice(void)
{
	pid_t helper, taker;

	zoo_stands(3);
	zoo_locked_file("script", LOCK_EX);
	helper = fork();
	if (!helper) {
		taker = fork();
		if (!taker)
			takes_again();
		zoo_stand();
		waitpid(taker, NULL, 0);
		_exit(0);
	}
	zoo_stand();
	waitpid(helper, NULL, 0);
}

/* ---- a stream ---- */

static FILE *errors;

static void does_not_read(long i)
{
	sem_t *never = zoo_never();

	(void)i;
	close(ends[1]);
	zoo_stand();
	sem_wait(never);
}

static void *complains(void *arg)
{
	flockfile(errors);
	zoo_meet(1);
	zoo_ready();
	fputs("a line of the log", errors);
	return arg;
}

static void *complains_behind(void *arg)
{
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	fputs("another", errors);
	return arg;
}

/* Who reads what all complain to does something else; one of them writes, and has the stream. */
static void complaints_not_read(void)
{
	static char block[1 << 16];

	zoo_must(!pipe2(ends, O_CLOEXEC));
	errors = fdopen(ends[1], "w");
	zoo_must(errors && !setvbuf(errors, NULL, _IONBF, 0));
	members = zoo_vary(1, 3);
	zoo_stands(2 + members);
	zoo_fork_run(does_not_read, 0);
	close(ends[0]);
	zoo_must(!fcntl(ends[1], F_SETFL, O_NONBLOCK));
	while (write(ends[1], block, sizeof(block)) > 0)
		;
	zoo_must(!fcntl(ends[1], F_SETFL, 0));
	zoo_thread_run(complains, NULL);
	for (int i = 0; i < members; i++)
		zoo_thread_run(complains_behind, NULL);
	zoo_idle();
}

/* ---- what the kernel holds ---- */

/* It writes to a mapped file of a disk that was frozen: a wait without a call. */
static void *writes_mapped(void *arg)
{
	volatile char *map = arg;

	zoo_stand();
	map[0] = 'x';
	return NULL;
}

static void mapped_while_frozen(void)
{
	int fd = open(ZOO_DISK_DIR "/index", O_RDWR | O_CLOEXEC);
	char *map =
		fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	zoo_must(map != MAP_FAILED);
	zoo_stands(1);
	zoo_thread_run(writes_mapped, map);
	zoo_idle();
}

/* A whole group of processes was frozen, which no signal tells. */
static void put(const char *name, const char *text)
{
	int fd = open(zoo_path(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	zoo_must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void serves_and_is_frozen(long i)
{
	(void)i;
	close(ends[0]);
	zoo_stand();
	zoo_receive(ends[1]);
}

static void asks_frozen(long i)
{
	(void)i;
	close(ends[1]);
	zoo_must(write(ends[0], "question", 8) == 8);
	zoo_ready();
	zoo_receive(ends[0]);
}

static void group_frozen(void)
{
	char pid[16];
	pid_t server;

	zoo_must(!mkdir(zoo_path("groups"), 0700) &&
		 !mount("none", zoo_path("groups"), "cgroup2", 0, NULL) &&
		 !mkdir(zoo_path("groups/one"), 0700));
	zoo_pair(ends);
	zoo_stands(2);
	server = zoo_fork_run(serves_and_is_frozen, 0);
	snprintf(pid, sizeof(pid), "%d", (int)server);
	put("groups/one/cgroup.procs", pid);
	put("groups/one/cgroup.freeze", "1");
	zoo_fork_run(asks_frozen, 0);
	close(ends[0]);
	close(ends[1]);
	zoo_wait_for_children();
}

/* ---- deaths ---- */

static void finds_itself_wrong(long i)
{
	zoo_stand();
	assert(i == 4);
}

/* Begun again and again, it finds the same wrong each time. */
static void asserts_again(void)
{
	zoo_stands(4);
	for (int i = 0; i < 4; i++) {
		zoo_fork_run(finds_itself_wrong, i);
		zoo_await(&zoo_board->ready, i + 1);
	}
	zoo_idle();
}

static void frees_twice(long i)
{
	char *volatile block = malloc((size_t)(40 + i)), *volatile same = block;

	free(block);
	zoo_stand();
	free(same); /* NOLINT: meant */
}

static void double_free(void)
{
	zoo_stands(1);
	zoo_fork_run(frees_twice, 0);
	zoo_idle();
}

static long walks_down(volatile char *above, long depth)
{
	volatile char here[2048];

	here[0] = above[0];
	return depth > 1000000 ? depth : walks_down(here, depth + 1) + here[0];
}

static void *walks(void *arg)
{
	volatile char top = 0;

	zoo_stand();
	zoo_must(walks_down(&top, 0) == 1);
	return arg;
}

static void worker_overflows(long i)
{
	(void)i;
	pthread_join(zoo_thread_run(walks, NULL), NULL);
}

static void stack_of_worker(void)
{
	zoo_stands(1);
	zoo_fork_run(worker_overflows, 0);
	zoo_idle();
}

const struct zoo_case zoo_unseen_calls[] = {
	{"begins-and-opens", "lost-wakeup", "master", begins_and_opens, ZOO_HELD_OUT, 0},
	{"child-reads-own", "deadlock", "agent", child_reads_own, ZOO_HELD_OUT, 0},
	{"script-locks-twice", "deadlock", "update", script_locks_twice, ZOO_HELD_OUT, 0},
	{"complaints-not-read", "lost-wakeup", "scan", complaints_not_read, ZOO_HELD_OUT, 0},
	{"mapped-while-frozen", NULL, "index", mapped_while_frozen,
		ZOO_HELD_OUT | ZOO_FROZEN | ZOO_OVERDUE, 0},
	{"mapped-never-thawed", "lost-wakeup", "index", mapped_while_frozen,
		ZOO_HELD_OUT | ZOO_THAWED, 0},
	{"asserts-again", "crash-loop", "update", asserts_again, ZOO_HELD_OUT | ZOO_DIES, 4},
	{"double-free", "crash", "relay", double_free, ZOO_HELD_OUT | ZOO_DIES, 1},
	{"stack-of-worker", "crash", "filter", stack_of_worker, ZOO_HELD_OUT | ZOO_DIES, 1},
	{"group-frozen", "stopped", "session", group_frozen, ZOO_HELD_OUT | ZOO_ALONE, 0},
	{0},
};
