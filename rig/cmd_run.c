#include "cmd.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/units.h"
#include "report/exit_code.h"
#include "report/exporter.h"
#include "report/summary.h"
#include "run/bed/bed_vm.h"
#include "run/campaign.h"
#include "run/known.h"
#include "run/plan/plan.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "vm/accel.h"

#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

const char usage_run[] =
	"usage: mailrig run SCENARIO... [OPTION...]\n\n"
	"Run scenarios (names, globs, or files) on targets and judge them.\n"
	"  --target NAME       only this target (may be repeated; default: all that can)\n"
	"  --set NAME=VALUE    a setting of the targets, for their command configure (may be "
	"repeated)\n"
	"  --seed N            seed of the first slot (default 1)\n"
	"  --seeds N           slots of each scenario (default: the scenario's own number)\n"
	"  --repeat N          each cell N times\n"
	"  --retries N         run each finding again N times with its seed (default 0)\n"
	"  --until-fail        start no more cells after the first FAIL\n"
	"  --jobs N            cells at the same time (default 1)\n"
	"  --results DIR       where campaigns go (default: results)\n"
	"  --time-budget TIME  start no cell after this: 30min, 6h\n"
	"  --fail-on new|any   which findings make the exit code 1 (default: new, see "
	"tests/known.yaml)\n"
	"  --max-broken RATIO  more rig trouble than this comes before findings: 1% (default: no "
	"limit)\n"
	"  --dry-run           print the plan, the files with all defaults, and the QEMU lines\n"
	"  --json              print one JSON object at the end instead of lines\n\n"
	"exit: 0 ok, 1 a finding, 2 cannot tell, 4 nothing selected, 16 rig trouble, 64 usage, 130 "
	"interrupted\n";

enum {
	OPT_TARGET = 256,
	OPT_SET,
	OPT_SEED,
	OPT_SEEDS,
	OPT_REPEAT,
	OPT_RETRIES,
	OPT_UNTIL,
	OPT_JOBS,
	OPT_RESULTS,
	OPT_BUDGET,
	OPT_FAIL_ON,
	OPT_MAX_BROKEN,
	OPT_DRY,
	OPT_JSON
};

static const struct option long_options[] = {
	{"target", required_argument, NULL, OPT_TARGET},
	{"set", required_argument, NULL, OPT_SET},
	{"seed", required_argument, NULL, OPT_SEED},
	{"seeds", required_argument, NULL, OPT_SEEDS},
	{"repeat", required_argument, NULL, OPT_REPEAT},
	{"retries", required_argument, NULL, OPT_RETRIES},
	{"until-fail", no_argument, NULL, OPT_UNTIL},
	{"jobs", required_argument, NULL, OPT_JOBS},
	{"results", required_argument, NULL, OPT_RESULTS},
	{"time-budget", required_argument, NULL, OPT_BUDGET},
	{"fail-on", required_argument, NULL, OPT_FAIL_ON},
	{"max-broken", required_argument, NULL, OPT_MAX_BROKEN},
	{"dry-run", no_argument, NULL, OPT_DRY},
	{"json", no_argument, NULL, OPT_JSON},
	{0},
};

static int parse_fail_on(struct run_options *o, const char *word, struct err *err)
{
	if (strcmp(word, "any") && strcmp(word, "new"))
		return err_set(err, -EINVAL, "'--fail-on %s': say new or any", word);
	o->fail_on_any = !strcmp(word, "any");
	return 0;
}

static int take_option(void *arg, int option, const char *value, struct err *err)
{
	struct run_options *o = arg;

	switch (option) {
	case OPT_TARGET:
		if (o->target_count + 1 == ARRAY_SIZE(o->targets))
			return err_set(err, -E2BIG, "too many targets");
		o->targets[o->target_count++] = value;
		return 0;
	case OPT_SET:
		if (o->setting_count == PLAN_SETTINGS_MAX)
			return err_set(err, -E2BIG, "too many settings");
		o->settings[o->setting_count++] = value;
		return 0;
	case OPT_SEED:
		return parse_count("--seed", value, UINT32_MAX, &o->seed, err);
	case OPT_SEEDS:
		return parse_count("--seeds", value, 100000, &o->seeds, err);
	case OPT_REPEAT:
		return parse_count("--repeat", value, 100000, &o->repeat, err);
	case OPT_RETRIES:
		return parse_count("--retries", value, 1000, &o->retries, err);
	case OPT_JOBS:
		return parse_count("--jobs", value, 64, &o->jobs, err);
	case OPT_RESULTS:
		o->results = value;
		return 0;
	case OPT_BUDGET:
		return parse_duration_ms("--time-budget", value, &o->budget_ms, err);
	case OPT_FAIL_ON:
		return parse_fail_on(o, value, err);
	case OPT_MAX_BROKEN:
		return parse_percent("--max-broken", value, &o->max_broken, err);
	case OPT_UNTIL:
		o->until_fail = true;
		return 0;
	case OPT_DRY:
		o->dry_run = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	}
	return err_set(err, -EINVAL, "an option is not understood");
}

static int parse_arguments(struct run_options *o, int argc, char **argv, struct err *err)
{
	int rc = cmd_options(argc, argv, long_options, take_option, o, err);

	for (; !rc && optind < argc; optind++) {
		if (o->scenario_count + 1 == ARRAY_SIZE(o->scenarios))
			rc = err_set(err, -E2BIG, "too many scenarios");
		else
			o->scenarios[o->scenario_count++] = argv[optind];
	}
	if (!rc && !o->scenario_count)
		rc = err_set(err, -EINVAL, "no scenario is named");
	return rc;
}

/* ---- dry run ---- */

static void print_cell(const struct plan *plan)
{
	printf("cell %s  seed %llu", plan->id, (unsigned long long)plan->seed);
	for (size_t i = 0; i < plan->order.count; i++)
		printf("%s%s", i ? ", " : "  order ", plan->order.at[i]);
	for (size_t i = 0; i < plan->target->settings.count; i++)
		printf("  %s", plan->target->settings.at[i]);
	for (size_t i = 0; i < plan->fallback.count; i++)
		printf("%s%s", i ? "; " : "  fallback: ", plan->fallback.at[i]);
	for (size_t i = 0; i < plan->target->unreached.count; i++)
		printf("%s%s", i ? ", " : "  unreached: ", plan->target->unreached.at[i]);
	printf("%s%s\n", plan->skip ? "  SKIP: " : "", plan->skip ? plan->skip : "");
}

static bool seen_before(const struct plan_list *plans, size_t i, bool target)
{
	for (size_t k = 0; k < i; k++)
		if (target ? !strcmp(plans->at[k]->target->name, plans->at[i]->target->name)
			   : !strcmp(plans->at[k]->id, plans->at[i]->id) ||
					(!strcmp(plans->at[k]->scenario->name,
						 plans->at[i]->scenario->name) &&
						!strcmp(plans->at[k]->target->name,
							plans->at[i]->target->name)))
			return true;
	return false;
}

static int dry_run(const struct plan_list *plans)
{
	for (size_t i = 0; i < plans->count; i++)
		print_cell(plans->at[i]);
	for (size_t i = 0; i < plans->count; i++) {
		auto_buf struct buf out = {0};

		if (seen_before(plans, i, false))
			continue;
		scenario_print(plans->at[i]->scenario, plans->at[i]->target, &out);
		printf("\n# %s on %s, with all defaults\n%s", plans->at[i]->scenario->name,
			plans->at[i]->target->name, buf_text(&out));
	}
	for (size_t i = 0; i < plans->count; i++) {
		auto_buf struct buf out = {0};
		struct err err = {0};

		if (seen_before(plans, i, true))
			continue;
		printf("\n# QEMU for %s\n", plans->at[i]->target->name);
		if (bed_vm_command_line(plans->at[i]->target, &out, &err))
			printf("# %s\n", err.text);
		else
			printf("%s\n", buf_text(&out));
	}
	return EXIT_OK;
}

/* ---- telling ---- */

struct teller {
	struct summary summary;
	const struct plan_list *plans;
	const struct run_options *options;
};

static size_t distinct(const struct plan_list *plans, bool targets)
{
	size_t count = 0;

	for (size_t i = 0; i < plans->count; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = targets ? !strcmp(plans->at[k]->target->name,
						 plans->at[i]->target->name)
				       : !strcmp(plans->at[k]->scenario->name,
						 plans->at[i]->scenario->name);
		count += !seen;
	}
	return count;
}

static void tell_header(struct teller *t)
{
	struct accel accel = {0};
	struct summary_plan plan = {
		.version = MAILRIG_VERSION,
		.accelerator = accel_probe(NULL, NULL, &accel, NULL) ? "accelerator not probed yet"
								     : accel.name,
		.cells = t->plans->count,
		.scenarios = distinct(t->plans, false),
		.targets = distinct(t->plans, true),
		.jobs = t->options->jobs,
	};
	auto_buf struct buf out = {0};
	struct winsize size;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		t->summary.width = size.ws_col;
	for (size_t i = 0; i < t->plans->count; i++) {
		summary_widen(&t->summary, t->plans->at[i]->scenario->name,
			t->plans->at[i]->target->name);
		t->summary.slots |= t->plans->at[i]->slot > 1;
		if (t->plans->at[i]->slot > plan.seeds)
			plan.seeds = t->plans->at[i]->slot;
	}
	summary_header(&plan, &out);
	fputs(buf_text(&out), stdout);
	fflush(stdout);
}

static void tell_cell(void *arg, const struct result *result)
{
	struct teller *t = arg;
	auto_buf struct buf out = {0};

	if (t->options->json)
		return;
	summary_cell(&t->summary, result, &out);
	fputs(buf_text(&out), stdout);
	fflush(stdout);
}

static void tell_json(const struct campaign_results *results)
{
	auto_buf struct buf out = {0};
	struct err err = {0};

	if (exporter_find("json")->write(results, &out, &err))
		cmd_fail(EXIT_TROUBLE, &err);
	else
		fputs(buf_text(&out), stdout);
}

static void tell_end(const struct campaign *campaign)
{
	static const char *const files[] = {"junit.xml", "index.html", NULL};
	struct summary_end end = {
		.wall_ms = campaign->wall_ms, .path = campaign->dir, .files = files};
	auto_buf struct buf out = {0};

	summary_findings(campaign->cells, campaign->count, &out);
	summary_totals(campaign->cells, campaign->count, &end, &out);
	fputs(buf_text(&out), stdout);
}

/* ---- the run ---- */

struct campaign_results cmd_results(const struct campaign *campaign)
{
	return (struct campaign_results){
		.name = campaign->name,
		.version = MAILRIG_VERSION,
		.began_ns = campaign->began_ns,
		.wall_ms = campaign->wall_ms,
		.cells = campaign->cells,
		.count = campaign->count,
	};
}

int cmd_known(const char *root, struct known_list *known, struct buf *complaints)
{
	auto_free char *path = text_fmt("%s/tests/known.yaml", root);
	struct err err = {0};
	int rc = known_load(path, complaints, known, &err);

	if (rc == -ENOENT)
		return 0;
	if (rc && rc != -EINVAL)
		buf_addf(complaints, "%s\n", err.text);
	return rc;
}

int cmd_campaign(const struct run_options *o, const char *root, const struct plan_list *plans,
	const struct known_list *known)
{
	struct campaign_request request = {
		.root = root,
		.results = o->results,
		.plans = plans,
		.known = known,
		.jobs = (unsigned int)o->jobs,
		.retries = (uint32_t)o->retries,
		.time_budget_ms = o->budget_ms,
		.until_fail = o->until_fail,
	};
	struct teller teller = {.plans = plans, .options = o};
	struct campaign_tell tell = {.cell = tell_cell, .arg = &teller};
	struct exit_options exits = {.fail_on_any = o->fail_on_any,
		.max_broken_ratio = o->max_broken,
		.canary_missed = o->canary_missed};
	struct campaign_results results;
	struct campaign campaign = {0};
	struct err err = {0};
	int code, rc;

	if (!o->json)
		tell_header(&teller);
	rc = campaign_run(&request, &tell, &campaign, &err);
	exits.interrupted = campaign.interrupted;
	results = cmd_results(&campaign);
	if (!rc)
		rc = exporter_write_all(&results, campaign.dir, &err);
	if (rc) {
		code = cmd_fail(EXIT_TROUBLE, &err);
	} else {
		if (o->json)
			tell_json(&results);
		else
			tell_end(&campaign);
		code = (int)campaign_exit_code(campaign.cells, campaign.count, &exits);
	}
	campaign_free(&campaign);
	return code;
}

int cmd_run(int argc, char **argv)
{
	struct run_options o = {.seed = 1,
		.repeat = 1,
		.jobs = 1,
		.results = "results",
		.budget_ms = -1,
		.max_broken = -1};
	auto_buf struct buf complaints = {0};
	auto_free char *root = NULL;
	struct known_list known = {0};
	struct plan_list plans = {0};
	struct plan_request request;
	struct err err = {0};
	int code = EXIT_OK;

	if (cmd_wants_help(argc, argv, usage_run))
		return EXIT_OK;
	if (parse_arguments(&o, argc, argv, &err))
		return cmd_misused("run", "%s", err.text);
	root = plan_root(&err);
	if (!root)
		return cmd_fail(EXIT_TROUBLE, &err);
	request = (struct plan_request){
		.root = root,
		.scenarios = o.scenarios,
		.targets = o.target_count ? o.targets : NULL,
		.seed = o.seed,
		.seeds = (uint32_t)o.seeds,
		.repeat = (uint32_t)o.repeat,
		.settings = o.settings,
	};
	if (plan_make(&request, &plans, &complaints, &err) | cmd_known(root, &known, &complaints)) {
		fputs(complaints.len ? buf_text(&complaints) : err.text, stderr);
		code = EXIT_USAGE;
	} else if (!plans.count) {
		fputs("nothing is selected\n", stderr);
		code = EXIT_NOTHING;
	} else {
		code = o.dry_run ? dry_run(&plans) : cmd_campaign(&o, root, &plans, &known);
	}
	plan_list_free(&plans);
	known_list_free(&known);
	return code;
}
