/* Ends that no signal of their own tells: a program that gives up again and again, and the kernel that finds no memory.
 * Each both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE  "7 0x7f00 0x2 0xffffffff 0x0 0x0 0x0 0x1 0x2"
#define FLOCK "73 0x4 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define SLEEP "35 0x7f00 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define RECV  "45 0x5 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

static const char held_by_10[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
				 "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n";

static json_t *task(int pid, const char *exe, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", pid, "ppid", 1, "comm",
		"c", "exe", exe, "state", "S", "start", 1, "syscall", syscall);
}

/* A master that waits for work, and one that stands, or not. */
static json_t *scan_of(bool stands)
{
	return json_pack("{ss s[ooo]}", "locks", stands ? held_by_10 : "", "tasks",
		task(5, "/x/master", IDLE), task(10, "/x/a", stands ? RECV : IDLE),
		task(20, "/x/b", stands ? FLOCK : IDLE));
}

static json_t *exit_of(int pid, int count, int lived_ms, double age_s)
{
	return json_pack("{si ss si si ss si si sf ss}", "pid", pid, "comm", "worker", "status", 1,
		"ppid", 5, "parent", "master", "count", count, "lived_ms", lived_ms, "age_s", age_s,
		"line", "worker[31]: cannot open its table");
}

static bool says(char *const *lines, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		if (strstr(lines[i], what))
			return true;
	return false;
}

static void ask(const json_t *scan, const json_t *exited, const json_t *kernel, double owed_s,
	struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", owed_s);

	diagnose(&(struct diagnose_input){.scan = scan,
			 .owed = owed,
			 .owed_limit_s = 2,
			 .exited = exited,
			 .kernel = kernel},
		ret);
}

/* ---- again and again ---- */

static void who_gives_up_each_time_it_is_begun_is_a_loop(void)
{
	static const struct {
		const char *is;
		bool stands;
		int count, lived_ms;
		double age_s, owed_s;
		const char *class;
		int pid;
	} rows[] = {
		{"it gives up, and work waits", false, 3, 40, 1, 9, "crash-loop", 31},
		{"twice is no loop", false, 2, 40, 1, 9, "slow", 0},
		{"it had begun its work", false, 9, 60000, 1, 9, "slow", 0},
		{"it was long ago", false, 9, 40, 600, 9, "slow", 0},
		{"nothing is owed", false, 9, 40, 1, 0.1, "healthy", 0},
		{"a holder explains more", true, 9, 40, 1, 9, "lost-wakeup", 10},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = scan_of(rows[i].stands);
		auto_json json_t *exited = json_pack(
			"[o]", exit_of(31, rows[i].count, rows[i].lived_ms, rows[i].age_s));
		struct diagnosis got;

		ask(scan, exited, NULL, rows[i].owed_s, &got);
		if (!CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].class))
			printf("in row '%s'\n", rows[i].is);
		CHECK_INT(got.culprit_count ? got.culprits[0].pid : 0, rows[i].pid);
		diagnosis_free(&got);
	}
}

/* Who asks waits for the master, and he for the time of the next try; a sleeper of another process is what it was. */
static void a_loop_that_rests_is_one_where_others_wait_for_who_begins_it(void)
{
	static const struct {
		int master;
		const char *class;
	} rows[] = {{5, "crash-loop"}, {6, "slow"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *exited = json_pack("[o]", exit_of(31, 4, 40, 1));
		auto_json json_t *scan = json_pack(
			"{ss s[oo] s[{sisisiss}{sisisiss}] s[{sisi}{sisisb}]}", "locks", "",
			"tasks", task(rows[i].master, "/x/master", SLEEP), task(10, "/x/a", RECV),
			"fds", "pid", rows[i].master, "fd", 4, "ino", 100, "kind", "socket", "pid",
			10, "fd", 5, "ino", 200, "kind", "socket", "sockets", "ino", 200, "peer",
			100, "ino", 100, "peer", 200, "accepted", 1);
		struct diagnosis got;

		ask(scan, exited, NULL, 9, &got);
		CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].class);
		diagnosis_free(&got);
	}
}

static void a_loop_is_told_with_its_status_its_parent_and_its_last_words(void)
{
	auto_json json_t *scan = scan_of(false);
	auto_json json_t *exited = json_pack("[oo]", exit_of(30, 3, 40, 9), exit_of(31, 12, 40, 1));
	struct diagnosis got, later;

	ask(scan, exited, NULL, 9, &got);
	CHECK(strstr(got.title, "status 1") && strstr(got.title, "12 times") &&
		strstr(got.title, "master"));
	CHECK(says(got.evidence, got.evidence_count, "cannot open its table"));
	json_array_clear(exited);
	json_array_append_new(exited, exit_of(77, 40, 30, 2));
	ask(scan, exited, NULL, 9, &later);
	CHECK_STR(later.signature, got.signature); /* however often, whichever process */
	diagnosis_free(&got);
	diagnosis_free(&later);
}

/* The one that is suspected stands at the very door that nobody is there to open. */
static void who_waits_at_the_door_of_a_loop_is_its_victim(void)
{
	auto_json json_t *exited = json_pack("[o]", exit_of(31, 5, 40, 1));
	auto_json json_t *scan = scan_of(false);
	struct diagnosis got;

	for (int of_master = 0; of_master < 2; of_master++) {
		json_array_set_new(json_object_get(scan, "tasks"), 1, task(10, "/x/a", RECV));
		json_object_set_new(scan, "fds",
			json_pack("[{sisisiss}{sisisiss}]", "pid", 10, "fd", 5, "ino", 100, "kind",
				"socket", "pid", of_master ? 5 : 20, "fd", 7, "ino", 99, "kind",
				"socket"));
		json_object_set_new(scan, "sockets",
			json_pack("[{sisi}{siss}]", "ino", 100, "accept", 99, "ino", 99, "state",
				"listen"));
		ask(scan, exited, NULL, 9, &got);
		CHECK_STR(got.hang_class, of_master ? "crash-loop" : "lost-wakeup");
		diagnosis_free(&got);
	}
}

/* ---- memory ---- */

#define INVOKED "b invoked oom-killer: gfp_mask=0x1100cca(GFP_HIGHUSER_MOVABLE), order=0"
#define USER_A	"[     10]     0    10     9000     2560    90112        0             0 a"
#define USER_B	"[     20]     0    20    50000    25600   290112        0         -1000 b"
#define KILLED \
	"Out of memory: Killed process 10 (a) total-vm:36000kB, anon-rss:10240kB, file-rss:0kB"
#define IN_GROUP \
	"Memory cgroup out of memory: Killed process 10 (a) total-vm:36000kB, anon-rss:10240kB"

static void whom_the_kernel_ended_for_want_of_memory_is_named_with_who_used_it(void)
{
	static const struct {
		const char *is, *lines[4];
		bool stands;
		double owed_s;
		const char *class;
		int pid;
	} rows[] = {
		{"it used the most itself", {INVOKED, USER_A, KILLED}, false, 9, "crash", 10},
		{"another used more", {INVOKED, USER_A, USER_B, KILLED}, false, 9, "crash", 20},
		{"no table", {KILLED}, false, 9, "crash", 10},
		{"who waits for a file comes of it, or not", {KILLED}, true, 9, "crash", 10},
		{"nothing is owed", {KILLED}, false, 0.1, "healthy", 0},
		{"the limit may be the rig's", {IN_GROUP}, false, 9, "slow", 0},
		{"no memory line", {"usb 1-1: Killed process"}, false, 9, "slow", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = scan_of(rows[i].stands), *kernel = json_array();
		struct diagnosis got;

		for (size_t k = 0; k < 4 && rows[i].lines[k]; k++)
			json_array_append_new(kernel, json_string(rows[i].lines[k]));
		ask(scan, NULL, kernel, rows[i].owed_s, &got);
		if (!CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].class))
			printf("in row '%s'\n", rows[i].is);
		CHECK_INT(got.culprit_count ? got.culprits[0].pid : 0, rows[i].pid);
		if (!strcmp(rows[i].class, "crash"))
			CHECK(says(got.unknown, got.unknown_count, "too small"));
		diagnosis_free(&got);
		json_decref(kernel);
	}
}

static void a_lying_kernel_log_is_bounded(void)
{
	static const char *const lines[] = {"[", "[999999999999] 0 1 2 3 4 5 6 x",
		"[ 1] 0 1 2 999999999999999999999999 4 5 6 x", "Out of memory: Killed process",
		"Out of memory: Killed process -4 (x)", "Out of memory: Killed process 4 ()",
		"Out of memory: Killed process 4 (\x1b[2J\xff) anon-rss:99999999999999999999999kB"};
	auto_json json_t *scan = scan_of(false);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		auto_json json_t *kernel = json_array();
		struct diagnosis got;

		json_array_append_new(kernel, json_stringn_nocheck(lines[i], strlen(lines[i])));
		json_array_append_new(kernel, json_integer(7));
		ask(scan, kernel, kernel, 9, &got);
		CHECK(!strchr(got.title, '\x1b'));
		for (size_t k = 0; k < got.evidence_count; k++)
			CHECK(!strchr(got.evidence[k], '\x1b'));
		diagnosis_free(&got);
	}
}

CHECK_MAIN(CHECK_CASE(who_gives_up_each_time_it_is_begun_is_a_loop),
	CHECK_CASE(a_loop_that_rests_is_one_where_others_wait_for_who_begins_it),
	CHECK_CASE(a_loop_is_told_with_its_status_its_parent_and_its_last_words),
	CHECK_CASE(who_waits_at_the_door_of_a_loop_is_its_victim),
	CHECK_CASE(whom_the_kernel_ended_for_want_of_memory_is_named_with_who_used_it),
	CHECK_CASE(a_lying_kernel_log_is_bounded))
