/*
 * A fuzz target for a moment and without a fuzzer: its seeds, and what some thousands of changes make of them,
 * always the same ones. Built with each target as build/tests/test_fuzz_<name>, so that the gate runs them all; what
 * breaks one is left beside the binary. `make fuzz-smoke` looks for longer, with coverage and sanitizers.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/rng.h"
#include "tests/check/check.h"
#include "tests/fuzz/seeds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHANGES	    4000 /* inputs made of seeds */
#define LIMIT_MS    2000 /* and no more than come in that time, on a slow host */
#define SEEDS_MAX   512
#define INPUT_MAX   (64u << 10) /* of an input; larger seeds are cut */
#define CHANGED_MAX 8		/* places in one input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf seeds[SEEDS_MAX];
static size_t seed_count;
static struct buf input;
static char broken[4096]; /* where the input goes that breaks it */

/* Golden files that are seeds, as tests/fuzz/run has them. */
static const struct {
	const char *fuzzer, *folder;
} golden[] = {
	{"fuzz_diagnose", "tests/golden/diagnose"},
	{"fuzz_yaml", "tests/scenarios"},
	{"fuzz_yaml", "tests/golden/yaml/bad/scenario"},
	{"fuzz_yaml", "targets/postfix-dovecot"},
};

static void take_folder(const char *folder)
{
	DIR *list = opendir(folder);
	struct dirent *entry;

	while (list && seed_count < SEEDS_MAX && (entry = readdir(list))) {
		auto_free char *path = path_join(folder, entry->d_name);
		auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct buf *seed = &seeds[seed_count];
		struct stat st;
		ssize_t n;

		if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
			continue;
		n = read(fd, buf_reserve(seed, INPUT_MAX), INPUT_MAX);
		seed->len = n > 0 ? (size_t)n : 0;
		seed_count++;
	}
	if (list)
		closedir(list);
}

static void take_seeds(const char *fuzzer)
{
	const char *dir = check_dir();
	auto_free char *made = path_join(dir, fuzzer);

	make_seeds(dir);
	take_folder(made);
	for (size_t i = 0; i < ARRAY_SIZE(golden); i++)
		if (!strcmp(golden[i].fuzzer, fuzzer))
			take_folder(golden[i].folder);
	if (!seed_count)
		buf_add_str(&seeds[seed_count++], "seed");
}

/* A byte changed, a piece taken out, doubled, or put in from another seed. */
static void change(struct rng *rng)
{
	size_t at = input.len ? (size_t)rng_below(rng, input.len) : 0;
	size_t len = (size_t)rng_below(rng, 1 + (input.len - at) % 64);
	const struct buf *other = &seeds[rng_below(rng, seed_count)];
	size_t from = other->len ? (size_t)rng_below(rng, other->len) : 0;
	auto_buf struct buf tail = {0};

	switch (rng_below(rng, 5)) {
	case 0:
		if (input.len)
			input.data[at] ^= (char)(1 << rng_below(rng, 8));
		return;
	case 1:
		if (input.len)
			input.data[at] = (char)rng_below(rng, 256);
		return;
	case 2:
		buf_add(&tail, input.data + at + len, input.len - at - len);
		break;
	case 3:
		buf_add(&tail, input.data + at, input.len - at);
		at += len;
		break;
	default:
		buf_add(&tail, other->data + from, other->len - from);
		break;
	}
	input.len = at;
	buf_add(&input, tail.data, tail.len < INPUT_MAX - at % INPUT_MAX ? tail.len : 0);
}

static void keep_input(int sig)
{
	int fd = open(broken, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd >= 0 && write(fd, input.data, input.len) >= 0)
		close(fd);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* What it reads is a copy of the very size, so that a sanitizer sees what is read behind it. */
static void try_input(void)
{
	uint8_t *copy = mem_zero(1, input.len ? input.len : 1);

	memcpy(copy, buf_text(&input), input.len);
	LLVMFuzzerTestOneInput(copy, input.len);
	free(copy);
}

static void seeds_and_what_becomes_of_them_do_no_harm(void)
{
	const char *fuzzer = program_invocation_short_name + strlen("test_");
	struct rng rng = rng_stream(1, fuzzer);
	int64_t deadline = deadline_in_ms(LIMIT_MS);
	size_t tried = 0;

	snprintf(broken, sizeof(broken), "%s.broken-by", program_invocation_name);
	signal(SIGSEGV, keep_input);
	signal(SIGABRT, keep_input);
	take_seeds(fuzzer);
	for (size_t i = 0; i < seed_count + CHANGES; i++) {
		const struct buf *seed = &seeds[i < seed_count ? i : rng_below(&rng, seed_count)];

		buf_reset(&input);
		buf_add(&input, buf_text(seed), seed->len);
		for (uint64_t n = i < seed_count ? 0 : 1 + rng_below(&rng, CHANGED_MAX); n; n--)
			change(&rng);
		try_input();
		tried++;
		if (i >= seed_count && deadline_left_ms(deadline) <= 0)
			break;
	}
	CHECK(tried > seed_count);
	for (size_t i = 0; i < seed_count; i++)
		buf_free(&seeds[i]);
	buf_free(&input);
}

CHECK_MAIN(CHECK_CASE(seeds_and_what_becomes_of_them_do_no_harm))
