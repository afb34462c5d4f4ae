/* What evidence keeps and how big it may be (run/evidence_keep.h), and dot-locks as a guest's shell tells them. */
#include "run/watch/evidence_keep.h"

#include "base/fs.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "diagnose/dot_lock.h"
#include "tests/check/check.h"

#include <string.h>

static void put(const char *dir, const char *name, size_t size)
{
	auto_free char *path = path_join(dir, name), *bytes = mem_zero(size, 1);

	memset(bytes, 'x', size);
	CHECK_INT(fs_write_atomic(path, bytes, size, NULL), 0);
}

static bool has(const char *dir, const char *name)
{
	auto_free char *path = path_join(dir, name);

	return fs_exists(path);
}

static void evidence_within_its_limit_stays_whole(void)
{
	const char *dir = check_dir();
	struct err err = {0};
	uint64_t bytes = 0;

	put(dir, "scan.json", 600);
	put(dir, "tasks.txt", 400);
	put(dir, "memory.kdump", 5000);
	CHECK_INT(evidence_bound(dir, 1000, &bytes, &err), 0);
	CHECK_INT(bytes, 1000);
	CHECK(has(dir, "tasks.txt") && !has(dir, "left-out.txt"));
}

static void what_is_beyond_the_limit_goes_and_is_said(void)
{
	const char *dir = check_dir();
	auto_free char *note = path_join(dir, "left-out.txt");
	auto_buf struct buf said = {0};
	struct err err = {0};
	uint64_t bytes = 0;

	put(dir, "scan.json", 600);
	put(dir, "tasks.txt", 400);
	put(dir, "locks.txt", 10);
	put(dir, "earlier.json", 500);
	put(dir, "owed.json", 20);
	CHECK_INT(evidence_bound(dir, 1000, &bytes, &err), 0);
	CHECK_INT(bytes, 620);
	CHECK(!has(dir, "tasks.txt") && !has(dir, "earlier.json") && has(dir, "owed.json"));
	CHECK_INT(fs_read(note, 1000, &said, &err), 0);
	CHECK_HAS(buf_text(&said), "earlier.json: the evidence was bigger than 1000 bytes");
}

static void the_last_lines_of_each_log_are_kept(void)
{
	const char *dir = check_dir();
	auto_free char *logs = path_join(dir, "logs"), *log = path_join(logs, "maillog"),
		       *tail = path_join(dir, "log-tail.txt");
	auto_buf struct buf text = {0}, got = {0};
	struct err err = {0};

	CHECK_INT(evidence_log_tail(logs, dir, &err), 0);
	CHECK(!has(dir, "log-tail.txt"));
	CHECK_INT(fs_mkdir_p(logs, &err), 0);
	for (int i = 0; i < 3000; i++)
		buf_addf(&text, "line %04d\n", i);
	CHECK_INT(fs_write_atomic(log, text.data, text.len, &err), 0);
	CHECK_INT(evidence_log_tail(logs, dir, &err), 0);
	CHECK_INT(fs_read(tail, LOG_TAIL_BYTES + 100, &got, &err), 0);
	CHECK(got.len <= LOG_TAIL_BYTES + 100);
	CHECK_HAS(buf_text(&got), "== maillog\nline ");
	CHECK_HAS(buf_text(&got), "line 2999\n");
	CHECK(!strstr(buf_text(&got), "line 0000"));
}

/* ---- dot-locks ---- */

static void a_dot_lock_names_a_process_or_nobody(void)
{
	static const char text[] = "12 10:store /srv/mail/u1/a b.lock\n3 - /srv/mail/u2.lock\nodd\n"
				   "7 99 /srv/mail/u3.lock\n-4 1 /x\n5 6 relative\n";
	auto_json json_t *locks = dot_locks_read(text, strlen(text));

	CHECK_INT(json_array_size(locks), 3);
	CHECK_STR(json_get_text(json_array_get(locks, 0), "path", ""), "/srv/mail/u1/a b.lock");
	CHECK_INT(json_get_int(json_array_get(locks, 0), "pid", 0), 10);
	CHECK_INT(json_get_int(json_array_get(locks, 0), "age_s", 0), 12);
	CHECK_INT(json_get_int(json_array_get(locks, 1), "pid", -1), -1);
}

static void a_hang_is_told_with_the_dot_locks_around_it(void)
{
	static const char text[] =
		"12 10:store /m/u1.lock\n3 - /m/u2.lock\n7 99 /m/u3.lock\n1 \033 /m/\033[2J\n";
	auto_json json_t *locks = dot_locks_read(text, strlen(text)),
			 *owed = json_pack("[{sf}]", "age_s", 5.0),
			 *scan = json_pack("{ss s[{si si ss ss ss ss}]}", "locks", "", "tasks",
				 "pid", 10, "tid", 10, "comm", "deliver", "exe", "/x/deliver",
				 "state", "S", "syscall", "0 0x3 0x0 0x0 0x0 0x0 0x0 0x1 0x2");
	struct diagnose_input input = {.scan = scan, .owed = owed, .dot_locks = locks};
	auto_buf struct buf all = {0};
	struct diagnosis got;

	diagnose(&input, &got);
	for (size_t i = 0; i < got.evidence_count; i++)
		buf_addf(&all, "%s\n", got.evidence[i]);
	CHECK_HAS(
		buf_text(&all), "dot-lock '/m/u1.lock', 12 s old, names process 10 (`deliver`)\n");
	CHECK_HAS(buf_text(&all), "dot-lock '/m/u2.lock', 3 s old, names nobody\n");
	CHECK_HAS(buf_text(&all),
		"dot-lock '/m/u3.lock', 7 s old, names process 99, which there is not\n");
	CHECK(!strchr(buf_text(&all), '\033'));
	diagnosis_free(&got);
}

CHECK_MAIN(CHECK_CASE(evidence_within_its_limit_stays_whole),
	CHECK_CASE(what_is_beyond_the_limit_goes_and_is_said),
	CHECK_CASE(the_last_lines_of_each_log_are_kept),
	CHECK_CASE(a_dot_lock_names_a_process_or_nobody),
	CHECK_CASE(a_hang_is_told_with_the_dot_locks_around_it))
