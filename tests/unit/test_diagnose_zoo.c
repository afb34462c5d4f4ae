/*
 * The diagnosis against planted truth, as the real witness sees it, on this very machine: every case of the zoo that
 * needs no guest alone, and again beside a healthy idle store
 * (workers around an accept lock, threads that wait for work). Ends with the score.
 */
#include "tests/zoo/zoo.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "run/bed/tries.h"
#include "tests/unit/witness_fixture.h"

#include <fnmatch.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BETWEEN_MS  300 /* of the two instants of a livelock */
#define TICKS_MIN   12	/* of processor time between them, */
#define SHARE_MIN   60 /* and percent of a processor: of two that share one, each is seen to spin */
#define TRIES_MAX   6  /* for that */
#define TURN_MIN_NS 10000000 /* less shows nothing of what one does */
#define SETTLE_MS   20000
#define ALARM_S	    1200 /* two minutes where nobody else is at work */
#define SEED	    1
#define SEED_AGAIN  2
#define NEIGHBOUR   "idle-accept-pool" /* by hand ZOO_BESIDE names another */
/* What takes a machine of its own. */
#define NEEDS_GUEST (ZOO_FROZEN | ZOO_THAWED | ZOO_DIES | ZOO_SLOW_DISK | ZOO_ALONE | ZOO_EXITS)

static struct {
	int planted, found, culprit_first, class_right;
	int healthy, false_alarms;
} score;
static struct {
	int found, culprit_first, class_right, false_alarms;
} plain; /* with the fields alone that every scan has */

static struct zoo_board *new_board(void)
{
	void *p = mmap(NULL, sizeof(struct zoo_board), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static bool is_to_blame(const struct zoo_board *board, int tid)
{
	for (int i = 0; i < ZOO_CULPRITS; i++)
		if (tid && atomic_load(&board->culprits[i]) == tid)
			return true;
	return false;
}

static void judge(const struct zoo_case *zoo, const struct zoo_board *board, const json_t *scan,
	const json_t *earlier, const json_t *healthy, struct diagnosis *ret)
{
	int parked = atomic_load(&board->parked);
	auto_json json_t *owed = json_pack(
		"[{sf}]", "age_s", zoo->hang_class || zoo->flags & ZOO_OVERDUE ? 5.0 : 0.1);
	struct diagnose_input input = {
		.scan = scan,
		.earlier = earlier,
		.healthy = healthy,
		.owed = owed,
		.owed_limit_s = 2,
		.progressed = zoo->flags & ZOO_PROGRESSED,
		.starved = zoo->flags & ZOO_STARVED,
		.parked = &parked,
		.parked_count = parked != 0,
	};

	diagnose(&input, ret);
}

static void mark(const struct zoo_case *zoo, const struct zoo_board *board, bool noisy,
	const struct diagnosis *got)
{
	const char *class = got->finding ? got->hang_class : "healthy";
	bool first = got->culprit_count && is_to_blame(board, got->culprits[0].tid);
	bool right = !strcmp(class, zoo->hang_class ? zoo->hang_class : "healthy");

	if (zoo->hang_class) {
		score.planted++;
		score.found += got->hang_class != NULL;
		score.culprit_first += first;
		score.class_right += right;
	} else {
		score.healthy++;
		score.false_alarms += got->finding;
	}
	if (!right || (zoo->hang_class && !first) || getenv("ZOO_TELL")) {
		auto_json json_t *json = diagnosis_to_json(got);
		auto_free char *text = json_dumps(json, JSON_INDENT(2));

		printf("%s%s: want %s, got %s%s\n%s\n", zoo->name, noisy ? " beside a store" : "",
			zoo->hang_class ? zoo->hang_class : "healthy", class,
			zoo->hang_class && !first ? ", another culprit" : "", text);
	}
	CHECK_STR(class, zoo->hang_class ? zoo->hang_class : "healthy");
	if (zoo->hang_class)
		CHECK(first);
}

/* The scan without what it may leave out. */
static json_t *plain_scan(const json_t *scan)
{
	static const char *const extra[] = {
		"futex", "wait_fds", "sem", "utime", "stime", "ran_ns", "queued_ns", "frames"};
	json_t *copy = json_deep_copy(scan), *task;
	size_t i;

	json_object_del(copy, "fds");
	json_array_foreach (json_object_get(copy, "tasks"), i, task)
		for (size_t k = 0; k < ARRAY_SIZE(extra); k++)
			json_object_del(task, extra[k]);
	return copy;
}

static void mark_plain(const struct zoo_case *zoo, const struct zoo_board *board,
	const json_t *scan, const json_t *earlier, const json_t *healthy)
{
	auto_json json_t *now = plain_scan(scan);
	auto_json json_t *then = earlier ? plain_scan(earlier) : NULL;
	struct diagnosis got;

	judge(zoo, board, now, then, healthy, &got);
	if (zoo->hang_class) {
		plain.found += got.hang_class != NULL;
		plain.class_right += got.hang_class && !strcmp(got.hang_class, zoo->hang_class);
		plain.culprit_first += got.culprit_count && is_to_blame(board, got.culprits[0].tid);
	} else {
		plain.false_alarms += got.finding;
		CHECK(!got.finding);
	}
	diagnosis_free(&got);
}

/* ---- scans ---- */

/* Leaves in `array` what is of a process of the groups. */
static void only_groups(json_t *array, const pid_t groups[2])
{
	for (size_t i = json_array_size(array); i > 0; i--) {
		int pid = (int)json_get_int(json_array_get(array, i - 1), "pid", -1);
		pid_t group = pid > 0 ? getpgid(pid) : -1;

		if (group <= 0 || (group != groups[0] && group != groups[1]))
			json_array_remove(array, i - 1);
	}
}

/* On a busy machine a part may not be had in time, which a scan says. */
static bool is_whole(const json_t *scan)
{
	const json_t *parts = json_object_get(scan, "parts");

	return json_get_bool(parts, "memory", true) && json_get_bool(parts, "fds", true) &&
	       json_get_bool(parts, "sockets", true) && json_get_bool(parts, "held", true) &&
	       !json_array_size(json_object_get(scan, "unreadable"));
}

/* Of one that ran meanwhile the memory that it waits with is left out; here all come to stand. */
static bool has_all_words(const json_t *scan)
{
	auto_free char *futex = text_fmt("%d ", SYS_futex);
	const json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (!strncmp(json_get_text(task, "syscall", ""), futex, strlen(futex)) &&
			!json_object_get(task, "futex"))
			return false;
	return true;
}

static void leave_groups(json_t *scan, const pid_t groups[2])
{
	only_groups(json_object_get(scan, "tasks"), groups);
	only_groups(json_object_get(scan, "fds"), groups);
	only_groups(json_object_get(scan, "files"), groups);
}

static json_t *scan_groups(struct bench *b, const pid_t groups[2])
{
	int64_t deadline = soon();
	json_t *scan = NULL;

	do {
		json_decref(scan);
		if (!CHECK_INT(witness_scan_deep(b->w, soon(), &scan, NULL), 0))
			return json_object();
		leave_groups(scan, groups);
	} while ((!is_whole(scan) || !has_all_words(scan)) && deadline_left_ms(deadline));
	return scan;
}

static void keep(const struct zoo_case *zoo, const json_t *scan)
{
	const char *dir = getenv("ZOO_KEEP");
	auto_free char *path = dir ? text_fmt("%s/%s.json", dir, zoo->name) : NULL;

	if (path)
		json_dump_file(scan, path, JSON_COMPACT);
}

/* A group of processes that stands, or 0. */
static pid_t stand(const char *name, const char *dir, struct zoo_board *board, unsigned int seed)
{
	const struct zoo_case *zoo = zoo_find(name);
	pid_t pid;

	fs_mkdir_p(dir, NULL);
	pid = zoo_start(zoo, board, dir, seed);
	CHECK(zoo_settled(zoo, pid, board, SETTLE_MS));
	return pid;
}

static int64_t ticks_of(const json_t *scan)
{
	int64_t ticks = 0;
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		ticks += json_get_int(task, "utime", 0) + json_get_int(task, "stime", 0);
	return ticks;
}

/* Of a processor, between two instants, in percent; 0: too little time for one that spins to show. */
static double share_of(const json_t *earlier, const json_t *scan)
{
	int64_t ticks = ticks_of(scan) - ticks_of(earlier);
	int64_t ns = json_get_int(scan, "guest_ns", 0) - json_get_int(earlier, "guest_ns", 0);

	return ticks < TICKS_MIN || ns <= 0 ? 0 : 100.0 * (double)ticks * 1e7 / (double)ns;
}

/* A livelock does, sooner or later; who is well may. */
static bool shall_burn(const struct zoo_case *zoo)
{
	return zoo->hang_class && !strcmp(zoo->hang_class, "livelock");
}

/* Somebody was ready to run for most of the time and others had the processor: what it does is not known then. */
static bool somebody_had_no_turn(const json_t *earlier, const json_t *scan)
{
	int64_t ns = json_get_int(scan, "guest_ns", 0) - json_get_int(earlier, "guest_ns", 0);
	const json_t *task, *then;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		then = task_of(earlier, (int)json_get_int(task, "tid", 0));
		if (then &&
			json_get_int(task, "queued_ns", 0) - json_get_int(then, "queued_ns", 0) >
				ns / 2 &&
			json_get_int(task, "ran_ns", 0) - json_get_int(then, "ran_ns", 0) <
				TURN_MIN_NS)
			return true;
	}
	return false;
}

/* Two instants between which whoever spins got the processor, as in a guest of his own: a busy machine is tried again.
 * Leaves the first in `earlier`. */
static json_t *scan_again(
	struct bench *b, const struct zoo_case *zoo, const pid_t groups[2], json_t **earlier)
{
	int64_t deadline = soon();

	for (int tries = 1;;) {
		json_t *scan;
		double share;
		bool kept_out;

		poll(NULL, 0, BETWEEN_MS);
		scan = scan_groups(b, groups);
		share = share_of(*earlier, scan);
		kept_out = somebody_had_no_turn(*earlier, scan);
		if (!deadline_left_ms(deadline) ||
			(!kept_out && ((zoo->hang_class && !shall_burn(zoo)) ||
					      share >= SHARE_MIN || tries >= TRIES_MAX)))
			return scan;
		if (share > 0 || kept_out) {
			json_decref(*earlier);
			*earlier = scan;
			tries += !kept_out;
		} else {
			json_decref(scan);
			tries += !shall_burn(zoo);
		}
	}
}

/* The signature, "" if it did not come to stand. */
static void run_case(
	struct bench *b, const struct zoo_case *zoo, bool noisy, char signature[SIGNATURE_SIZE])
{
	auto_free char *dir = text_fmt("%s/%s-%d", check_dir(), zoo->name, noisy);
	auto_free char *beside = text_fmt("%s-beside", dir);
	struct zoo_board *board = new_board(), *noise_board = new_board();
	pid_t groups[2] = {0};
	auto_json json_t *healthy = NULL, *earlier = NULL, *scan = NULL;
	struct diagnosis got;

	if (noisy) {
		groups[1] = stand(getenv("ZOO_BESIDE") ? getenv("ZOO_BESIDE") : NEIGHBOUR, beside,
			noise_board, SEED);
		healthy = scan_groups(b, groups);
	}
	groups[0] = stand(zoo->name, dir, board, noisy ? SEED_AGAIN : SEED);
	scan = scan_groups(b, groups);
	if (zoo->flags & ZOO_SPINS) {
		earlier = scan;
		scan = scan_again(b, zoo, groups, &earlier);
	}
	judge(zoo, board, scan, earlier, healthy, &got);
	if (tries_add(b->w, scan, got.sleepers, got.sleeper_count, got.follow_ms)) {
		diagnosis_free(&got);
		judge(zoo, board, scan, earlier, healthy, &got);
	}
	mark(zoo, board, noisy, &got);
	mark_plain(zoo, board, scan, earlier, healthy);
	snprintf(signature, SIGNATURE_SIZE, "%s", got.signature);
	keep(zoo, scan);
	diagnosis_free(&got);
	zoo_end(groups[0]);
	if (noisy)
		zoo_end(groups[1]);
	munmap(board, sizeof(*board));
	munmap(noise_board, sizeof(*noise_board));
}

/* By hand: ZOO_ONLY=GLOB looks at some cases alone. */
static bool is_chosen(const char *name)
{
	const char *only = getenv("ZOO_ONLY");

	return !only || !fnmatch(only, name, 0);
}

static void every_planted_trouble_is_named_and_no_healthy_one(void)
{
	char alone[SIGNATURE_SIZE], beside[SIGNATURE_SIZE];
	auto_bench struct bench b = {0};

	check_alarm(ALARM_S);
	if (!bench_open(&b))
		return;
	for (size_t g = 0; zoo_groups[g]; g++)
		for (const struct zoo_case *zoo = zoo_groups[g]; zoo->name; zoo++) {
			if (zoo->flags & NEEDS_GUEST || !is_chosen(zoo->name))
				continue;
			run_case(&b, zoo, true, beside);
			if (!zoo->hang_class)
				continue;
			run_case(&b, zoo, false, alone);
			if (!CHECK_STR(beside, alone))
				printf("in %s\n", zoo->name);
		}
	printf("zoo: planted %d, healthy %d, recall %d/%d, false alarms %d/%d, culprit first "
	       "%d/%d, "
	       "class right %d/%d\n",
		score.planted, score.healthy, score.found, score.planted, score.false_alarms,
		score.healthy, score.culprit_first, score.planted, score.class_right,
		score.planted);
	printf("zoo, without the fields a scan may leave out: recall %d/%d, false alarms %d/%d, "
	       "culprit first %d/%d, class right %d/%d\n",
		plain.found, score.planted, plain.false_alarms, score.healthy, plain.culprit_first,
		score.planted, plain.class_right, score.planted);
}

CHECK_MAIN(CHECK_CASE(every_planted_trouble_is_named_and_no_healthy_one))
