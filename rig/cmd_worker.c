/*
 * The processes that a campaign supervises: `mailrig worker WHAT DIR`, with DIR/plan.json saying the rest.
 *	template  make the plan's image and template if they are not in the cache; says what it does
 *	cell	  run the cell, then judge it
 *	judge	  judge what a cell left
 *	record	  run a sweep's cell on disks that log their writes
 *	boundary  boot from one state of those disks, start, read back, judge
 * A worker dies with the campaign that started it.
 */
#include "cmd.h"

#include "base/fs.h"
#include "base/log.h"
#include "run/bed/bed_vm.h"
#include "run/cell/cell.h"
#include "run/judge.h"
#include "run/sweep.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static void on_interrupt(int sig)
{
	(void)sig;
	cell_interrupt();
}

static void die_with_parent(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == 1)
		_exit(EXIT_TROUBLE);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void say(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "  %s\n", line);
}

/* Why it could not be made goes where the campaign looks for it. */
static int make_template(const char *dir, const struct plan *plan)
{
	auto_free char *path = path_join(dir, "failed");
	struct err err = {0};

	if (!bed_vm_prepare(plan->target, say, NULL, &err))
		return EXIT_OK;
	fs_write_atomic(path, err.text, strlen(err.text), NULL);
	return EXIT_TROUBLE;
}

static int judge(const char *dir)
{
	struct result result = {0};
	struct err err = {0};
	int rc = judge_cell(dir, &result, &err);

	if (!rc)
		rc = judge_save(dir, &result, &err);
	result_free(&result);
	return rc ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
}

static int run_cell(const char *dir, const struct plan *plan)
{
	struct err err = {0};

	if (cell_run(plan, dir, bed_vm_open, NULL, &err))
		return cmd_fail(EXIT_TROUBLE, &err);
	return judge(dir);
}

int cmd_worker(int argc, char **argv)
{
	auto_free char *log = NULL;
	struct plan *plan = NULL;
	struct err err = {0};
	int code = EXIT_USAGE;

	if (argc != 3)
		return EXIT_USAGE;
	die_with_parent();
	log = path_join(argv[2], "rig.log");
	if (log_open(log, &err) || plan_load(argv[2], &plan, &err))
		return cmd_fail(EXIT_TROUBLE, &err);
	if (!strcmp(argv[1], "template"))
		code = make_template(argv[2], plan);
	else if (!strcmp(argv[1], "cell"))
		code = run_cell(argv[2], plan);
	else if (!strcmp(argv[1], "record"))
		code = sweep_record(plan, argv[2], &err) ? cmd_fail(EXIT_TROUBLE, &err) : EXIT_OK;
	else if (!strcmp(argv[1], "boundary"))
		code = sweep_boundary(plan, argv[2], &err) ? cmd_fail(EXIT_TROUBLE, &err)
							   : judge(argv[2]);
	else if (!strcmp(argv[1], "judge"))
		code = judge(argv[2]);
	plan_free(plan);
	log_close();
	return code;
}
