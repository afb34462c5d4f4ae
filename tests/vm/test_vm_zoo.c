/*
 * The zoo inside a guest, through the real witness. The gate runs a handful of cases of each kind; by hand
 * ZOO_ONLY (a glob), ZOO_TIMES, ZOO_HEALTHY and ZOO_SEED choose others, and ZOO_DIR keeps what was wrong.
 */
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/score/score_zoo.h"
#include "tests/check/check.h"

#include <stdlib.h>
#include <string.h>

static unsigned int number(const char *name, unsigned int otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned int)strtoul(text, NULL, 10) : otherwise;
}

static void say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
	fflush(stdout);
}

static void score(const char *only, const char *dir, struct zoo_score *ret)
{
	const struct zoo_options options = {.root = ".",
		.dir = dir,
		.only = only,
		.times = number("ZOO_TIMES", 1),
		.healthy = number("ZOO_HEALTHY", 0),
		.seed = number("ZOO_SEED", 1),
		.cancel_fd = -1,
		.say = say};
	struct err err = {0};
	int rc = score_zoo(&options, ret, &err);

	if (rc)
		printf("%s\n", err.text);
	if (!CHECK_INT(rc, 0))
		*ret = (struct zoo_score){0};
}

static void what_is_planted_in_a_guest_is_found_and_what_is_healthy_is_left_alone(void)
{
	static const char *const globs[] = {"mutex-abba", "flock-three", "tcp-cycle", "cond-lost",
		"pool-on-socket", "crash-loop", "maildrop-lock", "idle-accept-pool",
		"frozen-by-the-fault", NULL};
	const char *const by_hand[] = {getenv("ZOO_ONLY"), NULL};

	for (const char *const *glob = by_hand[0] ? by_hand : globs; *glob; glob++) {
		auto_free char *dir =
			path_join(getenv("ZOO_DIR") ? getenv("ZOO_DIR") : check_dir(), "zoo");
		struct zoo_score got;
		auto_json json_t *json = NULL;
		auto_free char *text = NULL;

		score(*glob, dir, &got);
		json = score_zoo_json(&got);
		text = json_dumps(json, JSON_INDENT(2));
		if (by_hand[0])
			printf("%s\n", text);
		CHECK_INT(got.spoilt, 0);
		CHECK_INT(json_array_size(got.misses), 0);
		CHECK_INT(got.recall.hits, got.recall.of);
		CHECK_INT(got.false_alarms.hits, 0);
		CHECK(got.planted + got.healthy > 0);
		score_zoo_free(&got);
	}
}

CHECK_MAIN(CHECK_CASE(what_is_planted_in_a_guest_is_found_and_what_is_healthy_is_left_alone))
