/* Those who sleep and look again: whom they wait for, and where nobody is known. */
#include "tests/unit/scan_fixture.h"

#define ONE    10
#define TWO    20
#define THIRD  30
#define SEC_NS INT64_C(1000000000)
#define NOW_S  100

/* A dot-lock by what its file says; `name` names it apart. Takes over nothing. */
static json_t *dot_lock(int tid, const char *name, const char *says, int age_s)
{
	auto_free char *path = text_fmt("/mail/%s.lock", name);
	auto_free char *inode = text_fmt("fe:00:%s", name);

	return json_pack("{si ss ss ss ss sI s[]}", "tid", tid, "kind", "file", "inode", inode,
		"path", path, "says", says, "made_ns", (NOW_S - age_s) * SEC_NS, "open_by");
}

static json_t *fd_lock(int tid, const char *kind, int first, int last)
{
	return json_pack("{si ss ss ss si sb si si}", "tid", tid, "kind", kind, "inode", "fe:00:7",
		"path", "/mail/index", "fd", 4, "write", 1, "first", first, "last", last);
}

/* Takes both over. */
static json_t *with_tries(json_t *scan, json_t *tries)
{
	json_object_set_new(scan, "tries", tries);
	json_object_set_new(scan, "guest_ns", json_integer(NOW_S * SEC_NS));
	return scan;
}

static struct scan_parts two(const char *one, const char *other)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ONE, "/x/one", one);
	add_process(&s, TWO, "/x/two", other);
	return s;
}

static void dot_locks_crossed_are_a_deadlock(void)
{
	struct scan_parts s = two(SLEEP, SLEEP);
	auto_json json_t *scan = with_tries(scan_end(&s, ""),
		json_pack("[oo]", dot_lock(ONE, "b", "20\n", 5), dot_lock(TWO, "a", "10:host", 5)));
	struct diagnosis got;

	diagnose_scan(scan, false, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK_HAS(got.title, "dot-lock mail/b.lock, asked for again and again");
	diagnosis_free(&got);
}

/* A record lock that is waited for, and a dot-lock that is looked for. */
static void a_cycle_may_mix_those_who_wait_and_those_who_look_again(void)
{
	struct scan_parts s = two(SLEEP, FLOCK(4));
	json_t *scan;

	json_array_append_new(s.files, json_pack("{si si ss ss}", "pid", TWO, "fd", 4, "path",
					       "/mail/index", "inode", "fe:00:7"));
	scan = scan_end(&s, "1: FLOCK ADVISORY WRITE 10 fe:00:7 0 EOF\n"
			    "1: -> FLOCK ADVISORY WRITE 20 fe:00:7 0 EOF\n");
	check_first(
		with_tries(scan, json_pack("[o]", dot_lock(ONE, "b", "20", 5))), "deadlock", "one");
}

/* Of a lock of the kernel who has it is in its table, of the bytes that are asked for. */
static void who_has_what_is_asked_for_without_waiting_is_at_the_end_of_the_chain(void)
{
	static const struct {
		const char *kind, *locks;
		const char *hang_class, *role;
	} rows[] = {
		{"flock", "1: FLOCK ADVISORY WRITE 20 fe:00:7 0 EOF\n", "stopped", "two"},
		{"posix", "1: POSIX ADVISORY READ 20 fe:00:7 5 15\n", "stopped", "two"},
		/* Other bytes, another file: by now it is free. */
		{"posix", "1: POSIX ADVISORY WRITE 20 fe:00:7 20 29\n", "slow", "one"},
		{"flock", "1: FLOCK ADVISORY WRITE 20 fe:00:8 0 EOF\n", "slow", "one"},
		{"nonsense", "1: FLOCK ADVISORY WRITE 20 fe:00:7 0 EOF\n", "slow", "one"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();
		bool free = !strcmp(rows[i].role, "one");

		add_process(&s, ONE, "/x/one", SLEEP);
		json_object_set_new(add_process(&s, TWO, "/x/two", free ? LOOP : READ(9)), "state",
			json_string(free ? "S" : "T"));
		check_first(with_tries(scan_end(&s, rows[i].locks),
				    json_pack("[o]", fd_lock(ONE, rows[i].kind, 0, 9))),
			rows[i].hang_class, rows[i].role);
	}
}

/* Whom a dot-lock names, by a number that may have been given again since; and where it names nobody, who alone has
 * it open. */
static void who_has_a_dot_lock_is_told_by_its_file_or_not_at_all(void)
{
	static const struct {
		const char *says;
		int age_s, opener, other;
		const char *hang_class, *role;
	} rows[] = {
		{"20", 5, 0, 0, "lost-wakeup", "two"},
		{"20", 98, 0, 0, "lost-wakeup", "one"}, /* older than process 20 */
		{"77", 5, 0, 0, "lost-wakeup", "one"},	/* there is none */
		{"2", 5, 0, 0, "lost-wakeup", "one"},	/* a thread of the kernel makes no files */
		{"host", 5, TWO, 0, "lost-wakeup", "two"},
		{"0", 5, TWO, ONE, "lost-wakeup", "two"},    /* it looks itself */
		{"77", 5, TWO, THIRD, "lost-wakeup", "two"}, /* it alone is at anything */
		{"", 5, TWO, THIRD, "slow", "one"},	     /* either may have it */
		{"", 5, 0, 0, "slow", "one"}, {"", 5, 99, 0, "slow", "one"}, /* there is none */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();
		bool of_two = !strcmp(rows[i].role, "two");
		json_t *lock = dot_lock(ONE, "b", rows[i].says, rows[i].age_s);

		add_process(&s, ONE, "/x/one", SLEEP);
		/* Of whom it is not known that anybody waits for him, he idles. */
		json_object_set_new(add_process(&s, TWO, "/x/two", of_two ? READ(9) : LOOP),
			"start", json_integer(1000));
		add_process(&s, THIRD, "/x/third", LOOP);
		json_object_del(add_process(&s, 2, "/x/kernel", LOOP), "exe");
		if (rows[i].opener)
			json_array_append_new(
				json_object_get(lock, "open_by"), json_integer(rows[i].opener));
		if (rows[i].other)
			json_array_append_new(
				json_object_get(lock, "open_by"), json_integer(rows[i].other));
		check_first(with_tries(scan_end(&s, ""), json_pack("[o]", lock)),
			rows[i].hang_class, rows[i].role);
	}
}

/* The kernel's table names the process that took it, or nobody; fdinfo says whose open file it is. */
static void who_has_the_open_file_that_is_locked_is_told_by_its_descriptor(void)
{
	static const struct {
		const char *kind, *line;
	} rows[] = {
		{"ofd", "1: OFDLCK ADVISORY WRITE -1 fe:00:7 0 EOF"},
		{"flock", "1: FLOCK ADVISORY WRITE 99 fe:00:7 0 EOF"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = two(SLEEP, READ(9));
		json_t *lock = fd_lock(ONE, rows[i].kind, 0, -1);

		json_object_set_new(lock, "held",
			json_pack("[{si si ss}]", "pid", TWO, "fd", 3, "lock", rows[i].line));
		check_first(with_tries(scan_end(&s, rows[i].line), json_pack("[o]", lock)),
			"lost-wakeup", "two");
	}
}

static void who_looks_whether_a_process_lives_waits_for_its_end(void)
{
	struct scan_parts s = two(SLEEP, READ(9));

	check_first(with_tries(scan_end(&s, ""),
			    json_pack("[{si ss si}]", "tid", ONE, "kind", "process", "pid", TWO)),
		"lost-wakeup", "two");
}

/* A condition variable that is waited for with a time limit: it ends by itself, or is waited for again each time. */
static void a_limit_that_is_seen_to_end_nothing_makes_nobody_slow(void)
{
	const char *timed = "202 0x7f00 0x189 0x0 0x7f10 0x0 0xffffffff 0x1 0x2";

	for (int again = 0; again < 2; again++) {
		struct scan_parts s = two(timed, LOOP);
		json_t *tries = json_array(), *scan;

		if (again)
			json_array_append_new(
				tries, json_pack("{si ss}", "tid", ONE, "kind", "nothing"));
		scan = with_tries(scan_end(&s, ""), tries);
		json_object_set_new(json_array_get(json_object_get(scan, "tasks"), 0), "left_ms",
			json_integer(400));
		check_first(scan, again ? "lost-wakeup" : "slow", "one");
	}
}

/* Each has one of two and tries for the other: who took it last is supposed to have it. */
static void semaphores_tried_for_across_are_a_deadlock(void)
{
	struct scan_parts s = two(SLEEP, SLEEP);
	json_t *tries = json_array();

	for (int i = 0; i < 2; i++)
		json_array_append_new(
			tries, json_pack("{si ss s{si si si si si}}", "tid", i ? TWO : ONE, "kind",
				       "semaphore", "sem", "id", 5, "num", i, "op", -1, "value", 0,
				       "last", i ? ONE : TWO));
	check_first(with_tries(scan_end(&s, ""), tries), "deadlock", "one");
}

/* It waits in a call: whatever is said of it, that is what it waits for. */
static void who_does_not_sleep_is_judged_by_its_call(void)
{
	struct scan_parts s = two(READ(9), LOOP);

	check_first(with_tries(scan_end(&s, ""), json_pack("[o]", dot_lock(ONE, "b", "20", 5))),
		"lost-wakeup", "one");
}

static void what_is_no_entry_is_counted(void)
{
	static const char *const rows[] = {"[7]", "[{}]", "[{\"tid\":10,\"kind\":\"file\"}]",
		"[{\"tid\":10,\"kind\":\"flock\",\"inode\":\"a:b:1\",\"first\":-5}]",
		"[{\"tid\":10,\"kind\":7,\"inode\":[]}]",
		"[{\"tid\":10,\"kind\":\"process\",\"pid\":-4}]",
		"[{\"tid\":10,\"kind\":\"semaphore\",\"sem\":{\"id\":5,\"num\":70000}}]"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = two(SLEEP, LOOP);
		auto_json json_t *scan = with_tries(scan_end(&s, ""), json_loads(rows[i], 0, NULL));
		struct diagnosis got;

		diagnose_scan(scan, false, &got);
		CHECK_STR(got.hang_class, "slow");
		CHECK(got.unknown_count && strstr(got.unknown[got.unknown_count - 1],
						   "1 entries of the scan could not be read"));
		diagnosis_free(&got);
	}
}

static void whose_calls_are_worth_following(void)
{
	static const struct {
		const char *now;
		int limit_ms;
		const char *healthy;
		size_t count;
	} rows[] = {
		{SLEEP, 200, NULL, 1},
		{SLEEP, 5000, READ(3), 1},
		{SLEEP, 5001, READ(3), 0},
		{SLEEP, 0, NULL, 0},	/* not known */
		{SLEEP, 200, SLEEP, 0}, /* its habit */
		{LOOP, 200, NULL, 0},	/* for what comes */
		{READ(3), 200, NULL, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = two(rows[i].now, LOOP),
				  h = two(rows[i].healthy ? rows[i].healthy : LOOP, LOOP);
		auto_json json_t *scan = scan_end(&s, ""), *healthy = scan_end(&h, ""),
				 *owed = json_pack("[{sf}]", "age_s", 9.0);
		json_t *one = json_array_get(json_object_get(scan, "tasks"), 0);
		struct diagnosis got;

		json_object_set_new(one, "limit_ms", json_integer(rows[i].limit_ms));
		diagnose(&(struct diagnose_input){.scan = scan,
				 .earlier = scan,
				 .healthy = rows[i].healthy ? healthy : NULL,
				 .owed = owed,
				 .owed_limit_s = 2},
			&got);
		CHECK_INT(got.sleeper_count, rows[i].count);
		CHECK_INT(got.sleepers[0], rows[i].count ? ONE : 0);
		CHECK(rows[i].count ? got.follow_ms > rows[i].limit_ms : !got.follow_ms);
		diagnosis_free(&got);
	}
}

CHECK_MAIN(CHECK_CASE(dot_locks_crossed_are_a_deadlock),
	CHECK_CASE(a_cycle_may_mix_those_who_wait_and_those_who_look_again),
	CHECK_CASE(who_has_what_is_asked_for_without_waiting_is_at_the_end_of_the_chain),
	CHECK_CASE(who_has_a_dot_lock_is_told_by_its_file_or_not_at_all),
	CHECK_CASE(who_has_the_open_file_that_is_locked_is_told_by_its_descriptor),
	CHECK_CASE(who_looks_whether_a_process_lives_waits_for_its_end),
	CHECK_CASE(a_limit_that_is_seen_to_end_nothing_makes_nobody_slow),
	CHECK_CASE(semaphores_tried_for_across_are_a_deadlock),
	CHECK_CASE(who_does_not_sleep_is_judged_by_its_call),
	CHECK_CASE(what_is_no_entry_is_counted), CHECK_CASE(whose_calls_are_worth_following))
