/* Events that nobody signals, and pools known from the time when all was well. */
#include "diagnose/diagnose.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

#define PROGRAM "/x/store"
/* pthread_cond_wait() as glibc 2.36 does it, at one of the two words of each of three variables. */
#define AT(address) "202 0x" address " 0x189 0x0 0x0 0x0 0x0 0x1 0x2"
#define WORK	    AT("7f00")
#define WORK_TOO    AT("7f04")
#define FLUSH	    AT("7f80")
#define FLUSH_TOO   AT("7f84")
#define DURABLE	    AT("7fc0")
#define LOCK_READ   "202 0x7d00 0x189 0x2 0x0 0x0 0x0 0x1 0x2"
#define RECV(fd)    "45 0x" #fd " 0x0 0x1 0x0 0x0 0x0 0x1 0x2"
#define ASKS(fd)    "7 0x7f00 0x1 0x2328 0x0 0x0 0x0 0x1 0x2" /* poll() for 9 s */
#define ACCEPT	    "288 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

static json_t *thread(int tid, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", 10, "tid", tid, "ppid", 1, "comm",
		"c", "exe", PROGRAM, "state", "S", "start", 1, "wchan", "", "syscall", syscall);
}

static json_t *scan_of(json_t *tasks)
{
	return json_pack(
		"{ss so s[] s[] s[]}", "locks", "", "tasks", tasks, "files", "fds", "sockets");
}

/* A main thread, a flusher, three workers. */
static json_t *when_all_was_well(void)
{
	return scan_of(json_pack("[ooooo]", thread(10, ACCEPT), thread(11, FLUSH), thread(12, WORK),
		thread(13, WORK_TOO), thread(14, WORK)));
}

static json_t *with_frames(json_t *task, const char *inner, const char *outer)
{
	json_object_set_new(task, "own", json_pack("[ss]", inner, outer));
	return task;
}

static json_t *at_lock(json_t *task)
{
	json_object_set_new(task, "futex", json_pack("[iiiii]", 2, 1, 0, 0, 0));
	return task;
}

static void ask(const json_t *scan, const json_t *healthy, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	auto_json json_t *since = json_pack("{s[ff]}", "12", 1.0, 2.0);

	diagnose(&(struct diagnose_input){.scan = scan,
			 .healthy = healthy,
			 .owed = owed,
			 .owed_limit_s = 2,
			 .since = since,
			 .now_s = 4.0},
		ret);
}

static bool evidence_has(const struct diagnosis *d, const char *text)
{
	for (size_t i = 0; i < d->evidence_count; i++)
		if (strstr(d->evidence[i], text))
			return true;
	return false;
}

static bool names(const struct diagnosis *d, int tid)
{
	for (size_t i = 0; i < d->culprit_count; i++)
		if (d->culprits[i].tid == tid)
			return true;
	return false;
}

/* The flusher sits where it sat, at the other word of its variable; two workers sit where none sat before. */
static void who_waits_for_the_event_is_named_and_who_idles_is_not(void)
{
	auto_json json_t *healthy = when_all_was_well();
	auto_json json_t *scan = scan_of(json_pack("[oooooo]", thread(10, ACCEPT),
		thread(11, FLUSH_TOO), with_frames(thread(12, DURABLE), "commit", "submit"),
		with_frames(thread(13, DURABLE), "commit", "deliver"), thread(14, WORK_TOO),
		at_lock(thread(15, LOCK_READ))));
	struct diagnosis got;

	ask(scan, healthy, &got);
	CHECK_STR(got.hang_class, "lost-wakeup");
	CHECK_INT(got.culprits[0].tid, 12);
	CHECK(names(&got, 13) && names(&got, 15));
	CHECK(!names(&got, 11) && !names(&got, 14));
	CHECK(evidence_has(&got, "2 threads wait for this event"));
	CHECK(evidence_has(&got, "idle meanwhile"));
	CHECK(evidence_has(&got, "thread 11"));
	CHECK(!evidence_has(&got, "thread 14"));
	CHECK_HAS(got.title, "1 more may stand behind it");
	diagnosis_free(&got);
}

/* Without the healthy instant there is nothing to tell two idle workers from two that are stuck: a lone one at the lock of
 * unknown readers is what looks most like a cause. */
static void without_the_healthy_instant_nobody_is_called_idle(void)
{
	auto_json json_t *scan = scan_of(json_pack("[oooo]", thread(10, ACCEPT),
		thread(12, DURABLE), thread(13, DURABLE), thread(14, WORK)));
	struct diagnosis got;

	ask(scan, NULL, &got);
	CHECK(!evidence_has(&got, "idle meanwhile"));
	diagnosis_free(&got);
}

/* Which operations came to wait, and how many, is chance. */
static void an_event_has_one_signature_whoever_waits_for_it(void)
{
	static const char *const outer[] = {"submit", "deliver"};
	auto_json json_t *healthy = when_all_was_well();
	char first[SIGNATURE_SIZE] = "";

	for (int i = 0; i < 2; i++) {
		auto_json json_t *scan = scan_of(
			json_pack("[oooo]", thread(10, ACCEPT), thread(11, FLUSH), thread(12, WORK),
				with_frames(thread(13 + i, DURABLE), "commit", outer[i])));
		struct diagnosis got;

		ask(scan, healthy, &got);
		if (i)
			CHECK_STR(got.signature, first);
		memcpy(first, got.signature, sizeof(first));
		diagnosis_free(&got);
	}
}

/* Sessions that came since are no part of it. */
static void a_pool_is_who_waited_together_when_all_was_well(void)
{
	auto_json json_t *healthy = when_all_was_well();
	auto_json json_t *scan = scan_of(json_pack("[ooooooo]", thread(10, ACCEPT),
		thread(11, FLUSH), thread(12, ASKS(4)), thread(13, ASKS(5)), thread(14, ASKS(6)),
		thread(20, RECV(7)), thread(21, DURABLE)));
	struct diagnosis got;
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (i > 1 && i < 5)
			json_object_set_new(task, "wait_fds", json_pack("[i]", 4));
	ask(scan, healthy, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK_INT(got.culprit_count, 3);
	CHECK_HAS(got.title, "All 3 worker threads");
	/* It came between 1 and 2 s, now it is 4 s, and poll() was given 9 s. */
	CHECK(evidence_has(&got, "for at most 9.000 s, of which 6.0 to 7.0 s are left"));
	diagnosis_free(&got);
	json_object_set_new(
		json_array_get(json_object_get(scan, "tasks"), 4), "syscall", json_string(WORK));
	ask(scan, healthy, &got);
	CHECK(got.hang_class && strcmp(got.hang_class, "exhaustion") != 0);
	diagnosis_free(&got);
}

static void what_has_a_name_is_called_by_it(void)
{
	auto_json json_t *healthy = when_all_was_well();
	auto_json json_t *one = thread(12, DURABLE);
	auto_json json_t *scan = NULL;
	struct diagnosis got;

	json_object_set_new(one, "object", json_string("log.durable\033"));
	scan = scan_of(json_pack("[oO]", thread(10, ACCEPT), one));
	ask(scan, healthy, &got);
	CHECK_HAS(got.title, "event in memory 'log.durable\\x1b'");
	diagnosis_free(&got);
}

static void a_connection_that_nobody_accepts_is_called_after_its_door(void)
{
	auto_json json_t *scan =
		scan_of(json_pack("[oo]", thread(10, ACCEPT), thread(12, RECV(4))));
	struct diagnosis got;

	json_object_set_new(scan, "fds",
		json_pack("[{sisisiss}]", "pid", 10, "fd", 4, "ino", 104, "kind", "socket"));
	json_object_set_new(scan, "sockets",
		json_pack("[{sisi}{sisssssi}]", "ino", 104, "accept", 105, "ino", 105, "state",
			"listen", "name", "/var/run/agent.sock", "backlog", 1));
	ask(scan, NULL, &got);
	CHECK_HAS(got.title, "read on a connection to run/agent.sock that nobody accepts");
	diagnosis_free(&got);
}

static void a_crash_names_the_thread_that_its_core_names(void)
{
	auto_json json_t *died =
		json_pack("[{si si ss ss si s[ss] s[s]}]", "pid", 50, "tid", 57, "comm", "c", "exe",
			PROGRAM, "signal", 11, "frames", "libc.so.6", "push", "own", "push");
	auto_json json_t *other = json_deep_copy(died);
	struct diagnosis got, same;

	diagnose(&(struct diagnose_input){.died = died}, &got);
	CHECK_INT(got.culprits[0].pid, 50);
	CHECK_INT(got.culprits[0].tid, 57);
	/* Where in the C library it stumbled is no part of what it is. */
	json_object_set_new(
		json_array_get(other, 0), "frames", json_pack("[ss]", "memcpy", "push"));
	diagnose(&(struct diagnose_input){.died = other}, &same);
	CHECK_STR(same.signature, got.signature);
	diagnosis_free(&got);
	diagnosis_free(&same);
}

static void signature_behind(const char *caller, bool jumped, char out[SIGNATURE_SIZE])
{
	json_t *task = with_frames(thread(12, DURABLE), "runs_any", caller);
	auto_json json_t *scan = NULL;
	struct diagnosis got;

	if (jumped)
		json_object_set_new(task, "jumped", json_true());
	scan = scan_of(json_pack("[oo]", thread(10, ACCEPT), task));
	ask(scan, NULL, &got);
	snprintf(out, SIGNATURE_SIZE, "%s", got.signature);
	diagnosis_free(&got);
}

/* An event is known by the function that waits for it; where that one is not known, by those who called it. */
static void who_waits_in_a_function_without_a_frame_is_known_by_its_callers(void)
{
	char one[SIGNATURE_SIZE], other[SIGNATURE_SIZE];

	signature_behind("commits", false, one);
	signature_behind("delivers", false, other);
	CHECK_STR(one, other);
	signature_behind("commits", true, one);
	signature_behind("delivers", true, other);
	CHECK(strcmp(one, other) != 0);
}

CHECK_MAIN(CHECK_CASE(who_waits_in_a_function_without_a_frame_is_known_by_its_callers),
	CHECK_CASE(who_waits_for_the_event_is_named_and_who_idles_is_not),
	CHECK_CASE(without_the_healthy_instant_nobody_is_called_idle),
	CHECK_CASE(an_event_has_one_signature_whoever_waits_for_it),
	CHECK_CASE(a_pool_is_who_waited_together_when_all_was_well),
	CHECK_CASE(what_has_a_name_is_called_by_it),
	CHECK_CASE(a_connection_that_nobody_accepts_is_called_after_its_door),
	CHECK_CASE(a_crash_names_the_thread_that_its_core_names))
