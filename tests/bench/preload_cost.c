/*
 * What a fault point costs in a process of the guest: nothing armed, armed for another program, and
 * stock libfiu beside it; and what the preload adds to an exec. Run by make bench.
 *
 * Prints one line per figure: name, the least and the median of BATCHES batches, in nanoseconds per
 * call. The difference to the line "without" is the cost. Ends with 1 if a point that is not armed
 * costs more than stock libfiu's own miss, or the free journal more than HEAP_MAX_NS.
 */
#include "faults/guest/board_control.h"
#include "tests/bench/spread.h"

#define FIU_ENABLE
#include <fiu.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCHES 41
#define CALLS	20000
#define EXECS	40 /* in a batch */

struct figure {
	double least, median;
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct figure measure(void (*run)(void), int calls)
{
	double took[BATCHES];

	run();
	for (int batch = 0; batch < BATCHES; batch++) {
		double began = now_ns();

		for (int i = 0; i < calls; i++)
			run();
		took[batch] = (now_ns() - began) / calls;
	}
	spread_sort(took, BATCHES);
	return (struct figure){took[0], took[BATCHES / 2]};
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock_mutex(void)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
}

static void sync_nothing(void)
{
	fsync(-1);
}

static void own_point(void)
{
	fiu_fail("teststore/log/thaw");
}

/* What the free journal costs: a mix of sizes, most of them freed in another order. */
static void allocate_and_free(void)
{
	static void *held[64];
	static unsigned int turn;
	unsigned int at = turn++ * 37 % 64;

	free(held[at]);
	held[at] = malloc(24 + turn % 29 * 16);
}

/* `second`: in a process of two threads, of which the other does nothing; these come last. */
static const struct {
	const char *name;
	void (*run)(void);
	bool second;
} loops[] = {{"pthread_mutex_lock", lock_mutex, false}, {"fsync", sync_nothing, false},
	{"fiu_fail", own_point, false}, {"malloc and free", allocate_and_free, false},
	{"... of two threads", allocate_and_free, true}};

#define LOOPS	    (sizeof(loops) / sizeof(loops[0]))
#define LOOP_OWN    2
#define LOOP_HEAP   3
#define LOOP_HEAPS  4	  /* of two threads */
#define HEAP_MAX_NS 100.0 /* what the journal may add to a malloc() and a free() */

/* In a child with this preload: its figures, in the order of loops[]. */
static void figures_with(const char *self, const char *preload, struct figure *ret)
{
	char command[4096];
	FILE *child;

	snprintf(command, sizeof(command), "LD_PRELOAD='%s' '%s' measure", preload, self);
	child = popen(command, "r");
	for (size_t i = 0; child && i < LOOPS; i++)
		if (fscanf(child, "%lf %lf", &ret[i].least, &ret[i].median) != 2)
			abort();
	if (!child || pclose(child))
		abort();
}

static void *do_nothing(void *arg)
{
	char byte;

	if (read(*(int *)arg, &byte, 1) < 0)
		abort();
	return NULL;
}

static int measure_here(void)
{
	pthread_t thread = 0;
	int pipe_fd[2];

	if (pipe2(pipe_fd, O_CLOEXEC))
		abort();
	for (size_t i = 0; i < LOOPS; i++) {
		struct figure figure;

		if (loops[i].second && !thread &&
			pthread_create(&thread, NULL, do_nothing, &pipe_fd[0]))
			abort();
		figure = measure(loops[i].run, CALLS);
		printf("%.2f %.2f\n", figure.least, figure.median);
	}
	close(pipe_fd[1]); /* it ends */
	if (thread)
		pthread_join(thread, NULL);
	close(pipe_fd[0]);
	return 0;
}

static void show(const char *what, const struct figure *figures)
{
	for (size_t i = 0; i < LOOPS; i++)
		printf("%-34s %-20s least %7.1f ns  median %7.1f ns\n", what, loops[i].name,
			figures[i].least, figures[i].median);
}

static void exec_true(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void show_exec(const char *what, const char *preload)
{
	struct figure figure;

	setenv("LD_PRELOAD", preload, 1);
	figure = measure(exec_true, EXECS);
	unsetenv("LD_PRELOAD");
	printf("%-34s %-20s least %7.0f ns  median %7.0f ns\n", what, "exec", figure.least,
		figure.median);
}

static void arm(const char *line)
{
	char reply[1024];

	if (board_control_command(line, reply, sizeof(reply))) {
		fprintf(stderr, "%s: %s\n", line, reply);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char self[2048] = {0}, preload[4096], dir[] = "/tmp/preload-cost.XXXXXX", board[64];
	struct figure bare[LOOPS], stock[LOOPS], unarmed[LOOPS], elsewhere[LOOPS];

	if (argc == 2 && !strcmp(argv[1], "measure"))
		return measure_here();
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0 || !mkdtemp(dir))
		return 1;
	snprintf(preload, sizeof(preload), "%.*s/../guest/librigfault.so",
		(int)(strrchr(self, '/') - self), self);
	snprintf(board, sizeof(board), "%s/board", dir);
	if (board_control_open(board))
		return 1;
	setenv(BOARD_ENV, board, 1);

	figures_with(self, "", bare);
	figures_with(self, "/usr/lib/fiu/fiu_posix_preload.so", stock);
	figures_with(self, preload, unarmed);
	show_exec("without", "");
	show_exec("stock libfiu's preload", "/usr/lib/fiu/fiu_posix_preload.so");
	show_exec("librigfault.so", preload);
	arm("arm slot=1 point=posix/pthread/mutex_lock exe=/usr/lib/other calls=all");
	arm("arm slot=2 point=posix/io/sync/fsync exe=/usr/lib/other calls=all");
	arm("arm slot=3 point=teststore/log/thaw exe=/usr/lib/other calls=all");
	figures_with(self, preload, elsewhere);

	show("without (fiu_fail: stock libfiu)", bare);
	show("stock libfiu's preload, a miss", stock);
	show("librigfault.so, nothing armed", unarmed);
	show("librigfault.so, armed elsewhere", elsewhere);
	unlink(board);
	rmdir(dir);
	return unarmed[LOOP_OWN].least > bare[LOOP_OWN].least ||
	       unarmed[LOOP_HEAP].least - bare[LOOP_HEAP].least > HEAP_MAX_NS ||
	       unarmed[LOOP_HEAPS].least - bare[LOOP_HEAPS].least > HEAP_MAX_NS;
}
