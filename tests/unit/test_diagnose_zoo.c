/*
 * The diagnosis against planted truth: every case of the zoo alone, and again beside a healthy idle store
 * (workers around an accept lock, threads that wait for work). Ends with the score.
 */
#include "tests/zoo/zoo.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#define BETWEEN_MS 300 /* of the two instants of a livelock */

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
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", zoo->hang_class ? 5.0 : 0.1);
	struct diagnose_input input = {
		.scan = scan,
		.earlier = earlier,
		.healthy = healthy,
		.owed = owed,
		.owed_limit_s = 2,
		.progressed = zoo->progressed,
		.parked = &parked,
		.parked_count = parked != 0,
	};

	diagnose(&input, ret);
}

static void mark(const struct zoo_case *zoo, const struct zoo_board *board, bool noisy,
	const struct diagnosis *got)
{
	const char *class = got->hang_class ? got->hang_class : "healthy";
	bool first = got->culprit_count && is_to_blame(board, got->culprits[0].tid);
	bool right = !strcmp(class, zoo->hang_class ? zoo->hang_class : "healthy");

	if (zoo->hang_class) {
		score.planted++;
		score.found += got->hang_class != NULL;
		score.culprit_first += first;
		score.class_right += right;
	} else {
		score.healthy++;
		score.false_alarms += got->hang_class != NULL;
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
	if (zoo->hang_class && !strcmp(zoo->hang_class, "blocked-on-fault"))
		CHECK_INT(got->finding, zoo->behind);
}

/* The scan without what it may leave out. */
static json_t *plain_scan(const json_t *scan)
{
	static const char *const extra[] = {"futex", "wait_fds", "utime", "stime", "frames"};
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
		plain.false_alarms += got.hang_class != NULL;
		CHECK(!got.hang_class);
	}
	diagnosis_free(&got);
}

/* Returns the signature ("" if the case did not come to stand). */
static void run_case(const struct zoo_case *zoo, bool noisy, char signature[SIGNATURE_SIZE])
{
	auto_free char *dir = path_join(check_dir(), noisy ? "run-2" : "run-1");
	struct zoo_board *board = new_board(), *noise_board = new_board();
	pid_t groups[2] = {0};
	auto_json json_t *healthy = NULL, *earlier = NULL, *scan = NULL;
	struct diagnosis got;

	signature[0] = '\0';
	fs_mkdir_p(dir, NULL);
	if (noisy) {
		auto_free char *noise_dir = path_join(dir, "store");

		fs_mkdir_p(noise_dir, NULL);
		groups[1] = zoo_start_noise(noise_board, noise_dir);
		healthy = zoo_settled(groups, noise_board, ZOO_NOISE_STANDS, false);
		CHECK(healthy != NULL);
	}
	groups[0] = zoo_start(zoo, board, dir);
	scan = zoo_settled(groups, board, zoo->stand, zoo->spins);
	if (zoo->spins && scan) {
		earlier = scan;
		poll(NULL, 0, BETWEEN_MS);
		scan = zoo_scan(groups);
	}
	if (CHECK(scan != NULL)) {
		judge(zoo, board, scan, earlier, healthy, &got);
		mark(zoo, board, noisy, &got);
		mark_plain(zoo, board, scan, earlier, healthy);
		snprintf(signature, SIGNATURE_SIZE, "%s", got.signature);
		if (getenv("ZOO_KEEP")) {
			auto_free char *path =
				text_fmt("%s/%s.json", getenv("ZOO_KEEP"), zoo->name);

			json_dump_file(scan, path, JSON_COMPACT);
		}
		diagnosis_free(&got);
	}
	zoo_end(groups[0]);
	if (noisy)
		zoo_end(groups[1]);
	munmap(board, sizeof(*board));
	munmap(noise_board, sizeof(*noise_board));
}

static void every_planted_trouble_is_named_and_no_healthy_one(void)
{
	char alone[SIGNATURE_SIZE], beside[SIGNATURE_SIZE];

	for (size_t g = 0; zoo_groups[g]; g++)
		for (const struct zoo_case *zoo = zoo_groups[g]; zoo->name; zoo++) {
			run_case(zoo, false, alone);
			run_case(zoo, true, beside);
			CHECK_STR(beside, alone);
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
