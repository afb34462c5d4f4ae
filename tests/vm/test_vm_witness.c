/*
 * The witness in a real guest: an ext4 root, an ext4 data disk, busybox, and an init that runs the
 * witness as the image's does. One template, a clone for each case.
 */
#include "tests/unit/witness_fixture.h"
#include "tests/vm/tiny_witness.h"

#include "diagnose/diagnose.h"
#include "run/bed/bed_vm_core.h"
#include "vm/clone.h"

#include <fcntl.h>
#include <signal.h>

#define PATIENCE      deadline_in_ms(60000)
#define PINGS	      50
#define OSRELEASE_MAX 4096

static struct tiny_witness guest;

/* ---- a clone ---- */

struct store {
	struct bench b;
	struct witness *w; /* the bench's */
	struct machine *machine;
};

static bool open_store(struct store *s)
{
	struct machine_options options = {0};
	struct err err = {0};
	int rc;

	*s = (struct store){0};
	bench_init(&s->b);
	options.dir = s->b.dir;
	rc = clone_open(guest.template, &options, &s->machine, &err);
	if (!rc)
		rc = witness_attach(machine_take_witness_fd(s->machine), keep_event, &s->b,
			PATIENCE, &s->b.w, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	s->w = s->b.w;
	return CHECK_INT(rc, 0);
}

static void close_store(struct store *s)
{
	bench_close(&s->b);
	machine_close(s->machine);
}

#define auto_store cleanup(close_store)

/* Runs a line; its output, which the caller frees. */
static char *run(struct store *s, const char *line, bool daemons)
{
	struct witness_result r = {0};
	struct err err = {0};

	if (!CHECK_INT(witness_run(s->w,
			       &(struct witness_command){
				       .line = line, .timeout_ms = 30000, .daemons = daemons},
			       &r, &err),
		    0))
		fprintf(stderr, "%s\n", err.text);
	return buf_steal(&r.output);
}

static void ping_often(struct store *s)
{
	for (int i = 0; i < PINGS; i++)
		if (!CHECK_INT(witness_ping(s->w, PATIENCE, NULL, NULL), 0))
			return;
}

/* Scans until `pid` has a task whose `key` begins with `text` (NULL: until pid is gone). The scan is the caller's. */
static json_t *scan_until(struct store *s, int pid, const char *key, const char *text)
{
	int64_t deadline = PATIENCE;
	json_t *scan = NULL, *task;

	while (deadline_left_ms(deadline)) {
		bool there = false, found = false;
		size_t i;

		json_cleanup(&scan);
		if (!CHECK_INT(witness_scan(s->w, true, PATIENCE, &scan, NULL), 0))
			return NULL;
		json_array_foreach (json_object_get(scan, "tasks"), i, task) {
			bool mine = json_get_int(task, "pid", 0) == pid;

			there |= mine;
			found |= mine && text &&
				 !strncmp(json_get_text(task, key, ""), text, strlen(text));
		}
		if (text ? found : !there)
			return scan;
	}
	fprintf(stderr, "process %d never had %s '%s'\n", pid, key ? key : "an end",
		text ? text : "");
	CHECK(!"seen in time");
	return scan;
}

static void scan_and_drop(struct store *s, int pid)
{
	auto_json json_t *gone = scan_until(s, pid, NULL, NULL);
}

/* Somebody's words of a futex are in the scan: those of `pid`, or with 0 of any process. */
static bool has_futex(const json_t *scan, int pid)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_object_get(task, "futex") && (!pid || json_get_int(task, "pid", 0) == pid))
			return true;
	return false;
}

static void check_residue(struct store *s, const char *want)
{
	auto_json json_t *residue = NULL;

	CHECK_INT(witness_residue(s->w, PATIENCE, &residue, NULL), 0);
	if (want)
		CHECK_STR(json_string_value(json_array_get(residue, 0)), want);
	CHECK_INT(json_array_size(residue), want ? 1 : 0);
}

/* ---- the cases ---- */

static void a_clones_witness_answers_though_the_template_had_another_host(void)
{
	auto_store struct store s;
	auto_free char *said = NULL;

	if (!open_store(&s))
		return;
	ping_often(&s);
	said = run(&s, "echo \"$(cat /proc/$PPID/oom_score_adj) $(cat /proc/self/oom_score_adj)\"",
		false);
	CHECK_STR(said, "-1000 0\n");
}

static void it_answers_while_data_and_root_are_frozen(void)
{
	auto_store struct store s;
	auto_free char *pid = NULL;
	auto_free char *said = NULL;
	auto_json json_t *blocked = NULL, *gone = NULL;
	struct buf text = {0};

	if (!open_store(&s))
		return;
	CHECK_INT(witness_tail(s.w, "/data/log", PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/", 0, PATIENCE, NULL), 0);
	ping_often(&s);
	/* The shell comes from the frozen root; its child waits for the frozen data disk. */
	pid = run(&s, "echo hello >>/data/log & echo $!", true);
	blocked = scan_until(&s, atoi(pid), "state", "D");
	ping_often(&s);
	said = run(&s, "logger -t store frozen", false);
	CHECK(bench_wait(&s.b, "log", "path", "/dev/log") != NULL);
	CHECK_INT(witness_read(s.w, "/bin/init2", 100, PATIENCE, &text, NULL), 0);
	CHECK_HAS(buf_text(&text), "#!/bin/sh");
	CHECK_INT(witness_thaw(s.w, "/", PATIENCE, NULL), 0);
	check_residue(&s, "'/data' is still frozen");
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
	check_residue(&s, NULL);
	CHECK(bench_wait(&s.b, "log", "line", "hello") != NULL);
	gone = scan_until(&s, atoi(pid), NULL, NULL);
	buf_free(&text);
}

static void it_answers_while_a_process_is_stuck_with_its_mmap_lock(void)
{
	auto_store struct store s;
	auto_json json_t *scan = NULL, *deep = NULL;
	auto_free char *pid = NULL;
	auto_free char *path = NULL;
	struct buf text = {0};
	struct err err = {0};

	if (!open_store(&s))
		return;
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	pid = run(&s, "/run/rig/stuck_mmap /data/file & echo $!", true);
	scan = scan_until(&s, atoi(pid), "wchan", "vm_mmap_pgoff");
	CHECK(scan && !json_array_size(json_object_get(scan, "unreadable")));
	path = text_fmt("/proc/%d/cmdline", atoi(pid));
	/* That it cannot be read shows that the lock is stuck, and who is asked gives up in time. */
	CHECK_INT(witness_read(s.w, path, 100, PATIENCE, &text, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "unreadable");
	ping_often(&s);
	/* The words its third thread waits with cannot be had; everything else can, and the second scan does
	 * not try again. */
	deep = json_array();
	for (int i = 0; i < 2; i++) {
		json_t *one = NULL;

		CHECK_INT(witness_scan_deep(s.w, PATIENCE, &one, NULL), 0);
		CHECK(json_is_true(json_object_get(json_object_get(one, "parts"), "fds")));
		CHECK_INT(json_array_size(json_object_get(one, "unreadable")), 0);
		CHECK(!has_futex(one, atoi(pid)));
		CHECK(has_futex(one, 0)); /* of somebody else */
		json_array_append_new(deep, one);
	}
	CHECK(json_is_false(
		json_object_get(json_object_get(json_array_get(deep, 0), "parts"), "memory")));
	CHECK(json_get_int(json_array_get(deep, 1), "took_ns", 0) <
		json_get_int(json_array_get(deep, 0), "took_ns", 0));
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
	scan_and_drop(&s, atoi(pid));
	check_residue(&s, NULL);
	buf_free(&text);
}

/* ---- planted troubles, diagnosed from the scan of the whole machine ---- */

/* Diagnoses until a deadlock is seen; its culprits are all of the planted program. */
static void check_deadlock(struct store *s, const char *line, const char *wait)
{
	static const char *const rigs[] = {"/run/rig/witness", NULL};
	auto_free char *said = run(s, line, true);
	int64_t deadline = PATIENCE;
	struct diagnosis d = {0};

	do {
		auto_json json_t *scan = NULL;

		diagnosis_free(&d);
		if (!CHECK_INT(witness_scan_deep(s->w, PATIENCE, &scan, NULL), 0))
			return;
		diagnose(&(struct diagnose_input){.scan = scan, .ours = rigs}, &d);
	} while (!d.hang_class && deadline_left_ms(deadline));
	CHECK_STR(d.hang_class ? d.hang_class : "none", "deadlock");
	CHECK_INT(d.culprit_count, 2);
	for (size_t i = 0; i < d.culprit_count; i++) {
		CHECK_STR(d.culprits[i].role, "planted");
		CHECK_HAS(d.culprits[i].says, wait);
	}
	CHECK_STR(d.unknown_count ? d.unknown[0] : "nothing unknown", "nothing unknown");
	diagnosis_free(&d);
}

static void crossed_mutexes_of_a_guest_are_a_deadlock(void)
{
	auto_store struct store s;

	if (open_store(&s))
		check_deadlock(&s, "/run/rig/planted mutex &", "mutex");
}

static void crossed_flocks_of_a_guest_are_a_deadlock(void)
{
	auto_store struct store s;

	if (open_store(&s))
		check_deadlock(&s, "/run/rig/planted flock /data &", "FLOCK lock on data/lock");
}

static void a_crash_is_told_while_all_is_frozen(void)
{
	auto_store struct store s;
	auto_free char *said = NULL;
	const json_t *died;

	if (!open_store(&s))
		return;
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/", 0, PATIENCE, NULL), 0);
	said = run(&s, "sh -c 'kill -SEGV $$'", false);
	died = bench_wait(&s.b, "died", "comm", "sh");
	CHECK_INT(json_get_int(died, "signal", 0), SIGSEGV);
	CHECK_STR(json_get_text(died, "exe", ""), "/bin/busybox");
	CHECK_HAS(json_get_text(died, "core", ""), "/run/rig/cores/core.");
	CHECK_INT(witness_thaw(s.w, "/", PATIENCE, NULL), 0);
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
}

static void who_was_killed_is_told_and_who_ended_otherwise_is_not(void)
{
	auto_store struct store s;
	auto_free char *spared = NULL, *victim = NULL, *line = NULL, *said = NULL;
	auto_json json_t *gone = NULL, *first = NULL, *second = NULL;
	const json_t *one;

	if (!open_store(&s))
		return;
	spared = run(&s, "sleep 1000 & echo $!", true);
	victim = run(&s, "sleep 1000 & echo $!", true);
	CHECK_INT(witness_exits(s.w, true, PATIENCE, NULL, NULL), 0);
	line = text_fmt("kill -TERM %d; kill -KILL %d", atoi(spared), atoi(victim));
	said = run(&s, line, false);
	gone = scan_until(&s, atoi(victim), NULL, NULL);
	CHECK_INT(witness_exits(s.w, false, PATIENCE, &first, NULL), 0);
	one = json_array_get(first, 0);
	CHECK_INT(json_array_size(first), 1);
	CHECK_INT(json_get_int(one, "pid", 0), atoi(victim));
	CHECK_STR(json_get_text(one, "comm", ""), "sleep");
	CHECK_INT(witness_exits(s.w, false, PATIENCE, &second, NULL), 0);
	CHECK_INT(json_array_size(second), 0);
}

/* It asks for a time of the processor that a starved guest may not have had: asked again until there was enough. */
static void a_thread_that_burns_the_processor_of_a_guest_has_moments(void)
{
	auto_store struct store s;
	auto_free char *said = NULL;
	auto_json json_t *samples = NULL;
	struct err err = {0};
	int64_t deadline = PATIENCE;

	if (!open_store(&s))
		return;
	said = run(&s, "sh -c 'while :; do :; done' & echo $!", true);
	while (json_array_size(samples) < PROFILE_SAMPLES_MAX && deadline_left_ms(deadline)) {
		json_cleanup(&samples);
		if (!CHECK_INT(witness_profile(s.w, atoi(said), PATIENCE, &samples, &err), 0)) {
			fprintf(stderr, "%s\n", err.text);
			return;
		}
	}
	CHECK_INT(json_array_size(samples), PROFILE_SAMPLES_MAX);
}

/* It is a dump for those who read dumps: crash(8) finds the kernel's notes in it, and in them which kernel it was. */
static void a_dump_of_the_memory_is_one_that_crash_reads(void)
{
	auto_store struct store s;
	auto_free char *path = NULL, *release = NULL;
	auto_buf struct buf said = {0};
	struct err err = {0};

	if (!open_store(&s))
		return;
	release = run(&s, "uname -r", false);
	path = path_join(s.b.dir, "memory.kdump");
	if (!CHECK_INT(vm_dump_memory(s.machine, path, &err), 0))
		fprintf(stderr, "%s\n", err.text);
	CHECK_INT(proc_run((char *[]){"crash", "--osrelease", path, NULL}, PATIENCE, &said,
			  OSRELEASE_MAX, &err),
		0);
	CHECK_STR(buf_text(&said), release);
	CHECK_INT(witness_ping(s.w, PATIENCE, NULL, NULL), 0); /* and it runs on */
}

/* Two clones of one template have the same entropy pool. */
static void seeds_tell_clones_apart_and_the_clock_is_set(void)
{
	auto_store struct store a, b;
	auto_free char *one = NULL, *other = NULL, *year = NULL;
	static const char draw[] = "head -c 16 /dev/urandom | hexdump";

	if (!open_store(&a) | !open_store(&b))
		return;
	CHECK_INT(witness_seed(a.w, "seed of the first clone", 23, PATIENCE, NULL), 0);
	CHECK_INT(witness_seed(b.w, "seed of the other clone", 23, PATIENCE, NULL), 0);
	one = run(&a, draw, false);
	other = run(&b, draw, false);
	CHECK(strlen(one) > 16 && strcmp(one, other));
	CHECK_INT(witness_set_clock(a.w, INT64_C(2000000000) * NS_PER_SEC, PATIENCE, NULL), 0);
	year = run(&a, "date +%Y", false);
	CHECK_STR(year, "2033\n");
}

/* A timer or a poll would show as a context switch of some thread of the witness. */
static void an_idle_witness_does_not_wake_up(void)
{
	static const char count[] = "p=$PPID; n=0; sum() { cat /proc/$p/task/*/status | "
				    "awk '/ctxt/ {n += $2} END {print n}'; }; "
				    "a=$(sum); sleep 2; b=$(sum); echo $((b - a))";
	auto_free char *said = NULL;
	auto_store struct store s;

	if (!open_store(&s))
		return;
	said = run(&s, count, false);
	CHECK_STR(said, "0\n");
}

static const struct check_case cases[] = {
	CHECK_CASE(a_clones_witness_answers_though_the_template_had_another_host),
	CHECK_CASE(it_answers_while_data_and_root_are_frozen),
	CHECK_CASE(it_answers_while_a_process_is_stuck_with_its_mmap_lock),
	CHECK_CASE(crossed_mutexes_of_a_guest_are_a_deadlock),
	CHECK_CASE(crossed_flocks_of_a_guest_are_a_deadlock),
	CHECK_CASE(a_crash_is_told_while_all_is_frozen),
	CHECK_CASE(who_was_killed_is_told_and_who_ended_otherwise_is_not),
	CHECK_CASE(a_thread_that_burns_the_processor_of_a_guest_has_moments),
	CHECK_CASE(a_dump_of_the_memory_is_one_that_crash_reads),
	CHECK_CASE(seeds_tell_clones_apart_and_the_clock_is_set),
	CHECK_CASE(an_idle_witness_does_not_wake_up),
};

int main(int argc, char **argv)
{
	static const char *const programs[] = {"stuck_mmap", "planted", NULL};
	int rc;

	check_alarm(600);
	if (tiny_witness_open(&guest, NETWORK_USER, programs))
		return 1;
	rc = check_main(__FILE__, cases, ARRAY_SIZE(cases), argc, argv);
	tiny_witness_close(&guest);
	return rc;
}
