/* Locks and children in PID namespaces: a number means whoever calls himself so in the namespace of who waits. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "diagnose/dot_lock.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE	"232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define PRIVATE "202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x1 0x2"
#define SHARED	"202 0x7f00 0x0 0x2 0x0 0x0 0x0 0x1 0x2"
#define WAIT4	"61 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

#define ENDED	  "the thread that locked it has ended"
#define NOT_TOLD  "the scan does not tell by which number each thread calls itself"
#define ELSEWHERE "the lock has a number that a thread of another PID namespace has"

/* pid_ns 0: the witness's own. number 0: not told. */
static json_t *task(int pid, int tid, int pid_ns, int number, const char *call)
{
	json_t *json = json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", tid, "ppid", 1,
		"comm", "c", "exe", "/x/a", "state", "S", "start", tid, "syscall", call);

	if (pid_ns)
		json_object_set_new(json, "pidns", json_integer(pid_ns));
	if (number)
		json_object_set_new(json, "nstid", json_integer(number));
	return json;
}

/* Words of a mutex that `owner` has by its own account. */
static json_t *at_mutex(json_t *task, int owner)
{
	json_object_set_new(task, "futex", json_pack("[iiiii]", 2, 0, owner, 1, 0));
	return task;
}

static json_t *with(json_t *task, const char *key, json_t *value)
{
	json_object_set_new(task, key, value);
	return task;
}

static void run(json_t *tasks, struct diagnosis *ret)
{
	auto_json json_t *scan = json_pack("{ss so}", "locks", "", "tasks", tasks);
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(&(struct diagnose_input){.scan = scan, .owed = owed, .owed_limit_s = 2}, ret);
}

static bool says(char *const *lines, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(lines[i], text))
			return true;
	return false;
}

/* Class and first culprit, and why the owner is not known (NULL: it is). */
static void check(json_t *tasks, const char *class, int tid, const char *unknown)
{
	static const char *const reasons[] = {ENDED, NOT_TOLD, ELSEWHERE};
	struct diagnosis got;

	run(tasks, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, tid);
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++)
		CHECK_INT(says(got.unknown, got.unknown_count, reasons[i]),
			unknown && !strcmp(reasons[i], unknown));
	diagnosis_free(&got);
}

/* Two threads, 2 and 3 in their namespace, that want what the other has. */
static json_t *crossed(int pid, int pid_ns)
{
	return json_pack("[ooo]", task(pid, pid, pid_ns, 1, IDLE),
		at_mutex(task(pid, pid + 1, pid_ns, 2, PRIVATE), 3),
		at_mutex(task(pid, pid + 2, pid_ns, 3, PRIVATE), 2));
}

static json_t *two(json_t *one, json_t *other)
{
	json_array_extend(one, other);
	json_decref(other);
	return one;
}

static void an_owner_is_who_calls_himself_so_in_the_namespace_of_the_waiter(void)
{
	struct diagnosis got;

	check(crossed(20, 7), "deadlock", 21, NULL);
	/* The same numbers outside, and in another namespace. */
	check(two(json_pack("[oo]", task(2, 2, 0, 0, IDLE), task(3, 3, 0, 0, IDLE)),
		      crossed(20, 7)),
		"deadlock", 21, NULL);
	run(two(crossed(20, 7), crossed(40, 8)), &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK_INT(got.culprits[0].pid, got.culprits[1].pid);
	diagnosis_free(&got);
}

static void a_number_that_nobody_in_the_namespace_has_is_of_one_that_has_ended(void)
{
	/* Outside there is a thread 9, and in another namespace. */
	check(json_pack("[oooo]", task(9, 9, 0, 0, IDLE), task(40, 40, 8, 9, IDLE),
		      task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 9)),
		"lost-wakeup", 21, ENDED);
	/* A thread of the same process has it in /proc. */
	check(json_pack(
		      "[oo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 20)),
		"lost-wakeup", 21, ENDED);
}

static void nobody_has_ended_where_a_number_is_missing(void)
{
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 3),
		      task(20, 22, 7, 0, IDLE)),
		"lost-wakeup", 21, NOT_TOLD);
	/* Not even its namespace, which is that of its process. */
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 3),
		      task(20, 22, 0, 0, IDLE)),
		"lost-wakeup", 21, NOT_TOLD);
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE),
		      at_mutex(task(20, 21, 7, 2, PRIVATE), 22), task(20, 22, 0, 0, IDLE)),
		"lost-wakeup", 21, NOT_TOLD);
	/* What is no number is none. */
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 3),
		      task(20, 22, 7, -3, IDLE)),
		"lost-wakeup", 21, NOT_TOLD);
	/* Of another process it is no matter, unless that may use the lock. */
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, PRIVATE), 3),
		      task(30, 30, 7, 0, IDLE)),
		"lost-wakeup", 21, ENDED);
	check(json_pack("[ooo]", task(20, 20, 7, 1, IDLE), at_mutex(task(20, 21, 7, 2, SHARED), 3),
		      task(30, 30, 7, 0, IDLE)),
		"lost-wakeup", 21, NOT_TOLD);
}

static void a_lock_of_several_processes_may_be_of_several_namespaces(void)
{
	check(json_pack("[oo]", at_mutex(task(20, 20, 7, 1, SHARED), 2),
		      at_mutex(task(30, 30, 7, 2, SHARED), 1)),
		"deadlock", 20, NULL);
	check(json_pack("[oo]", at_mutex(task(20, 20, 7, 1, SHARED), 2), task(30, 30, 8, 2, IDLE)),
		"lost-wakeup", 20, ELSEWHERE);
	check(json_pack("[oo]", at_mutex(task(20, 20, 7, 1, SHARED), 2), task(30, 30, 7, 3, IDLE)),
		"lost-wakeup", 20, ENDED);
}

/* Thread 2 wants what 1 has, who joins 2. */
static json_t *joins(const char *call, int value, int behind)
{
	return json_pack("[oo]",
		with(task(20, 20, 7, 1, call), "futex",
			json_pack("[iiiii]", value, behind, 0x2000, 0x7f00, 0x2000)),
		at_mutex(task(20, 21, 7, value, PRIVATE), 1));
}

static void a_thread_that_is_joined_is_one_of_the_namespace(void)
{
	static const char fifth[] = "202 0x7f00 0x109 0x5 0x0 0x0 0xffffffff 0x1 0x2";
	static const char second[] = "202 0x7f00 0x109 0x2 0x0 0x0 0xffffffff 0x1 0x2";
	static const char event[] = "202 0x7f00 0x189 0x2 0x0 0x0 0xffffffff 0x1 0x2";

	check(joins(fifth, 5, 0), "deadlock", 20, NULL);
	check(joins(second, 2, 0), "deadlock", 20, NULL);
	check(joins(second, 2, 4), "lost-wakeup", 20, NULL); /* a barrier's round, and how many */
	check(joins(event, 2, 0), "lost-wakeup", 20, NULL);
}

/* A word that is the number of a thread, as locks of other makes are; the other thread is idle. */
static json_t *word(int number)
{
	auto_free char *call =
		text_fmt("202 0x7f00 0x80 0x%x 0x0 0x0 0x0 0x1 0x2", (unsigned int)number);

	return json_pack("[oo]",
		with(task(20, 20, 7, number, PRIVATE), "futex",
			json_pack("[iiiii]", 2, 0, 400, 1, 0)),
		with(task(20, 21, 7, 400, call), "futex",
			json_pack("[iiiii]", number, 0, 0, 0, 0)));
}

static void small_numbers_of_a_namespace_are_no_owners_by_themselves(void)
{
	struct diagnosis got;

	check(word(301), "deadlock", 20, NULL);
	run(word(17), &got);
	CHECK(!got.hang_class || strcmp(got.hang_class, "deadlock") != 0);
	diagnosis_free(&got);
}

static void a_child_is_waited_for_by_the_number_that_its_parent_has_of_it(void)
{
	json_t *child = with(at_mutex(task(30, 30, 7, 3, SHARED), 1), "ppid", json_integer(20));

	check(json_pack("[ooo]", task(3, 3, 0, 0, IDLE), task(20, 20, 7, 1, WAIT4), child),
		"deadlock", 20, NULL);
}

static void a_dot_lock_names_a_process_as_it_calls_itself(void)
{
	static const char text[] = "1 5 /m/a.lock\n1 6 /m/b.lock\n1 30 /m/c.lock\n1 20 /m/d.lock\n";
	auto_json json_t *locks = dot_locks_read(text, strlen(text));
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	auto_json json_t *scan = json_pack("{s[ooooo]}", "tasks",
		with(task(5, 5, 0, 0, IDLE), "exe", json_string("")), task(20, 20, 7, 5, IDLE),
		task(20, 21, 7, 6, IDLE), task(30, 30, 7, 6, IDLE), task(40, 40, 8, 30, IDLE));
	struct diagnosis got;

	diagnose(
		&(struct diagnose_input){
			.scan = scan, .owed = owed, .owed_limit_s = 2, .dot_locks = locks},
		&got);
	CHECK(says(got.evidence, got.evidence_count,
		"'/m/a.lock', 1 s old, names process 5 of a PID namespace, here 20 (`a`)"));
	CHECK(says(got.evidence, got.evidence_count,
		"'/m/b.lock', 1 s old, names process 6 of a PID namespace, here 30 (`a`)"));
	CHECK(says(got.evidence, got.evidence_count,
		"'/m/c.lock', 1 s old, names process 30 of a PID namespace, here 40 (`a`)"));
	CHECK(says(got.evidence, got.evidence_count,
		"'/m/d.lock', 1 s old, names process 20, which there is not"));
	diagnosis_free(&got);
	json_array_append_new(json_object_get(scan, "tasks"), task(50, 50, 0, 0, IDLE));
	json_array_append_new(json_object_get(scan, "tasks"), task(51, 51, 9, 50, IDLE));
	json_object_set_new(json_array_get(locks, 0), "pid", json_integer(50));
	diagnose(
		&(struct diagnose_input){
			.scan = scan, .owed = owed, .owed_limit_s = 2, .dot_locks = locks},
		&got);
	CHECK(says(got.evidence, got.evidence_count,
		"names process 50, of which several PID namespaces have one"));
	diagnosis_free(&got);
}

CHECK_MAIN(CHECK_CASE(an_owner_is_who_calls_himself_so_in_the_namespace_of_the_waiter),
	CHECK_CASE(a_number_that_nobody_in_the_namespace_has_is_of_one_that_has_ended),
	CHECK_CASE(nobody_has_ended_where_a_number_is_missing),
	CHECK_CASE(a_lock_of_several_processes_may_be_of_several_namespaces),
	CHECK_CASE(a_thread_that_is_joined_is_one_of_the_namespace),
	CHECK_CASE(small_numbers_of_a_namespace_are_no_owners_by_themselves),
	CHECK_CASE(a_child_is_waited_for_by_the_number_that_its_parent_has_of_it),
	CHECK_CASE(a_dot_lock_names_a_process_as_it_calls_itself))
