/* Waits that look like others in /proc, and holders that only a second look names: each rule both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "diagnose/wait.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE	  "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define RECV(fd)  "45 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define FLOCK(fd) "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define POLL_ONE  "7 0x7f00 0x1 0xffffffff 0x0 0x0 0x0 0x1 0x2"
#define MUTEX	  "202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x1 0x2"
#define SLEEP	  "230 0x0 0x0 0x7f00 0x0 0x0 0x0 0x1 0x2"
#define VFORK	  "58 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define OPEN	  "257 0xffffff9c 0x7f00 0x0 0x0 0x0 0x0 0x1 0x2"
#define SPLICE	  "275 0x4 0x0 0x5 0x0 0x1000 0x0 0x1 0x2"
#define EVENT	  "202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x1 0x2"

static void where_it_stands_in_the_kernel_tells_what_its_call_does_not(void)
{
	static const struct {
		char state;
		const char *wchan, *syscall;
		enum wait_kind kind;
		bool timed;
	} rows[] = {
		/* the parent of a vfork(), and one whose disk is slow while it makes a child */
		{'D', "kernel_clone", VFORK, WAIT_CHILD, false},
		{'D', "wait_for_vfork_done", "56 0x4111 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_CHILD,
			false},
		{'D', "kernel_clone", "435 0x7f00 0x58 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_CHILD, false},
		{'D', "folio_wait_bit_common", "435 0x7f00 0x58 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_DISK,
			false},
		{'D', "folio_wait_bit_common", VFORK, WAIT_DISK, false},
		{'S', "do_nothing", "435 0x7f00 0x58 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_OTHER, false},
		/* a page of a mapped file: of a frozen file system, of a slow disk, of another process */
		{'D', "percpu_rwsem_wait", "-1 0x7f00 0x4000", WAIT_FREEZE, false},
		{'D', "folio_wait_bit_common", "-1 0x7f00 0x4000", WAIT_DISK, false},
		{'S', "handle_userfault", "-1 0x7f00 0x4000", WAIT_PAGE, false},
		{'S', "somewhere_else", "-1 0x7f00 0x4000", WAIT_UNKNOWN, false},
		/* who watches what is opened has not answered; a disk that has not */
		{'D', "fanotify_handle_event", OPEN, WAIT_PERMISSION, false},
		{'D', "folio_wait_bit_common", OPEN, WAIT_DISK, false},
		/* from one descriptor to another */
		{'S', "pipe_wait_readable", SPLICE, WAIT_READ, false},
		{'S', "pipe_wait_writable", SPLICE, WAIT_WRITE, false},
		{'S', "sk_stream_wait_memory", SPLICE, WAIT_WRITE, false},
		{'S', "0", SPLICE, WAIT_READ, false},
		/* its control group is frozen, whatever it did before */
		{'S', "do_freezer_trap", RECV(4), WAIT_STOPPED, false},
		{'S', "get_signal", RECV(4), WAIT_STOPPED, false},
		{'D', "__refrigerator", RECV(4), WAIT_STOPPED, false},
		/* no descriptor at all: poll, ppoll, select, pselect6 */
		{'S', "", "7 0x0 0x0 0xffffffff 0x0 0x0 0x0 0x1 0x2", WAIT_SIGNAL, false},
		{'S', "", "7 0x0 0x0 0x64 0x0 0x0 0x0 0x1 0x2", WAIT_SLEEP, true},
		{'S', "", "271 0x0 0x0 0x0 0x0 0x8 0x0 0x1 0x2", WAIT_SIGNAL, false},
		{'S', "", "23 0x0 0x0 0x0 0x0 0x7f00 0x0 0x1 0x2", WAIT_SLEEP, true},
		{'S', "", "270 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_SIGNAL, false},
		{'S', "", "270 0x5 0x7f00 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_POLL, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wait wait = wait_decode(rows[i].state, rows[i].wchan, rows[i].syscall, NULL);

		if (!CHECK_STR(wait_kind_name(wait.kind), wait_kind_name(rows[i].kind)) ||
			!CHECK_INT(wait.timed, rows[i].timed))
			printf("in row %zu: %c %s %s\n", i, rows[i].state, rows[i].wchan,
				rows[i].syscall);
	}
}

/* ---- scans ---- */

static json_t *task(int pid, int tid, int ppid, const char *state, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", pid, "tid", tid, "ppid", ppid,
		"comm", "c", "exe", "/x/a", "state", state, "start", tid, "wchan",
		*state == 'D' ? "kernel_clone" : "", "syscall", syscall);
}

static json_t *with(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
	return object;
}

static json_t *scan_of(const char *locks, json_t *tasks)
{
	return json_pack("{ss so}", "locks", locks, "tasks", tasks);
}

static void run(
	const json_t *scan, const json_t *earlier, const json_t *healthy, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(&(struct diagnose_input){.scan = scan,
			 .earlier = earlier,
			 .healthy = healthy,
			 .owed = owed,
			 .owed_limit_s = 2},
		ret);
}

/* Class and first culprit; "healthy" and 0 where there is none. */
static void check(const json_t *scan, const json_t *earlier, const json_t *healthy,
	const char *class, int tid)
{
	struct diagnosis got;

	run(scan, earlier, healthy, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, tid);
	diagnosis_free(&got);
}

static const char held_by_10[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				 "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";

/* ---- children ---- */

static void the_parent_of_a_vfork_waits_for_the_child_that_it_made_last(void)
{
	auto_json json_t *newest = scan_of(
		held_by_10, json_pack("[ooo]", task(10, 10, 1, "D", VFORK),
				    task(15, 15, 10, "S", IDLE), task(20, 20, 10, "S", FLOCK(4))));
	auto_json json_t *older = scan_of(
		held_by_10, json_pack("[ooo]", task(10, 10, 1, "D", VFORK),
				    task(25, 25, 10, "S", IDLE), task(20, 20, 10, "S", FLOCK(4))));
	struct diagnosis got;

	check(newest, NULL, NULL, "deadlock", 10);
	run(older, NULL, NULL, &got); /* which is idle: no cycle */
	CHECK(!got.hang_class || strcmp(got.hang_class, "deadlock") != 0);
	diagnosis_free(&got);
}

static void a_descriptor_of_a_process_is_that_process(void)
{
	static const char *const calls[] = {POLL_ONE, "247 0x3 0x6 0x0 0x4 0x0 0x0 0x1 0x2"};

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		auto_json json_t *scan =
			scan_of(held_by_10, json_pack("[oo]",
						    with(task(10, 10, 1, "S", calls[i]), "wait_fds",
							    json_pack("[i]", 6)),
						    task(20, 20, 10, "S", FLOCK(4))));

		json_object_set_new(scan, "fds",
			json_pack("[{sisisisssi}]", "pid", 10, "fd", 6, "ino", 0, "kind", "pidfd",
				"of", 20));
		check(scan, NULL, NULL, "deadlock", 10);
	}
}

/* One end of a pipe: 10 and 20 have it, 20 reads, `first` is what 10 does. */
static json_t *shared_end(const char *first)
{
	return json_pack("{ss s[oo] s[{sisisissss}{sisisissss}{sisisissss}]}", "locks", "", "tasks",
		task(10, 10, 1, "S", first), task(20, 20, 10, "S", RECV(4)), "fds", "pid", 10, "fd",
		5, "ino", 100, "kind", "pipe", "mode", "w", "pid", 20, "fd", 5, "ino", 100, "kind",
		"pipe", "mode", "w", "pid", 20, "fd", 4, "ino", 100, "kind", "pipe", "mode", "r");
}

static void an_end_that_several_have_is_waited_for_in_vain_only_if_all_of_them_stand(void)
{
	auto_json json_t *all = shared_end("61 0x14 0x0 0x0 0x0 0x0 0x0 0x1 0x2");
	auto_json json_t *one_is_idle = shared_end(IDLE);
	struct diagnosis got;

	check(all, NULL, NULL, "deadlock", 10);
	check(one_is_idle, NULL, NULL, "lost-wakeup", 20);
	diagnose(&(struct diagnose_input){.scan = all}, &got); /* and only if work is owed */
	CHECK(!got.hang_class);
	diagnosis_free(&got);
}

static void who_polls_his_own_pipe_waits_for_a_signal(void)
{
	auto_json json_t *scan = scan_of(
		"", json_pack("[o]",
			    with(task(10, 10, 1, "S", POLL_ONE), "wait_fds", json_pack("[i]", 6))));
	struct diagnosis got;

	json_object_set_new(scan, "fds",
		json_pack("[{sisisissss}{sisisissss}]", "pid", 10, "fd", 6, "ino", 7, "kind",
			"pipe", "mode", "r", "pid", 10, "fd", 8, "ino", 7, "kind", "pipe", "mode",
			"w"));
	diagnose(&(struct diagnose_input){.scan = scan}, &got);
	CHECK(!got.hang_class);
	diagnosis_free(&got);
	check(scan, NULL, NULL, "lost-wakeup", 10);
}

/* ---- who has the lock ---- */

static void a_word_that_is_the_number_of_a_thread_names_its_owner(void)
{
	static const struct {
		int value, word;
		const char *want;
	} rows[] = {
		{0x15, 0x15, "deadlock"}, {0x15, 0x99, "lost-wakeup"}, /* it changed meanwhile */
		{0x99, 0x99, "lost-wakeup"}, /* no thread of the process */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *call = text_fmt(
			"202 0x7f00 0x80 0x%x 0x0 0x0 0x0 0x1 0x2", (unsigned int)rows[i].value);
		auto_json json_t *scan = scan_of(
			"", json_pack("[ooo]", task(10, 10, 1, "S", IDLE),
				    with(task(10, 20, 1, "S", call), "futex",
					    json_pack("[iiiii]", rows[i].word, 0, 0, 0, 0)),
				    with(task(10, 21, 1, "S",
						 "202 0x8f00 0x80 0x14 0x0 0x0 0x0 0x1 0x2"),
					    "futex", json_pack("[iiiii]", 20, 0, 0, 0, 0))));

		check(scan, NULL, NULL, rows[i].want, 20);
	}
}

static void a_lock_that_names_nobody_is_rather_had_by_who_stands_in_a_call(void)
{
	auto_json json_t *scan =
		scan_of("", json_pack("[ooo]", task(10, 10, 1, "S", IDLE),
				    task(10, 11, 1, "S", MUTEX), task(10, 12, 1, "S", RECV(4))));
	auto_json json_t *alone = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "S", IDLE), task(10, 11, 1, "S", MUTEX)));
	/* Of another make: FUTEX_WAIT, the word is 1. A word that is 0 is an event. */
	auto_json json_t *other_make = scan_of("",
		json_pack("[oo]", task(10, 11, 1, "S", "202 0x7f00 0x80 0x1 0x0 0x0 0x0 0x1 0x2"),
			task(10, 12, 1, "S", RECV(4))));
	auto_json json_t *event = scan_of("",
		json_pack("[oo]", task(10, 11, 1, "S", "202 0x7f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2"),
			task(10, 12, 1, "S", RECV(4))));
	struct diagnosis got;

	check(other_make, NULL, NULL, "lost-wakeup", 12);
	check(event, NULL, NULL, "lost-wakeup", 11);
	run(scan, NULL, NULL, &got);
	CHECK_INT(got.culprits[0].tid, 12);
	CHECK_INT(got.culprit_count, 2); /* and the other is told */
	diagnosis_free(&got);
	check(alone, NULL, NULL, "lost-wakeup", 11);
	/* He stood there when all was well. */
	check(scan, NULL, scan, "lost-wakeup", 11);
}

static void the_first_thread_that_has_ended_holds_nothing(void)
{
	auto_json json_t *scan = scan_of("1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
					 "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n"
					 "2: FLOCK ADVISORY WRITE 20 b 0 EOF\n"
					 "2: -> FLOCK ADVISORY WRITE 10 b 0 EOF\n",
		json_pack("[ooo]", task(10, 10, 1, "Z", "-1 0x0 0x0"),
			task(10, 11, 1, "S", FLOCK(4)), task(20, 20, 1, "S", FLOCK(5))));
	/* Nor is it a child that ended unnoticed. */
	auto_json json_t *parent = scan_of(
		"", json_pack("[ooo]", task(1, 1, 0, "S", IDLE), task(10, 10, 1, "Z", "-1 0x0 0x0"),
			    task(10, 11, 1, "S", IDLE)));

	check(scan, NULL, NULL, "deadlock", 11);
	check(parent, NULL, NULL, "slow", 0);
}

static void workers_of_one_pool_may_have_numbers_in_their_names(void)
{
	static const struct {
		const char *names[3], *want;
	} rows[] = {
		{{"w1", "w2", "w10"}, "exhaustion"},
		{{"reader", "writer", "timer"}, "lost-wakeup"},
		{{"w", "w2", "x10"}, "lost-wakeup"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *tasks = json_pack("[o]", task(10, 10, 1, "S", IDLE));
		auto_json json_t *scan = NULL;
		struct diagnosis got;

		for (int k = 0; k < 3; k++)
			json_array_append_new(tasks, with(task(10, 11 + k, 1, "S", EVENT), "comm",
							     json_string(rows[i].names[k])));
		scan = scan_of("", tasks);
		run(scan, NULL, NULL, &got);
		CHECK_STR(got.hang_class, rows[i].want);
		diagnosis_free(&got);
	}
}

static void who_sleeps_with_a_lock_is_named_among_his_own_kind(void)
{
	auto_json json_t *scan = scan_of(held_by_10,
		json_pack("[oo]", task(10, 10, 1, "S", SLEEP), task(20, 20, 1, "S", FLOCK(4))));
	auto_json json_t *accepts = scan_of(held_by_10,
		json_pack("[oo]", task(10, 10, 1, "S", IDLE), task(20, 20, 1, "S", FLOCK(4))));

	check(scan, NULL, NULL, "slow", 10);
	check(accepts, NULL, NULL, "slow", 0); /* the lock around accept() */
}

static void a_sleeper_is_named_where_nothing_else_is_and_he_slept_not_before(void)
{
	auto_json json_t *scan = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "S", IDLE), task(20, 20, 1, "S", SLEEP)));
	auto_json json_t *idle = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "S", IDLE), task(20, 20, 1, "S", IDLE)));

	check(scan, scan, idle, "slow", 20);
	check(scan, idle, idle, "slow", 0); /* a moment ago he did not */
	check(scan, scan, scan, "slow", 0); /* as when all was well */
}

static void what_was_stopped_when_all_was_well_is_blamed_by_whom_it_keeps_waiting_alone(void)
{
	auto_json json_t *healthy = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "T", IDLE), task(20, 20, 1, "S", IDLE)));
	auto_json json_t *other = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "T", IDLE), task(20, 20, 1, "S", EVENT)));
	auto_json json_t *behind = scan_of(held_by_10,
		json_pack("[oo]", task(10, 10, 1, "T", IDLE), task(20, 20, 1, "S", FLOCK(4))));

	check(other, NULL, healthy, "lost-wakeup", 20);
	check(behind, NULL, healthy, "stopped", 10);
	check(other, NULL, NULL, "stopped", 10);
}

static void what_went_on_between_the_instants_is_not_what_hangs(void)
{
	static const char before[] = "1: FLOCK ADVISORY WRITE 30 a 0 EOF\n"
				     "1: -> FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				     "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";
	auto_json json_t *queue = scan_of(
		held_by_10, json_pack("[ooo]", task(10, 10, 1, "S", SLEEP),
				    task(20, 20, 1, "S", FLOCK(4)), task(30, 30, 1, "S", IDLE)));
	auto_json json_t *earlier = scan_of(
		before, json_pack("[ooo]", task(10, 10, 1, "S", FLOCK(4)),
				task(20, 20, 1, "S", FLOCK(4)), task(30, 30, 1, "S", SLEEP)));
	auto_json json_t *two = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "S", EVENT), task(20, 20, 2, "S", EVENT)));
	auto_json json_t *one = scan_of(
		"", json_pack("[oo]", task(10, 10, 1, "S", RECV(4)), task(20, 20, 2, "S", EVENT)));

	auto_json json_t *ran = json_deep_copy(two);

	json_object_set_new(
		json_array_get(json_object_get(two, "tasks"), 0), "ran_ns", json_integer(7));
	json_object_set_new(
		json_array_get(json_object_get(ran, "tasks"), 0), "ran_ns", json_integer(6));
	check(two, two, NULL, "lost-wakeup", 10);
	check(two, ran, NULL, "lost-wakeup", 20); /* the same wait again */
	check(queue, queue, NULL, "slow", 10);
	check(queue, earlier, NULL, "slow", 0);
	check(two, one, NULL, "lost-wakeup", 20);
}

/* ---- who burns the processor ---- */

/* An instant: 10 waits, and 20, born at 2 s, has run for so long. */
static json_t *busy_beside(double at_s, double ran_s, const char *wait)
{
	json_t *busy = task(20, 20, 2, "R", "running");

	json_object_set_new(busy, "start", json_integer(200));
	json_object_set_new(busy, "ran_ns", json_integer((json_int_t)(ran_s * 1e9)));
	json_object_set_new(busy, "queued_ns", json_integer(0));
	return json_pack("{sI ss s[oo]}", "guest_ns", (json_int_t)(at_s * 1e9), "locks", "",
		"tasks", task(10, 10, 1, "S", wait), busy);
}

/* It is blamed where nobody else is, and before others if it began to when all was well no longer. */
static void who_burnt_the_processor_when_all_was_well_is_no_cause_beside_a_wait(void)
{
	static const struct {
		double well_s, ran_s; /* the healthy instant, and what it had run until then */
		const char *now, *class;
		int tid;
	} rows[] = {
		{12, 9, EVENT, "lost-wakeup", 10},
		{12, 2, EVENT, "lost-wakeup", 10}, /* a fifth of its life */
		{12, 1, EVENT, "livelock", 20},
		{2.5, 0.4, EVENT, "livelock", 20}, /* too young to have a habit */
		{12, 11, EVENT, "livelock", 20},   /* of a life of 10 s: a guest that lies */
		{12, 9, IDLE, "livelock", 20},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *healthy = busy_beside(rows[i].well_s, rows[i].ran_s, IDLE),
				 *earlier = busy_beside(20, 15, rows[i].now),
				 *now = busy_beside(20.5, 15.5, rows[i].now);

		check(now, earlier, healthy, rows[i].class, rows[i].tid);
	}
}

/* 20 was about to run at both instants, half a second apart, and got a twenty-fifth of it. */
static void who_seldom_wants_the_processor_is_no_livelock(void)
{
	static const struct {
		double queued_s; /* of it, waiting for its turn; negative: not in the evidence */
		const char *class;
		int tid;
	} rows[] = {{0, "lost-wakeup", 10}, {0.45, "livelock", 20}, {-1, "livelock", 20}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *earlier = busy_beside(20, 1, EVENT),
				 *now = busy_beside(20.5, 1.02, EVENT);
		json_t *then = json_array_get(json_object_get(earlier, "tasks"), 1),
		       *busy = json_array_get(json_object_get(now, "tasks"), 1);

		json_object_set_new(then, "utime", json_integer(100));
		json_object_set_new(then, "stime", json_integer(0));
		json_object_set_new(busy, "utime", json_integer(102));
		json_object_set_new(busy, "stime", json_integer(0));
		json_object_set_new(
			busy, "queued_ns", json_integer((json_int_t)(rows[i].queued_s * 1e9)));
		if (rows[i].queued_s < 0)
			json_object_del(busy, "queued_ns");
		check(now, earlier, NULL, rows[i].class, rows[i].tid);
	}
}

/* ---- what lies unread ---- */

static json_t *conversation(bool outside, int unread)
{
	json_t *tasks = outside ? json_pack("[o]", task(10, 10, 1, "S", IDLE))
				: json_pack("[oo]", task(10, 10, 1, "S", IDLE),
					  task(20, 20, 1, "S", RECV(4)));

	return json_pack("{ss so s[{sisisiss} {sisisiss}] s[{si si si sb} {si si}]}", "locks", "",
		"tasks", tasks, "fds", "pid", 10, "fd", 5, "ino", 100, "kind", "socket", "pid", 20,
		"fd", 4, "ino", 101, "kind", "socket", "sockets", "ino", 100, "peer",
		outside ? 0 : 101, "unread", unread, "outside", (int)outside, "ino", 101, "peer",
		100);
}

static void who_left_unread_what_was_sent_to_him_is_the_one_who_is_late(void)
{
	static const struct {
		bool outside;
		int unread, unread_before;
		const char *class;
		int tid;
	} rows[] = {
		{false, 9, 9, "lost-wakeup", 10}, /* he has it, and is idle */
		{false, 0, 0, "lost-wakeup", 20}, /* the answer may have been missed */
		{false, 9, 0, "lost-wakeup", 20}, /* it came just now */
		{true, 9, 9, "lost-wakeup", 10},
		{true, 0, 0, "slow", 0},
		{true, 9, 0, "slow", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = conversation(rows[i].outside, rows[i].unread);
		auto_json json_t *earlier = conversation(rows[i].outside, rows[i].unread_before);

		check(scan, earlier, NULL, rows[i].class, rows[i].tid);
	}
}

CHECK_MAIN(CHECK_CASE(where_it_stands_in_the_kernel_tells_what_its_call_does_not),
	CHECK_CASE(the_parent_of_a_vfork_waits_for_the_child_that_it_made_last),
	CHECK_CASE(a_descriptor_of_a_process_is_that_process),
	CHECK_CASE(an_end_that_several_have_is_waited_for_in_vain_only_if_all_of_them_stand),
	CHECK_CASE(who_polls_his_own_pipe_waits_for_a_signal),
	CHECK_CASE(a_word_that_is_the_number_of_a_thread_names_its_owner),
	CHECK_CASE(a_lock_that_names_nobody_is_rather_had_by_who_stands_in_a_call),
	CHECK_CASE(the_first_thread_that_has_ended_holds_nothing),
	CHECK_CASE(workers_of_one_pool_may_have_numbers_in_their_names),
	CHECK_CASE(who_sleeps_with_a_lock_is_named_among_his_own_kind),
	CHECK_CASE(a_sleeper_is_named_where_nothing_else_is_and_he_slept_not_before),
	CHECK_CASE(what_was_stopped_when_all_was_well_is_blamed_by_whom_it_keeps_waiting_alone),
	CHECK_CASE(what_went_on_between_the_instants_is_not_what_hangs),
	CHECK_CASE(who_burnt_the_processor_when_all_was_well_is_no_cause_beside_a_wait),
	CHECK_CASE(who_seldom_wants_the_processor_is_no_livelock),
	CHECK_CASE(who_left_unread_what_was_sent_to_him_is_the_one_who_is_late))
