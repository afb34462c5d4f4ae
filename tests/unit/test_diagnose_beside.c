/* What the evidence of an open file, a full door, children and an earlier hang adds: each rule both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define FLOCK(fd)   "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define EVENT	    "202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x1 0x2"
#define OTHER_EVENT "202 0x9f00 0x189 0x0 0x0 0x0 0xffffffff 0x1 0x2"
#define CONNECT	    "42 0x3 0x7f00 0x6e 0x0 0x0 0x0 0x1 0x2"
#define POLL	    "7 0x7f00 0x2 0xffffffff 0x0 0x0 0x0 0x1 0x2"
#define WAITPID	    "61 0xffffffff 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

static json_t *task(int pid, const char *exe, const char *state, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", pid, "ppid", 1, "comm",
		exe + 3, "exe", exe, "state", state, "start", 1, "syscall", syscall);
}

static void ask(const struct diagnose_input *in, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	struct diagnose_input input = *in;

	input.owed = owed;
	input.owed_limit_s = 2;
	diagnose(&input, ret);
}

/* The process that took the lock is gone; its child has the open file. */
static void a_lock_is_of_whoever_has_the_open_file(void)
{
	static const char locks[] = "1: FLOCK ADVISORY WRITE 9 a:0:1 0 EOF\n"
				    "1: -> FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n";

	for (int said = 0; said < 2; said++) {
		auto_json json_t *scan = json_pack("{ss s[oo] s[{siss}]}", "locks", locks, "tasks",
			task(10, "/x/wants", "S", FLOCK(4)), task(20, "/x/holds", "S", POLL),
			"held", "pid", 20, "lock", "1: FLOCK ADVISORY WRITE 9 a:0:1 0 EOF");
		struct diagnosis got;

		if (said)
			json_object_set_new(json_array_get(json_object_get(scan, "held"), 0), "fd",
				json_integer(3));
		ask(&(struct diagnose_input){.scan = scan}, &got);
		CHECK_STR(got.hang_class, "lost-wakeup");
		CHECK(got.culprit_count);
		CHECK_STR(got.culprits[0].role, said ? "holds" : "wants");
		CHECK_INT(got.behind, said ? 1 : 0);
		/* An entry without its descriptor is none, and is counted. */
		CHECK(said || got.unknown_count);
		diagnosis_free(&got);
	}
}

/* Two have it since a fork(): which of them will give it back is not known. */
static void a_lock_of_several_is_nobodys(void)
{
	static const char line[] = "1: OFDLCK ADVISORY WRITE -1 a:0:1 0 9";
	auto_json json_t *scan = json_pack("{ss s[ooo] s[{sisiss}{sisiss}]}", "locks",
		"1: OFDLCK ADVISORY WRITE -1 a:0:1 0 9\n"
		"1: -> OFDLCK ADVISORY WRITE -1 a:0:1 0 9\n",
		"tasks", task(10, "/x/wants", "S", "72 0x4 0x26 0x0 0x0 0x0 0x0 0x1 0x2"),
		task(20, "/x/one", "S", POLL), task(21, "/x/two", "S", POLL), "held", "pid", 20,
		"fd", 3, "lock", line, "pid", 21, "fd", 3, "lock", line);
	struct diagnosis got;

	json_object_set_new(scan, "files",
		json_pack("[{sisissss}]", "pid", 10, "fd", 4, "path", "/a", "inode", "a:0:1"));
	ask(&(struct diagnose_input){.scan = scan}, &got);
	CHECK(got.culprit_count);
	CHECK_STR(got.culprits[0].role, "wants");
	CHECK(got.unknown_count && strstr(got.unknown[0], "several processes"));
	diagnosis_free(&got);
}

/* Three have a range of one file each and want the next one's; nobody is named, but by the ranges. */
static void who_wants_bytes_waits_for_who_has_those(void)
{
	static const char *const call = "72 0x4 0x26 0x7f00 0x0 0x0 0x0 0x1 0x2";
	char locks[1024] = "", line[80];
	json_t *tasks = json_array(), *held = json_array(), *files = json_array();
	auto_json json_t *scan = NULL;
	struct diagnosis got;

	for (int i = 0; i < 3; i++) {
		int pid = 10 + i, next = (i + 1) % 3;
		json_t *one = task(pid, "/x/one", "S", call);

		snprintf(line, sizeof(line), "%d: OFDLCK ADVISORY WRITE -1 a:0:1 %d %d", i, i * 10,
			i * 10 + 9);
		json_array_append_new(
			held, json_pack("{sisiss}", "pid", pid, "fd", 4, "lock", line));
		snprintf(locks + strlen(locks), sizeof(locks) - strlen(locks),
			"%s\n%d: -> OFDLCK ADVISORY WRITE -1 a:0:1 %d %d\n", line, i, i * 10,
			i * 10 + 9);
		json_object_set_new(one, "range",
			json_pack(
				"{sisisb}", "first", next * 10, "last", next * 10 + 9, "write", 1));
		json_array_append_new(tasks, one);
		json_array_append_new(files, json_pack("{sisissss}", "pid", pid, "fd", 4, "path",
						     "/a", "inode", "a:0:1"));
	}
	scan = json_pack(
		"{ss so so so}", "locks", locks, "tasks", tasks, "held", held, "files", files);
	ask(&(struct diagnose_input){.scan = scan}, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 3);
	diagnosis_free(&got);
}

/* By another open file of its own process, whose other thread idles: nobody but itself would give it back. */
static void who_wants_what_its_process_has_waits_for_itself(void)
{
	static const char locks[] = "1: FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n"
				    "1: -> FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n";
	auto_json json_t *scan = json_pack("{ss s[oo] s[{sisiss}] s[{sisissss}]}", "locks", locks,
		"tasks", task(10, "/x/wants", "S", POLL), task(10, "/x/wants", "S", FLOCK(4)),
		"held", "pid", 10, "fd", 3, "lock", "1: FLOCK ADVISORY WRITE 10 a:0:1 0 EOF",
		"files", "pid", 10, "fd", 4, "path", "/a", "inode", "a:0:1");
	struct diagnosis got;

	json_object_set_new(
		json_array_get(json_object_get(scan, "tasks"), 1), "tid", json_integer(11));
	ask(&(struct diagnose_input){.scan = scan}, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprits[0].tid, 11);
	CHECK_HAS(got.title, "waits for itself");
	CHECK(got.unknown_count);
	diagnosis_free(&got);
}

static void who_connects_waits_for_the_door(void)
{
	for (int told = 0; told < 2; told++) {
		auto_json json_t *scan = json_pack("{s[oo] s[{sisisiss}{sisisiss}] s[{sissss}]}",
			"tasks", task(10, "/x/client", "S", CONNECT),
			task(20, "/x/server", "S", EVENT), "fds", "pid", 10, "fd", 3, "ino", 5,
			"kind", "socket", "pid", 20, "fd", 4, "ino", 6, "kind", "socket", "sockets",
			"ino", 6, "state", "listen", "name", "/run/door");
		struct diagnosis got;

		if (told)
			json_object_set_new(json_array_get(json_object_get(scan, "tasks"), 0),
				"door", json_string("/run/door"));
		ask(&(struct diagnose_input){.scan = scan}, &got);
		CHECK_STR(got.culprits[0].role, "server");
		CHECK_INT(got.behind, told);
		diagnosis_free(&got);
	}
}

static void who_begins_processes_that_burn_all_the_time_is_a_livelock(void)
{
	static const struct {
		int own, reaped; /* ticks, of a hundred */
		bool progressed;
		const char *hang_class;
	} rows[] = {
		{5, 80, false, "livelock"},
		{5, 80, true, "slow"},	 /* something is answered */
		{0, 80, false, "slow"},	 /* beginning them costs: one child that lived long */
		{5, 900, false, "slow"}, /* more than there was: the same */
		{5, 10, false, "slow"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *then = json_pack("{sI s[o]}", "guest_ns", (json_int_t)0, "tasks",
			task(10, "/x/master", "S", WAITPID));
		auto_json json_t *now = json_pack("{sI s[o]}", "guest_ns", (json_int_t)1000000000,
			"tasks", task(10, "/x/master", "S", WAITPID));
		json_t *before = json_array_get(json_object_get(then, "tasks"), 0);
		json_t *after = json_array_get(json_object_get(now, "tasks"), 0);
		struct diagnosis got;

		json_object_update_new(
			before, json_pack("{sisisi}", "utime", 0, "stime", 0, "reaped", 0));
		json_object_update_new(after, json_pack("{sisisi}", "utime", rows[i].own, "stime",
						      0, "reaped", rows[i].reaped));
		ask(
			&(struct diagnose_input){
				.scan = now, .earlier = then, .progressed = rows[i].progressed},
			&got);
		CHECK_STR(got.hang_class, rows[i].hang_class);
		diagnosis_free(&got);
	}
}

/* One was told. Another that came to stand since is told only if more is known than that it waits for an event. */
static void beside_what_was_told_only_what_speaks_for_itself_is_new(void)
{
	static const struct {
		const char *state, *syscall;
		bool stood, found;
	} rows[] = {
		{"S", OTHER_EVENT, false, false},
		{"T", OTHER_EVENT, false, true},
		{"T", OTHER_EVENT, true, false},
	};
	const int known[] = {10};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *before =
			json_pack("{s[oo]}", "tasks", task(10, "/x/first", "T", EVENT),
				task(20, "/x/next", rows[i].stood ? rows[i].state : "S",
					rows[i].stood ? rows[i].syscall : POLL));
		auto_json json_t *now =
			json_pack("{s[oo]}", "tasks", task(10, "/x/first", "T", EVENT),
				task(20, "/x/next", rows[i].state, rows[i].syscall));
		struct diagnosis got;

		ask(
			&(struct diagnose_input){
				.scan = now, .before = before, .known = known, .known_count = 1},
			&got);
		CHECK_INT(got.finding, rows[i].found);
		if (rows[i].found)
			CHECK_INT(got.culprits[0].pid, 20);
		diagnosis_free(&got);
	}
}

/* ---- what a guest may write ---- */

static bool says(const struct diagnosis *d, const char *text)
{
	for (size_t i = 0; i < d->unknown_count; i++)
		if (strstr(d->unknown[i], text))
			return true;
	return false;
}

static json_t *many_tasks(int count)
{
	json_t *tasks = json_array();

	for (int i = 1; i <= count; i++)
		json_array_append_new(tasks, task(i, "/x/a", "S", EVENT));
	return tasks;
}

static json_t *lying(const char *key, json_t *value)
{
	json_t *scan = json_pack("{s[o]}", "tasks", task(10, "/x/a", "S", EVENT));

	json_object_set_new(scan, key, value);
	return scan;
}

/* Truncated, huge, lying and looping: the trouble is still told, and with it what could not be read. */
static void what_could_not_be_read_is_said(void)
{
	const struct {
		json_t *scan;
		const char *said;
	} rows[] = {
		{lying("truncated", json_true()), "the scan was cut short"},
		{lying("locks", json_string("1: FLOCK\n7: -> what\n\x01\n")),
			"lines of /proc/locks could not be read"},
		{lying("tasks",
			 json_pack("[o{si}is]", task(10, "/x/a", "S", EVENT), "tid", 1, 7, "x")),
			"3 entries of the scan could not be read"},
		{lying("tasks", json_pack("[oo]", task(10, "/x/a", "S", EVENT),
					task(11, "/x/b", "S", "not a call"))),
			"1 threads could not be read"},
		{lying("tasks", many_tasks(9000)), "entries of the scan could not be read"},
		{lying("held", json_pack("[{sisiss}{}i]", "pid", 10, "fd", -1, "lock", "x", 3)),
			"3 entries of the scan could not be read"},
		{lying("fds", json_pack("[{sisisI}]", "pid", -4, "fd", 3, "ino", (json_int_t)9)),
			"1 entries of the scan could not be read"},
		{lying("parts", json_pack("{sb}", "memory", 0)), "memory could not be read"},
		{lying("parts", json_pack("{sb}", "held", 0)), "locks of open files"},
		{lying("parts", json_pack("{sbsb}", "fds", 0, "sockets", 0)),
			"descriptors could not be read"},
		{lying("parts", json_pack("{sbsb}", "fds", 1, "sockets", 0)),
			"the other ends of its sockets"},
		/* Its own parent, its own peer, a lock that waits for itself. */
		{json_pack("{ss s[{sisisisssssissss}] s[{sIsIss}]}", "locks",
			 "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n1: -> FLOCK ADVISORY WRITE 10 a 0 "
			 "EOF\nx\n",
			 "tasks", "pid", 10, "tid", 10, "ppid", 10, "comm", "a", "exe", "/x/a",
			 "start", 1, "state", "S", "syscall", EVENT, "sockets", "ino",
			 (json_int_t)5, "peer", (json_int_t)5, "state", "listen"),
			"1 lines of /proc/locks could not be read"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct diagnosis got;

		ask(&(struct diagnose_input){.scan = rows[i].scan}, &got);
		CHECK(got.hang_class != NULL);
		if (!CHECK(says(&got, rows[i].said)))
			printf("in row %zu\n", i);
		diagnosis_free(&got);
		json_decref(rows[i].scan);
	}
}

CHECK_MAIN(CHECK_CASE(what_could_not_be_read_is_said),
	CHECK_CASE(a_lock_is_of_whoever_has_the_open_file),
	CHECK_CASE(a_lock_of_several_is_nobodys),
	CHECK_CASE(who_wants_bytes_waits_for_who_has_those),
	CHECK_CASE(who_wants_what_its_process_has_waits_for_itself),
	CHECK_CASE(who_connects_waits_for_the_door),
	CHECK_CASE(who_begins_processes_that_burn_all_the_time_is_a_livelock),
	CHECK_CASE(beside_what_was_told_only_what_speaks_for_itself_is_new))
