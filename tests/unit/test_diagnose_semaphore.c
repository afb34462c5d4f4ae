/* System V semaphores: which one of its set is waited for, and who may have it; each rule both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE	   "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define SEMOP	   "65 0x7 0x7ffe 0x1 0x0 0x0 0x0 0x1 0x2"
#define SEMOP_OF_9 "65 0x9 0x7ffe 0x1 0x0 0x0 0x0 0x1 0x2"
#define FOR_A_TIME "220 0x7 0x7ffe 0x1 0x7fff 0x0 0x0 0x1 0x2"
#define RECV	   "45 0x4 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define TAKEN(by)  0, -1, 0, by /* the first of its set, as a lock */

static json_t *task(int pid, const char *state, const char *call)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", pid, "tid", pid, "ppid", 1, "comm",
		"c", "exe", "/x/a", "state", state, "start", pid, "wchan", "", "syscall", call);
}

/* Waits in set 7 or 9; a value of -1: that, and who was the last, is not known. */
static json_t *at(int pid, const char *call, int number, int op, int value, int last)
{
	json_t *json = task(pid, "S", call);
	json_t *sem = json_pack(
		"{si si si}", "id", strstr(call, " 0x9 ") ? 9 : 7, "num", number, "op", op);

	if (value >= 0)
		json_object_set_new(sem, "value", json_integer(value));
	if (value >= 0 && last)
		json_object_set_new(sem, "last", json_integer(last));
	json_object_set_new(json, "sem", sem);
	return json;
}

static json_t *scan_of(json_t *tasks)
{
	return json_pack("{ss so}", "locks", "", "tasks", tasks);
}

static json_t *two(json_t *a, json_t *b)
{
	return scan_of(json_pack("[oo]", a, b));
}

static void run(const json_t *scan, const json_t *healthy, double age_s, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", age_s);

	diagnose(
		&(struct diagnose_input){
			.scan = scan, .healthy = healthy, .owed = owed, .owed_limit_s = 2},
		ret);
}

#define OVERDUE 9.0
#define IN_TIME 0.1

static void check(const json_t *scan, const json_t *healthy, const char *class, int tid)
{
	struct diagnosis got;

	run(scan, healthy, OVERDUE, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, tid);
	diagnosis_free(&got);
}

static bool says(char *const *lines, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(lines[i], text))
			return true;
	return false;
}

static bool is_unknown(const struct diagnosis *got, const char *text)
{
	return says(got->unknown, got->unknown_count, text);
}

/* ---- which one ---- */

static void waits_for_two_semaphores_of_a_set_are_two_waits(void)
{
	auto_json json_t *one = two(at(10, SEMOP, 0, -1, 0, 0), at(20, SEMOP, 0, -1, 0, 0));
	auto_json json_t *other = two(at(10, SEMOP, 0, -1, 0, 0), at(20, SEMOP, 1, -1, 0, 0));
	auto_json json_t *untold = two(task(10, "S", SEMOP), task(20, "S", SEMOP));
	auto_json json_t *sets = two(task(10, "S", SEMOP), task(20, "S", SEMOP_OF_9));

	check(one, NULL, "exhaustion", 10);
	check(other, NULL, "lost-wakeup", 10);
	check(untold, NULL, "exhaustion", 10);
	check(sets, NULL, "lost-wakeup", 10);
}

static void signature_of(json_t *scan, char out[SIGNATURE_SIZE])
{
	struct diagnosis got;

	run(scan, NULL, OVERDUE, &got);
	snprintf(out, SIGNATURE_SIZE, "%s", got.signature);
	diagnosis_free(&got);
	json_decref(scan);
}

static void a_signature_has_the_number_in_the_set_and_not_the_set(void)
{
	char here[SIGNATURE_SIZE], there[SIGNATURE_SIZE], next[SIGNATURE_SIZE];

	signature_of(scan_of(json_pack("[o]", at(10, SEMOP, 0, -1, 0, 0))), here);
	signature_of(scan_of(json_pack("[o]", at(10, SEMOP_OF_9, 0, -1, 0, 0))), there);
	signature_of(scan_of(json_pack("[o]", at(10, SEMOP, 1, -1, 0, 0))), next);
	CHECK_STR(here, there);
	CHECK(strcmp(here, next) != 0);
}

/* 10 waits as when all was well, if that is the same wait; 20 waits for something else. */
static void check_as_healthy(json_t *now, json_t *well, bool same)
{
	auto_json json_t *scan = two(now, at(20, SEMOP_OF_9, 5, -1, 0, 0));
	auto_json json_t *healthy = two(well, task(20, "S", IDLE));

	check(scan, healthy, "lost-wakeup", same ? 20 : 10);
}

static void the_same_wait_is_for_the_same_semaphore(void)
{
	check_as_healthy(at(10, SEMOP, 1, -1, 0, 0), at(10, SEMOP, 1, -1, 0, 0), true);
	check_as_healthy(at(10, SEMOP, 1, -1, 0, 0), at(10, SEMOP, 0, -1, 0, 0), false);
	/* which of the set could not be read in time at one of the instants */
	check_as_healthy(at(10, SEMOP, 1, -1, 0, 0), task(10, "S", SEMOP), true);
	check_as_healthy(at(10, SEMOP, 1, -1, 0, 0), task(10, "S", SEMOP_OF_9), false);
}

static void what_is_told_of_another_set_is_not_of_this_call(void)
{
	json_t *one = at(10, SEMOP, 0, -1, 0, 20);
	auto_json json_t *scan = two(one, task(20, "T", ""));
	struct diagnosis got;

	json_object_set_new(json_object_get(one, "sem"), "id", json_integer(9));
	run(scan, NULL, OVERDUE, &got);
	CHECK_INT(got.behind, 0);
	diagnosis_free(&got);
}

/* ---- who has it ---- */

static void two_who_took_last_what_the_other_waits_for_are_a_deadlock_by_supposition(void)
{
	auto_json json_t *crossed = two(at(10, SEMOP, 1, -1, 0, 20), at(20, SEMOP, 0, -1, 0, 10));
	struct diagnosis got;

	run(crossed, NULL, OVERDUE, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK_HAS(got.title, "System V semaphore 1 of its set, which `a` (process 20) took last");
	CHECK(is_unknown(&got, "owner unknown: a System V semaphore names no owner; process 20 was "
			       "the last to take it"));
	CHECK(!is_unknown(&got, "several threads"));
	diagnosis_free(&got);
	run(crossed, NULL, IN_TIME, &got); /* nobody misses anything: they may be at rest */
	CHECK(!got.hang_class);
	diagnosis_free(&got);
}

static void only_what_is_used_as_a_lock_or_counts_who_works_has_a_supposed_owner(void)
{
	static const struct {
		const char *call;
		int op, value, last;
		bool deadlock;
	} rows[] = {
		{SEMOP, -1, 0, 20, true},
		{SEMOP, -2, 0, 20, false}, /* it wants several */
		{SEMOP, 0, 1, 20, true},   /* it waits for zero: he is counted */
		{SEMOP, 0, 0, 20, false},
		{SEMOP, -1, 1, 20, false},
		{SEMOP, -1, -1, 20, false}, /* of another namespace */
		{SEMOP, -1, 0, 0, false},
		{SEMOP, -1, 0, 10, false}, /* it took it itself */
		{FOR_A_TIME, -1, 0, 20, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan =
			two(at(10, rows[i].call, 1, rows[i].op, rows[i].value, rows[i].last),
				at(20, SEMOP, 0, -1, 0, 10));
		struct diagnosis got;

		run(scan, NULL, OVERDUE, &got);
		CHECK_INT(got.hang_class && !strcmp(got.hang_class, "deadlock"), rows[i].deadlock);
		diagnosis_free(&got);
	}
}

static void nobody_is_behind_himself(void)
{
	auto_json json_t *own = scan_of(json_pack("[o]", at(10, SEMOP, TAKEN(10))));
	struct diagnosis got;

	run(own, NULL, OVERDUE, &got);
	CHECK(is_unknown(&got, "a System V semaphore names no owner"));
	CHECK(!is_unknown(&got, "the last to take it"));
	diagnosis_free(&got);
}

/* 30 is slow: more to blame than one who only waits for somebody idle. */
static void who_took_it_last_and_stands_elsewhere_is_waited_for(void)
{
	static const struct {
		const char *state, *call;
		size_t behind;
		const char *class;
		int tid;
	} rows[] = {
		{"T", "", 1, "stopped", 20},
		{"S", RECV, 1, "lost-wakeup", 20},
		{"S", IDLE, 0, "lost-wakeup", 10}, /* as one that holds the accept lock */
		{"R", "running", 0, "lost-wakeup", 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan =
			two(at(10, SEMOP, TAKEN(20)), task(20, rows[i].state, rows[i].call));
		struct diagnosis got;

		json_array_append_new(json_object_get(scan, "tasks"), task(30, "D", RECV));
		run(scan, NULL, OVERDUE, &got);
		CHECK_STR(got.hang_class, rows[i].class);
		CHECK_INT(got.culprits[0].tid, rows[i].tid);
		CHECK_INT(got.behind, rows[i].behind);
		CHECK(is_unknown(&got, "process 20 was the last to take it"));
		diagnosis_free(&got);
	}
}

/* Consumers of jobs: the last job went to 20, who waits for the next one, or is at it. */
static void who_wants_the_same_has_it_not(void)
{
	auto_json json_t *scan = two(at(10, SEMOP, TAKEN(20)), at(20, SEMOP, TAKEN(10)));
	struct diagnosis got;

	run(scan, NULL, OVERDUE, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK_INT(got.behind, 0);
	diagnosis_free(&got);
}

/* 20 reads from 10, or from nobody that is known. */
static json_t *consumers(bool crossed)
{
	json_t *scan = two(at(10, SEMOP, TAKEN(20)), task(20, "S", RECV));

	if (crossed)
		json_object_set_new(scan, "fds",
			json_pack("[{sisisissss}{sisisissss}]", "pid", 10, "fd", 5, "ino", 100,
				"kind", "pipe", "mode", "w", "pid", 20, "fd", 4, "ino", 100, "kind",
				"pipe", "mode", "r"));
	return scan;
}

static void who_waited_so_when_all_was_well_waits_for_work(void)
{
	auto_json json_t *well = two(at(10, SEMOP, TAKEN(20)), at(20, SEMOP, TAKEN(10)));
	auto_json json_t *scan = consumers(true), *behind = consumers(false);
	struct diagnosis got;

	check(scan, NULL, "deadlock", 10);
	run(scan, well, OVERDUE, &got);
	CHECK_STR(got.hang_class, "lost-wakeup");
	diagnosis_free(&got);
	run(behind, NULL, OVERDUE, &got);
	CHECK_INT(got.behind, 1);
	diagnosis_free(&got);
	run(behind, well, OVERDUE, &got);
	CHECK_INT(got.culprits[0].tid, 20);
	CHECK_INT(got.behind, 0);
	diagnosis_free(&got);
}

static void that_who_took_it_last_has_ended_is_said(void)
{
	static const char ended[] = "the process that took it last (20) has ended";
	auto_json json_t *gone = scan_of(json_pack("[o]", at(10, SEMOP, TAKEN(20))));
	auto_json json_t *zombie = two(at(10, SEMOP, TAKEN(20)), task(20, "Z", ""));
	auto_json json_t *idle = two(at(10, SEMOP, TAKEN(20)), task(20, "S", IDLE));
	auto_json json_t *cut = json_deep_copy(gone);
	json_t *scans[] = {gone, zombie, idle, cut};

	json_object_set_new(cut, "truncated", json_true());
	for (size_t i = 0; i < ARRAY_SIZE(scans); i++) {
		struct diagnosis got;

		run(scans[i], NULL, OVERDUE, &got);
		CHECK_STR(got.hang_class, "lost-wakeup");
		CHECK_INT(says(got.evidence, got.evidence_count, ended), i < 2);
		diagnosis_free(&got);
	}
}

CHECK_MAIN(CHECK_CASE(waits_for_two_semaphores_of_a_set_are_two_waits),
	CHECK_CASE(a_signature_has_the_number_in_the_set_and_not_the_set),
	CHECK_CASE(the_same_wait_is_for_the_same_semaphore),
	CHECK_CASE(what_is_told_of_another_set_is_not_of_this_call),
	CHECK_CASE(two_who_took_last_what_the_other_waits_for_are_a_deadlock_by_supposition),
	CHECK_CASE(only_what_is_used_as_a_lock_or_counts_who_works_has_a_supposed_owner),
	CHECK_CASE(nobody_is_behind_himself),
	CHECK_CASE(who_took_it_last_and_stands_elsewhere_is_waited_for),
	CHECK_CASE(who_wants_the_same_has_it_not),
	CHECK_CASE(who_waited_so_when_all_was_well_waits_for_work),
	CHECK_CASE(that_who_took_it_last_has_ended_is_said))
