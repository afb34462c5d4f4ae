#include "cmd.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/units.h"
#include "run/campaign.h"
#include "run/minimise.h"
#include "run/plan/scenario_load.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define VERDICT_MAX (4u << 20)
#define TRIES	    24
#define TRIES_MAX   1000

const char usage_minimise[] =
	"usage: mailrig minimise [CELL] [--tries N] [--time-budget TIME] [--results DIR]\n\n"
	"The smallest scenario that still has the cell's finding: steps and workloads are left out "
	"and "
	"numbers\n"
	"halved, one change after the other, each tried by running the cell. It is kept if verdict "
	"and "
	"signature\n"
	"stay. CELL as for `mailrig show`; without it the latest finding. The result is a scenario "
	"file. Exit code:\n"
	"0 it ended, 2 it was cut short by a limit (what was reached is told), 4 no such cell or "
	"finding, 16 rig trouble.\n"
	"  --tries N           cells at most (default: 24)\n"
	"  --time-budget TIME  no new cell after it (default: 1h)\n"
	"  --results DIR       where campaigns are (default: results)\n";

struct minimising {
	const char *results;
	uint64_t tries;
	int64_t budget_ms;
	struct plan *plan;
	char *signature;
	char *dir; /* of the last campaign */
	bool same, trouble, interrupted;
};

/* ---- one cell ---- */

static char *signature_of(const struct result *result)
{
	const struct finding *first = result_finding(result);

	return text_dup(result->verdict == VERDICT_FAIL && first ? first->signature : "");
}

static void note(void *arg, const struct result *result)
{
	struct minimising *m = arg;
	auto_free char *signature = NULL;

	if (!result->number) /* the baseline */
		return;
	signature = signature_of(result);
	m->same = *signature && !strcmp(signature, m->signature);
	m->trouble = result->verdict == VERDICT_BROKEN || result->verdict == VERDICT_MISS;
}

static int plan_with(
	const struct plan *plan, const json_t *scenario, struct plan **ret, struct err *err)
{
	auto_json json_t *json = plan_to_json(plan);
	int rc;

	json_object_set(json, "scenario", (json_t *)scenario);
	rc = plan_from_json(json, ret, err);
	if (!rc) {
		free((*ret)->baseline);
		(*ret)->baseline = NULL;
	}
	return rc;
}

static int run_one(struct minimising *m, const json_t *scenario, struct err *err)
{
	struct plan *plan = NULL;
	struct plan_list plans = {.at = &plan, .count = 1};
	const struct campaign_request request = {.results = m->results,
		.plans = &plans,
		.jobs = 1,
		.time_budget_ms = -1,
		.no_control = true};
	const struct campaign_tell tell = {.cell = note, .arg = m};
	struct campaign campaign = {0};
	int rc = plan_with(m->plan, scenario, &plan, err);

	if (rc == -EINVAL) { /* what is left of it is no scenario */
		m->same = false;
		return 0;
	}
	m->same = m->trouble = false;
	if (!rc)
		rc = campaign_run(&request, &tell, &campaign, err);
	if (!rc) {
		m->interrupted = campaign.interrupted;
		free(m->dir);
		m->dir = text_dup(campaign.dir);
	}
	campaign_free(&campaign);
	plan_free(plan);
	return rc;
}

/* ---- all of them ---- */

/* True: it ended by itself. */
static int minimise(
	struct minimising *m, struct minimiser *minimiser, bool *ret_ended, struct err *err)
{
	int64_t until_ns = deadline_in_ms(m->budget_ms);
	uint64_t tried = 0;
	int rc = 0;

	*ret_ended = false;
	while (!rc && !m->interrupted) {
		auto_free char *what = NULL;
		auto_json json_t *candidate = minimiser_next(minimiser, &what);

		*ret_ended = !candidate;
		if (!candidate)
			break;
		if (tried++ == m->tries || clock_mono_ns() >= until_ns)
			break;
		rc = run_one(m, candidate, err);
		if (rc || m->interrupted)
			break;
		minimiser_tell(minimiser, m->same);
		printf("  %-8s %s\n", m->same ? "still" : m->trouble ? "trouble" : "not", what);
		fflush(stdout);
	}
	return rc;
}

static int save(struct minimising *m, const json_t *scenario, struct err *err)
{
	auto_free char *path = NULL;
	struct plan *plan = NULL;
	auto_buf struct buf yaml = {0};
	int rc = plan_with(m->plan, scenario, &plan, err);

	if (rc)
		return rc;
	path = text_fmt("%s/%s-minimal.yaml", m->dir ? m->dir : m->results, plan->scenario->name);
	scenario_print(plan->scenario, plan->target, &yaml);
	rc = fs_write_atomic(path, buf_text(&yaml), yaml.len, err);
	if (!rc) {
		printf("\n%s\n", buf_text(&yaml));
		printf("mailrig run %s --target %s --seed %llu", path, plan->target->name,
			(unsigned long long)plan->seed);
		for (size_t i = 0; i < plan->target->settings.count; i++)
			printf(" --set %s", plan->target->settings.at[i]);
		putchar('\n');
	}
	plan_free(plan);
	return rc;
}

static int load(const char *dir, struct minimising *m, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = json_load_path(path, VERDICT_MAX, err);
	struct result result = {0};
	int rc = json ? result_from_json(json, &result, err) : -ENOENT;

	if (!rc)
		m->signature = signature_of(&result);
	result_free(&result);
	if (!rc && !*m->signature)
		rc = err_set(err, -ENOENT, "'%s' has no finding to be kept", dir);
	return rc ? rc : plan_load(dir, &m->plan, err);
}

static int minimise_cell(const char *dir, struct minimising *m)
{
	struct minimiser *minimiser = NULL;
	auto_json json_t *scenario = NULL;
	bool ended = false;
	struct err err = {0};
	int rc = load(dir, m, &err);

	if (rc)
		return cmd_fail(EXIT_NOTHING, &err);
	scenario = scenario_to_json(m->plan->scenario, m->plan->target);
	minimiser = minimiser_new(scenario);
	printf("keeping %s of %s\n", m->signature, m->plan->id);
	rc = minimise(m, minimiser, &ended, &err);
	if (!rc)
		rc = save(m, minimiser_best(minimiser), &err);
	minimiser_free(minimiser);
	if (rc)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (!ended)
		puts("it did not end: a limit was reached");
	return m->interrupted ? EXIT_INTERRUPTED : ended ? EXIT_OK : EXIT_UNTOLD;
}

/* ---- the command line ---- */

static int take(void *arg, int option, const char *value, struct err *err)
{
	struct minimising *m = arg;

	if (option == 'r')
		m->results = value;
	else if (option == 'n')
		return parse_count("--tries", value, TRIES_MAX, &m->tries, err);
	else
		return parse_duration_ms("--time-budget", value, &m->budget_ms, err);
	return 0;
}

int cmd_minimise(int argc, char **argv)
{
	static const struct option options[] = {{"results", required_argument, NULL, 'r'},
		{"tries", required_argument, NULL, 'n'},
		{"time-budget", required_argument, NULL, 'b'}, {NULL, 0, NULL, 0}};
	struct minimising m = {.results = "results", .tries = TRIES, .budget_ms = 3600 * 1000};
	auto_free char *dir = NULL;
	struct err err = {0};
	int code;

	if (cmd_wants_help(argc, argv, usage_minimise))
		return EXIT_OK;
	if (cmd_options(argc, argv, options, take, &m, &err))
		return cmd_misused("minimise", "%s", err.text);
	if (argc - optind > 1)
		return cmd_misused("minimise", "it takes one cell");
	dir = cmd_cell_dir(argv[optind], m.results, &err);
	if (!dir)
		return cmd_fail(EXIT_NOTHING, &err);
	code = minimise_cell(dir, &m);
	plan_free(m.plan);
	free(m.signature);
	free(m.dir);
	return code;
}
