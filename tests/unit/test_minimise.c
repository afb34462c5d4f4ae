/* Which smaller scenarios are tried, and when it ends (run/minimise.h). */
#include "run/minimise.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

#define TRIES_MAX 500

static json_t *scenario(void)
{
	static const char text[] =
		"{'workload': [{'as': 'mail', 'do': 'smtp', 'messages': 40, 'sessions': 2},"
		" {'as': 'web', 'do': 'http'}, {'as': 'box', 'do': 'append', 'messages': 1}],"
		"'steps': [{'as': 'held', 'do': 'park', 'until': 'gone'},"
		" {'as': 'gone', 'do': 'unlink', 'while': 'held'}, {'as': 'cut', 'do': 'cut-link'},"
		" {'as': 'late', 'do': 'imap', 'after': 'box'}]}";
	auto_free char *json = text_dup(text);

	for (char *p = json; (p = strchr(p, '\'')); p++)
		*p = '"';
	return json_loads(json, 0, NULL);
}

/* Runs it to its end with this opinion; how many candidates there were. */
static int minimise(bool (*still)(const json_t *scenario), json_t **ret_best)
{
	auto_json json_t *whole = scenario();
	struct minimiser *m = minimiser_new(whole);
	int tries = 0;

	for (; tries < TRIES_MAX; tries++) {
		auto_free char *what = NULL;
		auto_json json_t *candidate = minimiser_next(m, &what);

		if (!candidate)
			break;
		CHECK(what && *what);
		minimiser_tell(m, still(candidate));
	}
	*ret_best = json_deep_copy(minimiser_best(m));
	minimiser_free(m);
	return tries;
}

static const json_t *entry(const json_t *scenario, const char *array, const char *label)
{
	json_t *one;
	size_t i;

	json_array_foreach (json_object_get(scenario, array), i, one)
		if (!strcmp(json_get_text(one, "as", ""), label))
			return one;
	return NULL;
}

/* The finding needs the cut and seven messages. */
static bool needs_cut_and_seven(const json_t *s)
{
	return entry(s, "steps", "cut") &&
	       json_get_int(entry(s, "workload", "mail"), "messages", 0) >= 7;
}

static bool never(const json_t *s)
{
	(void)s;
	return false;
}

static bool always(const json_t *s)
{
	(void)s;
	return true;
}

static void what_the_finding_does_not_need_goes(void)
{
	auto_json json_t *best = NULL;

	CHECK(minimise(needs_cut_and_seven, &best) < 30);
	CHECK_INT(json_array_size(json_object_get(best, "workload")), 1);
	CHECK_INT(json_get_int(entry(best, "workload", "mail"), "messages", 0), 10);
	CHECK_INT(json_get_int(entry(best, "workload", "mail"), "sessions", 0), 1);
	CHECK(entry(best, "steps", "cut") != NULL);
	CHECK(!entry(best, "steps", "late"));
}

static void what_another_entry_waits_for_stays(void)
{
	auto_json json_t *best = NULL;

	minimise(always, &best);
	/* These two wait for each other: neither may go first. */
	CHECK(entry(best, "steps", "held") && entry(best, "steps", "gone"));
	CHECK_INT(json_array_size(json_object_get(best, "steps")), 2);
	CHECK_INT(json_array_size(json_object_get(best, "workload")), 1);
}

static void where_nothing_may_go_the_scenario_is_as_it_was(void)
{
	auto_json json_t *best = NULL, *whole = scenario();
	int tries = minimise(never, &best);

	CHECK(json_equal(best, whole));
	CHECK_INT(tries, 2 + 2 + 2); /* steps, workloads, numbers: box is waited for */
}

static void a_thing_that_is_no_scenario_has_no_smaller_one(void)
{
	auto_json json_t *odd = json_pack("{s[i] s{}}", "steps", 1, "workload");
	struct minimiser *m = minimiser_new(odd);
	auto_free char *what = NULL;
	json_t *candidate = minimiser_next(m, &what);

	minimiser_tell(m, true);
	json_decref(candidate);
	minimiser_free(m);
}

CHECK_MAIN(CHECK_CASE(what_the_finding_does_not_need_goes),
	CHECK_CASE(what_another_entry_waits_for_stays),
	CHECK_CASE(where_nothing_may_go_the_scenario_is_as_it_was),
	CHECK_CASE(a_thing_that_is_no_scenario_has_no_smaller_one))
