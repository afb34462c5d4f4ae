/* Waits of rarer kinds: who is waited for, each rule both ways. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define IDLE	   "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define RECV(fd)   "45 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define READ(fd)   "0 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define OPEN	   "257 0xffffff9c 0x7f00 0x0 0x0 0x0 0x0 0x1 0x2"
#define OFD(fd)	   "72 0x" #fd " 0x26 0x7f00 0x0 0x0 0x0 0x1 0x2"
#define MUTEX(at)  "202 0x" #at " 0x80 0x2 0x0 0x0 0x0 0x1 0x2"
#define TIMED(at)  "202 0x" #at " 0x189 0x2 0x7f10 0x0 0xffffffff 0x1 0x2"
#define SPLICE_4_5 "275 0x4 0x0 0x5 0x0 0x1000 0x0 0x1 0x2"
#define WATCHES	   "fanotify_handle_event"

static json_t *task(int pid, int tid, const char *wchan, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss ss}", "pid", pid, "tid", tid, "ppid", 1, "comm",
		"c", "exe", "/x/a", "state", *wchan == 'f' ? "D" : "S", "start", tid, "wchan",
		wchan, "syscall", syscall);
}

static json_t *with(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
	return object;
}

static json_t *scan_of(const char *locks, json_t *tasks, json_t *fds)
{
	return json_pack("{ss so so}", "locks", locks, "tasks", tasks, "fds", fds);
}

static void run(const json_t *scan, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(&(struct diagnose_input){.scan = scan, .owed = owed, .owed_limit_s = 2}, ret);
}

static void check(const json_t *scan, const char *class, int tid, size_t culprits)
{
	struct diagnosis got;

	run(scan, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, tid);
	if (culprits)
		CHECK_INT(got.culprit_count, culprits);
	diagnosis_free(&got);
}

static json_t *pipe_end(int pid, int fd, int ino, const char *mode)
{
	return json_pack(
		"{sisisissss}", "pid", pid, "fd", fd, "ino", ino, "kind", "pipe", "mode", mode);
}

static json_t *watcher(int pid, int fd)
{
	return json_pack("{sisisiss}", "pid", pid, "fd", fd, "ino", 0, "kind", "fanotify");
}

static void who_watches_what_is_opened_is_waited_for(void)
{
	json_t *opens = task(20, 20, WATCHES, OPEN);
	auto_json json_t *one = scan_of("",
		json_pack("[ooo]", task(10, 10, "", RECV(9)), json_incref(opens),
			task(30, 30, "", IDLE)),
		json_pack("[o]", watcher(10, 4)));
	auto_json json_t *several = scan_of("",
		json_pack("[ooo]", task(10, 10, "", IDLE), json_incref(opens),
			task(30, 30, "", IDLE)),
		json_pack("[oo]", watcher(10, 4), watcher(30, 4)));
	auto_json json_t *none =
		scan_of("", json_pack("[oo]", task(10, 10, "", IDLE), opens), json_array());
	/* It asks for the next event. */
	auto_json json_t *asks =
		scan_of("", json_pack("[oo]", task(10, 10, "", READ(4)), task(30, 30, "", IDLE)),
			json_pack("[o]", watcher(10, 4)));

	check(one, "lost-wakeup", 10, 0);
	check(several, "lost-wakeup", 20, 0);
	check(none, "lost-wakeup", 20, 0);
	check(asks, "lost-wakeup", 10, 1);
}

/* 10 moves what 20 sends on to 30, who takes nothing. */
static void who_moves_from_pipe_to_pipe_waits_for_the_one_that_the_kernel_tells(void)
{
	static const struct {
		const char *wchan;
		int tid;
	} rows[] = {
		{"pipe_wait_readable", 10},
		{"pipe_wait_writable", 30},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = scan_of("",
			json_pack("[ooo]", task(10, 10, rows[i].wchan, SPLICE_4_5),
				task(20, 20, "", IDLE), task(30, 30, "", IDLE)),
			json_pack("[oooo]", pipe_end(10, 4, 100, "r"), pipe_end(10, 5, 101, "w"),
				pipe_end(20, 6, 100, "w"), pipe_end(30, 6, 101, "r")));

		check(scan, "lost-wakeup", rows[i].tid, 2);
	}
}

#define OFD_READ "1: OFDLCK ADVISORY READ -1 a 0 9\n"

/* 10 and 20 have the same range as readers, and each waits to have it as a writer. */
static json_t *both_upgrade(const char *first, const char *second)
{
	json_t *scan = scan_of("1: OFDLCK ADVISORY READ -1 a 0 9\n"
			       "1: -> OFDLCK ADVISORY WRITE -1 a 0 9\n"
			       "2: OFDLCK ADVISORY READ -1 a 0 9\n"
			       "2: -> OFDLCK ADVISORY WRITE -1 a 0 9\n",
		json_pack("[oo]", task(10, 10, "", OFD(4)), task(20, 20, "", OFD(4))),
		json_array());

	return with(with(scan, "held",
			    json_pack("[{sisiss}{sisiss}]", "pid", 10, "fd", 4, "lock", first,
				    "pid", 20, "fd", 4, "lock", second)),
		"files",
		json_pack("[{sisissss}{sisissss}]", "pid", 10, "fd", 4, "path", "/m", "inode", "a",
			"pid", 20, "fd", 4, "path", "/m", "inode", "a"));
}

static void what_one_has_as_a_reader_it_does_not_wait_for_as_a_writer(void)
{
	auto_json json_t *both = both_upgrade(OFD_READ, OFD_READ);

	check(both, "deadlock", 10, 2);
}

/* Each wants the mutex that the other has; words: lock, count, owner, users, kind. */
static json_t *crossed(const char *second, int owner)
{
	return scan_of("",
		json_pack("[oo]",
			with(task(10, 10, "", TIMED(7f00)), "futex",
				json_pack("[iiiii]", 2, 0, 11, 1, 0)),
			with(task(10, 11, "", second), "futex",
				json_pack("[iiiii]", 2, 0, owner, 1, 0))),
		json_array());
}

static void a_cycle_that_time_limits_end_is_one_until_then_and_said_so(void)
{
	auto_json json_t *timed = crossed(TIMED(8f00), 10), *half = crossed(MUTEX(8f00), 10);
	auto_json json_t *queue = crossed(MUTEX(8f00), 99);
	struct diagnosis got;

	check(half, "deadlock", 10, 2);
	check(queue, "lost-wakeup", 11, 0);
	run(timed, &got);
	CHECK_STR(got.hang_class, "deadlock");
	CHECK_INT(got.culprit_count, 2);
	CHECK_HAS(got.unknown[got.unknown_count - 1], "time limit");
	diagnosis_free(&got);
}

/* 11 wants the mutex of 10, which is idle at its descriptors 5 and 6. */
static json_t *idle_owner(bool listens)
{
	json_t *owner = with(task(10, 10, "", IDLE), "wait_fds", json_pack("[ii]", 5, 6));
	json_t *scan = scan_of("",
		json_pack("[oo]", owner,
			with(task(10, 11, "", MUTEX(7f00)), "futex",
				json_pack("[iiiii]", 2, 0, 10, 1, 0))),
		json_pack("[{sisisiss}{sisisiss}]", "pid", 10, "fd", 5, "ino", 100, "kind",
			"socket", "pid", 10, "fd", 6, "ino", 101, "kind", "socket"));

	return with(scan, "sockets",
		json_pack("[{siss}{siss}]", "ino", 100, "state", "established", "ino", 101, "state",
			listens ? "listen" : "established"));
}

static void who_idles_with_a_lock_is_blamed_last_and_not_at_a_door(void)
{
	auto_json json_t *door = idle_owner(true), *connections = idle_owner(false);

	check(door, "slow", 0, 0);
	check(connections, "lost-wakeup", 10, 0);
	json_array_append_new(json_object_get(connections, "tasks"), task(20, 20, "", RECV(9)));
	check(connections, "lost-wakeup", 20, 0);
}

CHECK_MAIN(CHECK_CASE(who_watches_what_is_opened_is_waited_for),
	CHECK_CASE(who_moves_from_pipe_to_pipe_waits_for_the_one_that_the_kernel_tells),
	CHECK_CASE(what_one_has_as_a_reader_it_does_not_wait_for_as_a_writer),
	CHECK_CASE(a_cycle_that_time_limits_end_is_one_until_then_and_said_so),
	CHECK_CASE(who_idles_with_a_lock_is_blamed_last_and_not_at_a_door))
