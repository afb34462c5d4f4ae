/* Which of several who wait is suspected, each rule both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define FLOCK(fd) "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define RECV(fd)  "45 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define EVENT	  "202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x1 0x2"
#define RWLOCK	  "202 0x7f00 0x189 0x3 0x0 0x0 0xffffffff 0x1 0x2"
#define IDLE	  "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define SLEEP	  "230 0x0 0x0 0x7f00 0x0 0x0 0x0 0x1 0x2"

static json_t *task(int pid, int tid, const char *exe, const char *syscall)
{
	const char *slash = strrchr(exe, '/');

	return json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", tid, "ppid", 1, "comm",
		slash + 1, "exe", exe, "state", "S", "start", 1, "syscall", syscall);
}

static json_t *scan_of(const char *locks, json_t *tasks)
{
	return json_pack("{ss so}", "locks", locks, "tasks", tasks);
}

static void run(const json_t *scan, const json_t *healthy, bool overdue, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", overdue ? 9.0 : 0.1);

	diagnose(
		&(struct diagnose_input){
			.scan = scan, .healthy = healthy, .owed = owed, .owed_limit_s = 2},
		ret);
}

static const char crossed[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
			      "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n"
			      "2: FLOCK ADVISORY WRITE 20 b 0 EOF\n"
			      "2: -> FLOCK ADVISORY WRITE 10 b 0 EOF\n";

static void idle_threads_of_a_holder_are_supposed_to_hold_nothing_once_work_is_owed(void)
{
	auto_json json_t *scan = scan_of(crossed,
		json_pack("[oooo]", task(10, 10, "/x/a", IDLE), task(10, 11, "/x/a", FLOCK(4)),
			task(20, 20, "/x/b", IDLE), task(20, 21, "/x/b", FLOCK(5))));
	struct diagnosis got;

	run(scan, NULL, true, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK(got.unknown_count > 0 && strstr(got.unknown[0], "owner unknown"));
	diagnosis_free(&got);
	run(scan, NULL, false, &got);
	CHECK(!got.hang_class);
	diagnosis_free(&got);
}

static bool says_unknown(const struct diagnosis *got, const char *what)
{
	for (size_t i = 0; i < got->unknown_count; i++)
		if (strstr(got->unknown[i], what))
			return true;
	return false;
}

/* One thread at an event may hold what its process holds, and several who share one are a pool: told alike. */
static void how_many_wait_for_an_event_beside_a_cycle_does_not_matter(void)
{
	for (int events = 0; events < 3; events++) {
		json_t *tasks = json_pack(
			"[oo]", task(10, 10, "/x/a", FLOCK(4)), task(20, 20, "/x/b", FLOCK(5)));
		auto_json json_t *scan = scan_of(crossed, tasks);
		struct diagnosis got;

		for (int i = 0; i < events; i++)
			json_array_append_new(tasks, task(10, 11 + i, "/x/a", EVENT));
		run(scan, NULL, true, &got);
		CHECK_STR(got.hang_class, "deadlock");
		CHECK_INT(got.culprit_count, 2);
		CHECK_INT(says_unknown(&got, "taken not to"), events > 0);
		diagnosis_free(&got);
	}
}

/* On the way of an operation it may hold the lock, and where its thread began it waits for work. */
static void who_waits_for_an_event_in_an_operation_may_hold_what_closes_a_cycle(void)
{
	for (int deep = 0; deep < 2; deep++) {
		json_t *waits = task(10, 11, "/x/a", EVENT);
		auto_json json_t *scan =
			scan_of(crossed, json_pack("[ooo]", task(10, 10, "/x/a", FLOCK(4)),
						 task(20, 20, "/x/b", FLOCK(5)), waits));
		struct diagnosis got;

		json_object_set_new(waits, "began", json_string("worker"));
		json_object_set_new(waits, "own",
			deep ? json_pack("[ss]", "commit", "worker") : json_pack("[s]", "worker"));
		run(scan, NULL, true, &got);
		CHECK_INT(!strcmp(got.hang_class, "deadlock"), !deep);
		diagnosis_free(&got);
	}
}

/* All of them at an event: one of those has it. */
static void who_waits_for_an_event_may_hold_a_lock_where_nobody_else_does(void)
{
	static const char held[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				   "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";
	auto_json json_t *scan = scan_of(held,
		json_pack("[oo]", task(10, 10, "/x/a", EVENT), task(20, 20, "/x/b", FLOCK(4))));
	struct diagnosis got;

	run(scan, NULL, true, &got);
	CHECK_STR(got.hang_class, "lost-wakeup");
	CHECK_INT(got.culprits[0].pid, 10);
	diagnosis_free(&got);
}

/* 10 stands at the door with the lock around it, as its like 20 would; 30 waits for 20 or for its parent. */
static void a_worker_whom_somebody_waits_for_does_not_queue_at_the_door(void)
{
	static const char held[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				   "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";

	static const struct {
		const char *second; /* program */
		bool missed;
		const char *class;
		int pid;
	} rows[] = {
		{"/x/a", false, "lost-wakeup", 30},
		{"/x/a", true, "lost-wakeup", 10},
		{"/x/b", false, "lost-wakeup", 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan =
			scan_of(held, json_pack("[ooo]", task(10, 10, "/x/a", IDLE),
					      task(20, 20, rows[i].second, FLOCK(4)),
					      task(30, 30, "/x/client", RECV(4))));
		struct diagnosis got;

		json_object_set_new(scan, "fds",
			json_pack("[{sisisissss}{sisisissss}]", "pid", 30, "fd", 4, "ino", 100,
				"kind", "pipe", "mode", "r", "pid", rows[i].missed ? 20 : 99, "fd",
				6, "ino", 100, "kind", "pipe", "mode", "w"));
		run(scan, NULL, true, &got);
		CHECK_STR(got.hang_class, rows[i].class);
		if (!CHECK_INT(got.culprits[0].pid, rows[i].pid))
			printf("in row %zu\n", i);
		diagnosis_free(&got);
	}
}

/* Three processes, each with a client outside at `port`; port 25 listens, with a queue of `backlog`. */
static json_t *sessions(const char *port, int backlog)
{
	json_t *tasks = json_array(), *fds = json_array();
	json_t *sockets = json_pack("[{siss ss si}]", "ino", 99, "state", "listen", "name",
		"0.0.0.0:25", "backlog", backlog);

	for (int i = 1; i < 4; i++) {
		auto_free char *name = text_fmt("10.0.2.15:%s-10.0.2.2:%d", port, 40000 + i);

		json_array_append_new(tasks, task(10 * i, 10 * i, "/x/session", RECV(4)));
		json_array_append_new(fds, json_pack("{sisisiss}", "pid", 10 * i, "fd", 4, "ino",
						   100 + i, "kind", "socket"));
		json_array_append_new(sockets,
			json_pack("{siss ss sb sb}", "ino", 100 + i, "state", "established", "name",
				name, "outside", 1, "accepted", !strcmp(port, "25")));
	}
	return json_pack(
		"{ss so so so}", "locks", "", "tasks", tasks, "fds", fds, "sockets", sockets);
}

/* 10 has the lock and waits for its client, which weighs little; 20 stands behind it, 30 waits with a time limit. */
static void who_waits_for_a_client_with_a_lock_is_its_holder(void)
{
	auto_json json_t *scan = sessions("25", 0);
	json_t *tasks = json_object_get(scan, "tasks");

	json_object_set_new(scan, "locks",
		json_string("1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
			    "1: -> FLOCK ADVISORY WRITE 40 a 0 EOF\n"));
	json_array_append_new(tasks, task(40, 40, "/x/b", FLOCK(4)));
	json_array_append_new(
		tasks, task(50, 50, "/x/c", "202 0x9f00 0x189 0x0 0x7f10 0x0 0xffffffff 0x1 0x2"));
	struct diagnosis got;

	run(scan, NULL, true, &got);
	CHECK_INT(got.culprits[0].pid, 10);
	CHECK_INT(got.behind, 1);
	diagnosis_free(&got);
}

static void what_others_stand_behind_weighs_more_than_a_lone_event(void)
{
	static const char locks[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				    "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";
	auto_json json_t *scan = scan_of(
		locks, json_pack("[ooo]", task(10, 10, "/x/a", SLEEP),
			       task(20, 20, "/x/b", FLOCK(4)), task(30, 30, "/x/c", EVENT)));
	auto_json json_t *healthy = scan_of(locks,
		json_pack("[oo]", task(10, 10, "/x/a", SLEEP), task(20, 20, "/x/b", FLOCK(4))));
	struct diagnosis got;

	run(scan, NULL, true, &got);
	CHECK_INT(got.culprits[0].pid, 10);
	diagnosis_free(&got);
	run(scan, healthy, true, &got); /* they stood so when all was well */
	CHECK_INT(got.culprits[0].pid, 30);
	diagnosis_free(&got);
}

static void sessions_are_a_spent_pool_only_with_somebody_at_the_door(void)
{
	static const struct {
		const char *port;
		int backlog;
		const char *want;
	} rows[] = {
		{"25", 0, "slow"},	 /* the clients' turn */
		{"25", 2, "exhaustion"}, /* and two more wait to be let in */
		{"51234", 0,
			"exhaustion"}, /* they are clients themselves, of somebody who is silent */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = sessions(rows[i].port, rows[i].backlog);
		struct diagnosis got;

		run(scan, NULL, true, &got);
		if (!CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].want))
			printf("in row %zu\n", i);
		diagnosis_free(&got);
	}
}

/* One thread, with so much of the processor so far. */
static json_t *busy(
	const char *state, const char *syscall, int64_t at_ms, int64_t ran_ms, int64_t queued_ms)
{
	json_t *one = task(10, 10, "/x/a", syscall), *scan;

	json_object_set_new(one, "state", json_text(state));
	json_object_set_new(one, "utime", json_integer(ran_ms / 10));
	json_object_set_new(one, "stime", json_integer(0));
	json_object_set_new(one, "ran_ns", json_integer(ran_ms * 1000000));
	json_object_set_new(one, "queued_ns", json_integer(queued_ms * 1000000));
	scan = scan_of("", json_pack("[o]", one));
	json_object_set_new(scan, "guest_ns", json_integer(at_ms * 1000000));
	return scan;
}

/* Between two instants 300 ms apart. */
static void who_stands_in_the_queue_for_the_processor_does_not_sleep(void)
{
	static const struct {
		const char *state, *syscall;
		int64_t ran_ms, queued_ms;
		const char *want;
	} rows[] = {
		{"S", EVENT, 40, 240, "livelock"},  /* 40 of the 60 that it could have had */
		{"S", EVENT, 40, 0, "lost-wakeup"}, /* it sleeps */
		{"R", "running", 40, 240, "livelock"},
		{"R", "running", 3, 290, "healthy"}, /* nobody can tell */
		{"R", "running", 2, 5, "slow"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *earlier = busy(rows[i].state, rows[i].syscall, 1000, 70, 500);
		auto_json json_t *now = busy(rows[i].state, rows[i].syscall, 1300,
			70 + rows[i].ran_ms, 500 + rows[i].queued_ms);
		auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
		struct diagnosis got;

		diagnose(&(struct diagnose_input){.scan = now, .earlier = earlier, .owed = owed},
			&got);
		if (!CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].want))
			printf("in row %zu\n", i);
		if (!got.hang_class)
			CHECK(got.unknown_count == 1 && strstr(got.unknown[0], "ready to run"));
		diagnosis_free(&got);
	}
}

static void a_starved_host_excuses_who_is_late_and_not_who_is_stuck(void)
{
	auto_json json_t *late = scan_of("", json_pack("[o]", task(10, 10, "/x/a", EVENT)));
	auto_json json_t *stuck = scan_of(crossed,
		json_pack("[oo]", task(10, 10, "/x/a", FLOCK(4)), task(20, 20, "/x/b", FLOCK(5))));
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	struct diagnose_input input = {.scan = late, .owed = owed, .starved = true};
	struct diagnosis got;

	diagnose(&input, &got);
	CHECK(!got.finding);
	CHECK(got.unknown_count == 1 && strstr(got.unknown[0], "starved"));
	diagnosis_free(&got);
	input.scan = stuck;
	diagnose(&input, &got);
	CHECK(got.finding);
	CHECK_STR(got.hang_class, "deadlock");
	diagnosis_free(&got);
}

/* Each has what the other's read-write lock names as its writer. */
static void two_writers_of_read_write_locks_are_a_cycle(void)
{
	json_t *one = task(10, 11, "/x/a", RWLOCK), *two = task(10, 12, "/x/a", RWLOCK);
	auto_json json_t *scan =
		scan_of("", json_pack("[ooo]", task(10, 10, "/x/a", IDLE), one, two));
	struct diagnosis got;

	json_object_set_new(one, "futex", json_pack("[iiiii]", 3, 1, 0, 0, 12));
	json_object_set_new(two, "futex", json_pack("[iiiii]", 3, 0, 0, 11, 0));
	run(scan, NULL, false, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	diagnosis_free(&got);
}

static void signature_of_thread(const char *name, char out[SIGNATURE_SIZE])
{
	json_t *thread = task(10, 11, "/x/a", EVENT);
	auto_json json_t *scan = scan_of("", json_pack("[oo]", task(10, 10, "/x/a", IDLE), thread));
	struct diagnosis got;

	json_object_set_new(thread, "comm", json_string(name));
	run(scan, NULL, true, &got);
	snprintf(out, SIGNATURE_SIZE, "%s", got.signature);
	diagnosis_free(&got);
}

static void threads_with_names_are_told_apart_but_not_by_their_numbers(void)
{
	char one[SIGNATURE_SIZE], two[SIGNATURE_SIZE], other[SIGNATURE_SIZE];

	signature_of_thread("worker-1", one);
	signature_of_thread("worker-2", two);
	signature_of_thread("flusher", other);
	CHECK_STR(two, one);
	CHECK(strcmp(other, one) != 0);
}

static void signature_of_path(const char *path, char out[SIGNATURE_SIZE])
{
	auto_json json_t *scan = scan_of(crossed,
		json_pack("[oo]", task(10, 10, "/x/a", FLOCK(4)), task(20, 20, "/x/b", FLOCK(5))));
	struct diagnosis got;

	json_object_set_new(scan, "files",
		json_pack("[{sisissss}{sisissss}]", "pid", 20, "fd", 5, "path", path, "inode", "a",
			"pid", 10, "fd", 4, "path", "/v/other", "inode", "b"));
	run(scan, NULL, true, &got);
	snprintf(out, SIGNATURE_SIZE, "%s", got.signature);
	diagnosis_free(&got);
}

static void names_that_chance_made_do_not_make_another_culprit(void)
{
	static const struct {
		const char *one, *two;
		bool same;
	} rows[] = {
		{"/t/work-x8Kq2P/lock", "/t/work-Zb3mLd/lock", true},
		{"/q/4Q1abc2F/lock", "/q/4Q9fff0A/lock", true},
		{"/q/12345/lock", "/q/67/lock", true},
		{"/q/index/lock", "/q/cache/lock", false},
		{"/q/INBOX/lock", "/q/Maildir/lock", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char one[SIGNATURE_SIZE], two[SIGNATURE_SIZE];

		signature_of_path(rows[i].one, one);
		signature_of_path(rows[i].two, two);
		if (!CHECK_INT(!strcmp(one, two), rows[i].same))
			printf("in row %zu\n", i);
	}
}

CHECK_MAIN(CHECK_CASE(how_many_wait_for_an_event_beside_a_cycle_does_not_matter),
	CHECK_CASE(who_waits_for_a_client_with_a_lock_is_its_holder),
	CHECK_CASE(who_waits_for_an_event_in_an_operation_may_hold_what_closes_a_cycle),
	CHECK_CASE(who_waits_for_an_event_may_hold_a_lock_where_nobody_else_does),
	CHECK_CASE(a_worker_whom_somebody_waits_for_does_not_queue_at_the_door),
	CHECK_CASE(who_stands_in_the_queue_for_the_processor_does_not_sleep),
	CHECK_CASE(idle_threads_of_a_holder_are_supposed_to_hold_nothing_once_work_is_owed),
	CHECK_CASE(what_others_stand_behind_weighs_more_than_a_lone_event),
	CHECK_CASE(sessions_are_a_spent_pool_only_with_somebody_at_the_door),
	CHECK_CASE(a_starved_host_excuses_who_is_late_and_not_who_is_stuck),
	CHECK_CASE(two_writers_of_read_write_locks_are_a_cycle),
	CHECK_CASE(threads_with_names_are_told_apart_but_not_by_their_numbers),
	CHECK_CASE(names_that_chance_made_do_not_make_another_culprit))
