/*
 * The score of the zoo and how long a cell of it takes: zoo [GLOB|held-out [TIMES [HEALTHY [SEED [DIR]]]]];
 * TIMES 0 with HEALTHY: healthy cells alone. What was misjudged stays in DIR with its evidence. Exits 1 where a
 * figure is missed.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/score/score_zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECALL_MIN  0.99
#define ALARMS_MAX  0.005
#define CULPRIT_MIN 0.95
#define SIGNED_MIN  0.99

static void say(void *arg, const char *line)
{
	(void)arg;
	printf("%s\n", line);
	fflush(stdout);
}

static double part(struct zoo_share share, double empty)
{
	return share.of ? (double)share.hits / share.of : empty;
}

static void print_share(const char *name, struct zoo_share share)
{
	printf("%-16s %6.2f %%  %u of %u\n", name, 100 * part(share, 0), share.hits, share.of);
}

static bool report(const struct zoo_score *score, double seconds)
{
	unsigned int cells = score->planted + score->healthy;

	printf("%u planted (%u troubles), %u healthy (%u controls), %u spoilt; %.2f s a cell\n",
		score->planted, score->troubles, score->healthy, score->controls, score->spoilt,
		cells ? seconds / cells : 0);
	print_share("recall", score->recall);
	print_share("false alarms", score->false_alarms);
	print_share("culprit first", score->culprit_first);
	print_share("class right", score->class_right);
	print_share("purity", score->purity);
	print_share("completeness", score->completeness);
	return part(score->recall, 1) >= RECALL_MIN && part(score->false_alarms, 0) < ALARMS_MAX &&
	       part(score->culprit_first, 1) >= CULPRIT_MIN &&
	       part(score->purity, 1) >= SIGNED_MIN && part(score->completeness, 1) >= SIGNED_MIN;
}

int main(int argc, char **argv)
{
	char made[] = "/tmp/mailrig-zoo.XXXXXX";
	const char *dir = argc > 5 ? argv[5] : mkdtemp(made);
	const struct zoo_options options = {.root = ".",
		.dir = dir,
		.only = argc > 1 && strcmp(argv[1], "held-out") != 0 ? argv[1] : NULL,
		.held_out = argc > 1 && !strcmp(argv[1], "held-out"),
		.times = argc > 2 ? (unsigned int)atoi(argv[2]) : 1,
		.healthy = argc > 3 ? (unsigned int)atoi(argv[3]) : 0,
		.seed = argc > 4 ? (uint64_t)atoll(argv[4]) : 1,
		.cancel_fd = -1,
		.say = say};
	int64_t began = clock_mono_ns();
	struct zoo_score score;
	struct err err = {0};
	bool good;

	if (score_zoo(&options, &score, &err)) {
		fprintf(stderr, "zoo: %s\n", err.text);
		return 1;
	}
	good = report(&score, (double)(clock_mono_ns() - began) / NS_PER_SEC);
	if (argc <= 5)
		fs_remove_tree(dir, NULL);
	score_zoo_free(&score);
	return !good;
}
