/* Scenarios and targets out again: as YAML with all defaults filled in, and as JSON for plan.json. */
#include "tests/check/check.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "run/yaml/yaml_tree.h"
#include "run/yaml/yaml_write.h"
#include "tests/unit/yaml_words.h"

#include <string.h>

#define GOOD "tests/golden/yaml/good"

static const char *const scenarios[] = {
	"freeze-commit-dismount", "mta-disabled-mailbox-move", "expunge-during-fetch"};
static const char *const targets[] = {"lonely-store", "my-store", "postfix-dovecot"};

static struct scenario *load_scenario(const char *name)
{
	auto_free char *path = text_fmt(GOOD "/%s.yaml", name);
	auto_buf struct buf complaints = {0};
	struct scenario *scenario = NULL;

	CHECK_INT(scenario_load(path, &words, &complaints, &scenario, NULL), 0);
	return scenario;
}

static struct target *load_target(const char *name)
{
	auto_free char *dir = text_fmt(GOOD "/%s", name);
	auto_buf struct buf complaints = {0};
	struct target *target = NULL;

	CHECK_INT(target_load(dir, NULL, &complaints, &target, NULL), 0);
	return target;
}

static void check_same_json(json_t *got, json_t *want)
{
	auto_free char *got_text = json_dumps(got, JSON_INDENT(1));
	auto_free char *want_text = json_dumps(want, JSON_INDENT(1));

	CHECK_STR(got_text, want_text);
	json_decref(got);
	json_decref(want);
}

/* With UPDATE_GOLDEN in the environment the golden file is written instead. */
static void check_golden(const char *file, const struct buf *got)
{
	auto_free char *path = text_fmt("tests/golden/yaml/print/%s.yaml", file);
	auto_buf struct buf want = {0};

	if (getenv("UPDATE_GOLDEN"))
		CHECK_INT(fs_write_atomic(path, buf_text(got), got->len, NULL), 0);
	CHECK_INT(fs_read(path, SCENARIO_FILE_MAX, &want, NULL), 0);
	CHECK_STR(buf_text(got), buf_text(&want));
}

static void a_scenario_is_the_same_after_its_plan(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct scenario *first = load_scenario(scenarios[i]), *again = NULL;
		auto_json json_t *json = scenario_to_json(first, NULL);
		auto_free char *text = json_dumps(json, 0);
		auto_json json_t *saved = json_loads(text, 0, NULL);
		struct err err = {0};

		CHECK_INT(scenario_from_json(saved, &words, &again, &err), 0);
		CHECK_STR(err.text, "");
		if (again) {
			CHECK_STR(again->name, first->name);
			CHECK_STR(again->file, first->file);
			CHECK_INT(scenario_step(again, first->steps[0].label)->line,
				first->steps[0].line);
			check_same_json(
				scenario_to_json(again, NULL), scenario_to_json(first, NULL));
		}
		scenario_free(first);
		scenario_free(again);
	}
}

static void a_target_is_the_same_after_its_plan(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct target *first = load_target(targets[i]), *again = NULL;
		auto_json json_t *json = target_to_json(first);
		struct err err = {0};

		CHECK_INT(target_from_json(json, &again, &err), 0);
		CHECK_STR(err.text, "");
		if (again) {
			CHECK_STR(again->name, first->name);
			CHECK_STR(again->dir, first->dir);
			check_same_json(target_to_json(again), target_to_json(first));
		}
		target_free(first);
		target_free(again);
	}
}

static void a_printed_scenario_loads_again_to_the_same(void)
{
	struct target *target = load_target("postfix-dovecot");

	for (size_t i = 0; i < ARRAY_SIZE(scenarios); i++) {
		struct scenario *first = load_scenario(scenarios[i]), *again = NULL;
		auto_buf struct buf print = {0}, second = {0}, complaints = {0};

		scenario_print(first, target, &print);
		check_golden(scenarios[i], &print);
		CHECK_INT(scenario_parse(scenarios[i], buf_text(&print), print.len, &words,
				  &complaints, &again, NULL),
			0);
		CHECK_STR(buf_text(&complaints), "");
		if (again)
			scenario_print(again, target, &second);
		CHECK_STR(buf_text(&second), buf_text(&print));
		scenario_free(first);
		scenario_free(again);
	}
	target_free(target);
}

static void a_printed_target_loads_again_to_the_same(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct target *first = load_target(targets[i]), *again = NULL;
		auto_buf struct buf print = {0}, second = {0}, complaints = {0};

		target_print(first, &print);
		check_golden(targets[i], &print);
		CHECK_INT(target_parse(targets[i], NULL, buf_text(&print), print.len, NULL,
				  &complaints, &again, NULL),
			0);
		CHECK_STR(buf_text(&complaints), "");
		if (again)
			target_print(again, &second);
		CHECK_STR(buf_text(&second), buf_text(&print));
		target_free(first);
		target_free(again);
	}
}

static void a_damaged_plan_is_refused(void)
{
	static const struct {
		const char *text, *want;
	} table[] = {
		{"[]", "the saved scenario is no object"},
		{"{\"name\":\"x\",\"claim\":3.5}",
			"saved scenario 'x': a value is neither text nor a count"},
		{"{\"name\":\"x\",\"claim\":\"c\",\"stepz\":[]}", "unknown key 'stepz'"},
		{"{\"name\":\"x\",\"claim\":\"c\",\"steps\":[{\"do\":\"dismount\",\"at\":\"3\"}]}",
			"'at: 3' has no unit; say 3s"},
		{"{\"name\":\"x\",\"claim\":\"c\",\"steps\":[{\"do\":\"dismount\",\"at\":"
		 "\"\\u0007\"}]}",
			"a value is neither text nor a count"},
		{"{\"name\":\"x\",\"claim\":[[[[[[[[[[[]]]]]]]]]]]}", "too large or too deep"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		auto_json json_t *json = json_loads(table[i].text, 0, NULL);
		struct scenario *scenario = NULL;
		struct target *target = NULL;
		struct err err = {0};

		CHECK(json != NULL);
		CHECK_INT(scenario_from_json(json, &words, &scenario, &err), -EINVAL);
		CHECK_HAS(err.text, table[i].want);
		CHECK_INT(target_from_json(json, &target, &err), -EINVAL);
	}
}

static void quantities_are_written_with_the_largest_whole_unit(void)
{
	auto_json json_t *json = json_object();
	auto_free char *text = NULL;

	put_duration(json, "a", 0);
	put_duration(json, "b", 1500);
	put_duration(json, "c", 90000);
	put_duration(json, "d", 5 * 86400000LL);
	put_duration(json, "none", -1);
	put_size(json, "e", 2048);
	put_size(json, "f", 3 << 20);
	put_size(json, "g", 1025);
	put_size(json, "none", 0);
	put_rate(json, "h", 10);
	put_rate(json, "i", 0.5);
	put_rate(json, "j", 7.0 / 3600);
	put_rate(json, "none", 0);
	put_count(json, "k", 3);
	put_count(json, "none", 0);
	put_words(json, "none", NULL, 0);
	text = json_dumps(json, JSON_COMPACT);
	CHECK_STR(text, "{\"a\":\"0s\",\"b\":\"1500ms\",\"c\":\"90s\",\"d\":\"5d\",\"e\":\"2KiB\","
			"\"f\":\"3MiB\",\"g\":\"1025B\",\"h\":\"10/s\",\"i\":\"30/min\","
			"\"j\":\"7/h\",\"k\":3}");
}

static void texts_are_quoted_where_a_reader_needs_it(void)
{
	static const struct {
		const char *text, *want;
	} table[] = {
		{"plain words", "plain words"},
		{"/srv/mail", "/srv/mail"},
		{"250ms", "250ms"},
		{"10/s", "10/s"},
		{"1%", "1%"},
		{"", "''"},
		{"yes", "'yes'"},
		{"NULL", "'NULL'"},
		{"10", "'10'"},
		{"1e5", "'1e5'"},
		{"0x1f", "'0x1f'"},
		{"2026-01-01", "'2026-01-01'"},
		{"12:30", "'12:30'"},
		{"a: b", "'a: b'"},
		{"it's", "'it''s'"},
		{"- x", "'- x'"},
		{"#x", "'#x'"},
		{"*", "'*'"},
		{"trailing ", "'trailing '"},
		{"two\nlines\t\"q\" \\", "\"two\\nlines\\x09\\\"q\\\" \\\\\""},
		{".5", "'.5'"},
		{".inf", "'.inf'"},
		{".", "'.'"},
		{"./script x", "./script x"},
		{"caf\xc3\xa9", "'caf\xc3\xa9'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		auto_json json_t *json = json_pack("{ss}", "k", table[i].text);
		auto_free char *want = text_fmt("k: %s\n", table[i].want);
		auto_buf struct buf got = {0};

		yaml_write(json, &got);
		CHECK_STR(buf_text(&got), want);
	}
}

CHECK_MAIN(CHECK_CASE(a_scenario_is_the_same_after_its_plan),
	CHECK_CASE(a_target_is_the_same_after_its_plan),
	CHECK_CASE(a_printed_scenario_loads_again_to_the_same),
	CHECK_CASE(a_printed_target_loads_again_to_the_same), CHECK_CASE(a_damaged_plan_is_refused),
	CHECK_CASE(quantities_are_written_with_the_largest_whole_unit),
	CHECK_CASE(texts_are_quoted_where_a_reader_needs_it))
