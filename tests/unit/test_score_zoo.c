#include "base/cleanup.h"
#include "base/json.h"
#include "run/score/score_zoo.h"
#include "tests/check/check.h"

#include <string.h>

#define PLANTED(culprit_, want, got, first, sign)                                            \
	{                                                                                    \
		.name = culprit_, .culprit = culprit_, .want_class = want, .got_class = got, \
		.finding = (got) != NULL, .first_right = first, .signature = sign            \
	}
#define HEALTHY(name_, got)                                                                \
	{                                                                                  \
		.name = name_, .got_class = got, .finding = (got) != NULL, .signature = "" \
	}

static struct zoo_score tally(const struct zoo_outcome *all, size_t count)
{
	struct zoo_score score;

	score_zoo_tally(all, count, &score);
	return score;
}

static void check_share(struct zoo_share got, unsigned int hits, unsigned int of)
{
	CHECK_INT(got.hits, hits);
	CHECK_INT(got.of, of);
}

static void a_perfect_diagnosis_has_every_share_full_and_no_miss(void)
{
	const struct zoo_outcome all[] = {
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-1"),
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-1"),
		PLANTED("b", "livelock", "livelock", true, "livelock-2"),
		HEALTHY("idle", NULL),
		HEALTHY("idle", NULL),
	};
	struct zoo_score score = tally(all, 5);

	CHECK_INT(score.planted, 3);
	CHECK_INT(score.healthy, 2);
	CHECK_INT(score.troubles, 2);
	CHECK_INT(score.controls, 1);
	check_share(score.recall, 3, 3);
	check_share(score.culprit_first, 3, 3);
	check_share(score.class_right, 3, 3);
	check_share(score.false_alarms, 0, 2);
	check_share(score.purity, 3, 3);
	check_share(score.completeness, 3, 3);
	CHECK_INT(json_array_size(score.misses), 0);
	score_zoo_free(&score);
}

static void each_kind_of_mistake_lowers_its_own_share(void)
{
	const struct zoo_outcome all[] = {
		PLANTED("a", "deadlock", NULL, false, ""),
		PLANTED("b", "deadlock", "deadlock", false, "deadlock-1"),
		PLANTED("c", "deadlock", "slow", true, "slow-2"),
		HEALTHY("idle", "slow"),
	};
	struct zoo_score score = tally(all, 4);

	check_share(score.recall, 2, 3);
	check_share(score.culprit_first, 1, 3);
	check_share(score.class_right, 1, 3);
	check_share(score.false_alarms, 1, 1);
	check_share(score.purity, 2, 2);
	CHECK_INT(json_array_size(score.misses), 4);
	score_zoo_free(&score);
}

static void a_signature_that_two_culprits_share_is_impure_for_both(void)
{
	const struct zoo_outcome all[] = {
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-1"),
		PLANTED("b", "deadlock", "deadlock", true, "deadlock-1"),
		PLANTED("c", "deadlock", "deadlock", true, "deadlock-2"),
	};
	struct zoo_score score = tally(all, 3);

	check_share(score.purity, 1, 3);
	check_share(score.completeness, 3, 3);
	score_zoo_free(&score);
}

static void a_culprit_with_two_signatures_is_incomplete_in_the_rarer_one(void)
{
	const struct zoo_outcome all[] = {
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-2"),
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-1"),
		PLANTED("a", "deadlock", "deadlock", true, "deadlock-1"),
	};
	struct zoo_score score = tally(all, 3);

	check_share(score.completeness, 2, 3);
	check_share(score.purity, 3, 3);
	score_zoo_free(&score);
}

/* A class without a finding is what a fault in force blocks: no alarm. */
static void a_class_without_a_finding_is_no_alarm(void)
{
	struct zoo_outcome one = HEALTHY("parked", "blocked-on-fault");
	struct zoo_score score;

	one.finding = false;
	score = tally(&one, 1);
	check_share(score.false_alarms, 0, 1);
	score_zoo_free(&score);
}

static void the_json_has_the_agreed_names_and_null_where_nothing_was_judged(void)
{
	static const char *const names[] = {"recall", "false_alarm_rate", "culprit_first",
		"class_right", "purity", "completeness"};
	const struct zoo_outcome one = PLANTED("a", "deadlock", "deadlock", true, "deadlock-1");
	struct zoo_score score = tally(&one, 1);
	auto_json json_t *json = score_zoo_json(&score);

	CHECK_INT(json_get_int(json, "planted", -1), 1);
	CHECK_INT(json_get_int(json, "healthy", -1), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], "false_alarm_rate"))
			CHECK(json_is_null(json_object_get(json, names[i])));
		else
			CHECK(json_number_value(json_object_get(json, names[i])) == 1.0);
	score_zoo_free(&score);
}

CHECK_MAIN(CHECK_CASE(a_perfect_diagnosis_has_every_share_full_and_no_miss),
	CHECK_CASE(each_kind_of_mistake_lowers_its_own_share),
	CHECK_CASE(a_signature_that_two_culprits_share_is_impure_for_both),
	CHECK_CASE(a_culprit_with_two_signatures_is_incomplete_in_the_rarer_one),
	CHECK_CASE(a_class_without_a_finding_is_no_alarm),
	CHECK_CASE(the_json_has_the_agreed_names_and_null_where_nothing_was_judged))
