/* Descriptors taken away and given back, by the real witness, of a program of the test's own. */
#include "tests/unit/witness_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SLOT 3

struct victim {
	struct bench b;
	char *program; /* a shell under a name of its own, so that nobody else's is meant */
	int in;	       /* lines that it runs */
	int pid;
};

/* What comes behind `word` in a line that the victim wrote. */
static int told(struct victim *v, const char *word)
{
	const json_t *line;
	int64_t deadline = soon();
	int number = -1;
	size_t i;

	pthread_mutex_lock(&v->b.lock);
	do
		json_array_foreach (v->b.events, i, line) {
			const char *text = json_get_text(line, "line", "");

			if (!strncmp(text, word, strlen(word)))
				number = atoi(text + strlen(word));
		}
	while (number < 0 && cond_wait(&v->b.changed, &v->b.lock, deadline) != -ETIMEDOUT);
	pthread_mutex_unlock(&v->b.lock);
	return number;
}

static void says(struct victim *v, const char *line)
{
	CHECK_INT(write(v->in, line, strlen(line)), strlen(line));
}

static bool open_victim(struct victim *v)
{
	auto_free char *fifo = NULL, *line = NULL;
	struct witness_result r = {0};
	struct err err = {0};

	*v = (struct victim){.in = -1};
	if (!bench_open(&v->b))
		return false;
	v->program = bench_path(&v->b, "victim");
	fifo = bench_path(&v->b, "in");
	if (!CHECK_INT(fs_copy("/bin/sh", v->program, &err), 0) ||
		!CHECK(!chmod(v->program, 0755)) || !CHECK(!mkfifo(fifo, 0600)))
		return false;
	line = text_fmt("%s -c 'while read -r line; do eval \"$line\"; done' <>%s 3>&- 4>&- &",
		v->program, fifo);
	CHECK_INT(witness_run(v->b.w,
			  &(struct witness_command){
				  .line = line, .timeout_ms = FIXTURE_WAIT_MS, .daemons = true},
			  &r, &err),
		0);
	buf_free(&r.output);
	v->in = open(fifo, O_WRONLY | O_CLOEXEC);
	if (!CHECK(v->in >= 0))
		return false;
	says(v, "echo pid $$\n");
	v->pid = told(v, "pid ");
	return CHECK(v->pid > 0);
}

static void close_victim(struct victim *v)
{
	if (v->pid > 0)
		kill(v->pid, SIGKILL);
	if (v->in >= 0)
		close(v->in);
	free(v->program);
	bench_close(&v->b);
}

#define auto_victim cleanup(close_victim)

static struct rlimit limit_of(int pid)
{
	struct rlimit limit = {0};

	CHECK_INT(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
	return limit;
}

static int bound(struct victim *v, uint64_t spare, struct err *err)
{
	const char *const programs[] = {v->program, NULL};

	return witness_bound_descriptors(v->b.w, SLOT, programs, spare, soon(), err);
}

static int give_back(struct victim *v)
{
	return witness_bound_descriptors(v->b.w, SLOT, NULL, 0, soon(), NULL);
}

static uint64_t met(struct victim *v)
{
	uint64_t processes = 0, calls = 0;

	CHECK_INT(witness_descriptors_met(v->b.w, SLOT, soon(), &processes, &calls, NULL), 0);
	CHECK_INT(processes, 1);
	return calls;
}

static void check_residue(struct victim *v, size_t want)
{
	auto_json json_t *left = NULL;

	CHECK_INT(witness_residue(v->b.w, soon(), &left, NULL), 0);
	CHECK_INT(json_array_size(left), want);
	if (want)
		CHECK_HAS(json_string_value(json_array_get(left, 0)), "still has a limit of");
}

/* A kernel that tells no count (or nobody without privileges) refuses it, and nothing has changed: the rest of a case
 * is for others. */
static bool is_bound(struct victim *v, uint64_t spare)
{
	struct rlimit before = limit_of(v->pid);
	struct err err = {0};
	int rc = bound(v, spare, &err);

	if (rc != -EREMOTEIO)
		return CHECK_INT(rc, 0);
	CHECK_HAS(err.text, "does not count the calls that fail");
	CHECK_INT(limit_of(v->pid).rlim_cur, before.rlim_cur);
	check_residue(v, 0);
	return false;
}

/* The shell has 0, 1 and 2 open. */
static void the_limit_is_the_first_free_number_behind_the_spare_ones(void)
{
	auto_victim struct victim v;
	struct rlimit was;

	if (!open_victim(&v))
		return;
	was = limit_of(v.pid);
	if (!is_bound(&v, 2))
		return;
	CHECK_INT(limit_of(v.pid).rlim_cur, 3 + 2);
	CHECK_INT(limit_of(v.pid).rlim_max, was.rlim_max);
	check_residue(&v, 1);
	CHECK_INT(bound(&v, 1, NULL), 0); /* again: what was found first is not forgotten */
	CHECK_INT(limit_of(v.pid).rlim_cur, 3 + 2);
	CHECK_INT(give_back(&v), 0);
	CHECK_INT(limit_of(v.pid).rlim_cur, was.rlim_cur);
	CHECK_INT(limit_of(v.pid).rlim_max, was.rlim_max);
	CHECK_INT(give_back(&v), 0);
	check_residue(&v, 0);
}

/* With one more, a program finds its libraries, one after the other; with none, it does not. */
static void calls_that_fail_are_counted_also_of_who_was_born_since(void)
{
	auto_victim struct victim v;

	if (!open_victim(&v) || !is_bound(&v, 1))
		return;
	says(&v, "sleep 0; echo first 1\n");
	CHECK_INT(told(&v, "first "), 1);
	CHECK_INT(met(&v), 0);
	says(&v, "sleep 0 3<&0; echo second 2\n");
	CHECK_INT(told(&v, "second "), 2);
	CHECK(met(&v) > 0);
	CHECK_INT(give_back(&v), 0);
}

static void a_child_of_a_parent_that_is_gone_gets_its_limit_back(void)
{
	auto_victim struct victim v;
	struct rlimit was;
	int child;

	if (!open_victim(&v))
		return;
	was = limit_of(v.pid);
	if (!is_bound(&v, 1))
		return;
	says(&v, "sleep 1000 & echo child $!\n");
	child = told(&v, "child ");
	if (!CHECK(child > 0))
		return;
	CHECK_INT(limit_of(child).rlim_cur, 4);
	says(&v, "echo bye $$; exit\n");
	CHECK_INT(told(&v, "bye "), v.pid);

	CHECK_INT(give_back(&v), 0);
	CHECK_INT(limit_of(child).rlim_cur, was.rlim_cur);
	check_residue(&v, 0);
	kill(child, SIGKILL);
	v.pid = 0;
}

static void what_a_process_has_set_itself_stays(void)
{
	auto_victim struct victim v;

	if (!open_victim(&v) || !is_bound(&v, 4))
		return;
	says(&v, "ulimit -Sn 77; echo set 1\n");
	CHECK_INT(told(&v, "set "), 1);
	CHECK_INT(give_back(&v), 0);
	CHECK_INT(limit_of(v.pid).rlim_cur, 77);
	check_residue(&v, 0);
}

static void where_nobody_runs_the_program_nothing_is_bound(void)
{
	const char *const programs[] = {"/no/such/program", NULL};
	uint64_t processes = 1, calls = 1;
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_bound_descriptors(b.w, SLOT, programs, 0, soon(), NULL), 0);
	CHECK_INT(witness_descriptors_met(b.w, SLOT, soon(), &processes, &calls, NULL), 0);
	CHECK_INT(processes + calls, 0);
	CHECK_INT(witness_bound_descriptors(b.w, SLOT, NULL, 0, soon(), NULL), 0);
}

CHECK_MAIN(CHECK_CASE(the_limit_is_the_first_free_number_behind_the_spare_ones),
	CHECK_CASE(calls_that_fail_are_counted_also_of_who_was_born_since),
	CHECK_CASE(a_child_of_a_parent_that_is_gone_gets_its_limit_back),
	CHECK_CASE(what_a_process_has_set_itself_stays),
	CHECK_CASE(where_nobody_runs_the_program_nothing_is_bound))
