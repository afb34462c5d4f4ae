#include "diagnose/diagnose.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/lock_table.h"
#include "diagnose/wait.h"
#include "tests/check/check.h"

#include <dirent.h>
#include <string.h>

#define GOLDEN	   "tests/golden/diagnose"
#define GOLDEN_MAX (1u << 20)
#define PARKED_MAX 8

static const char *const ours[] = {"/run/rig/", "/usr/sbin/qemu-ga", NULL};

/* ---- /proc/locks ---- */

static void a_line_of_proc_locks_is_read(void)
{
	struct lock_table table;

	lock_table_parse("1: POSIX  ADVISORY  READ 7 fe:10:93 128 256\n"
			 "1: -> POSIX  ADVISORY  WRITE 8 fe:10:93 0 EOF\n"
			 "1:  -> POSIX  ADVISORY  WRITE 9 fe:10:93 0 EOF\n"
			 "2: OFDLCK ADVISORY  WRITE -1 00:13:5 0 EOF\n",
		&table);
	CHECK_INT(table.count, 4);
	CHECK_INT(table.unread, 0);
	CHECK_INT(table.at[0].kind, LOCK_POSIX);
	CHECK(!table.at[0].write && !table.at[0].waits);
	CHECK_INT(table.at[0].first, 128);
	CHECK_INT(table.at[0].last, 256);
	CHECK(table.at[1].waits && table.at[2].waits);
	CHECK_INT(table.at[2].by, 0);
	CHECK(table.at[2].last == UINT64_MAX);
	CHECK_INT(table.at[3].pid, -1);
	CHECK_STR(table.at[3].inode, "00:13:5");
	lock_table_free(&table);
}

static void a_line_that_is_no_lock_is_counted_and_left_out(void)
{
	static const char *const lines[] = {"x", "1:", "1: FLOCK",
		"1: SPOON ADVISORY READ 1 a 0 EOF", "1: FLOCK ADVISORY EAT 1 a 0 EOF",
		"1: FLOCK ADVISORY READ one a 0 EOF", "1: FLOCK ADVISORY READ 1 a -1 EOF",
		"1: FLOCK ADVISORY READ 99999999999 a 0 EOF", "1: -> FLOCK ADVISORY READ 1 a 0 EOF",
		"1: FLOCK ADVISORY READ -2 a 0 EOF"};
	struct lock_table table;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		lock_table_parse(lines[i], &table);
		if (!CHECK_INT(table.count, 0) || !CHECK_INT(table.unread, 1))
			printf("in '%s'\n", lines[i]);
		lock_table_free(&table);
	}
}

static void a_table_of_locks_is_bounded(void)
{
	auto_buf struct buf text = {0};
	struct lock_table table;

	for (int i = 0; i < LOCKS_MAX + 10; i++)
		buf_addf(&text, "%d: FLOCK ADVISORY WRITE 1 a 0 EOF\n", i);
	lock_table_parse(text.data, &table);
	CHECK_INT(table.count, LOCKS_MAX);
	CHECK_INT(table.unread, 10);
	lock_table_free(&table);
}

static void locks_conflict_as_the_kernel_says(void)
{
	struct file_lock read = {.kind = LOCK_POSIX, .inode = "a", .first = 0, .last = 9};
	struct file_lock write = read, far = read, flock = read, other = read;

	write.write = far.write = flock.write = other.write = true;
	far.first = 10;
	far.last = UINT64_MAX;
	flock.kind = LOCK_FLOCK;
	strcpy(other.inode, "b");
	CHECK(!lock_conflicts(&read, &read));
	CHECK(lock_conflicts(&write, &read));
	CHECK(lock_conflicts(&read, &write));
	CHECK(!lock_conflicts(&far, &write));
	CHECK(!lock_conflicts(&flock, &write));
	CHECK(!lock_conflicts(&other, &write));
	write.kind = LOCK_OFD;
	CHECK(lock_conflicts(&read, &write));
}

/* ---- waits ---- */

static void a_wait_is_told_by_its_system_call(void)
{
	static const struct {
		char state;
		const char *wchan, *syscall;
		enum wait_kind kind;
		bool timed;
		int64_t fd, target;
	} rows[] = {
		{'R', "0", "running", WAIT_NONE, false, -1, 0},
		{'T', "do_signal_stop", "34 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_STOPPED, false,
			-1, 0},
		{'S', "", "73 0x8 0x2 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_FILE_LOCK, false, 8, 0},
		{'S', "", "72 0x8 0x7 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_FILE_LOCK, false, 8, 0},
		{'S', "", "72 0x8 0x3 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_OTHER, false, 8, 0},
		{'S', "", "202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x1 0x2", WAIT_MUTEX, false, -1, 0},
		{'S', "", "202 0x7f00 0x80 0x80000007 0x0 0x0 0x0 0x1 0x2", WAIT_MUTEX, false, -1,
			7},
		{'S', "", "202 0x7f00 0x109 0x1234 0x0 0x0 0x0 0x1 0x2", WAIT_JOIN, false, -1,
			0x1234},
		{'S', "", "202 0x7f00 0x189 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_FUTEX, false, -1, 0},
		{'S', "", "202 0x7f00 0x189 0x0 0x7ff0 0x0 0x0 0x1 0x2", WAIT_FUTEX, true, -1, 0},
		{'S', "", "7 0x7f00 0x1 0xffffffff 0x0 0x0 0x0 0x1 0x2", WAIT_POLL, false, -1, 0},
		{'S', "", "7 0x7f00 0x1 0x10 0x0 0x0 0x0 0x1 0x2", WAIT_POLL, true, -1, 0},
		{'S', "", "232 0x3 0x7f00 0x1 0xffffffff 0x0 0x0 0x1 0x2", WAIT_POLL, false, -1, 0},
		{'S', "", "61 0xffffffff 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_CHILD, false, -1, -1},
		{'S', "", "61 0x15 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_CHILD, false, -1, 0x15},
		{'D', "percpu_rwsem_wait", "1 0xf 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_FREEZE, false,
			15, 0},
		{'D', "percpu_rwsem_wait", "56 0xf 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_DISK, false,
			-1, 0},
		{'D', "folio_wait_bit", "74 0xf 0x0 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_DISK, false, -1,
			0},
		/* Its time was up while it was looked at. */
		{'S', "hrtimer_nanosleep", "running", WAIT_SLEEP, true, -1, 0},
		{'R', "hrtimer_nanosleep", "running", WAIT_SLEEP, true, -1, 0},
		{'R', "hrtimer_nanosleep", "35 0x1 0x2 0x0 0x0 0x0 0x0 0x1 0x2", WAIT_SLEEP, true,
			-1, 0},
		{'R', "do_sys_poll", "7 0x0 0x0 0xfa 0x0 0x0 0x0 0x1 0x2", WAIT_SLEEP, true, -1, 0},
		{'R', "do_sys_poll", "7 0x7f00 0x1 0xfa 0x0 0x0 0x0 0x1 0x2", WAIT_NONE, false, -1,
			0},
		{'R', "0", "7 0x0 0x0 0xfa 0x0 0x0 0x0 0x1 0x2", WAIT_NONE, false, -1, 0},
		{'T', "hrtimer_nanosleep", "running", WAIT_STOPPED, false, -1, 0},
		{'S', "x", "", WAIT_UNKNOWN, false, -1, 0},
		{'S', "x", "73 0x8", WAIT_UNKNOWN, false, -1, 0},
		{'S', "x", "-1 0x8 0x9", WAIT_UNKNOWN, false, -1, 0},
		{'?', "x", "nonsense", WAIT_UNKNOWN, false, -1, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct wait wait = wait_decode(rows[i].state, rows[i].wchan, rows[i].syscall, NULL);

		if (!CHECK_STR(wait_kind_name(wait.kind), wait_kind_name(rows[i].kind)) ||
			!CHECK_INT(wait.timed, rows[i].timed) || !CHECK_INT(wait.fd, rows[i].fd) ||
			!CHECK_INT(wait.target, rows[i].target))
			printf("in row %zu: %c %s\n", i, rows[i].state, rows[i].syscall);
	}
}

/* ---- diagnoses ---- */

#define FLOCK(fd) "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define RECV(fd)  "45 0x" #fd " 0x0 0x1 0x0 0x0 0x0 0x1 0x2"
#define EVENT	  "202 0x7f00 0x189 0x0 0x0 0x0 0x0 0x1 0x2"

static json_t *task(int pid, int tid, const char *exe, const char *state, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", pid, "tid", tid, "ppid", 1, "comm",
		"c", "exe", exe, "state", state, "start", tid, "wchan", "", "syscall", syscall);
}

static json_t *scan_of(const char *locks, json_t *tasks)
{
	return json_pack(
		"{ss so s[] s[] s[]}", "locks", locks, "tasks", tasks, "files", "fds", "sockets");
}

static void diagnose_overdue(const json_t *scan, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(&(struct diagnose_input){.scan = scan, .owed = owed, .owed_limit_s = 2}, ret);
}

static const char crossed[] = "1: FLOCK ADVISORY WRITE 10 a 0 EOF\n"
			      "1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n"
			      "2: FLOCK ADVISORY WRITE 20 b 0 EOF\n"
			      "2: -> FLOCK ADVISORY WRITE 10 b 0 EOF\n";

static void a_signature_is_free_of_ids_and_order(void)
{
	static const char moved[] = "4: FLOCK ADVISORY WRITE 77 q 0 EOF\n"
				    "4: -> FLOCK ADVISORY WRITE 66 q 0 EOF\n"
				    "9: FLOCK ADVISORY WRITE 66 p 0 EOF\n"
				    "9: -> FLOCK ADVISORY WRITE 77 p 0 EOF\n";
	auto_json json_t *one =
		scan_of(crossed, json_pack("[oo]", task(10, 10, "/x/a", "S", FLOCK(4)),
					 task(20, 20, "/x/b", "S", FLOCK(5))));
	auto_json json_t *two =
		scan_of(moved, json_pack("[oo]", task(66, 66, "/x/b", "S", FLOCK(7)),
				       task(77, 77, "/x/a", "S", FLOCK(8))));
	auto_json json_t *other =
		scan_of(crossed, json_pack("[oo]", task(10, 10, "/x/a", "S", FLOCK(4)),
					 task(20, 20, "/x/c", "S", FLOCK(5))));
	struct diagnosis a, b, c;

	diagnose_overdue(one, &a);
	diagnose_overdue(two, &b);
	diagnose_overdue(other, &c);
	CHECK_STR(a.hang_class, "deadlock");
	CHECK_INT(a.culprit_count, 2);
	CHECK_STR(b.signature, a.signature);
	CHECK(strcmp(c.signature, a.signature) != 0);
	CHECK_HAS(a.title, "`a` (process 10) waits for the FLOCK lock on");
	CHECK_HAS(a.title, ", which `b` (process 20) holds; `b` (process 20) waits for");
	diagnosis_free(&a);
	diagnosis_free(&b);
	diagnosis_free(&c);
}

static void a_cycle_that_an_earlier_instant_contradicts_is_none(void)
{
	auto_json json_t *scan =
		scan_of(crossed, json_pack("[oo]", task(10, 10, "/x/a", "S", FLOCK(4)),
					 task(20, 20, "/x/b", "S", FLOCK(5))));
	auto_json json_t *earlier =
		scan_of("", json_pack("[oo]", task(10, 10, "/x/a", "R", "running"),
				    task(20, 20, "/x/b", "S", FLOCK(5))));
	struct diagnosis got;

	diagnose(&(struct diagnose_input){.scan = scan, .earlier = earlier}, &got);
	CHECK(!got.hang_class);
	diagnosis_free(&got);
}

/* Each thread reads from a socket whose other end only the other process has. */
static void a_cycle_over_sockets_is_a_deadlock(void)
{
	auto_json json_t *scan = scan_of("", json_pack("[oo]", task(10, 10, "/x/a", "S", RECV(4)),
						     task(20, 20, "/x/b", "S", RECV(5))));
	struct diagnosis got;

	json_object_set_new(scan, "fds",
		json_pack("[{sisisiss}{sisisiss}]", "pid", 10, "fd", 4, "ino", 104, "kind",
			"socket", "pid", 20, "fd", 5, "ino", 205, "kind", "socket"));
	json_object_set_new(scan, "sockets",
		json_pack("[{sisi}{sisi}]", "ino", 104, "peer", 205, "ino", 205, "peer", 104));
	diagnose_overdue(scan, &got);
	CHECK_STR(got.hang_class, "deadlock");
	diagnosis_free(&got);
}

static void an_owner_that_the_scan_does_not_name_is_said_to_be_unknown(void)
{
	auto_json json_t *scan = scan_of(
		"", json_pack("[o]",
			    task(10, 10, "/x/a", "S", "202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x1 0x2")));
	struct diagnosis got;

	diagnose_overdue(scan, &got);
	CHECK_STR(got.hang_class, "lost-wakeup");
	CHECK_INT(got.unknown_count, 1);
	CHECK_HAS(got.unknown[0], "owner unknown");
	diagnosis_free(&got);
}

/* Four workers at one event: idle if they stood there when all was well, spent if not. */
static void a_pool_that_waits_as_when_healthy_is_not_spent(void)
{
	json_t *tasks = json_array(), *others = json_array();
	auto_json json_t *scan = scan_of("", tasks), *elsewhere = scan_of("", others);
	struct diagnosis got;

	for (int i = 0; i < 4; i++) {
		json_array_append_new(tasks, task(10, 10 + i, "/x/a", "S", i ? EVENT : RECV(4)));
		json_array_append_new(others, task(10, 10 + i, "/x/a", "S", RECV(4)));
	}
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	struct diagnose_input input = {.scan = scan, .healthy = elsewhere, .owed = owed};

	diagnose(&input, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK_INT(got.culprit_count, 3);
	diagnosis_free(&got);
	input.healthy = scan;
	diagnose(&input, &got);
	CHECK(got.hang_class && strcmp(got.hang_class, "exhaustion") != 0);
	diagnosis_free(&got);
}

/* Four in a call that the rig holds: spent only if more waits than what they themselves owe. */
static void a_parked_pool_is_spent_if_others_wait_behind_it(void)
{
	static const int parked[] = {11, 12, 13, 14};
	json_t *tasks =
		json_pack("[o]", task(10, 10, "/x/a", "S", "43 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2"));
	auto_json json_t *scan = scan_of("", tasks), *owed = json_array();
	struct diagnose_input input = {
		.scan = scan, .owed = owed, .parked = parked, .parked_count = ARRAY_SIZE(parked)};
	struct diagnosis got;

	for (int i = 11; i < 15; i++) {
		json_array_append_new(tasks, task(10, i, "/x/a", "S", EVENT));
		json_array_append_new(owed, json_pack("{sf}", "age_s", 3.0));
	}
	diagnose(&input, &got);
	CHECK_STR(got.hang_class, "blocked-on-fault");
	CHECK(!got.finding);
	diagnosis_free(&got);
	json_array_append_new(owed, json_pack("{sf}", "age_s", 3.0));
	diagnose(&input, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK(got.finding);
	diagnosis_free(&got);
}

/* A thread that was on its way out of a call when it was looked at: what it waits for is not known, but what it
 * burns is. Ticks are 10 ms, the instants 500 ms apart. */
static json_t *spinning_at(int64_t ns, int ticks, const char *syscall)
{
	json_t *spins = task(20, 20, "/x/relay", "S", syscall);

	json_object_set_new(spins, "utime", json_integer(ticks));
	json_object_set_new(spins, "stime", json_integer(0));
	return json_pack("{sI ss s[oo]}", "guest_ns", (json_int_t)ns, "locks", "", "tasks",
		task(10, 10, "/x/client", "S", "0 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2"), spins);
}

static void who_burns_the_processor_is_the_cause_though_its_call_could_not_be_read(void)
{
	static const struct {
		int ticks;
		const char *role;
	} rows[] = {{48, "relay"}, {2, "client"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *earlier = spinning_at(0, 0, "running"),
				 *now = spinning_at(500000000, rows[i].ticks, "running"),
				 *owed = json_pack("[{sf}]", "age_s", 5.0);
		struct diagnosis got;

		diagnose(&(struct diagnose_input){.scan = now, .earlier = earlier, .owed = owed},
			&got);
		CHECK_STR(got.hang_class, i ? "lost-wakeup" : "livelock");
		CHECK_STR(got.culprits[0].role, rows[i].role);
		diagnosis_free(&got);
	}
}

/* Another loop of the same program is another culprit; where no stack was read nothing can be told apart. */
static void who_burns_is_known_by_its_loop_and_what_its_thread_began_in(void)
{
	static const struct {
		const char *loop, *began;
		int like; /* the row whose signature it has, or its own */
	} rows[] = {
		{"", "sweeper", 0},
		{"", "indexer", 1},
		{"", "sweeper", 0},
		{"", "", 3},
		{"try_lock", "sweeper", 4},
		{"try_lock", "indexer", 5},
		{"fill", "sweeper", 6},
		{"try_lock", "sweeper", 4},
		{"main", "main", 8},
		{"fill", "main", 9},
		{"fill", "", 10},
	};
	char signatures[ARRAY_SIZE(rows)][SIGNATURE_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *earlier = spinning_at(0, 0, "running"),
				 *now = spinning_at(500000000, 48, "running"),
				 *owed = json_pack("[{sf}]", "age_s", 5.0);
		struct diagnosis got;
		json_t *task;
		size_t k;

		json_array_foreach (json_object_get(now, "tasks"), k, task) {
			json_object_set_new(task, "began", json_string(rows[i].began));
			json_object_set_new(task, "loop", json_string(rows[i].loop));
		}
		diagnose(&(struct diagnose_input){.scan = now, .earlier = earlier, .owed = owed},
			&got);
		CHECK_STR(got.hang_class, "livelock");
		memcpy(signatures[i], got.signature, SIGNATURE_SIZE);
		diagnosis_free(&got);
		for (size_t other = 0; other < i; other++)
			CHECK_INT(!strcmp(signatures[i], signatures[other]),
				rows[i].like == rows[other].like);
	}
}

static void deaths_are_a_crash_and_many_a_loop(void)
{
	auto_json json_t *died = json_array();
	struct diagnose_input input = {.died = died};
	struct diagnosis got;

	for (int i = 0; i < CRASHES_FOR_LOOP; i++) {
		json_array_append_new(died, json_pack("{si ss ss si}", "pid", 50 + i, "comm", "c",
						    "exe", "/x/store", "signal", 11));
		diagnose(&input, &got);
		CHECK_STR(got.hang_class, i + 1 < CRASHES_FOR_LOOP ? "crash" : "crash-loop");
		CHECK_STR(got.culprits[0].role, "store");
		CHECK_INT(got.culprits[0].pid, 50);
		diagnosis_free(&got);
	}
}

static json_t *died_over(int crashed, int freed, int sure)
{
	return json_pack("[{si si ss ss si s[ss] s:{si si si sf sb ss s[ss] s{si sf s[s]}}}]",
		"pid", 50, "tid", crashed, "comm", "c", "exe", "/x/store", "signal", 11, "frames",
		"push", "scan", "freed", "address", 4096, "size", 40, "tid", freed, "age_s", 0.5,
		"sure", sure, "register", "rbx", "frames", "push_free", "unsubscribe", "made",
		"tid", 53, "before_s", 0.9, "frames", "subscribe");
}

static void who_freed_what_a_crash_stumbles_over_is_a_culprit_too(void)
{
	static const struct {
		int freed, sure;
		size_t culprits;
		const char *title, *drawn; /* who freed it, in the picture */
	} rows[] = {
		{52, 1, 2,
			"`store` crashed by signal 11 (SIGSEGV): it used memory that another of "
			"its threads "
			"had freed.",
			"[[0,1]]"},
		{51, 1, 1,
			"`store` crashed by signal 11 (SIGSEGV): it used memory that it had "
			"freed.",
			"[[0,0]]"},
		{52, 0, 1, "`store` crashed by signal 11 (SIGSEGV).", "null"},
	};
	char plain[SIGNATURE_SIZE] = "";

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *died = died_over(51, rows[i].freed, rows[i].sure);
		struct diagnose_input input = {.died = died};
		struct diagnosis got;
		auto_free char *drawn = NULL;

		diagnose(&input, &got);
		CHECK_STR(got.title, rows[i].title);
		CHECK_INT(got.culprit_count, rows[i].culprits);
		CHECK_INT(got.culprits[0].tid, 51);
		if (rows[i].culprits > 1) {
			CHECK_INT(got.culprits[1].tid, 52);
			CHECK_HAS(got.culprits[1].says, "in push_free < unsubscribe");
		}
		CHECK_HAS(got.evidence[2], "rbx pointed to a block of 40 bytes");
		if (rows[i].sure) /* whose it was is told, and not blamed */
			CHECK_STR(got.evidence[3],
				"`store` (thread 53 of process 50) had been given that block 0.900 "
				"s before it was freed, in subscribe");
		CHECK_INT(got.unknown_count, rows[i].sure ? 0 : 1);
		drawn = json_dumps(
			json_object_get(got.graph, "freed"), JSON_COMPACT | JSON_ENCODE_ANY);
		CHECK_STR(drawn ? drawn : "null", rows[i].drawn);
		if (i) /* whether the deleter was still known makes no other signature */
			CHECK_STR(got.signature, plain);
		memcpy(plain, got.signature, sizeof(plain));
		diagnosis_free(&got);
	}
}

static void a_core_that_was_cut_is_said_to_be(void)
{
	for (int cut = 0; cut < 2; cut++) {
		auto_json json_t *died = died_over(51, 51, 1);
		struct diagnosis got;

		json_object_set_new(json_array_get(died, 0), "cut", json_boolean(cut));
		diagnose(&(struct diagnose_input){.died = died}, &got);
		CHECK_INT(got.unknown_count, cut);
		if (cut)
			CHECK_HAS(got.unknown[0], "its core was cut short");
		diagnosis_free(&got);
	}
}

static void what_a_guest_writes_is_escaped(void)
{
	auto_json json_t *scan =
		scan_of("", json_pack("[o]", task(10, 10, "/x/a\033[31m\n", "S", EVENT)));
	struct diagnosis got;

	diagnose_overdue(scan, &got);
	CHECK(!strchr(got.title, '\033') && !strchr(got.title, '\n'));
	for (size_t i = 0; i < got.evidence_count; i++)
		CHECK(!strchr(got.evidence[i], '\033'));
	diagnosis_free(&got);
}

/* ---- kept evidence ---- */

static size_t parked_of(const json_t *golden, int parked[PARKED_MAX])
{
	const json_t *array = json_object_get(golden, "parked");
	size_t count = json_array_size(array);

	for (size_t i = 0; i < count && i < PARKED_MAX; i++)
		parked[i] = (int)json_integer_value(json_array_get(array, i));
	return count < PARKED_MAX ? count : PARKED_MAX;
}

static void check_golden(const char *name)
{
	auto_free char *path = text_fmt("%s/%s", GOLDEN, name);
	auto_json json_t *golden = json_load_path(path, GOLDEN_MAX, NULL);
	const json_t *want = json_object_get(golden, "want");
	int parked[PARKED_MAX];
	struct diagnose_input input = {
		.scan = json_object_get(golden, "scan"),
		.owed = json_object_get(golden, "owed"),
		.owed_limit_s = 0.2,
		.frozen = json_get_bool(golden, "frozen", false),
		.parked = parked,
		.parked_count = parked_of(golden, parked),
		.ours = ours,
	};
	struct diagnosis got;
	bool right;

	diagnose(&input, &got);
	right = CHECK_STR(got.hang_class ? got.hang_class : "healthy",
		json_get_text(want, "class", "healthy"));
	right &= CHECK_STR(
		got.culprit_count ? got.culprits[0].role : "", json_get_text(want, "role", ""));
	right &= CHECK_STR(got.signature, json_get_text(want, "signature", ""));
	if (!right || getenv("DIAGNOSE_TELL")) {
		auto_json json_t *json = diagnosis_to_json(&got);
		auto_free char *text = json_dumps(json, JSON_INDENT(2));

		printf("%s\n%s\n", path, text);
	}
	diagnosis_free(&got);
}

static void kept_evidence_is_diagnosed_as_it_was(void)
{
	DIR *dir = opendir(GOLDEN);
	struct dirent *entry;
	int count = 0;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			check_golden(entry->d_name);
			count++;
		}
	if (dir)
		closedir(dir);
	CHECK(count > 10);
}

CHECK_MAIN(CHECK_CASE(a_line_of_proc_locks_is_read),
	CHECK_CASE(a_line_that_is_no_lock_is_counted_and_left_out),
	CHECK_CASE(a_table_of_locks_is_bounded), CHECK_CASE(locks_conflict_as_the_kernel_says),
	CHECK_CASE(a_wait_is_told_by_its_system_call),
	CHECK_CASE(a_signature_is_free_of_ids_and_order),
	CHECK_CASE(a_cycle_that_an_earlier_instant_contradicts_is_none),
	CHECK_CASE(a_cycle_over_sockets_is_a_deadlock),
	CHECK_CASE(an_owner_that_the_scan_does_not_name_is_said_to_be_unknown),
	CHECK_CASE(a_pool_that_waits_as_when_healthy_is_not_spent),
	CHECK_CASE(a_parked_pool_is_spent_if_others_wait_behind_it),
	CHECK_CASE(who_burns_the_processor_is_the_cause_though_its_call_could_not_be_read),
	CHECK_CASE(who_burns_is_known_by_its_loop_and_what_its_thread_began_in),
	CHECK_CASE(deaths_are_a_crash_and_many_a_loop),
	CHECK_CASE(who_freed_what_a_crash_stumbles_over_is_a_culprit_too),
	CHECK_CASE(a_core_that_was_cut_is_said_to_be), CHECK_CASE(what_a_guest_writes_is_escaped),
	CHECK_CASE(kept_evidence_is_diagnosed_as_it_was))
