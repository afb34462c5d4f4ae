#include "cmd.h"

#include "api/verdict.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/units.h"
#include "report/exit_code.h"
#include "run/judge.h"
#include "run/known.h"
#include "run/plan/plan.h"
#include "run/supervise.h"
#include "run/sweep.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define POINT	    "disk/write"
#define BOUNDARIES  8
#define RECORD_MS   (30 * 60 * 1000)
#define BOUNDARY_MS (15 * 60 * 1000)
#define RESULT_MAX  (8u << 20)
#define FOLDERS_MAX 10000

const char usage_sweep[] =
	"usage: mailrig sweep SCENARIO --target NAME --point disk/write [OPTION...]\n\n"
	"Run the scenario's workload once, then boot from what the disks held at many instants of "
	"it, as after a\n"
	"power cut, start the store and judge what it still has. The one kind of point that is "
	"swept is disk/write;\n"
	"for calls, scenarios name their point and hit.\n"
	"  --boundaries N      at most N states, spread evenly over the run (default 8)\n"
	"  --time-budget TIME  begin no boundary after this: 10min, 2h\n"
	"  --seed N            (default 1)\n"
	"  --jobs N            boundaries at the same time (default 1)\n"
	"  --results DIR       (default: results)\n\n"
	"exit: 0 ok, 1 a finding that tests/known.yaml does not list, 2 cannot tell, 16 rig "
	"trouble, 64 usage\n";

struct sweep {
	const char *scenario, *target, *point, *results;
	uint64_t boundaries, seed, jobs;
	int64_t budget_ms, deadline_ns;

	char *dir;
	struct plan *plan;
	struct known_list known;
	uint32_t count, next, states;
	char **dirs; /* of the boundaries */
	struct result *results_at;
	size_t done;
	bool recorded;
	int record_status;
};

enum { OPT_TARGET = 256, OPT_POINT, OPT_BOUNDARIES, OPT_BUDGET, OPT_SEED, OPT_JOBS, OPT_RESULTS };

static const struct option long_options[] = {
	{"target", required_argument, NULL, OPT_TARGET},
	{"point", required_argument, NULL, OPT_POINT},
	{"boundaries", required_argument, NULL, OPT_BOUNDARIES},
	{"time-budget", required_argument, NULL, OPT_BUDGET},
	{"seed", required_argument, NULL, OPT_SEED},
	{"jobs", required_argument, NULL, OPT_JOBS},
	{"results", required_argument, NULL, OPT_RESULTS},
	{0},
};

static int take_option(void *arg, int option, const char *value, struct err *err)
{
	struct sweep *s = arg;

	switch (option) {
	case OPT_TARGET:
		s->target = value;
		return 0;
	case OPT_POINT:
		s->point = value;
		return 0;
	case OPT_BOUNDARIES:
		return parse_count(
			"--boundaries", value, SWEEP_BOUNDARIES_MAX, &s->boundaries, err);
	case OPT_BUDGET:
		return parse_duration_ms("--time-budget", value, &s->budget_ms, err);
	case OPT_SEED:
		return parse_count("--seed", value, UINT32_MAX, &s->seed, err);
	case OPT_JOBS:
		return parse_count("--jobs", value, SUPERVISE_JOBS_MAX, &s->jobs, err);
	default:
		s->results = value;
		return 0;
	}
}

static int parse_arguments(struct sweep *s, int argc, char **argv, struct err *err)
{
	int rc = cmd_options(argc, argv, long_options, take_option, s, err);

	if (rc)
		return rc;
	if (optind + 1 != argc || !s->target || !s->point)
		return err_set(err, -EINVAL, "say one SCENARIO, --target and --point");
	s->scenario = argv[optind];
	if (strcmp(s->point, POINT) != 0)
		return err_set(err, -EINVAL, "'--point %s' is not swept; say " POINT, s->point);
	return 0;
}

/* ---- jobs: the recording, then the boundaries ---- */

static bool next_job(void *arg, struct job *ret)
{
	struct sweep *s = arg;

	if (!s->recorded || s->next == s->count || clock_mono_ns() >= s->deadline_ns)
		return false;
	*ret = (struct job){"boundary", s->dirs[s->next], BOUNDARY_MS, &s->results_at[s->next]};
	s->next++;
	return true;
}

static int load_result(const char *dir, struct result *ret, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = json_load_path(path, RESULT_MAX, err);

	return json ? result_from_json(json, ret, err) : -EIO;
}

static void job_done(void *arg, const struct job *job, const struct job_end *end)
{
	struct sweep *s = arg;
	struct result *result = job->arg;
	struct err err = {0};

	if (load_result(job->dir, result, &err)) {
		*result = (struct result){.verdict = VERDICT_BROKEN,
			.reason = text_fmt("the worker left no verdict: %s", err.text)};
	}
	result->path = result->path ? result->path : text_dup(job->dir);
	if (known_covers(&s->known, result)) {
		result->state = FINDING_KNOWN;
		judge_save(job->dir, result, NULL);
	}
	s->done++;
	printf("  %-7s %5.1f s  %s%s%s%s\n", verdict_name(result->verdict),
		(double)end->wall_ms / 1000, job->dir, *result->reason ? "  " : "",
		result->state == FINDING_KNOWN ? "known: " : "", result->reason);
	fflush(stdout);
}

static bool next_recording(void *arg, struct job *ret)
{
	struct sweep *s = arg;
	static char *dir;

	if (s->recorded)
		return false;
	s->recorded = true;
	free(dir);
	dir = path_join(s->dir, "recording");
	*ret = (struct job){"record", dir, RECORD_MS, NULL};
	return true;
}

static void recording_done(void *arg, const struct job *job, const struct job_end *end)
{
	struct sweep *s = arg;

	s->record_status = end->status;
	printf("  recorded %.1f s  %s\n", (double)end->wall_ms / 1000, job->dir);
	fflush(stdout);
}

/* ---- the whole ---- */

static int make_plan(struct sweep *s, struct err *err)
{
	const char *const scenarios[] = {s->scenario, NULL}, *const targets[] = {s->target, NULL};
	auto_free char *root = plan_root(err);
	struct plan_request request = {.root = root,
		.scenarios = scenarios,
		.targets = targets,
		.seed = s->seed,
		.seeds = 1,
		.repeat = 1};
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};
	int rc = root ? plan_make(&request, &plans, &complaints, err) |
				 cmd_known(root, &s->known, &complaints)
		      : -ENOENT;

	if (rc && complaints.len)
		fputs(buf_text(&complaints), stderr);
	if (!rc && plans.count != 1)
		rc = err_set(err, -EINVAL, "'%s' on '%s' is not one cell", s->scenario, s->target);
	if (!rc)
		s->plan = plan_copy(plans.at[0]);
	plan_list_free(&plans);
	return rc;
}

static int make_folder(struct sweep *s, struct err *err)
{
	int rc = fs_mkdir_p(s->results, err);

	for (unsigned int i = 1; !rc && i < FOLDERS_MAX; i++) {
		auto_free char *dir = text_fmt("%s/sweep.%s.%u", s->results, s->plan->id, i);

		if (!mkdir(dir, 0777)) {
			s->dir = realpath(dir, NULL);
			return s->dir ? 0 : err_sys(err, errno, "cannot find '%s'", dir);
		}
		if (errno != EEXIST)
			rc = err_sys(err, errno, "cannot make '%s'", dir);
	}
	return rc ? rc : err_set(err, -EEXIST, "'%s' is full of sweeps", s->results);
}

static int record(struct sweep *s, struct err *err)
{
	static const struct supervise_ops ops = {next_recording, recording_done};
	int rc = sweep_plan_recording(s->plan, s->dir, err);

	if (!rc)
		rc = supervise(1, &ops, s, err);
	if (!rc && s->record_status)
		rc = err_set(err, -EIO, "the recording failed; see %s/recording/rig.log", s->dir);
	return rc;
}

static int sweep_all(struct sweep *s, struct err *err)
{
	static const struct supervise_ops ops = {next_job, job_done};
	int count =
		sweep_plan_boundaries(s->plan, s->dir, (uint32_t)s->boundaries, &s->states, err);

	if (count < 0)
		return count;
	s->count = (uint32_t)count;
	s->dirs = mem_zero(s->count, sizeof(*s->dirs));
	s->results_at = mem_zero(s->count, sizeof(*s->results_at));
	for (uint32_t i = 0; i < s->count; i++)
		s->dirs[i] = sweep_dir(s->dir, i + 1);
	return supervise((unsigned int)s->jobs, &ops, s, err);
}

static int conclude(const struct sweep *s, int64_t began_ns)
{
	const struct exit_options options = {.max_broken_ratio = -1};
	size_t counts[VERDICT_COUNT] = {0};
	double minutes = (double)(clock_mono_ns() - began_ns) / (double)NS_PER_SEC / 60;

	for (size_t i = 0; i < s->done; i++)
		counts[s->results_at[i].verdict]++;
	printf("\n%zu of %u states of the disks swept: %zu FAIL, %zu PASS, %zu UNKNOWN, %zu "
	       "BROKEN; "
	       "%.1f a minute\n",
		s->done, s->states, counts[VERDICT_FAIL], counts[VERDICT_PASS],
		counts[VERDICT_UNKNOWN], counts[VERDICT_BROKEN], (double)s->done / minutes);
	for (size_t i = 0; i < s->done; i++)
		if (s->results_at[i].verdict == VERDICT_FAIL)
			printf("mailrig show %s\n", s->results_at[i].path);
	return (int)campaign_exit_code(s->results_at, s->done, &options);
}

static void sweep_free(struct sweep *s)
{
	for (uint32_t i = 0; i < s->count; i++) {
		free(s->dirs[i]);
		result_free(&s->results_at[i]);
	}
	free(s->dirs);
	free(s->results_at);
	free(s->dir);
	plan_free(s->plan);
	known_list_free(&s->known);
}

int cmd_sweep(int argc, char **argv)
{
	struct sweep s = {.results = "results",
		.boundaries = BOUNDARIES,
		.seed = 1,
		.jobs = 1,
		.budget_ms = -1};
	struct err err = {0};
	int64_t began;
	int code;

	if (cmd_wants_help(argc, argv, usage_sweep))
		return EXIT_OK;
	if (parse_arguments(&s, argc, argv, &err))
		return cmd_misused("sweep", "%s", err.text);
	if (make_plan(&s, &err)) {
		sweep_free(&s);
		return cmd_fail(EXIT_USAGE, &err);
	}
	s.deadline_ns = deadline_in_ms(s.budget_ms);
	if (make_folder(&s, &err) || record(&s, &err)) {
		sweep_free(&s);
		return cmd_fail(EXIT_TROUBLE, &err);
	}
	began = clock_mono_ns();
	code = sweep_all(&s, &err) ? cmd_fail(EXIT_TROUBLE, &err) : conclude(&s, began);
	sweep_free(&s);
	return code;
}
