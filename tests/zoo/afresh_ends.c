/* More of those of afresh.c: processes that end, by a signal or with a status. */
#include "tests/zoo/parts_private.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE  4096
#define BEGUN 4

static void die_in(void (*end)(long))
{
	zoo_stands(1);
	zoo_fork_run(end, 0);
	zoo_idle();
}

static void reads_what_was_cut(long i)
{
	int fd = zoo_open_file("cache");
	volatile char *map;

	zoo_must(!ftruncate(fd, PAGE));
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zoo_must(map != MAP_FAILED && !ftruncate(fd, 0));
	zoo_stand();
	map[0] = (char)i;
}

static void cut_while_mapped(void)
{
	die_in(reads_what_was_cut);
}

static void frees_twice(long i)
{
	void *volatile block = malloc(64);
	void *volatile again = block;

	(void)i;
	zoo_stand();
	free(block);
	free(again);
}

static void freed_twice(void)
{
	die_in(frees_twice);
}

static void starts_and_gives_up(long i)
{
	(void)i;
	zoo_stand();
	abort();
}

static void restarted_and_aborts(void)
{
	zoo_stands(3);
	for (int i = 0; i < 3; i++)
		waitpid(zoo_fork_run(starts_and_gives_up, i), NULL, 0);
	zoo_idle();
}

/* ---- who ends with a status ---- */

static void gives_up(long i)
{
	zoo_blame();
	_exit(i ? 1 : 0);
}

static void begins_again(void (*child)(long))
{
	for (int i = 0; i < BEGUN; i++)
		waitpid(zoo_fork_run(child, 1), NULL, 0);
}

static void gives_up_again(void)
{
	zoo_stands(1);
	begins_again(gives_up);
	zoo_ready();
	zoo_idle();
}

static void says_no(long i)
{
	_exit((int)i);
}

static void holds(long i)
{
	int fd = zoo_quiet_peer();

	(void)i;
	zoo_locked_file("spool", LOCK_EX);
	zoo_stand();
	zoo_receive(fd);
}

/* Its helper fails because of the same hang, or for reasons of its own. */
static void helper_fails_beside(void)
{
	zoo_stands(2);
	zoo_fork_run(holds, 0);
	zoo_await(&zoo_board->ready, 1);
	begins_again(says_no);
	zoo_ready();
	flock(zoo_open_file("spool"), LOCK_EX);
}

/* Its answer is no, and that is all right. */
static void helper_says_no(void)
{
	zoo_stands(1);
	begins_again(says_no);
	zoo_ready();
	zoo_idle();
}

const struct zoo_case zoo_afresh_ends[] = {
	{"cut-while-mapped", "crash", "index", cut_while_mapped, ZOO_DIES, 1},
	{"freed-twice", "crash", "store", freed_twice, ZOO_DIES, 1},
	{"restarted-and-aborts", "crash-loop", "agent", restarted_and_aborts, ZOO_DIES, 3},
	{"gives-up-again", "crash-loop", "agent", gives_up_again, ZOO_EXITS, 0},
	{"helper-fails-beside", "lost-wakeup", "deliver", helper_fails_beside, ZOO_EXITS, 0},
	{"helper-says-no", NULL, "agent", helper_says_no, ZOO_EXITS, 0},
	{0},
};
