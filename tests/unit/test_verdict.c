#include "api/verdict.h"
#include "base/buf.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

static const char example[] =
	"{\"id\":\"mta-disabled-mailbox-move.refstore.1\",\"scenario\":\"mta-disabled-mailbox-"
	"move\","
	"\"target\":\"refstore\",\"target_version\":\"1.0.2\",\"image\":\"7c1e90d4\",\"seed\":1,"
	"\"slot\":1,\"number\":5,\"verdict\":\"FAIL\",\"reason\":\"H3: reply to m35 owed for 2.0 "
	"s\","
	"\"class\":\"exhaustion\",\"signature\":\"exhaustion-a41f0c92\",\"state\":\"new\","
	"\"findings\":[{\"signature\":\"exhaustion-a41f0c92\",\"class\":\"exhaustion\",\"laws\":["
	"\"H3\"],"
	"\"title\":\"All 8 task threads "
	"wait\",\"lines\":[412,417],\"suspect\":false,\"baseline\":false}],"
	"\"fired\":8,\"residue\":0,\"detect_ms\":2020,\"recover_ms\":300,\"drain_ms\":340,"
	"\"recovers_after_s\":9000,\"hits\":[5,5],\"control\":\"PASS\",\"wall_ms\":14900,"
	"\"accelerator\":\"tcg\",\"starved\":false,"
	"\"path\":\"results/2026-11-22.1/mta-disabled-mailbox-move.refstore.1\","
	"\"recovery\":\"after_guest_s\",\"recovery_event\":\"thread 7 ends\","
	"\"laws\":{\"H3\":{\"ruling\":\"broken\"}}}";

static void the_published_shape_comes_back_byte_for_byte(void)
{
	auto_json json_t *json = json_loads(example, 0, NULL);
	auto_json json_t *again = NULL;
	auto_free char *text = NULL;
	struct result result;
	struct err err = {{0}};

	CHECK_INT(result_from_json(json, &result, &err), 0);
	again = result_to_json(&result);
	text = json_dumps(again, JSON_COMPACT);
	CHECK_STR(text, example);
	CHECK_STR(result_finding(&result)->hang_class, "exhaustion");
	result_free(&result);
}

static const struct {
	const char *json, *says;
} recoveries[] = {
	{"{\"recovery\":\"permanent\",\"recovery_event\":\"nothing moved\",\"searched_s\":21600}",
		"permanent (searched 21600 guest s)"},
	{"{\"recovery\":\"permanent\",\"recovery_event\":\"nothing moved\",\"searched_s\":21600,"
	 "\"recovery_in_force\":true}",
		"permanent while the fault is in force (searched 21600 guest s)"},
	{"{\"recovery\":\"after_guest_s\",\"recovers_after_s\":9000,"
	 "\"recovery_event\":\"thread 7 of `store` leaves its wait\"}",
		"slow, recovers after about 9000 guest s: thread 7 of `store` leaves its wait"},
	{"{\"recovery\":\"not-judged\",\"recovery_event\":\"no room\"}", "not judged: no room"},
	{"{\"recovery\":7}", ""},
	{"{}", ""},
};

static void a_finding_says_whether_it_ends_by_itself(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(recoveries); i++) {
		struct finding finding = {
			.title = (char *)"x", .recovery = json_loads(recoveries[i].json, 0, NULL)};
		struct result result = {.id = (char *)"a",
				      .findings = &finding,
				      .finding_count = 1},
			      again;
		auto_buf struct buf text = {0}, back = {0};
		auto_json json_t *json = result_to_json(&result);

		CHECK_INT(finding_recovery(&finding, &text), *recoveries[i].says != '\0');
		CHECK_STR(buf_text(&text), recoveries[i].says);
		CHECK_INT(result_from_json(json, &again, NULL), 0);
		finding_recovery(&again.findings[0], &back);
		CHECK_STR(buf_text(&back), recoveries[i].says);
		result_free(&again);
		json_decref(finding.recovery);
	}
}

static void what_was_not_measured_is_null(void)
{
	struct result result = {.id = text_dup("a.b.1"),
		.verdict = VERDICT_SKIP,
		.reason = text_dup("no dismount"),
		.fired = -1,
		.residue = -1,
		.detect_ms = -1,
		.recover_ms = -1,
		.drain_ms = -1,
		.wall_ms = -1,
		.recovers_after_s = -1};
	auto_json json_t *json = result_to_json(&result);
	static const char *const null_keys[] = {"class", "signature", "state", "fired", "residue",
		"detect_ms", "recover_ms", "drain_ms", "wall_ms", "recovers_after_s", "hits",
		"control", "target", "path", "recovery", "recovery_event"};
	struct result again;

	for (size_t i = 0; i < ARRAY_SIZE(null_keys); i++)
		CHECK(json_is_null(json_object_get(json, null_keys[i])));
	CHECK_STR(json_get_text(json, "verdict", ""), "SKIP");
	CHECK_INT(json_array_size(json_object_get(json, "findings")), 0);
	CHECK_INT(result_from_json(json, &again, NULL), 0);
	CHECK_INT(again.fired, -1);
	CHECK_INT(again.tries, 0);
	CHECK(again.target == NULL);
	result_free(&again);
	result_free(&result);
}

static void a_suspect_finding_does_not_name_the_cell(void)
{
	struct finding findings[] = {
		{.signature = "S1-00000000", .suspect = true}, {.signature = "H1-11111111"}};
	struct result result = {.id = (char *)"a", .findings = findings, .finding_count = 2};
	auto_json json_t *json = result_to_json(&result);

	CHECK_STR(json_get_text(json, "signature", ""), "H1-11111111");
	result.finding_count = 1;
	CHECK_STR(result_finding(&result)->signature, "S1-00000000");
	result.finding_count = 0;
	CHECK(result_finding(&result) == NULL);
}

static void hostile_text_becomes_json(void)
{
	struct result result = {.id = (char *)"a", .reason = (char *)"\xff\x01\"<&"};
	auto_json json_t *json = result_to_json(&result);
	auto_free char *text = json_dumps(json, 0);

	CHECK_HAS(text, "\\\\xff\\u0001\\\"<&");
}

static void nonsense_is_refused_or_survived(void)
{
	static const struct {
		const char *json;
		int want;
	} rows[] = {
		{"{}", -EINVAL},
		{"{\"id\":\"a\"}", -EINVAL},
		{"{\"id\":\"a\",\"verdict\":\"GOOD\"}", -EINVAL},
		{"{\"id\":7,\"verdict\":\"PASS\"}", -EINVAL},
		{"{\"id\":\"a\",\"verdict\":7}", -EINVAL},
		{"[]", -EINVAL},
		{"{\"id\":\"a\",\"verdict\":\"MISS\",\"findings\":7,\"hits\":{},\"fired\":\"x\"}",
			0},
		{"{\"id\":\"a\",\"verdict\":\"FAIL\",\"findings\":[7,{\"laws\":[7],\"lines\":["
		 "\"x\"],"
		 "\"class\":\"unheard-of\"}]}",
			0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *json = json_loads(rows[i].json, 0, NULL);
		struct result result = {0};
		struct err err = {{0}};

		CHECK_INT(result_from_json(json, &result, &err), rows[i].want);
		result_free(&result);
	}
	result_free(NULL);
}

static void the_worst_verdict_wins(void)
{
	static const enum verdict order[] = {VERDICT_PASS, VERDICT_SKIP, VERDICT_MISS,
		VERDICT_UNKNOWN, VERDICT_BROKEN, VERDICT_FAIL};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		for (size_t k = 0; k < ARRAY_SIZE(order); k++)
			CHECK_INT(verdict_worse(order[i], order[k]), order[i > k ? i : k]);
}

static void names_go_both_ways(void)
{
	for (int i = 0; i < VERDICT_COUNT; i++)
		CHECK_INT(verdict_from_name(verdict_name((enum verdict)i)), i);
	CHECK_INT(verdict_from_name("pass"), -EINVAL);
	CHECK_STR(verdict_name((enum verdict)99), "?");
	CHECK_STR(finding_state_name(FINDING_KNOWN), "known");
	CHECK_STR(hang_class_find("crash-loop"), "crash-loop");
	CHECK(hang_class_find("lovelock") == NULL);
}

CHECK_MAIN(CHECK_CASE(the_published_shape_comes_back_byte_for_byte),
	CHECK_CASE(a_finding_says_whether_it_ends_by_itself),
	CHECK_CASE(what_was_not_measured_is_null),
	CHECK_CASE(a_suspect_finding_does_not_name_the_cell), CHECK_CASE(hostile_text_becomes_json),
	CHECK_CASE(nonsense_is_refused_or_survived), CHECK_CASE(the_worst_verdict_wins),
	CHECK_CASE(names_go_both_ways))
