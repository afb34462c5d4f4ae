/* The terminal's summary, the other exporters, and the exit code. */
#include "report/exit_code.h"
#include "report/markup.h"
#include "report/summary.h"
#include "tests/unit/campaign_fixture.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/proc.h"

static const char *const files[] = {"junit.xml", "index.html", NULL};

static struct summary summary_of(const struct campaign_results *campaign, size_t width)
{
	struct summary summary = {.width = width};

	for (size_t i = 0; i < campaign->count; i++)
		summary_widen(&summary,
			campaign->cells[i].scenario ? campaign->cells[i].scenario : "",
			campaign->cells[i].target ? campaign->cells[i].target : "");
	return summary;
}

static void write_all(const struct campaign_results *campaign, size_t width, struct buf *out)
{
	struct summary summary = summary_of(campaign, width);
	const struct summary_plan plan = {.version = "0.4.0",
		.accelerator = "tcg",
		.cells = 6,
		.scenarios = 3,
		.targets = 2,
		.seeds = 1,
		.jobs = 2};
	const struct summary_end end = {
		.wall_ms = 68000, .path = "results/2026-11-22.1", .files = files};

	summary_header(&plan, out);
	for (size_t i = 0; i < campaign->count; i++)
		summary_cell(&summary, &campaign->cells[i], out);
	summary_findings(campaign->cells, campaign->count, out);
	summary_totals(campaign->cells, campaign->count, &end, out);
}

static void the_manual_reads_as_printed(void)
{
	auto_buf struct buf got = {0};

	write_all(&manual, 0, &got);
	check_golden("tests/golden/summary/manual.txt", &got);
}

static void hostile_text_obeys_nobody(void)
{
	auto_buf struct buf got = {0};

	write_all(&hostile, 0, &got);
	check_golden("tests/golden/summary/hostile.txt", &got);
	for (size_t i = 0; i < got.len; i++)
		CHECK((unsigned char)got.data[i] >= 0x20 || got.data[i] == '\n');
}

static void the_last_line_is_to_be_pasted(void)
{
	auto_buf struct buf got = {0};
	char *last;

	write_all(&manual, 0, &got);
	got.data[got.len - 1] = '\0';
	last = strrchr(got.data, '\n') + 1;
	CHECK_STR(last, "mailrig repro results/2026-11-22.1/mta-disabled-mailbox-move.refstore.1");
}

static void a_new_finding_goes_before_a_known_one(void)
{
	struct result cells[] = {
		{NAMES("a", "t"), .verdict = VERDICT_FAIL, .state = FINDING_KNOWN},
		{NAMES("b", "t"), .verdict = VERDICT_FAIL, .state = FINDING_NEW},
		{NAMES("c", "t"), .verdict = VERDICT_PASS},
	};
	const struct summary_end end = {0};
	auto_buf struct buf got = {0};

	summary_totals(cells, 3, &end, &got);
	CHECK_HAS(buf_text(&got), "mailrig repro results/2026-11-22.1/b.t.1");
	buf_reset(&got);
	summary_totals(cells, 1, &end, &got);
	CHECK_HAS(buf_text(&got), "mailrig repro results/2026-11-22.1/a.t.1");
	buf_reset(&got);
	summary_totals(cells + 2, 1, &end, &got);
	CHECK(!strstr(buf_text(&got), "repro"));
}

static void a_terminal_cuts_lines_at_its_width(void)
{
	struct summary summary = summary_of(&manual, 40);
	struct result cell = {NAMES("s", "t"), .verdict = VERDICT_BROKEN, .wall_ms = 1000,
		.reason = (char *)"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac "
				  "and on"};
	auto_buf struct buf got = {0};

	summary_cell(&summary, &manual_cells[0], &got);
	CHECK_INT(got.len, 41);
	summary = (struct summary){.width = 26};
	buf_reset(&got);
	summary_cell(&summary, &cell, &got);
	CHECK_STR(buf_text(&got), "  BROKEN  1.0 s  s   t  \xe2\x82\xac\xe2\x82\xac\n");
}

static void a_long_time_still_stands_apart(void)
{
	static const struct {
		enum verdict verdict;
		int64_t wall_ms;
		const char *want;
	} rows[] = {
		{VERDICT_PASS, 4600, "  PASS    4.6 s  s"},
		{VERDICT_FAIL, 14900, "  FAIL   14.9 s  s"},
		{VERDICT_FAIL, 149000, "  FAIL  149.0 s  s"},
		{VERDICT_UNKNOWN, 4600, "  UNKNOWN 4.6 s  s"},
		{VERDICT_UNKNOWN, 14900, "  UNKNOWN  15 s  s"},
		{VERDICT_BROKEN, 149000, "  BROKEN  149 s  s"},
		{VERDICT_SKIP, 0, "  SKIP           s"},
		{VERDICT_MISS, -1, "  MISS           s"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct summary summary = {0};
		struct result cell = {NAMES("s", "t"), .verdict = rows[i].verdict,
			.wall_ms = rows[i].wall_ms, .fired = -1};
		auto_buf struct buf got = {0};

		summary_cell(&summary, &cell, &got);
		if (strncmp(buf_text(&got), rows[i].want, strlen(rows[i].want)) != 0)
			CHECK_STR(buf_text(&got), rows[i].want);
	}
}

static void seeds_are_told_apart(void)
{
	struct summary summary = {.slots = true};
	const struct summary_plan plan = {.version = "1",
		.accelerator = "kvm",
		.cells = 6,
		.scenarios = 1,
		.targets = 2,
		.seeds = 3,
		.jobs = 1};
	const struct summary_plan odd = {.version = "1",
		.accelerator = "tcg",
		.cells = 1,
		.scenarios = 1,
		.targets = 2,
		.seeds = 1,
		.jobs = 1};
	struct result cell = {NAMES("s", "t"), .verdict = VERDICT_PASS, .fired = 1};
	auto_buf struct buf got = {0};

	summary_cell(&summary, &cell, &got);
	CHECK_HAS(buf_text(&got), "s[1]");
	buf_reset(&got);
	summary_header(&plan, &got);
	CHECK_STR(buf_text(&got),
		"mailrig 1   6 cells = 1 scenario x 2 targets x 3 seeds   1 job   KVM\n\n");
	buf_reset(&got);
	summary_header(&odd, &got);
	CHECK_STR(buf_text(&got),
		"mailrig 1   1 cell, 1 scenario, 2 targets   1 job   TCG (see doctor)\n\n");
}

static void one_cause_is_one_block(void)
{
	struct result cells[3];
	auto_buf struct buf got = {0};

	for (uint32_t i = 0; i < 3; i++) {
		cells[i] = manual_cells[4];
		cells[i].number = i + 1;
	}
	cells[2].target = (char *)"other";
	summary_findings(cells, 3, &got);
	CHECK_HAS(buf_text(&got), "-- 2 findings ---");
	CHECK_HAS(buf_text(&got), "also in  2\n");
}

static void json_holds_cells_and_totals(void)
{
	auto_buf struct buf got = {0};
	auto_json json_t *json = NULL;
	const json_t *totals;

	CHECK_INT(exporter_find("json")->write(&manual, &got, NULL), 0);
	json = json_loads(buf_text(&got), 0, NULL);
	totals = json_object_get(json, "totals");
	CHECK_INT(json_array_size(json_object_get(json, "cells")), 6);
	CHECK_INT(json_get_int(totals, "cells", 0), 6);
	CHECK_INT(json_get_int(totals, "fail", 0), 1);
	CHECK_INT(json_get_int(totals, "pass", 0), 3);
	CHECK_INT(json_get_int(totals, "skip", 0), 2);
	CHECK_INT(json_get_int(totals, "new", 0), 1);
	buf_reset(&got);
	CHECK_INT(exporter_find("json")->write(&hostile, &got, NULL), 0);
	json_decref(json);
	json = json_loads(buf_text(&got), 0, NULL);
	CHECK(json != NULL);
}

/* The page is also well-formed XML, so that a parser can say that it is whole. */
static void the_page_is_whole(void)
{
	const struct campaign_results *const campaigns[] = {&manual, &hostile, &empty};

	for (size_t i = 0; i < ARRAY_SIZE(campaigns); i++) {
		auto_free char *path = path_join(check_dir(), "index.html");
		char *argv[] = {
			(char *)"xmllint", (char *)"--noout", (char *)"--nonet", path, NULL};
		auto_buf struct buf got = {0};
		struct err err = {{0}};
		int rc;

		CHECK_INT(exporter_find("html")->write(campaigns[i], &got, NULL), 0);
		CHECK(!strstr(buf_text(&got), "<script"));
		CHECK(!strstr(buf_text(&got), "http"));
		fs_write_atomic(path, buf_text(&got), got.len, NULL);
		rc = proc_run(argv, deadline_in_ms(20000), NULL, 0, &err);
		if (rc == -ENOENT)
			check_skip("xmllint is not installed");
		else if (rc)
			CHECK_STR(err.text, "");
	}
}

static void the_page_links_to_each_cell(void)
{
	auto_buf struct buf got = {0};

	CHECK_INT(exporter_find("html")->write(&manual, &got, NULL), 0);
	CHECK_HAS(buf_text(&got), "href=\"mta-disabled-mailbox-move.refstore.1/verdict.json\"");
	CHECK(!strstr(buf_text(&got), "href=\"freeze-commit-dismount.postfix-dovecot.1"));
	CHECK_HAS(buf_text(&got), "prefers-color-scheme:dark");
}

static void the_page_draws_who_waits_for_whom(void)
{
	auto_json json_t *diagnosis = json_pack("{s{s[{ss ss sb}]s[[ii]]}}", "graph", "nodes",
		"who", "<a>", "what", "mutex", "culprit", 1, "edges", 0, 0);
	struct finding finding = {.signature = "deadlock-1", .diagnosis = diagnosis};
	struct result cell = {.verdict = VERDICT_FAIL, .findings = &finding, .finding_count = 1};
	struct campaign_results one = {.name = "x", .version = "1", .cells = &cell, .count = 1};
	auto_buf struct buf got = {0};

	CHECK_INT(exporter_find("html")->write(&one, &got, NULL), 0);
	CHECK_HAS(buf_text(&got), "<svg ");
	CHECK_HAS(buf_text(&got), "&lt;a&gt;");
	CHECK_HAS(buf_text(&got), "each waits for the one that its arrow points at; red:");
	json_object_set_new(
		json_object_get(diagnosis, "graph"), "freed", json_pack("[[ii]]", 0, 0));
	buf_reset(&got);
	CHECK_INT(exporter_find("html")->write(&one, &got, NULL), 0);
	CHECK_HAS(buf_text(&got), "dashed: to the one that had freed what it used; red:");
	finding.diagnosis = NULL;
	buf_reset(&got);
	CHECK_INT(exporter_find("html")->write(&one, &got, NULL), 0);
	CHECK(!strstr(buf_text(&got), "<svg "));
}

static void a_finding_of_several_cells_is_told_once_and_an_order_by_its_sides(void)
{
	auto_json json_t *order = json_pack("{s[ss]sb}", "wanted", "a", "b", "covered", 0);
	struct finding finding = {.signature = "S3-1"};
	struct result cells[] = {
		{.id = "x.t.1", .verdict = VERDICT_FAIL, .findings = &finding, .finding_count = 1},
		{.id = "y.t.1", .verdict = VERDICT_FAIL, .findings = &finding, .finding_count = 1},
		{.id = "z.t.1", .verdict = VERDICT_UNKNOWN, .order = order},
	};
	struct campaign_results all = {.name = "x", .version = "1", .cells = cells, .count = 3};
	auto_buf struct buf got = {0};
	const char *first;

	CHECK_INT(exporter_find("html")->write(&all, &got, NULL), 0);
	first = strstr(buf_text(&got), "<section>");
	CHECK(first && !strstr(first + 1, "<section>"));
	CHECK_HAS(buf_text(&got), "also in y.t.1</p>");
	CHECK_HAS(buf_text(&got), "a, then b: not covered");
}

/* A PASS by another means than was asked for is never told as if it were by the one. */
static void a_fallback_is_told_wherever_a_cell_is(void)
{
	struct result cell = {NAMES("policy-parked", "postfix-dovecot"), UNMEASURED,
		.verdict = VERDICT_PASS, .fallback = (char *)"freeze-process for '<held>'"};
	struct campaign_results one = {.name = "x", .version = "1", .cells = &cell, .count = 1};
	struct summary plain = {.scenario_width = 8};
	auto_json json_t *json = result_to_json(&cell);
	auto_buf struct buf page = {0}, line = {0};
	struct result again = {0};

	CHECK_INT(exporter_find("html")->write(&one, &page, NULL), 0);
	CHECK_HAS(buf_text(&page), "freeze-process for &#39;&lt;held&gt;&#39;");
	summary_cell(&plain, &cell, &line);
	CHECK_HAS(buf_text(&line), "by a fallback");
	CHECK_INT(result_from_json(json, &again, NULL), 0);
	CHECK_STR(again.fallback, cell.fallback);
	result_free(&again);
}

/* In all that people read; the event is the guest's own words. */
static void a_hang_that_was_run_on_says_how_it_ends(void)
{
	auto_json json_t *recovery =
		json_pack("{ss ss si sb}", "recovery", "permanent", "recovery_event",
			"<b>nothing</b> moved", "searched_s", 21600, "recovery_in_force", 1);
	struct finding finding = {.signature = "exhaustion-1", .recovery = recovery};
	struct result cell = {UNMEASURED, .verdict = VERDICT_FAIL, .findings = &finding,
		.finding_count = 1, .recovery = (char *)"permanent",
		.recovery_event = (char *)"<b>nothing</b> moved"};
	struct campaign_results one = {.name = "x", .version = "1", .cells = &cell, .count = 1};
	static const char *const exporters_of[] = {"html", "junit"};
	auto_buf struct buf summary = {0};

	for (size_t i = 0; i < ARRAY_SIZE(exporters_of); i++) {
		auto_buf struct buf got = {0};

		CHECK_INT(exporter_find(exporters_of[i])->write(&one, &got, NULL), 0);
		CHECK_HAS(buf_text(&got),
			"recovery: permanent while the fault is in force (searched 21600 guest s)");
		json_object_set_new(recovery, "recovery", json_string("not-judged"));
		buf_reset(&got);
		CHECK_INT(exporter_find(exporters_of[i])->write(&one, &got, NULL), 0);
		CHECK_HAS(buf_text(&got), "recovery: not judged: &lt;b&gt;nothing&lt;/b&gt; moved");
		json_object_set_new(recovery, "recovery", json_string("permanent"));
	}
	write_all(&one, 0, &summary);
	CHECK_HAS(buf_text(&summary),
		"ends     not by itself while the fault is in force: <b>nothing</b> moved");
}

static void markup_has_no_way_out(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"<a href='x'>&\"", "&lt;a href=&#39;x&#39;&gt;&amp;&quot;"},
		{"\x01\x1b\x7f", "\\x01\\x1b\\x7f"},
		{"\xff\xc3", "\\xff\\xc3"},
		{"\xef\xbf\xbe", "\\xef\\xbf\\xbe"},
		{"\xc2\x85", "\\xc2\\x85"},
		{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xa7"},
		{"a\nb\tc\rd", "a&#10;b&#9;c\\x0dd"},
		{NULL, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf got = {0};

		markup_add(&got, rows[i].text);
		CHECK_STR(buf_text(&got), rows[i].want);
	}
}

static void every_exporter_says_what_it_is(void)
{
	for (const struct exporter *const *exporter = exporters; *exporter; exporter++) {
		auto_buf struct buf got = {0};

		CHECK((*exporter)->name && *(*exporter)->name);
		CHECK((*exporter)->summary && *(*exporter)->summary);
		CHECK(!(*exporter)->file_name || fs_name_ok((*exporter)->file_name));
		CHECK(exporter_find((*exporter)->name) == *exporter);
		CHECK_INT((*exporter)->write(&empty, &got, NULL), 0);
		CHECK(got.len > 0);
	}
	CHECK(exporter_find("punched-cards") == NULL);
}

/* F new finding, K known one, B broken, U unknown, M miss, S skip, P pass. */
static size_t cells_of(const char *letters, struct result *cells)
{
	size_t count = 0;

	for (; *letters; letters++)
		cells[count++] = (struct result){
			.verdict = strchr("FK", *letters) ? VERDICT_FAIL
				   : *letters == 'B'	  ? VERDICT_BROKEN
				   : *letters == 'U'	  ? VERDICT_UNKNOWN
				   : *letters == 'M'	  ? VERDICT_MISS
				   : *letters == 'S'	  ? VERDICT_SKIP
							  : VERDICT_PASS,
			.state = *letters == 'K' ? FINDING_KNOWN : FINDING_NEW,
		};
	return count;
}

static void the_first_reason_that_applies_is_the_exit_code(void)
{
	static const struct exit_options usual = {.max_broken_ratio = 0.3};
	static const struct exit_options any = {.max_broken_ratio = 0.3, .fail_on_any = true};
	static const struct exit_options canary = {.max_broken_ratio = 0.3, .canary_missed = true};
	static const struct exit_options cut = {.max_broken_ratio = 0.3, .interrupted = true};
	static const struct exit_options lenient = {.max_broken_ratio = -1};
	static const struct exit_options strict = {.max_broken_ratio = 0};
	static const struct {
		const char *cells;
		const struct exit_options *options;
		int want;
	} rows[] = {
		{"PPP", &usual, 0},
		{"PPS", &usual, 0},
		{"PK", &usual, 0},
		{"", &usual, 4},
		{"SSS", &usual, 2},
		{"PU", &usual, 2},
		{"PM", &usual, 2},
		{"PPPB", &usual, 16},
		{"PPF", &usual, 1},
		{"PPPFB", &usual, 1}, /* a finding goes before a little rig trouble */
		{"PFBB", &usual, 16}, /* much rig trouble goes before a finding */
		{"BSSSSSSS", &usual, 16},
		{"FBSSSSSSS", &usual, 16}, /* half of those that ran */
		{"PKB", &lenient, 16},
		{"FBBBB", &lenient, 1},
		{"FPPPPPPPPPPB", &strict, 16},
		{"FU", &usual, 1},
		{"BUPPPP", &usual, 16},
		{"PK", &any, 1},
		{"PP", &any, 0},
		{"PP", &canary, 16},
		{"F", &canary, 16},
		{"", &canary, 16},
		{"PP", &cut, 130},
		{"PM", &cut, 130},
		{"", &cut, 130},
		{"PF", &cut, 1},
		{"PK", &cut, 130},
		{"PPPB", &cut, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct result cells[16];
		size_t count = cells_of(rows[i].cells, cells);

		if (!CHECK_INT(campaign_exit_code(cells, count, rows[i].options), rows[i].want))
			fprintf(stderr, "in row %zu: \"%s\"\n", i, rows[i].cells);
	}
}

CHECK_MAIN(CHECK_CASE(the_manual_reads_as_printed), CHECK_CASE(hostile_text_obeys_nobody),
	CHECK_CASE(the_last_line_is_to_be_pasted),
	CHECK_CASE(a_new_finding_goes_before_a_known_one),
	CHECK_CASE(a_terminal_cuts_lines_at_its_width), CHECK_CASE(a_long_time_still_stands_apart),
	CHECK_CASE(seeds_are_told_apart), CHECK_CASE(one_cause_is_one_block),
	CHECK_CASE(json_holds_cells_and_totals), CHECK_CASE(the_page_is_whole),
	CHECK_CASE(the_page_links_to_each_cell), CHECK_CASE(a_fallback_is_told_wherever_a_cell_is),
	CHECK_CASE(a_finding_of_several_cells_is_told_once_and_an_order_by_its_sides),
	CHECK_CASE(the_page_draws_who_waits_for_whom),
	CHECK_CASE(a_hang_that_was_run_on_says_how_it_ends), CHECK_CASE(markup_has_no_way_out),
	CHECK_CASE(every_exporter_says_what_it_is),
	CHECK_CASE(the_first_reason_that_applies_is_the_exit_code))
