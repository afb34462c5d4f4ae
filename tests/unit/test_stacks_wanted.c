/* Whose stacks are read, and who is looked at for a while: a store that works must not be held up by it. */
#include "run/bed/stacks.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "tests/check/check.h"

/* Two culprits 10 and 20, and who else runs in their processes. */
static void check_wanted(const char *hang_class, const char *tids, size_t busy)
{
	static const char scan_text[] =
		"{\"tasks\":[{\"pid\":10,\"tid\":10},{\"pid\":20,\"tid\":20},"
		"{\"pid\":10,\"tid\":11},{\"pid\":20,\"tid\":21},"
		"{\"pid\":30,\"tid\":30}]}";
	auto_json json_t *scan = json_loads(scan_text, 0, NULL);
	struct diagnosis diagnosis = {.hang_class = hang_class,
		.culprits = {{.pid = 20, .tid = 20}, {.pid = 10, .tid = 10}},
		.culprit_count = hang_class ? 2 : 0};
	struct bed_stacks wanted;
	auto_buf struct buf got = {0};

	stacks_wanted(&diagnosis, scan, &wanted);
	for (size_t i = 0; i < wanted.count; i++)
		buf_addf(&got, "%s%d", i ? " " : "", wanted.tids[i]);
	CHECK_STR(buf_text(&got), tids);
	CHECK_INT(wanted.busy, busy);
}

static void of_a_cycle_all_processes_are_looked_at(void)
{
	check_wanted("deadlock", "20 10 21 11", 0);
}

static void of_anything_else_the_first_ones_is(void)
{
	check_wanted("exhaustion", "20 10 21", 0);
	check_wanted("slow", "20 10 21", 0);
}

static void of_a_livelock_its_culprits_are_looked_at_for_a_while(void)
{
	check_wanted("livelock", "20 10 21", 2);
}

static void of_what_is_healthy_nothing_is(void)
{
	check_wanted(NULL, "", 0);
}

static void no_more_are_wanted_than_there_is_room_for(void)
{
	auto_json json_t *tasks = json_array(), *scan = json_pack("{sO}", "tasks", tasks);
	struct diagnosis diagnosis = {.hang_class = "livelock", .culprit_count = CULPRITS_MAX};
	struct bed_stacks wanted;

	for (int i = 0; i < CULPRITS_MAX; i++)
		diagnosis.culprits[i] = (struct culprit){.pid = 1, .tid = 100 + i};
	for (int i = 0; i < 2 * BED_STACKS_MAX; i++)
		json_array_append_new(tasks, json_pack("{si si}", "pid", 1, "tid", 200 + i));
	stacks_wanted(&diagnosis, scan, &wanted);
	CHECK_INT(wanted.count, BED_STACKS_MAX);
	CHECK(wanted.busy > 0 && wanted.busy < CULPRITS_MAX);
}

CHECK_MAIN(CHECK_CASE(of_a_cycle_all_processes_are_looked_at),
	CHECK_CASE(of_anything_else_the_first_ones_is),
	CHECK_CASE(of_a_livelock_its_culprits_are_looked_at_for_a_while),
	CHECK_CASE(of_what_is_healthy_nothing_is),
	CHECK_CASE(no_more_are_wanted_than_there_is_room_for))
