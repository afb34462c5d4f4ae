/* Two cells side by side (report/compare.h), from folders made here. */
#include "report/compare.h"

#include "base/fs.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

#define BEGUN                                                                               \
	"{\"t\":0.0,\"ev\":\"phase\",\"name\":\"workload\"}\n"                              \
	"{\"t\":0.1,\"ev\":\"begin\",\"id\":1,\"op\":\"imap-noop\",\"service\":\"imap\"}\n" \
	"{\"t\":0.2,\"ev\":\"end\",\"id\":1,\"op\":\"imap-noop\",\"outcome\":\"OK\"}\n"
#define HURT                                                                                       \
	"{\"t\":0.5,\"ev\":\"fault\",\"step\":\"held\",\"fault\":\"park\",\"state\":\"in-force\"}" \
	"\n"                                                                                       \
	"{\"t\":0.6,\"ev\":\"begin\",\"id\":2,\"op\":\"imap-noop\",\"service\":\"imap\"}\n"        \
	"{\"t\":0.7,\"ev\":\"died\",\"program\":\"\\u001b[2Jstore\",\"signal\":\"SIGSEGV\"}\n"

static void make_cell(const char *dir, const char *verdict, const char *signature, int messages,
	const char *history)
{
	auto_free char *verdict_path = path_join(dir, "verdict.json");
	auto_free char *plan_path = path_join(dir, "plan.json");
	auto_free char *history_path = path_join(dir, "history.jsonl");
	auto_json json_t *result = json_pack("{ss ss ss ss ss s{s{ss ss}}}", "id", "a.b.1",
		"scenario", "a", "target", "b", "verdict", verdict, "reason", "H5: died", "laws",
		"H5", "ruling", signature ? "broken" : "holds", "text", "it died");
	auto_json json_t *plan = json_pack("{ss s{s[{ss si si}]}}", "id", dir, "scenario",
		"workload", "do", "smtp", "messages", messages, "line", messages);

	if (signature)
		json_object_set_new(result, "findings",
			json_pack("[{ss ss s[s] s[] ss}]", "signature", signature, "class", "crash",
				"laws", "H5", "lines", "title", "it died"));
	CHECK_INT(fs_mkdir_p(dir, NULL), 0);
	CHECK_INT(json_save_path(verdict_path, result, NULL), 0);
	CHECK_INT(json_save_path(plan_path, plan, NULL), 0);
	CHECK_INT(fs_write_atomic(history_path, history, strlen(history), NULL), 0);
}

static void what_differs_between_two_cells_is_told_and_nothing_else(void)
{
	auto_free char *a = path_join(check_dir(), "a"), *b = path_join(check_dir(), "b");
	static const char *const wanted[] = {"A  FAIL     crash-01234567", "B  PASS     no finding",
		"scenario.workload[1].messages\n    A  20\n    B  10\n",
		"H5       broken          holds\n", "    100 ms x1       1 no end", "ONLY IN A",
		"     0.500  fault held park in-force\n"};
	auto_buf struct buf out = {0};
	struct err err = {0};
	bool same = true;

	make_cell(a, "FAIL", "crash-01234567", 20, BEGUN HURT);
	make_cell(b, "PASS", NULL, 10, BEGUN);
	CHECK_INT(compare_write(a, b, &out, &same, &err), 0);
	CHECK(!same);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		CHECK_HAS(buf_text(&out), wanted[i]);
	CHECK(!strstr(buf_text(&out), "ONLY IN B") && !strstr(buf_text(&out), "line"));
	CHECK(!strchr(buf_text(&out), '\033') && !strstr(buf_text(&out), " \n"));
}

static void two_runs_of_one_cell_are_the_same(void)
{
	auto_free char *a = path_join(check_dir(), "a"), *b = path_join(check_dir(), "b");
	auto_buf struct buf out = {0};
	struct err err = {0};
	bool same = false;

	make_cell(a, "FAIL", "crash-01234567", 20, BEGUN HURT);
	make_cell(b, "FAIL", "crash-01234567", 20, BEGUN HURT);
	CHECK_INT(compare_write(a, b, &out, &same, &err), 0);
	CHECK(same);
	CHECK_HAS(buf_text(&out), "ASKED FOR\n  the same\n");
	CHECK(!strstr(buf_text(&out), "ONLY IN") && !strstr(buf_text(&out), "LAWS"));
}

static void a_folder_that_is_no_cell_is_an_error(void)
{
	auto_buf struct buf out = {0};
	struct err err = {0};
	bool same;

	CHECK(compare_write(check_dir(), check_dir(), &out, &same, &err) < 0);
	CHECK_HAS(err.text, "verdict.json");
}

CHECK_MAIN(CHECK_CASE(what_differs_between_two_cells_is_told_and_nothing_else),
	CHECK_CASE(two_runs_of_one_cell_are_the_same),
	CHECK_CASE(a_folder_that_is_no_cell_is_an_error))
