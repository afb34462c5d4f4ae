/*
 * How long it takes to know who waits for whom in a guest: a deep scan of 64 and of 256 threads that wait for each
 * other, and the graph and diagnosis of it. "held": how long the guest stands still for it, on its own clock; "known":
 * from the question to the diagnosis, on the host's. Ends with 1 if a median is beyond its limit.
 */
#include "tests/vm/tiny_witness.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/bench/spread.h"
#include "vm/clone.h"
#include "vm/relay.h"
#include "vm/witness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS	    25
#define ASK_MS	    30000
#define HELD_MAX_MS 100.0

static const char *const ours[] = {"/run/rig/witness", NULL};

struct size {
	int threads;
	double known_max_ms;
};

static int plant(struct witness *witness, int threads, struct err *err)
{
	auto_free char *line = text_fmt("/run/rig/threads %d", threads);
	const struct witness_command command = {
		.line = line, .timeout_ms = ASK_MS, .daemons = true};
	struct witness_result result = {0};
	int rc = witness_run(witness, &command, &result, err);

	if (!rc && result.status)
		rc = err_set(err, -EIO, "'%s' ended with %d", line, result.status);
	buf_free(&result.output);
	return rc;
}

static int look(struct witness *witness, double *ret_held, double *ret_known, bool *ret_right,
	struct err *err)
{
	auto_json json_t *scan = NULL, *owed = json_pack("[{sf}]", "age_s", 5.0);
	int64_t began = clock_mono_ns();
	struct diagnosis got;
	int rc = witness_scan_deep(witness, deadline_in_ms(ASK_MS), &scan, err);

	if (rc)
		return rc;
	diagnose(
		&(struct diagnose_input){
			.scan = scan, .owed = owed, .owed_limit_s = 2, .ours = ours},
		&got);
	*ret_known = (double)(clock_mono_ns() - began) / 1e6;
	*ret_held = (double)json_get_int(scan, "took_ns", 0) / 1e6;
	*ret_right = got.hang_class && !strcmp(got.hang_class, "deadlock");
	diagnosis_free(&got);
	return 0;
}

static int measure(
	struct witness *witness, const struct size *size, const char *accel, struct err *err)
{
	double held[ROUNDS], known[ROUNDS];
	bool right = true, one;
	int rc = plant(witness, size->threads, err);

	for (int i = 0; i < ROUNDS && !rc; i++) {
		rc = look(witness, &held[i], &known[i], &one, err);
		right &= one;
	}
	if (rc)
		return rc;
	spread_sort(held, ROUNDS);
	spread_sort(known, ROUNDS);
	printf("graph of %4d threads  %s  held least %6.1f ms, p50 %6.1f, worst %6.1f (%.0f)  "
	       "known least %6.1f ms, p50 %6.1f, worst %6.1f (%.0f)%s\n",
		size->threads, accel, held[0], held[ROUNDS / 2], held[ROUNDS - 1], HELD_MAX_MS,
		known[0], known[ROUNDS / 2], known[ROUNDS - 1], size->known_max_ms,
		right ? "" : ", WRONG");
	return !right || held[ROUNDS / 2] > HELD_MAX_MS || known[ROUNDS / 2] > size->known_max_ms;
}

static int measure_in_clone(const struct tiny_witness *guest, const struct size *size)
{
	auto_free char *dir = text_fmt("%s/clone", guest->dir);
	const struct machine_options options = {.dir = dir};
	struct machine *machine = NULL;
	struct witness *witness = NULL;
	struct err err = {0};
	int rc = clone_open(guest->template, &options, &machine, &err);

	if (!rc)
		rc = witness_attach(machine_take_witness_fd(machine), NULL, NULL,
			deadline_in_ms(ASK_MS), &witness, &err);
	if (!rc)
		rc = measure(witness, size, guest->accel.name, &err);
	if (rc < 0)
		fprintf(stderr, "%s\n", err.text);
	witness_close(witness);
	machine_close(machine);
	fs_remove_tree(dir, NULL);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct size sizes[] = {{64, 50}, {256, 200}};
	static const char *const programs[] = {"threads", NULL};
	struct tiny_witness guest;
	int missed = 0;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	if (tiny_witness_open(&guest, NETWORK_USER, programs))
		return 16;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		missed |= measure_in_clone(&guest, &sizes[i]) != 0;
	tiny_witness_close(&guest);
	return missed;
}
