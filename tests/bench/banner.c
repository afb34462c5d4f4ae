/*
 * How soon a clone of a target serves: N times (default 10) a clone is opened from the target's template, and
 * a client connects to its first service and waits for the greeting. Prints the time from the call to an open
 * bed, and from there to the greeting, as min, p50 and max with the accelerator.
 *
 *	banner [N] [TARGET]
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "run/bed/bed_vm.h"
#include "vm/relay.h"
#include "tests/bench/spread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_MAX  1000
#define GREETING_MS 60000

struct times {
	double open_ms[ROUNDS_MAX], greeting_ms[ROUNDS_MAX];
	char accelerator[32];
};

static void no_event(void *arg, enum bed_event event, const json_t *json)
{
	(void)arg;
	(void)event;
	(void)json;
}

static double ms_since(int64_t began_ns)
{
	return (double)(clock_mono_ns() - began_ns) / (double)NS_PER_MS;
}

static int wait_greeting(struct bed *bed, struct err *err)
{
	int64_t deadline_ns = deadline_in_ms(GREETING_MS);
	int fd = bed->ops->connect(bed, &bed->target->services[0], deadline_ns, err);
	char first;
	ssize_t got;

	if (fd < 0)
		return fd;
	got = io_read(fd, &first, 1, deadline_ns);
	close(fd);
	if (got != 1)
		return err_set(
			err, got ? (int)got : -EPIPE, "'%s' gives no greeting", bed->target->name);
	return 0;
}

static int measure_once(
	const struct plan *plan, const char *dir, struct times *times, size_t i, struct err *err)
{
	int64_t began_ns = clock_mono_ns();
	struct bed *bed = NULL;
	int rc = bed_vm_open(&bed, plan, dir, no_event, NULL, NULL, err);

	if (rc)
		return rc;
	times->open_ms[i] = ms_since(began_ns);
	snprintf(times->accelerator, sizeof(times->accelerator), "%s", bed->ops->describe(bed));
	began_ns = clock_mono_ns();
	rc = wait_greeting(bed, err);
	times->greeting_ms[i] = ms_since(began_ns);
	bed->ops->close(bed);
	return rc;
}

static void print_row(const char *what, const char *accelerator, double *ms, size_t n)
{
	spread_sort(ms, n);
	printf("%-30s  %-4s  min %7.1f ms  p50 %7.1f ms  max %7.1f ms  (%zu)\n", what, accelerator,
		ms[0], ms[n / 2], ms[n - 1], n);
}

static int measure(const struct plan *plan, const char *dir, size_t rounds, struct err *err)
{
	static struct times times;

	for (size_t i = 0; i < rounds; i++) {
		auto_free char *own = text_fmt("%s/%zu", dir, i);
		int rc = fs_mkdir_p(own, err);

		if (!rc)
			rc = measure_once(plan, own, &times, i, err);
		if (rc)
			return rc;
	}
	print_row("clone to open bed", times.accelerator, times.open_ms, rounds);
	print_row("open bed to first greeting", times.accelerator, times.greeting_ms, rounds);
	return 0;
}

int main(int argc, char **argv)
{
	const char *const scenarios[] = {"freeze-fs-during-delivery", NULL};
	const char *const targets[] = {argc > 2 ? argv[2] : "postfix-dovecot", NULL};
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
	char dir[] = "/tmp/mailrig-banner.XXXXXX";
	struct plan_request request = {
		.scenarios = scenarios, .targets = targets, .seed = 1, .repeat = 1};
	auto_buf struct buf complaints = {0};
	auto_free char *root = NULL;
	struct plan_list plans = {0};
	struct err err = {0};
	int rc;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	request.root = root = plan_root(&err);
	if (!rounds || rounds > ROUNDS_MAX || !root || !mkdtemp(dir))
		return 64;
	rc = plan_make(&request, &plans, &complaints, &err);
	if (!rc)
		rc = bed_vm_prepare(plans.at[0]->target, NULL, NULL, &err);
	if (!rc)
		rc = measure(plans.at[0], dir, rounds, &err);
	if (rc)
		fprintf(stderr, "%s%s\n", complaints.len ? buf_text(&complaints) : "", err.text);
	plan_list_free(&plans);
	fs_remove_tree(dir, NULL);
	return rc ? 1 : 0;
}
