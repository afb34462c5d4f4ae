#include "cmd.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/units.h"
#include "run/known.h"
#include "run/nightly.h"
#include "run/score/score.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 256

const char usage_nightly[] =
	"usage: mailrig nightly [OPTION...]\n\n"
	"Run what tests/nightly.yaml says: a canary first, then every scenario on every target "
	"that can.\n"
	"  --config FILE         another file than tests/nightly.yaml\n"
	"  --partition hash:M/N  only the M-th of N parts of the cells, told apart by their names\n"
	"  --seed N              of the first slot (default: drawn from the date)\n"
	"  --jobs N              cells at the same time (default 1)\n"
	"  --results DIR         where campaigns go (default: results)\n"
	"  --time-budget TIME    another one than the file's: 30min, 6h\n"
	"  --dry-run             print the plan alone\n"
	"  --json                print one JSON object at the end instead of lines\n\n"
	"exit: 0 ok, 1 a finding, 2 cannot tell, 4 nothing selected, 16 rig trouble or a missed "
	"canary,\n"
	"64 usage, 130 interrupted\n";

struct night {
	struct run_options run;
	const char *config;
	uint32_t part, parts; /* 1..parts; 0: all */
	struct nightly *file;
};

/* ---- arguments ---- */

static int parse_partition(struct night *night, const char *word, struct err *err)
{
	int end = 0;

	if (sscanf(word, "hash:%u/%u%n", &night->part, &night->parts, &end) != 2 || word[end] ||
		!night->part || night->part > night->parts)
		return err_set(
			err, -EINVAL, "'--partition %s': say hash:M/N, such as hash:1/3", word);
	return 0;
}

enum {
	OPT_CONFIG = 256,
	OPT_RESULTS,
	OPT_PARTITION,
	OPT_SEED,
	OPT_JOBS,
	OPT_BUDGET,
	OPT_DRY,
	OPT_JSON
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"results", required_argument, NULL, OPT_RESULTS},
	{"partition", required_argument, NULL, OPT_PARTITION},
	{"seed", required_argument, NULL, OPT_SEED},
	{"jobs", required_argument, NULL, OPT_JOBS},
	{"time-budget", required_argument, NULL, OPT_BUDGET},
	{"dry-run", no_argument, NULL, OPT_DRY},
	{"json", no_argument, NULL, OPT_JSON},
	{0},
};

static int take_option(void *arg, int option, const char *value, struct err *err)
{
	struct night *night = arg;
	struct run_options *o = &night->run;

	switch (option) {
	case OPT_CONFIG:
		night->config = value;
		return 0;
	case OPT_RESULTS:
		o->results = value;
		return 0;
	case OPT_PARTITION:
		return parse_partition(night, value, err);
	case OPT_SEED:
		return parse_count("--seed", value, UINT32_MAX, &o->seed, err);
	case OPT_JOBS:
		return parse_count("--jobs", value, 64, &o->jobs, err);
	case OPT_BUDGET:
		return parse_duration_ms("--time-budget", value, &o->budget_ms, err);
	case OPT_DRY:
		o->dry_run = true;
		return 0;
	default:
		o->json = true;
		return 0;
	}
}

static int parse(struct night *night, int argc, char **argv, struct err *err)
{
	int rc = cmd_options(argc, argv, long_options, take_option, night, err);

	if (!rc && optind < argc)
		rc = err_set(err, -EINVAL, "'%s' is not understood", argv[optind]);
	return rc;
}

/* ---- the plan ---- */

/* The same all day, another one tomorrow: days since 1970, a thousand slots apart. */
static uint64_t seed_of_today(void)
{
	return (uint64_t)(clock_real_ns() / NS_PER_SEC / 86400) * 1000 + 1;
}

static void take_file(struct night *night)
{
	struct run_options *o = &night->run;
	const struct nightly *file = night->file;

	for (size_t i = 0; i < file->scenarios.count && i < WORDS_MAX; i++)
		o->scenarios[o->scenario_count++] = file->scenarios.at[i];
	for (size_t i = 0; i < file->targets.count && i + 1 < ARRAY_SIZE(o->targets); i++)
		o->targets[o->target_count++] = file->targets.at[i];
	o->seeds = file->seeds;
	o->retries = file->retries;
	o->fail_on_any = file->fail_on_any;
	o->max_broken = file->max_broken;
	if (o->budget_ms < 0)
		o->budget_ms = file->time_budget_ms;
	if (!o->seed)
		o->seed = seed_of_today();
}

static bool in_part(const struct night *night, const struct plan *plan)
{
	char hex[HASH_HEX_SIZE], head[9] = "";

	if (!night->parts)
		return true;
	hash_bytes(plan->id, strlen(plan->id), hex);
	memcpy(head, hex, 8);
	return strtoul(head, NULL, 16) % night->parts == night->part - 1;
}

static void keep_part(const struct night *night, struct plan_list *plans)
{
	size_t kept = 0;

	for (size_t i = 0; i < plans->count; i++) {
		if (in_part(night, plans->at[i]))
			plans->at[kept++] = plans->at[i];
		else
			plan_free(plans->at[i]);
	}
	plans->count = kept;
}

/* ---- the canary ---- */

/* The documented failure that this scenario shows, as shipped. */
static const struct score_row *canary_row(const char *scenario)
{
	for (const struct score_row *row = score_rows; row->id; row++)
		if (!strcmp(row->scenario, scenario) && row->expected.verdict == VERDICT_FAIL)
			return row;
	return NULL;
}

/* A verdict alone says little: the class must be right, and who causes it. */
static bool is_found(const struct score_row *row, const struct score_found *found)
{
	return found->verdict == VERDICT_FAIL && found->hang_class && row->expected.hang_class &&
	       !strcmp(found->hang_class, row->expected.hang_class) && found->culprit;
}

/* True when the planted hang was found. */
static bool canary_lives(const struct night *night, const char *root, const struct score_row *row)
{
	auto_free char *results = path_join(night->run.results, "canary");
	auto_free char *only = text_fmt("%s/%s", row->id, row->variant);
	struct score_request request = {.root = root,
		.results = results,
		.only = only,
		.times = 1,
		.jobs = 1,
		.seed = night->run.seed};
	auto_buf struct buf complaints = {0};
	struct score score = {0};
	struct err err = {0};
	bool found = false;

	if (score_run(&request, &score, &complaints, &err)) {
		cmd_fail(EXIT_TROUBLE, &err);
		return false;
	}
	if (score.count && score.answers[0].count)
		found = is_found(row, &score.answers[0].found[0]);
	if (!night->run.json)
		printf("canary: a planted %s %s   %s\n\n", row->expected.hang_class,
			found ? "was found" : "was NOT found", score.path);
	fflush(stdout);
	score_free(&score);
	return found;
}

/* ---- the night ---- */

static int run_night(struct night *night, const char *root, const struct plan_list *plans,
	const struct known_list *known)
{
	const struct score_row *row = night->file->canary ? canary_row(night->file->canary) : NULL;

	if (night->run.dry_run) {
		for (size_t i = 0; i < plans->count; i++)
			printf("cell %s  seed %llu%s%s\n", plans->at[i]->id,
				(unsigned long long)plans->at[i]->seed,
				plans->at[i]->skip ? "  SKIP: " : "",
				plans->at[i]->skip ? plans->at[i]->skip : "");
		return EXIT_OK;
	}
	if (row)
		night->run.canary_missed = !canary_lives(night, root, row);
	return cmd_campaign(&night->run, root, plans, known);
}

static int plan_night(struct night *night, const char *root, struct plan_list *plans,
	struct known_list *known, struct buf *complaints, struct err *err)
{
	auto_free char *path =
		night->config ? text_dup(night->config) : text_fmt("%s/tests/nightly.yaml", root);
	struct plan_request request = {.root = root, .repeat = 1};
	int rc = nightly_load(path, complaints, &night->file, err);

	if (rc)
		return rc;
	take_file(night);
	if (night->file->canary && !canary_row(night->file->canary))
		buf_addf(complaints,
			"%s: 'canary: %s' is no scenario of a documented failure; see "
			"targets/refstore/README.md\n",
			path, night->file->canary);
	request.scenarios = night->run.scenarios;
	request.targets = night->run.target_count ? night->run.targets : NULL;
	request.seed = night->run.seed;
	request.seeds = (uint32_t)night->run.seeds;
	rc = plan_make(&request, plans, complaints, err);
	if (!rc)
		rc = cmd_known(root, known, complaints);
	return rc ? rc : complaints->len ? -EINVAL : 0;
}

int cmd_nightly(int argc, char **argv)
{
	struct night night = {
		.run = {.repeat = 1, .jobs = 1, .results = "results", .budget_ms = -1}};
	auto_buf struct buf complaints = {0};
	auto_free char *root = NULL;
	struct known_list known = {0};
	struct plan_list plans = {0};
	struct err err = {0};
	int code;

	if (cmd_wants_help(argc, argv, usage_nightly))
		return EXIT_OK;
	if (parse(&night, argc, argv, &err))
		return cmd_misused("nightly", "%s", err.text);
	root = plan_root(&err);
	if (!root)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (plan_night(&night, root, &plans, &known, &complaints, &err)) {
		fputs(buf_text(&complaints), stderr);
		code = complaints.len ? EXIT_USAGE : cmd_fail(EXIT_USAGE, &err);
	} else {
		keep_part(&night, &plans);
		code = plans.count ? run_night(&night, root, &plans, &known) : EXIT_NOTHING;
	}
	plan_list_free(&plans);
	known_list_free(&known);
	nightly_free(night.file);
	return code;
}
