#include "cmd.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/units.h"
#include "run/campaign.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define VERDICT_MAX (4u << 20)

const char usage_repro[] = "usage: mailrig repro [CELL] [--times N] [--results DIR]\n\n"
			   "Run a finished cell again from its saved plan, and say whether "
			   "verdict, class and signature are the\n"
			   "same. CELL as for `mailrig show`; without it the latest finding. Exit "
			   "code: 0 the same each time,\n"
			   "1 not the same, 16 rig trouble.\n";

/* What must be the same. */
struct outcome_of_cell {
	char *verdict, *hang_class, *signature;
};

static void outcome_free(struct outcome_of_cell *o)
{
	free(o->verdict);
	free(o->hang_class);
	free(o->signature);
}

static struct outcome_of_cell outcome_of(const struct result *r)
{
	const struct finding *first = r->finding_count ? &r->findings[0] : NULL;

	return (struct outcome_of_cell){
		.verdict = text_dup(verdict_name(r->verdict)),
		.hang_class = text_dup(first && first->hang_class ? first->hang_class : "-"),
		.signature = text_dup(first ? first->signature : "-"),
	};
}

static bool same_outcome(const struct outcome_of_cell *a, const struct outcome_of_cell *b)
{
	return !strcmp(a->verdict, b->verdict) && !strcmp(a->hang_class, b->hang_class) &&
	       !strcmp(a->signature, b->signature);
}

static int load_outcome(const char *dir, struct outcome_of_cell *ret, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = json_load_path(path, VERDICT_MAX, err);
	struct result result = {0};
	int rc = json ? result_from_json(json, &result, err) : -ENOENT;

	if (rc)
		return rc;
	*ret = outcome_of(&result);
	result_free(&result);
	return 0;
}

/* The same plan N times, told apart by a number behind the name. */
static int make_plans(const char *dir, uint64_t times, struct plan_list *ret, struct err *err)
{
	struct plan *saved = NULL;
	int rc = plan_load(dir, &saved, err);

	if (rc)
		return rc;
	ret->at = mem_zero(times, sizeof(*ret->at));
	for (; ret->count < times; ret->count++) {
		struct plan *plan = plan_copy(saved);

		free(plan->baseline);
		plan->baseline = NULL;
		if (times > 1) {
			char *id = text_fmt("%s.%zu", plan->id, ret->count + 1);

			free(plan->id);
			plan->id = id;
		}
		ret->at[ret->count] = plan;
	}
	plan_free(saved);
	return 0;
}

struct teller {
	struct outcome_of_cell before;
	uint64_t same, told;
	bool trouble;
};

static void tell_cell(void *arg, const struct result *result)
{
	struct teller *t = arg;
	struct outcome_of_cell now = outcome_of(result);
	bool same;

	if (!result->number) { /* the baseline of this run */
		outcome_free(&now);
		return;
	}
	same = same_outcome(&t->before, &now);
	t->same += same;
	t->told++;
	t->trouble |= result->verdict == VERDICT_BROKEN || result->verdict == VERDICT_MISS;
	printf("  %-7s %s  %s  %s\n", now.verdict, now.signature, now.hang_class,
		same ? "the same" : "NOT the same");
	if (!same)
		printf("          %s\n", result->reason);
	fflush(stdout);
	outcome_free(&now);
}

static int run_again(const char *dir, uint64_t times, const char *results)
{
	struct plan_list plans = {0};
	struct teller teller = {0};
	struct campaign_request request = {
		.results = results, .plans = &plans, .jobs = 1, .time_budget_ms = -1};
	struct campaign_tell tell = {.cell = tell_cell, .arg = &teller};
	struct campaign campaign = {0};
	bool interrupted;
	struct err err = {0};
	int rc = load_outcome(dir, &teller.before, &err);

	if (!rc)
		rc = make_plans(dir, times, &plans, &err);
	if (!rc) {
		printf("was %-7s %s  %s\n", teller.before.verdict, teller.before.signature,
			teller.before.hang_class);
		rc = campaign_run(&request, &tell, &campaign, &err);
	}
	if (!rc) {
		struct campaign_results exported = cmd_results(&campaign);

		rc = exporter_write_all(&exported, campaign.dir, &err);
	}
	if (!rc)
		printf("%llu of %llu the same   %s\n", (unsigned long long)teller.same,
			(unsigned long long)times, campaign.dir);
	interrupted = campaign.interrupted;
	campaign_free(&campaign);
	plan_list_free(&plans);
	outcome_free(&teller.before);
	if (rc)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (interrupted)
		return EXIT_INTERRUPTED;
	if (teller.trouble)
		return EXIT_TROUBLE;
	return teller.same == times ? EXIT_OK : EXIT_FINDING;
}

int cmd_repro(int argc, char **argv)
{
	const char *word = NULL, *results = "results";
	auto_free char *dir = NULL;
	uint64_t times = 1;
	struct err err = {0};

	if (cmd_wants_help(argc, argv, usage_repro))
		return EXIT_OK;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--times") && i + 1 < argc) {
			if (parse_count("--times", argv[++i], 10000, &times, &err) || !times)
				return cmd_misused("repro", "%s",
					*err.text ? err.text : "'--times 0' runs nothing");
		} else if (!strcmp(argv[i], "--results") && i + 1 < argc) {
			results = argv[++i];
		} else if (argv[i][0] == '-' || word) {
			return cmd_misused("repro", "'%s' is not understood", argv[i]);
		} else {
			word = argv[i];
		}
	}
	dir = cmd_cell_dir(word, results, &err);
	if (!dir)
		return cmd_fail(EXIT_NOTHING, &err);
	return run_again(dir, times, results);
}
