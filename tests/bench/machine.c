/*
 * How long a clone takes from the call to a running guest, with the template of a tiny guest: N times
 * (default 30) at 256 MiB and at 2 GiB of memory, taking turns, on each network back-end that works here.
 * Prints min, p50, p95 and the ratio of the medians, with the accelerator.
 */
#include "tests/vm/tiny_guest.h"

#include "base/clock.h"
#include "base/fs.h"
#include "vm/clone.h"
#include "vm/relay.h"
#include "tests/bench/spread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 1000

/* Milliseconds until the clone runs, or a negative number. */
static double clone_once(const struct template *tmpl, const char *dir)
{
	struct machine_options options = {.dir = dir};
	struct machine *machine = NULL;
	int64_t start_ns = clock_mono_ns();
	struct err err = {0};
	double ms;

	if (clone_open(tmpl, &options, &machine, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	ms = (double)(machine_running_since_ns(machine) - start_ns) / (double)NS_PER_MS;
	machine_close(machine);
	fs_remove_tree(dir, NULL);
	return ms;
}

static double print_row(
	const struct tiny_guest *guest, enum network_kind kind, double *ms, size_t rounds)
{
	spread_sort(ms, rounds);
	printf("clone to running  %5llu MiB  %-4s  %s  min %5.1f ms  p50 %5.1f ms  p95 %5.1f ms  "
	       "(%zu)\n",
		(unsigned long long)guest->memory_bytes >> 20, network_kind_name(kind),
		guest->accel.name, ms[0], ms[rounds / 2], ms[rounds * 95 / 100], rounds);
	return ms[rounds / 2];
}

static int measure(struct tiny_guest guests[2], enum network_kind kind, size_t rounds)
{
	static double ms[2][ROUNDS_MAX];
	struct template *templates[2] = {NULL, NULL};
	struct err err = {0};
	double p50[2];

	for (int i = 0; i < 2; i++)
		if (tiny_guest_template(&guests[i], kind, &templates[i], &err)) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
	for (size_t round = 0; round < rounds; round++)
		for (int i = 0; i < 2; i++) {
			auto_free char *dir = text_fmt("%s/clone", guests[i].dir);

			ms[i][round] = clone_once(templates[i], dir);
			if (ms[i][round] < 0)
				return 1;
		}
	for (int i = 0; i < 2; i++) {
		p50[i] = print_row(&guests[i], kind, ms[i], rounds);
		template_close(templates[i]);
	}
	printf("2 GiB to 256 MiB  %.2f\n", p50[1] / p50[0]);
	return 0;
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 30;
	struct tiny_guest guests[2];
	int rc = 0;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	if (!rounds || rounds > ROUNDS_MAX)
		return 64;
	if (tiny_guest_open(&guests[0], 256) || tiny_guest_open(&guests[1], 2048))
		return 16;
	rc = measure(guests, NETWORK_USER, rounds);
	if (!rc && !network_probe(NETWORK_TAP, NULL))
		rc = measure(guests, NETWORK_TAP, rounds);
	tiny_guest_close(&guests[0]);
	tiny_guest_close(&guests[1]);
	return rc;
}
