/* Processes that end by a signal. */
#include "tests/zoo/parts_private.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECT_SIZE (256 << 10) /* big enough that free() gives its pages back */

static void die_in(void (*end)(long))
{
	zoo_stands(1);
	zoo_fork_run(end, 0);
	zoo_idle();
}

static void writes_nowhere(long i)
{
	volatile int *nowhere = (volatile int *)(intptr_t)(i * 8); /* NOLINT: meant */

	zoo_stand();
	*nowhere = 1;
}

static void segfault(void)
{
	die_in(writes_nowhere);
}

static void gives_up(long i)
{
	(void)i;
	zoo_stand();
	abort();
}

static void aborted(void)
{
	die_in(gives_up);
}

static int deeper(volatile char *above)
{
	volatile char here[4096];

	if (!above)
		return 0;
	here[0] = above[0];
	return deeper(here) + here[0];
}

static void runs_out_of_stack(long i)
{
	volatile char top = (char)i;

	zoo_stand();
	zoo_must(deeper(&top) == 1);
}

static void stack_overflow(void)
{
	die_in(runs_out_of_stack);
}

struct object {
	void (*notify)(struct object *object);
	char rest[OBJECT_SIZE];
};

static struct object *registered;

static void notified(struct object *object)
{
	object->rest[0]++;
}

static void *pushes(void *arg)
{
	zoo_blame();
	while (atomic_load(&zoo_board->go) < 1)
		;
	zoo_ready();
	registered->notify(registered);
	return arg;
}

/* One thread frees what another still calls. */
static void frees_too_early(long i)
{
	(void)i;
	registered = malloc(sizeof(*registered));
	zoo_must(registered != NULL);
	registered->notify = notified;
	zoo_thread_run(pushes, NULL);
	zoo_blame();
	free(registered);
	zoo_meet(1);
	zoo_stand_for_ever();
}

static void use_after_free(void)
{
	die_in(frees_too_early);
}

static int divide(volatile int by)
{
	return 7 / by;
}

static void divides_by_nothing(long i)
{
	zoo_stand();
	zoo_must(divide((int)i) != 0);
}

static void divided(void)
{
	die_in(divides_by_nothing);
}

static void reads_a_record(volatile const char *record)
{
	zoo_must(record[0] == 'x');
}

static void crashes_at_once(long i)
{
	zoo_stand();
	reads_a_record((volatile const char *)(intptr_t)(16 + i)); /* NOLINT: meant */
}

/* Started again, and it ends again. */
static void crash_loop(void)
{
	zoo_stands(4);
	for (int i = 0; i < 4; i++) {
		zoo_fork_run(crashes_at_once, i);
		zoo_await(&zoo_board->ready, i + 1);
	}
	zoo_idle();
}

const struct zoo_case zoo_deaths[] = {
	{"segfault", "crash", "store", segfault, ZOO_DIES, 1},
	{"aborted", "crash", "session", aborted, ZOO_DIES, 1},
	{"stack-overflow", "crash", "deliver", stack_overflow, ZOO_DIES, 1},
	{"use-after-free", "crash", "queue", use_after_free, ZOO_DIES, 1},
	{"divided-by-zero", "crash", "lookup", divided, ZOO_DIES, 1},
	{"crash-loop", "crash-loop", "agent", crash_loop, ZOO_DIES, 4},
	{0},
};
