/* The command line as people use it, where no machine is needed: exit codes, help, what is said of mistakes. */
#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"

#include <string.h>

#define PROGRAM "build/mailrig"
#define RUN_MS	20000
#define WORDS	8

static int run(const char *const *words, struct buf *out)
{
	char *argv[WORDS + 2] = {(char *)PROGRAM};
	struct err err = {0};

	for (size_t i = 0; i < WORDS && words[i]; i++)
		argv[i + 1] = (char *)words[i];
	return proc_run(argv, deadline_in_ms(RUN_MS), out, 1u << 20, &err);
}

static void each_verb_helps_and_refuses_what_it_does_not_know(void)
{
	static const struct {
		const char *words[WORDS];
		int code;
	} rows[] = {
		{{"show", "--help"}, 0},
		{{"show", "--spoon"}, 64},
		{{"show", "nothing", "--results", "/nowhere"}, 4},
		{{"shell", "--help"}, 0},
		{{"shell", "--at", "noon"}, 64},
		{{"shell", "--at"}, 64},
		{{"shell", "one", "two"}, 64},
		{{"shell", "nothing", "--results", "/nowhere"}, 4},
		{{"minimise", "--help"}, 0},
		{{"minimise", "--tries", "many"}, 64},
		{{"minimise", "--time-budget", "3"}, 64},
		{{"minimise", "one", "two"}, 64},
		{{"minimise", "nothing", "--results", "/nowhere"}, 4},
		{{"diff", "--help"}, 0},
		{{"diff", "one"}, 64},
		{{"diff", "--spoon", "a", "b"}, 64},
		{{"diff", "one", "one/control", "--results", "/nowhere"}, 4},
		{{"no-such-verb"}, 64},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf out = {0};

		check_int(run(rows[i].words, &out), rows[i].code, rows[i].words[0], __FILE__,
			__LINE__);
		if (!rows[i].code)
			CHECK_HAS(buf_text(&out), "usage: mailrig ");
	}
}

/* A cell and its control, as a campaign leaves them. */
static char *make_cell(const char *results, const char *below, const char *verdict)
{
	auto_free char *dir = text_fmt("%s/day/a.b.1%s", results, below);
	auto_free char *plan = path_join(dir, "plan.json"), *file = path_join(dir, "verdict.json");
	auto_json json_t *empty = json_object(),
			 *json = json_pack("{ss ss ss ss ss}", "id", "a.b.1", "scenario", "a",
				 "target", "b", "verdict", verdict, "reason", "because");

	CHECK_INT(fs_mkdir_p(dir, NULL), 0);
	CHECK_INT(json_save_path(plan, empty, NULL), 0);
	CHECK_INT(json_save_path(file, json, NULL), 0);
	return text_dup(dir);
}

static void a_cell_is_shown_with_what_can_be_done_next(void)
{
	const char *results = check_dir();
	auto_free char *cell = make_cell(results, "", "FAIL");
	auto_free char *control = make_cell(results, "/control", "PASS");
	auto_free char *verb = text_fmt("  mailrig diff %s %s/control\n", cell, cell);
	const char *const show[WORDS] = {"show", cell}, *const diff[WORDS] = {
								"diff", cell, control};
	const char *const same[WORDS] = {"diff", cell, cell};
	auto_buf struct buf out = {0}, different = {0}, equal = {0};

	CHECK_INT(run(show, &out), 0);
	CHECK_HAS(buf_text(&out), "\nNEXT\n  mailrig repro ");
	CHECK_HAS(buf_text(&out), "  mailrig shell ");
	CHECK_HAS(buf_text(&out), "  mailrig minimise ");
	CHECK_HAS(buf_text(&out), verb);
	CHECK_INT(run(diff, &different), 1);
	CHECK_INT(run(same, &equal), 0);
}

CHECK_MAIN(CHECK_CASE(each_verb_helps_and_refuses_what_it_does_not_know),
	CHECK_CASE(a_cell_is_shown_with_what_can_be_done_next))
