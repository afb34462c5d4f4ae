/* The table of the score, and what counts as found. */
#include "tests/check/check.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/score/score.h"

#include <string.h>

static const struct score_row *row_of(const char *id, const char *variant)
{
	for (const struct score_row *row = score_rows; row->id; row++)
		if (!strcmp(row->id, id) && !strcmp(row->variant, variant))
			return row;
	CHECK(!"no such row");
	return NULL;
}

static void every_row_can_be_run_on_the_reference_store(void)
{
	for (const struct score_row *row = score_rows; row->id; row++) {
		const char *const scenarios[] = {row->scenario, NULL};
		const char *const targets[] = {SCORE_TARGET, NULL};
		struct plan_request request = {.root = ".",
			.scenarios = scenarios,
			.targets = targets,
			.seed = 1,
			.seeds = 1,
			.settings = row->settings};
		auto_buf struct buf complaints = {0};
		struct plan_list plans = {0};

		CHECK_INT(plan_make(&request, &plans, &complaints, NULL), 0);
		CHECK_STR(buf_text(&complaints), "");
		if (CHECK_INT(plans.count, 1))
			CHECK_STR(plans.at[0]->skip ? plans.at[0]->skip : "", "");
		plan_list_free(&plans);
	}
}

static void every_class_of_the_table_is_one_the_rig_knows(void)
{
	for (const struct score_row *row = score_rows; row->id; row++)
		if (row->expected.hang_class)
			CHECK(hang_class_find(row->expected.hang_class) != NULL);
}

static void every_failure_has_what_was_shipped_its_fix_and_a_way_around(void)
{
	static const char *const ids[] = {"F1", "F2", "F3", "F4", "F5"};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		size_t rows = 0;

		CHECK_INT(row_of(ids[i], "shipped")->expected.verdict, VERDICT_FAIL);
		CHECK_INT(row_of(ids[i], "hotfixed")->expected.verdict, VERDICT_PASS);
		for (const struct score_row *row = score_rows; row->id; row++)
			rows += !strcmp(row->id, ids[i]) && row->expected.verdict == VERDICT_PASS;
		CHECK(rows >= 2);
	}
}

static const struct score_figures nothing = {
	.recovers_after_s = SCORE_NO_FIGURE, .queue_growth = SCORE_NO_FIGURE};

static void a_pass_is_right_where_the_table_says_pass(void)
{
	struct result result = {.verdict = VERDICT_PASS};
	struct score_found found;

	score_compare(row_of("F1", "hotfixed"), &result, &nothing, &found);
	CHECK(found.as_expected);
	score_compare(row_of("F1", "shipped"), &result, &nothing, &found);
	CHECK(!found.as_expected);
	result.verdict = VERDICT_UNKNOWN;
	score_compare(row_of("F1", "hotfixed"), &result, &nothing, &found);
	CHECK(!found.as_expected);
	free(found.reason);
}

static void a_failure_without_its_class_is_not_as_expected(void)
{
	struct finding finding = {.signature = "H1-00000000", .title = (char *)"it hangs"};
	struct result result = {.verdict = VERDICT_FAIL, .findings = &finding, .finding_count = 1};
	struct score_figures figures = nothing;
	struct score_found found;

	figures.stop_hangs = 1;
	score_compare(row_of("F1", "shipped"), &result, &figures, &found);
	CHECK(!found.as_expected);
	CHECK_INT(found.verdict, VERDICT_FAIL);
	CHECK(!found.hang_class);
	free(found.signature);
	free(found.title);
}

static void a_leak_is_right_by_its_law_alone(void)
{
	static char *h8[] = {(char *)"H8"}, *h1[] = {(char *)"H1"};
	struct finding finding = {.signature = "H8-00000000", .laws = h8, .law_count = 1};
	struct result result = {.verdict = VERDICT_FAIL, .findings = &finding, .finding_count = 1};
	struct score_found found;

	score_compare(row_of("F3", "shipped-leak"), &result, &nothing, &found);
	CHECK(found.as_expected);
	free(found.signature);
	finding.laws = h1;
	score_compare(row_of("F3", "shipped-leak"), &result, &nothing, &found);
	CHECK(!found.as_expected);
	free(found.signature);
}

static void figures_come_from_the_history(void)
{
	static const char text[] =
		"{\"t\":1,\"ev\":\"queue\",\"depth\":4}\n"
		"{\"t\":2,\"ev\":\"queue\",\"depth\":2}\n"
		"{\"t\":3,\"ev\":\"log\",\"path\":\"/l\",\"line\":\"service smtp terminated "
		"unexpectedly, signal 11; it has done this 3 time(s)\"}\n"
		"{\"t\":4,\"ev\":\"stop\",\"ended\":false,\"took_s\":40.0}\n";
	const char *dir = check_dir();
	auto_free char *path = path_join(dir, "history.jsonl");
	struct result result = {.recovers_after_s = 9002};
	struct score_figures figures;

	CHECK_INT(fs_write_atomic(path, text, strlen(text), NULL), 0);
	score_figures_read(dir, &result, &figures);
	CHECK_INT(figures.queue_depth, 4);
	CHECK_INT(figures.restarts, 3);
	CHECK_INT(figures.stop_hangs, 1);
	CHECK_INT(figures.recovers_after_s, 9002);
	CHECK_INT(figures.queue_growth, SCORE_NO_FIGURE); /* nobody ended */
}

static void a_queue_grows_from_the_first_restart_on(void)
{
	static const struct {
		const char *text;
		int64_t growth;
	} cases[] = {
		/* what stood there before is not counted, nor what went away later */
		{"{\"t\":1,\"ev\":\"queue\",\"depth\":9}\n"
		 "{\"t\":2,\"ev\":\"queue\",\"depth\":4}\n"
		 "{\"t\":3,\"ev\":\"died\",\"by_rig\":false}\n"
		 "{\"t\":4,\"ev\":\"queue\",\"depth\":7}\n"
		 "{\"t\":5,\"ev\":\"died\",\"by_rig\":false}\n"
		 "{\"t\":6,\"ev\":\"queue\",\"depth\":12}\n"
		 "{\"t\":7,\"ev\":\"queue\",\"depth\":0}\n",
			5},
		/* it went down only */
		{"{\"t\":1,\"ev\":\"queue\",\"depth\":5}\n"
		 "{\"t\":2,\"ev\":\"died\",\"by_rig\":false}\n"
		 "{\"t\":3,\"ev\":\"queue\",\"depth\":3}\n"
		 "{\"t\":4,\"ev\":\"queue\",\"depth\":1}\n",
			0},
		/* the rig ended it */
		{"{\"t\":1,\"ev\":\"died\",\"by_rig\":true}\n"
		 "{\"t\":2,\"ev\":\"queue\",\"depth\":3}\n",
			SCORE_NO_FIGURE},
	};
	const char *dir = check_dir();
	auto_free char *path = path_join(dir, "history.jsonl");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct result result = {.recovers_after_s = -1};
		struct score_figures figures;

		CHECK_INT(fs_write_atomic(path, cases[i].text, strlen(cases[i].text), NULL), 0);
		score_figures_read(dir, &result, &figures);
		CHECK_INT(figures.queue_growth, cases[i].growth);
	}
}

static void what_is_told_of_a_row_is_whole(void)
{
	struct score_found found = {.verdict = VERDICT_PASS, .as_expected = true};
	struct score_answer answer = {.row = row_of("F4", "shipped"), .found = &found, .count = 1};
	struct score score = {.answers = &answer, .count = 1};
	auto_json json_t *json = score_failures_json(&score);
	const json_t *row = json_array_get(json, 0);

	CHECK_STR(json_get_text(row, "id", ""), "F4");
	CHECK_STR(json_get_text(row, "variant", ""), "shipped");
	CHECK(!json_get_bool(row, "as_expected", true));
	CHECK_STR(json_get_text(json_object_get(row, "expected"), "class", ""), "exhaustion");
	CHECK_INT(json_get_int(json_object_get(row, "expected"), "recovers_after_s", 0), 9000);
	CHECK_STR(json_get_text(json_object_get(row, "found"), "verdict", ""), "PASS");
}

/* Interrupted in the midst of it: what never ran is neither right nor wrong. */
static void what_was_not_run_is_said_to_be_so(void)
{
	static const struct {
		const char *id, *variant;
		enum verdict verdicts[3];
		const char *line;
		bool right;
	} rows[] = {
		{"F1", "hotfixed", {VERDICT_PASS, VERDICT_PASS, VERDICT_PASS},
			"hotfixed               3 of 3 as expected, all alike\n", true},
		{"F2", "hotfixed", {VERDICT_PASS, VERDICT_PASS, VERDICT_MISS},
			"hotfixed               2 of 2 as expected, all alike, 1 not run\n", false},
		{"F4", "hotfixed", {VERDICT_PASS, VERDICT_MISS, VERDICT_MISS},
			"hotfixed               1 of 1 as expected, 2 not run\n", false},
		{"F5", "hotfixed", {VERDICT_MISS, VERDICT_MISS, VERDICT_UNKNOWN},
			"hotfixed               0 of 1 as expected, 2 not run\n", false},
		{"F3", "hotfixed", {VERDICT_MISS, VERDICT_MISS, VERDICT_MISS},
			"hotfixed               not run\n", false},
	};
	struct score_answer answers[ARRAY_SIZE(rows)] = {0};
	struct score score = {.answers = answers, .count = ARRAY_SIZE(rows), .interrupted = true};
	auto_buf struct buf out = {0};
	auto_json json_t *json = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		answers[i].row = row_of(rows[i].id, rows[i].variant);
		for (size_t k = 0; k < ARRAY_SIZE(rows[i].verdicts); k++) {
			struct result result = {.verdict = rows[i].verdicts[k]};

			CHECK_INT(score_take(&answers[i], &result, &nothing),
				result.verdict != VERDICT_MISS);
		}
		answers[i].alike = true;
	}
	score_summary(&score, &out);
	json = score_failures_json(&score);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const json_t *row = json_array_get(json, i);

		CHECK_HAS(buf_text(&out), rows[i].line);
		CHECK_INT(score_is_right(&answers[i]), rows[i].right);
		CHECK_INT(json_get_bool(row, "as_expected", !rows[i].right), rows[i].right);
		CHECK_INT(json_get_int(row, "missed", -1), answers[i].missed);
	}
	CHECK(json_is_null(json_object_get(json_array_get(json, 4), "found")));
	CHECK_HAS(buf_text(&out),
		"\ninterrupted: 1 of 5 variants as expected, 3 not run or not wholly");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t k = 0; k < answers[i].count; k++)
			free(answers[i].found[k].reason);
		free(answers[i].found);
	}
}

CHECK_MAIN(CHECK_CASE(what_was_not_run_is_said_to_be_so),
	CHECK_CASE(every_row_can_be_run_on_the_reference_store),
	CHECK_CASE(every_class_of_the_table_is_one_the_rig_knows),
	CHECK_CASE(every_failure_has_what_was_shipped_its_fix_and_a_way_around),
	CHECK_CASE(a_pass_is_right_where_the_table_says_pass),
	CHECK_CASE(a_failure_without_its_class_is_not_as_expected),
	CHECK_CASE(a_leak_is_right_by_its_law_alone), CHECK_CASE(figures_come_from_the_history),
	CHECK_CASE(a_queue_grows_from_the_first_restart_on),
	CHECK_CASE(what_is_told_of_a_row_is_whole))
