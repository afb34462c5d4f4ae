#include "cmd.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/units.h"
#include "run/score/score.h"
#include "run/score/score_zoo.h"

#include <stdbool.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define TIMES_MAX   1000
#define JOBS_MAX    64
#define HEALTHY_MAX 60000

const char usage_score[] =
	"usage: mailrig score [OPTION...]\n\n"
	"Run what is known to be wrong and see what the rig says of it: every variant of the five "
	"documented\n"
	"failures of the reference store, and the zoo of planted troubles and healthy "
	"look-alikes.\n"
	"  --times N            each so often (default 1)\n"
	"  --only GLOB          of the failures, those with such a name: 'F4/*', '*/shipped'\n"
	"  --part failures|zoo  only this half\n"
	"  --held-out           of the zoo, only what was written after the diagnosis\n"
	"  --healthy N          of the zoo, at least so many healthy cells\n"
	"  --jobs N             cells of the failures at the same time (default 2)\n"
	"  --results DIR        where campaigns go (default: results)\n"
	"  --json               print one JSON object at the end instead of lines\n\n"
	"exit: 0 all as expected, 1 not, 16 rig trouble, 64 usage, 130 interrupted\n";

struct score_options {
	uint64_t times, jobs, healthy;
	const char *only, *part, *results;
	bool json, held_out;
};

enum {
	OPT_TIMES = 256,
	OPT_HELD_OUT,
	OPT_HEALTHY,
	OPT_JOBS,
	OPT_ONLY,
	OPT_PART,
	OPT_RESULTS,
	OPT_JSON
};

static const struct option long_options[] = {
	{"times", required_argument, NULL, OPT_TIMES},
	{"held-out", no_argument, NULL, OPT_HELD_OUT},
	{"healthy", required_argument, NULL, OPT_HEALTHY},
	{"jobs", required_argument, NULL, OPT_JOBS},
	{"only", required_argument, NULL, OPT_ONLY},
	{"part", required_argument, NULL, OPT_PART},
	{"results", required_argument, NULL, OPT_RESULTS},
	{"json", no_argument, NULL, OPT_JSON},
	{0},
};

static int take_option(void *arg, int option, const char *value, struct err *err)
{
	struct score_options *o = arg;

	switch (option) {
	case OPT_TIMES:
		return parse_count("--times", value, TIMES_MAX, &o->times, err);
	case OPT_HELD_OUT:
		o->held_out = true;
		return 0;
	case OPT_HEALTHY:
		return parse_count("--healthy", value, HEALTHY_MAX, &o->healthy, err);
	case OPT_JOBS:
		return parse_count("--jobs", value, JOBS_MAX, &o->jobs, err);
	case OPT_ONLY:
		o->only = value;
		return 0;
	case OPT_PART:
		o->part = value;
		return 0;
	case OPT_RESULTS:
		o->results = value;
		return 0;
	default:
		o->json = true;
		return 0;
	}
}

static int parse(struct score_options *o, int argc, char **argv, struct err *err)
{
	int rc = cmd_options(argc, argv, long_options, take_option, o, err);

	if (!rc && optind < argc)
		rc = err_set(err, -EINVAL, "'%s' is not understood", argv[optind]);
	if (!rc && o->part && strcmp(o->part, "failures") && strcmp(o->part, "zoo"))
		rc = err_set(err, -EINVAL, "'--part %s': say failures or zoo", o->part);
	if (!rc && (!o->times || !o->jobs))
		rc = err_set(err, -EINVAL, "nothing is run with 0");
	return rc;
}

/* ---- the five failures ---- */

static const char *or_dash(const char *text)
{
	return text ? text : "-";
}

static void add_figure(struct buf *out, const char *name, int64_t value, const char *unit)
{
	if (value != SCORE_NO_FIGURE)
		buf_addf(out, "  %s %lld%s", name, (long long)value, unit);
}

static void add_figures(struct buf *out, const struct score_figures *figures)
{
	add_figure(out, "recovers after", figures->recovers_after_s, " s");
	add_figure(out, "restarts", figures->restarts, "");
	add_figure(out, "queue", figures->queue_depth, "");
	add_figure(out, "grown by", figures->queue_growth, "");
	if (figures->stop_hangs == 1)
		buf_addf(out, "  stop timed out");
}

/* What the table asks for, where it was not met. */
static void tell_difference(const struct score_row *row, const struct score_found *found)
{
	const struct score_expected *want = &row->expected;
	auto_buf struct buf out = {0};

	buf_addf(&out, "  expected: %s %s", verdict_name(want->verdict), or_dash(want->hang_class));
	if (want->law)
		buf_addf(&out, " %s", want->law);
	add_figures(&out, &want->at_least);
	if (!found->culprit)
		buf_addf(&out, "; %zu x `%s` among the culprits%s%s", want->culprits, want->culprit,
			want->first ? ", the first of them in " : "",
			want->first ? want->first : "");
	if (!found->words) {
		buf_addf(&out, "; named:");
		for (size_t i = 0; want->words[i]; i++)
			buf_addf(&out, " %s", want->words[i]);
	}
	printf("             %s\n             reason: %s\n", buf_text(&out),
		or_dash(found->reason));
}

static void tell_row(void *arg, const struct score_row *row, const struct score_found *found)
{
	const struct score_options *o = arg;
	auto_buf struct buf out = {0};

	if (o->json)
		return;
	buf_addf(&out, "  %-3s %s %-22s %-7s %-12s", found->as_expected ? "ok" : "NOT", row->id,
		row->variant, verdict_name(found->verdict), or_dash(found->hang_class));
	add_figures(&out, &found->figures);
	printf("%s\n", buf_text(&out));
	if (!found->as_expected)
		tell_difference(row, found);
	fflush(stdout);
}

/* The same reports as of any campaign. */
static void write_reports(void *arg, const struct campaign *campaign)
{
	struct campaign_results results = cmd_results(campaign);
	struct err err = {0};

	(void)arg;
	if (exporter_write_all(&results, campaign->dir, &err))
		cmd_fail(EXIT_TROUBLE, &err);
}

static void tell_answers(const struct score *score)
{
	auto_buf struct buf out = {0};

	score_summary(score, &out);
	if (score->spoilt)
		printf("\n%u times a repetition was run again: the host had no processor for it\n",
			score->spoilt);
	printf("%s   %lld s   %s\n", buf_text(&out), (long long)(score->wall_ms / 1000),
		score->path);
}

static bool all_right(const struct score *score)
{
	for (size_t i = 0; i < score->count; i++)
		if (!score_is_right(&score->answers[i]))
			return false;
	return true;
}

static int run_failures(
	const struct score_options *o, const char *root, json_t *out, bool *ret_right)
{
	struct score_request request = {
		.root = root,
		.results = o->results,
		.only = o->only,
		.times = (unsigned int)o->times,
		.jobs = (unsigned int)o->jobs,
		.seed = 1,
		.say = tell_row,
		.done = write_reports,
		.arg = (void *)o,
	};
	auto_buf struct buf complaints = {0};
	struct score score = {0};
	struct err err = {0};
	int code = EXIT_OK;

	if (score_run(&request, &score, &complaints, &err)) {
		fputs(buf_text(&complaints), stderr);
		return cmd_fail(EXIT_TROUBLE, &err);
	}
	json_object_set_new(out, "failures", score_failures_json(&score));
	json_object_set_new(out, "failures_run_again", json_integer(score.spoilt));
	if (!o->json)
		tell_answers(&score);
	*ret_right = all_right(&score);
	if (score.interrupted)
		code = EXIT_INTERRUPTED;
	score_free(&score);
	return code;
}

/* ---- the zoo ---- */

static void say_zoo(void *arg, const char *line)
{
	const struct score_options *o = arg;

	if (!o->json)
		printf("  %s\n", line);
}

static void tell_share(const char *name, const struct zoo_share *share)
{
	printf("  %-18s %u of %u\n", name, share->hits, share->of);
}

static void tell_zoo(const struct zoo_score *zoo)
{
	printf("\nzoo: %u planted, %u healthy\n", zoo->planted, zoo->healthy);
	tell_share("recall", &zoo->recall);
	tell_share("false alarms", &zoo->false_alarms);
	tell_share("culprit first", &zoo->culprit_first);
	tell_share("class right", &zoo->class_right);
	tell_share("purity", &zoo->purity);
	tell_share("completeness", &zoo->completeness);
}

static int run_zoo(const struct score_options *o, const char *root, json_t *out, bool *ret_right)
{
	auto_free char *dir = path_join(o->results, "zoo");
	struct zoo_options options = {
		.root = root,
		.dir = dir,
		.times = (unsigned int)o->times,
		.held_out = o->held_out,
		.healthy = (unsigned int)o->healthy,
		.seed = 1,
		.cancel_fd = -1,
		.say = say_zoo,
		.arg = (void *)o,
	};
	struct zoo_score zoo = {0};
	struct err err = {0};

	if (score_zoo(&options, &zoo, &err))
		return cmd_fail(EXIT_TROUBLE, &err);
	json_object_set_new(out, "zoo", score_zoo_json(&zoo));
	if (!o->json)
		tell_zoo(&zoo);
	*ret_right = zoo.recall.hits == zoo.recall.of && !zoo.false_alarms.hits;
	score_zoo_free(&zoo);
	return EXIT_OK;
}

int cmd_score(int argc, char **argv)
{
	struct score_options o = {.times = 1, .jobs = 2, .results = "results"};
	auto_json json_t *out = json_object();
	bool failures_right = true, zoo_right = true;
	auto_free char *root = NULL;
	struct err err = {0};
	int code = EXIT_OK;

	if (cmd_wants_help(argc, argv, usage_score))
		return EXIT_OK;
	if (parse(&o, argc, argv, &err))
		return cmd_misused("score", "%s", err.text);
	root = plan_root(&err);
	if (!root)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (!o.part || !strcmp(o.part, "failures"))
		code = run_failures(&o, root, out, &failures_right);
	if (!code && !o.only && (!o.part || !strcmp(o.part, "zoo")))
		code = run_zoo(&o, root, out, &zoo_right);
	if (o.json && json_object_size(out)) {
		auto_free char *text = json_dumps(out, JSON_INDENT(1));

		puts(text);
	}
	return code ? code : failures_right && zoo_right ? EXIT_OK : EXIT_FINDING;
}
