/*
 * What a time warp costs: N times (default 3) a clone of each target is opened, saved whole as a branch while
 * it runs, and the branch run on for 150 minutes of guest time with idle time skipped. Prints how long the
 * clone stood still for the save, the branch's size, and the host time from the save's end until the 150
 * minutes are over, as min, p50 and max with the accelerator.
 *
 *	warp [N] [TARGET]
 */
#include "base/clock.h"
#include "base/fs.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "vm/relay.h"
#include "vm/warp.h"
#include "tests/bench/spread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 100
#define GUEST_S	   9000
#define HOST_MS	   600000
#define OPEN_MS	   60000

struct figures {
	double still_ms[ROUNDS_MAX], mib[ROUNDS_MAX], host_s[ROUNDS_MAX];
	char accelerator[32];
};

static void no_event(void *arg, enum bed_event event, const json_t *json)
{
	(void)arg;
	(void)event;
	(void)json;
}

static int run_on(struct machine *machine, const char *dir, double *ret_host_s, struct err *err)
{
	auto_free char *branch = path_join(dir, "branch"), *own = path_join(dir, "warp");
	const struct warp_options options = {.spec = machine_spec(machine),
		.branch = branch,
		.dir = own,
		.tick_ns = 60 * NS_PER_SEC,
		.deadline_ns = deadline_in_ms(OPEN_MS)};
	int64_t began_ns = clock_mono_ns();
	struct warp *warp = NULL;
	enum warp_end end;
	int rc = warp_open(&options, &warp, err);

	if (rc)
		return rc;
	end = warp_run(
		warp, warp_elapsed_ns(warp) + GUEST_S * NS_PER_SEC, deadline_in_ms(HOST_MS), err);
	*ret_host_s = (double)(clock_mono_ns() - began_ns) / (double)NS_PER_SEC;
	if (end != WARP_REACHED)
		rc = err_set(err, -EIO, "the warp ended with %d after %.0f guest seconds", end,
			(double)warp_elapsed_ns(warp) / (double)NS_PER_SEC);
	warp_close(warp);
	return rc;
}

/* The machine that was saved stands still meanwhile, as in a cell. */
static int measure_once(
	const struct plan *plan, const char *dir, struct figures *f, size_t i, struct err *err)
{
	auto_free char *branch = path_join(dir, "branch");
	struct branch_size size = {0};
	struct bed *bed = NULL;
	struct machine *machine;
	int rc = bed_vm_open(&bed, plan, dir, no_event, NULL, NULL, err);

	if (rc)
		return rc;
	machine = ((struct vm_bed *)bed)->machine;
	snprintf(f->accelerator, sizeof(f->accelerator), "%s", bed->ops->describe(bed));
	rc = branch_save(machine, branch, &size, err);
	if (!rc)
		rc = machine_pause(machine, err);
	if (!rc)
		rc = run_on(machine, dir, &f->host_s[i], err);
	f->still_ms[i] = (double)size.still_ns / (double)NS_PER_MS;
	f->mib[i] = (double)size.bytes / (1 << 20);
	bed->ops->close(bed);
	return rc;
}

static void print_row(const char *target, const char *what, const char *accelerator,
	const char *unit, double *at, size_t n)
{
	spread_sort(at, n);
	printf("%-16s %-30s  %-4s  min %7.1f  p50 %7.1f  max %7.1f %s (%zu)\n", target, what,
		accelerator, at[0], at[n / 2], at[n - 1], unit, n);
}

static int measure(const struct plan *plan, const char *dir, size_t rounds, struct err *err)
{
	static struct figures f;
	const char *target = plan->target->name;
	int rc = bed_vm_prepare(plan->target, NULL, NULL, err);

	for (size_t i = 0; i < rounds && !rc; i++) {
		auto_free char *own = text_fmt("%s/%s.%zu", dir, target, i);

		rc = fs_mkdir_p(own, err);
		if (!rc)
			rc = measure_once(plan, own, &f, i, err);
		fs_remove_tree(own, NULL);
	}
	if (rc)
		return rc;
	print_row(target, "still for the save", f.accelerator, "ms", f.still_ms, rounds);
	print_row(target, "size of the branch", f.accelerator, "MiB", f.mib, rounds);
	print_row(target, "150 guest minutes", f.accelerator, "s of host time", f.host_s, rounds);
	return 0;
}

int main(int argc, char **argv)
{
	const char *const scenarios[] = {"freeze-fs-during-delivery", NULL};
	const char *const both[] = {"refstore", "postfix-dovecot", NULL};
	const char *const one[] = {argc > 2 ? argv[2] : NULL, NULL};
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
	char dir[] = "/tmp/mailrig-warp.XXXXXX";
	struct plan_request request = {
		.scenarios = scenarios, .targets = argc > 2 ? one : both, .seed = 1, .repeat = 1};
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
	for (size_t i = 0; i < plans.count && !rc; i++)
		rc = measure(plans.at[i], dir, rounds, &err);
	if (rc)
		fprintf(stderr, "%s%s\n", complaints.len ? buf_text(&complaints) : "", err.text);
	plan_list_free(&plans);
	fs_remove_tree(dir, NULL);
	return rc ? 1 : 0;
}
