/* Whose turn it is: leases, what lies unread, ends that several have, who sleeps, readers without names; each rule
 * both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE	    "7 0x7f00 0x2 0xffffffff 0x0 0x0 0x0 0x1 0x2"
#define EPOLL	    "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define ACCEPT	    "43 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define OPEN	    "257 0xffffff9c 0x7f00 0x2 0x0 0x0 0x0 0x1 0x2"
#define RECV(fd)    "45 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define WRITE(fd)   "1 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define SIGNAL	    "34 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define WAIT_FOR_11 "61 0xb 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define SLEEP	    "230 0x0 0x0 0x7f00 0x0 0x0 0x0 0x1 0x2"
#define RWLOCK	    "202 0x7f08 0x189 0x2 0x0 0x0 0xffffffff 0x1 0x2"
#define ASKS_BACK   "__break_lease"

static json_t *task(int pid, int tid, const char *wchan, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", pid, "tid", tid, "ppid", 1, "comm",
		"c", "exe", "/x/a", "state", "S", "start", tid, "wchan", wchan, "syscall", syscall);
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

static void run(const json_t *scan, const json_t *healthy, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(
		&(struct diagnose_input){
			.scan = scan, .healthy = healthy, .owed = owed, .owed_limit_s = 2},
		ret);
}

static void check(const json_t *scan, const json_t *healthy, const char *class, int tid)
{
	struct diagnosis got;

	run(scan, healthy, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, tid);
	diagnosis_free(&got);
}

/* ---- leases ---- */

static void who_does_not_give_a_lease_back_keeps_the_opener_waiting(void)
{
	static const char asked[] = "1: LEASE  BREAKING  UNLCK 10 fe:00:7 0 EOF\n"
				    "1: -> LEASE  BREAKER   WRITE 20 <none>:0 0 EOF\n";
	auto_json json_t *scan = scan_of(
		asked, json_pack("[oo]", task(10, 10, "", IDLE), task(20, 20, ASKS_BACK, OPEN)));
	auto_json json_t *fifo = scan_of("",
		json_pack("[oo]", task(10, 10, "", IDLE), task(20, 20, "wait_for_partner", OPEN)));
	struct diagnosis got;

	run(scan, NULL, &got);
	CHECK_STR(got.hang_class, "lost-wakeup");
	CHECK_INT(got.culprits[0].pid, 10);
	CHECK(strstr(got.title, "lease") != NULL);
	CHECK_INT(got.unknown_count, 0); /* both lines were read */
	diagnosis_free(&got);
	check(fifo, NULL, "lost-wakeup", 20);
}

/* The kernel takes it after a time: what looks like a cycle ends. */
static void a_lease_is_no_part_of_a_deadlock(void)
{
	static const char locks[] = "1: LEASE  BREAKING  UNLCK 10 fe:00:7 0 EOF\n"
				    "1: -> LEASE  BREAKER   WRITE 20 <none>:0 0 EOF\n"
				    "2: FLOCK  ADVISORY  WRITE 20 fe:00:8 0 EOF\n"
				    "2: -> FLOCK  ADVISORY  WRITE 10 fe:00:8 0 EOF\n";
	auto_json json_t *scan = scan_of(
		locks, json_pack("[oo]", task(10, 10, "", "73 0x4 0x2 0x0 0x0 0x0 0x0 0x1 0x2"),
			       task(20, 20, ASKS_BACK, OPEN)));
	struct diagnosis got;

	run(scan, NULL, &got);
	CHECK(got.hang_class && strcmp(got.hang_class, "deadlock") != 0);
	diagnosis_free(&got);
}

/* ---- what lies unread ---- */

/* 10 waits in epoll for its one connection, whose other end 20 has, or somebody outside. */
static json_t *asked_once(bool outside, int unread, int unread_there)
{
	json_t *server = with(task(10, 10, "", EPOLL), "wait_fds", json_pack("[i]", 5));
	json_t *tasks = json_pack("[o]", server), *sockets;

	if (!outside)
		json_array_append_new(tasks, task(20, 20, "", RECV(4)));
	sockets = json_pack("[{si si si sb sb}{si si si}]", "ino", 100, "peer", outside ? 0 : 101,
		"unread", unread, "outside", (int)outside, "accepted", 1, "ino", 101, "peer", 100,
		"unread", unread_there);
	return json_pack("{ss so s[{sisisiss}{sisisiss}] so}", "locks", "", "tasks", tasks, "fds",
		"pid", 10, "fd", 5, "ino", 100, "kind", "socket", "pid", 20, "fd", 4, "ino", 101,
		"kind", "socket", "sockets", sockets);
}

static void who_polls_and_leaves_unread_what_was_sent_has_not_asked_for_it(void)
{
	static const struct {
		bool outside;
		int unread, unread_there;
		const char *class;
		int tid;
	} rows[] = {
		{false, 9, 0, "lost-wakeup", 10},
		{false, 0, 0, "deadlock", 10},	/* each waits for the other */
		{false, 9, 99, "deadlock", 10}, /* it may wait for room to write */
		{true, 9, 0, "lost-wakeup", 10}, {true, 0, 0, "slow", 10}, /* its client's turn */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan =
			asked_once(rows[i].outside, rows[i].unread, rows[i].unread_there);

		check(scan, NULL, rows[i].class, rows[i].tid);
	}
}

/* ---- ends that several have ---- */

/* 20 reads, 10 and its child 11 have the other end. */
static json_t *inherited(const char *parent, const char *child)
{
	return json_pack("{ss s[ooo] s[{sisisissss}{sisisissss}{sisisissss}]}", "locks", "",
		"tasks", task(10, 10, "", parent),
		with(task(11, 11, "", child), "ppid", json_integer(10)), task(20, 20, "", RECV(4)),
		"fds", "pid", 10, "fd", 5, "ino", 100, "kind", "pipe", "mode", "w", "pid", 11, "fd",
		5, "ino", 100, "kind", "pipe", "mode", "w", "pid", 20, "fd", 4, "ino", 100, "kind",
		"pipe", "mode", "r");
}

static void of_several_who_have_an_end_the_one_that_is_at_something_is_waited_for(void)
{
	auto_json json_t *parent = inherited(WAIT_FOR_11, IDLE);
	auto_json json_t *child = inherited(IDLE, RECV(9));
	auto_json json_t *both = inherited(RECV(8), RECV(9));
	auto_json json_t *none = inherited(IDLE, IDLE);
	struct diagnosis got;

	check(parent, NULL, "lost-wakeup", 10);
	check(child, NULL, "lost-wakeup", 11);
	check(none, NULL, "lost-wakeup", 20);
	run(both, NULL, &got); /* which of them is not known */
	CHECK_INT(got.behind, 0);
	diagnosis_free(&got);
}

/* 20 reads what `writers` send; 30 waits for an event and weighs less than one who reads from one alone. */
static json_t *log_of(int writers)
{
	json_t *tasks = json_pack("[oo]", task(20, 20, "", RECV(4)), task(30, 30, "", SIGNAL));
	json_t *fds = json_pack(
		"[{sisisissss}]", "pid", 20, "fd", 4, "ino", 100, "kind", "pipe", "mode", "r");

	for (int i = 0; i < writers; i++) {
		json_array_append_new(tasks, task(40 + i, 40 + i, "", IDLE));
		json_array_append_new(fds, json_pack("{sisisissss}", "pid", 40 + i, "fd", 5, "ino",
						   100, "kind", "pipe", "mode", "w"));
	}
	return json_pack("{ss so so}", "locks", "", "tasks", tasks, "fds", fds);
}

static void who_reads_what_several_send_and_whom_nobody_waits_for_may_have_nothing_to_do(void)
{
	auto_json json_t *one = log_of(1), *several = log_of(3), *many = log_of(40);

	check(one, NULL, "lost-wakeup", 20);
	check(several, NULL, "lost-wakeup", 30);
	check(many, NULL, "lost-wakeup", 30);
}

/* 20 has filled a pipe that 10 reads. */
static void who_leaves_a_full_pipe_unread_is_late(void)
{
	auto_json json_t *idle = json_pack("{ss s[oo] s[{sisisissss}{sisisissss}]}", "locks", "",
		"tasks", task(10, 10, "", EPOLL), task(20, 20, "", WRITE(4)), "fds", "pid", 10,
		"fd", 5, "ino", 100, "kind", "pipe", "mode", "r", "pid", 20, "fd", 4, "ino", 100,
		"kind", "pipe", "mode", "w");
	auto_json json_t *reads = json_deep_copy(idle);
	struct diagnosis got;

	run(idle, NULL, &got);
	CHECK_INT(got.culprits[0].pid, 10);
	CHECK_HAS(got.title, "lies unread");
	diagnosis_free(&got);
	with(json_array_get(json_object_get(reads, "tasks"), 0), "syscall", json_string(RECV(9)));
	check(reads, NULL, "lost-wakeup", 10);
}

/* ---- timers ---- */

static void who_waits_for_a_timer_alone_sleeps_if_it_will_ring(void)
{
	static const struct {
		const char *call;
		bool rings;
		const char *class;
		int tid;
	} rows[] = {
		{RECV(5), true, "slow", 10},
		{RECV(5), false, "lost-wakeup", 10},
		{EPOLL, true, "slow", 0}, /* waits for work */
		{EPOLL, false, "lost-wakeup", 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *one = with(task(10, 10, "", rows[i].call), "wait_fds", json_pack("[i]", 5));
		auto_json json_t *scan = json_pack("{ss s[o] s[{sisisisssb}]}", "locks", "",
			"tasks", one, "fds", "pid", 10, "fd", 5, "ino", 0, "kind", "timerfd",
			"rings", (int)rows[i].rings);

		check(scan, NULL, rows[i].class, rows[i].tid);
	}
}

/* Nobody but who sets it can wake its reader; who waits for an event may have been forgotten by that one. */
static void who_reads_a_timer_that_is_not_set_is_missed_before_who_waits_for_an_event(void)
{
	auto_json json_t *scan = json_pack("{ss s[oo] s[{sisisiss}]}", "locks", "", "tasks",
		task(10, 10, "", "202 0x9f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2"),
		task(20, 20, "", RECV(5)), "fds", "pid", 20, "fd", 5, "ino", 0, "kind", "timerfd");

	check(scan, NULL, "lost-wakeup", 20);
}

/* ---- who sleeps ---- */

static json_t *filter(const char *at_other_end)
{
	return json_pack("{ss s[oo] s[{sisisissss}{sisisissss}]}", "locks", "", "tasks",
		task(10, 10, "", at_other_end), task(20, 20, "", RECV(4)), "fds", "pid", 10, "fd",
		5, "ino", 100, "kind", "pipe", "mode", "w", "pid", 20, "fd", 4, "ino", 100, "kind",
		"pipe", "mode", "r");
}

static void who_sleeps_while_others_wait_for_what_he_sends_is_slow(void)
{
	auto_json json_t *sleeps = filter(SLEEP), *idle = filter(IDLE);
	auto_json json_t *slept =
		scan_of("", json_pack("[oo]", task(10, 10, "", SLEEP), task(20, 20, "", IDLE)));

	check(sleeps, NULL, "slow", 10);
	check(idle, NULL, "lost-wakeup", 20);
	check(sleeps, slept, "lost-wakeup", 20); /* as when all was well */
}

/* ---- readers without names ---- */

static json_t *rwlock(const char *third, const char *call)
{
	json_t *words = json_pack("[iiiii]", 2, 1, 0, 0, 0);
	json_t *tasks = json_pack("[ooo]", task(10, 10, "", third),
		with(task(10, 11, "", call), "futex", json_incref(words)),
		with(task(10, 12, "", call), "futex", words));

	return scan_of("", tasks);
}

static void two_who_wait_for_readers_without_names_are_the_readers_where_all_others_idle(void)
{
	static const char shared[] = "202 0x7f08 0x109 0x2 0x0 0x0 0xffffffff 0x1 0x2";
	auto_json json_t *idle = rwlock(IDLE, RWLOCK);
	auto_json json_t *reads = rwlock(RECV(4), RWLOCK);
	/* It may be the reader, and nobody wakes it. */
	auto_json json_t *event = rwlock("202 0x9f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2", RWLOCK);
	auto_json json_t *of_processes = rwlock(IDLE, shared); /* readers may be elsewhere */
	struct diagnosis got;

	run(idle, NULL, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK(got.unknown_count > 0); /* and that it is a supposition is said */
	diagnosis_free(&got);
	check(reads, NULL, "lost-wakeup", 10);
	check(event, NULL, "lost-wakeup", 10);
	check(of_processes, NULL, "lost-wakeup", 11);
}

/* 14 waits for the end of one of the writers: it is the reader, not another of them. */
static void who_wants_the_lock_too_is_not_taken_for_its_reader(void)
{
	static const char second[] = "202 0x7f0c 0x189 0x3 0x0 0x0 0xffffffff 0x1 0x2",
			  join[] = "202 0x8000 0x109 0xc 0x0 0x0 0xffffffff 0x1 0x2";
	auto_json json_t *scan = rwlock(IDLE, RWLOCK);
	json_t *tasks = json_object_get(scan, "tasks");
	struct diagnosis got;

	json_array_append_new(tasks,
		with(task(10, 13, "", second), "futex", json_pack("[iiiii]", 3, 0, 0, 0, 0)));
	json_array_append_new(tasks, task(10, 14, "", join));
	run(scan, NULL, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK_INT(got.culprits[0].tid + got.culprits[1].tid, 12 + 14);
	diagnosis_free(&got);
}

/* A writer that readers wait behind has read before: rather than one of those, it waits for itself. */
static void a_writer_that_only_readers_wait_behind_is_its_own_reader(void)
{
	static const char reads[] = "202 0x7f00 0x189 0xe 0x0 0x0 0xffffffff 0x1 0x2";

	for (int first = 11; first <= 12; first++) {
		json_t *tasks = json_pack("[o]", task(10, 10, "", IDLE));
		auto_json json_t *scan = scan_of("", tasks);

		for (int tid = 11; tid <= 13; tid++)
			json_array_append_new(tasks,
				tid == first ? with(task(10, tid, "", RWLOCK), "futex",
						       json_pack("[iiiii]", 2, 1, 0, 0, 0))
					     : with(task(10, tid, "", reads), "futex",
						       json_pack("[iiiii]", 14, 0, 2, 1, 0)));
		check(scan, NULL, "deadlock", first);
	}
}

/* ---- words of one instant ---- */

/* 10 waits at a semaphore, 20 for a message; only now the words at the semaphore were read. */
static json_t *with_semaphore(const char *call, bool read)
{
	json_t *one = task(10, 10, "", call);

	if (read)
		with(one, "futex", json_pack("[iiiii]", 0, 1, 128, 0, 0));
	return scan_of("", json_pack("[oo]", one, task(20, 20, "", RECV(4))));
}

static void a_wait_whose_words_were_not_read_in_time_is_the_same_wait(void)
{
	static const char here[] = "202 0x7f00 0x109 0x0 0x0 0x0 0xffffffff 0x1 0x2";
	static const char there[] = "202 0x8f00 0x109 0x0 0x0 0x0 0xffffffff 0x1 0x2";
	auto_json json_t *now = with_semaphore(here, true);
	auto_json json_t *unread = with_semaphore(here, false);
	auto_json json_t *elsewhere = with_semaphore(there, false);

	json_array_remove(json_object_get(unread, "tasks"), 1);
	json_array_remove(json_object_get(elsewhere, "tasks"), 1);
	check(now, unread, "lost-wakeup", 20); /* as when all was well */
	check(now, elsewhere, "lost-wakeup", 10);
}

static void a_semaphore_of_system_v_is_told_from_one_in_memory(void)
{
	auto_json json_t *posix =
		with_semaphore("202 0x7f00 0x109 0x0 0x0 0x0 0xffffffff 0x1 0x2", true);
	auto_json json_t *system_v = scan_of(
		"", json_pack("[o]", task(10, 10, "", "65 0x1 0x7ffe 0x1 0x0 0x0 0x0 0x1 0x2")));
	struct diagnosis one, other;

	run(posix, NULL, &one);
	run(system_v, NULL, &other);
	CHECK_STR(one.hang_class, other.hang_class);
	CHECK_HAS(one.title, "nobody posts (semaphore)");
	CHECK_HAS(other.title, "(System V semaphore)");
	CHECK(strcmp(one.signature, other.signature) != 0);
	diagnosis_free(&one);
	diagnosis_free(&other);
}

/* ---- children ---- */

/* 10 takes clients in and has a child that has ended; 20 sleeps or, when all was well, waits for clients. */
static json_t *with_child(char state, const char *call)
{
	json_t *child = with(task(11, 11, "", ""), "ppid", json_integer(10));

	return scan_of("",
		json_pack("[ooo]", task(10, 10, "", ACCEPT),
			with(child, "state", json_sprintf("%c", state)), task(20, 20, "", call)));
}

static void a_child_that_was_left_when_all_was_well_is_a_habit(void)
{
	auto_json json_t *now = with_child('Z', SLEEP), *left = with_child('Z', EPOLL),
			 *lived = with_child('S', EPOLL);

	check(now, left, "slow", 20);
	check(now, lived, "lost-wakeup", 10);
	check(now, NULL, "lost-wakeup", 10);
}

CHECK_MAIN(CHECK_CASE(who_reads_what_several_send_and_whom_nobody_waits_for_may_have_nothing_to_do),
	CHECK_CASE(who_leaves_a_full_pipe_unread_is_late),
	CHECK_CASE(who_waits_for_a_timer_alone_sleeps_if_it_will_ring),
	CHECK_CASE(who_reads_a_timer_that_is_not_set_is_missed_before_who_waits_for_an_event),
	CHECK_CASE(a_child_that_was_left_when_all_was_well_is_a_habit),
	CHECK_CASE(a_semaphore_of_system_v_is_told_from_one_in_memory),
	CHECK_CASE(who_does_not_give_a_lease_back_keeps_the_opener_waiting),
	CHECK_CASE(a_lease_is_no_part_of_a_deadlock),
	CHECK_CASE(a_wait_whose_words_were_not_read_in_time_is_the_same_wait),
	CHECK_CASE(who_polls_and_leaves_unread_what_was_sent_has_not_asked_for_it),
	CHECK_CASE(of_several_who_have_an_end_the_one_that_is_at_something_is_waited_for),
	CHECK_CASE(who_sleeps_while_others_wait_for_what_he_sends_is_slow),
	CHECK_CASE(two_who_wait_for_readers_without_names_are_the_readers_where_all_others_idle),
	CHECK_CASE(a_writer_that_only_readers_wait_behind_is_its_own_reader),
	CHECK_CASE(who_wants_the_lock_too_is_not_taken_for_its_reader))
