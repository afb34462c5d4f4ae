#include "tests/unit/campaign_fixture.h"

#include "base/clock.h"
#include "base/proc.h"
#include "base/rng.h"

#define GOLDEN	   "tests/golden/junit/"
#define XMLLINT_MS 20000

static char *written(const struct campaign_results *campaign)
{
	struct buf out = {0};

	CHECK_INT(exporter_find("junit")->write(campaign, &out, NULL), 0);
	return buf_steal(&out);
}

/* What xmllint says of it with the schema: "" when all is well, NULL when there is no xmllint. */
static char *complaint(const char *xml)
{
	auto_free char *path = path_join(check_dir(), "junit.xml");
	char *argv[] = {(char *)"xmllint", (char *)"--noout", (char *)"--nonet", (char *)"--schema",
		(char *)GOLDEN "jenkins.xsd", path, NULL};
	struct err err = {{0}};
	int rc;

	fs_write_atomic(path, xml, strlen(xml), NULL);
	rc = proc_run(argv, deadline_in_ms(XMLLINT_MS), NULL, 0, &err);
	if (rc == -ENOENT)
		return NULL;
	return rc ? text_fmt("%d: %s", rc, err.text) : text_dup("");
}

static bool is_accepted(const char *xml)
{
	auto_free char *said = complaint(xml);

	if (!said) {
		check_skip("xmllint is not installed");
		return true;
	}
	return CHECK_STR(said, "");
}

static void the_manual_is_written_as_ever(void)
{
	struct buf got = {0};

	CHECK_INT(exporter_find("junit")->write(&manual, &got, NULL), 0);
	check_golden(GOLDEN "manual.xml", &got);
	is_accepted(buf_text(&got));
	buf_free(&got);
}

static void hostile_text_stays_text(void)
{
	struct buf got = {0};

	CHECK_INT(exporter_find("junit")->write(&hostile, &got, NULL), 0);
	check_golden(GOLDEN "hostile.xml", &got);
	is_accepted(buf_text(&got));
	buf_free(&got);
}

static void an_empty_campaign_is_a_document(void)
{
	auto_free char *got = written(&empty);

	is_accepted(got);
	CHECK_HAS(got, "tests=\"0\"");
}

static void what_tested_nothing_is_not_green(void)
{
	static const struct {
		enum verdict verdict;
		const char *element;
	} rows[] = {
		{VERDICT_FAIL, "<failure type=\"FAIL\" message=\"why\"/>"},
		{VERDICT_BROKEN, "<error type=\"BROKEN\" message=\"why\"/>"},
		{VERDICT_MISS, "<error type=\"MISS\" message=\"why\"/>"},
		{VERDICT_UNKNOWN, "<error type=\"UNKNOWN\" message=\"why\"/>"},
		{VERDICT_SKIP, "<skipped message=\"why\"/>"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct result cell = {NAMES("s", "t"), UNMEASURED, .verdict = rows[i].verdict,
			.reason = (char *)"why"};
		const struct campaign_results campaign = CAMPAIGN(&cell, 1);
		auto_free char *got = written(&campaign);

		CHECK_HAS(got, rows[i].element);
		is_accepted(got);
	}
}

static void a_pass_has_no_element(void)
{
	const struct result cell = {NAMES("s", "t"), UNMEASURED, .verdict = VERDICT_PASS};
	const struct campaign_results campaign = CAMPAIGN(&cell, 1);
	auto_free char *got = written(&campaign);

	CHECK(!strstr(got, "<failure") && !strstr(got, "<error") && !strstr(got, "<skipped"));
	CHECK_HAS(got, "failures=\"0\" errors=\"0\" skipped=\"0\"");
}

static void one_name_is_given_once(void)
{
	const struct result cells[] = {
		{NAMES("s", "t"), UNMEASURED},
		{NAMES("s", "t"), UNMEASURED},
		{NAMES("s", "u"), UNMEASURED},
		{NAMES("s", "t"), UNMEASURED},
	};
	const struct campaign_results campaign = CAMPAIGN(cells, 4);
	auto_free char *got = written(&campaign);

	CHECK_HAS(got, "name=\"s[1]\"");
	CHECK_HAS(got, "name=\"s[1]#2\"");
	CHECK_HAS(got, "name=\"s[1]#3\"");
	is_accepted(got);
}

/* The schema is a test only if it refuses something. */
static void the_schema_refuses_what_jenkins_would(void)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		{"classname=\"mailrig.refstore\"", ""},
		{"<failure type=\"exhaustion\"", "<failure"},
		{"mailrig.refstore\" name=\"freeze-commit-dismount[1]\"",
			"mailrig.refstore\" name=\"freeze-fs-during-delivery[1]\""},
		{"tests=\"6\"", "tests=\"six\""},
		{"</system-out>", "</system-out><failure type=\"a\" message=\"b\"/>"},
		{"</testsuites>", ""},
	};
	auto_free char *good = written(&manual);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *at = strstr(good, rows[i].from);
		auto_free char *bad = NULL, *said = NULL;

		if (!CHECK(at))
			continue;
		bad = text_fmt(
			"%.*s%s%s", (int)(at - good), good, rows[i].to, at + strlen(rows[i].from));
		said = complaint(bad);
		if (said)
			CHECK(*said);
	}
}

/* Any bytes as any text: always a document. */
static void any_bytes_make_a_document(void)
{
	struct rng rng = rng_stream(3, "junit");

	for (int i = 0; i < 40; i++) {
		char text[4][64];

		for (size_t k = 0; k < 4; k++) {
			rng_bytes(&rng, text[k], sizeof(text[k]));
			text[k][rng_below(&rng, sizeof(text[k]))] = '\0';
			text[k][sizeof(text[k]) - 1] = '\0';
		}
		struct result cell = {.id = text[0],
			.scenario = text[0],
			.target = text[1],
			.reason = text[2],
			.path = text[3],
			.verdict = (enum verdict)rng_below(&rng, VERDICT_COUNT)};
		const struct campaign_results campaign = CAMPAIGN(&cell, 1);
		auto_free char *got = written(&campaign);

		if (!is_accepted(got))
			return;
	}
}

CHECK_MAIN(CHECK_CASE(the_manual_is_written_as_ever), CHECK_CASE(hostile_text_stays_text),
	CHECK_CASE(an_empty_campaign_is_a_document), CHECK_CASE(what_tested_nothing_is_not_green),
	CHECK_CASE(a_pass_has_no_element), CHECK_CASE(one_name_is_given_once),
	CHECK_CASE(the_schema_refuses_what_jenkins_would), CHECK_CASE(any_bytes_make_a_document))
