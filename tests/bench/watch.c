/*
 * What the watch over a cell costs the workload, and how soon it tells of a hang.
 *
 * Cost: pairs of cells on one target, one with the watch and one without, in turn first; a workload without pace: how
 * long it takes, and how much processor time QEMU uses for it, which a busy host changes less. Prints the ratio of each
 * pair, what the looks took, and the accelerator.
 *
 * Latency: cells of the reference store that hang as two of its defects make it. A cycle: from the end of the fault that
 * lets it close, which is before its onset, until it is told. Others: from the moment at which the objective is
 * broken. In seconds of the cell clock.
 *
 *	watch [PAIRS [HANGS [TARGET]]]
 */
#include "api/history.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "run/cell/cell.h"
#include "tests/bench/spread.h"
#include "vm/relay.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX 1000

static const char load_yaml[] =
	"claim: a workload that takes as long as the store lets it\n"
	"workload:\n"
	"  - {as: writers, do: smtp, sessions: 2, messages: 200, to: [u1, u2]}\n"
	"  - {as: reader,  do: imap, sessions: 1, pace: 20/s, user: u1}\n";

static const char cycle_yaml[] =
	"claim: a conversion that stands still for a moment delays the others and no more\n"
	"workload:\n"
	"  - {as: writers, do: smtp, sessions: 2, messages: 20, pace: 10/s, to: [u1, u2]}\n"
	"  - {as: reader,  do: imap, sessions: 2, pace: 5/s, user: u1}\n"
	"steps:\n"
	"  - {as: held, do: park, role: store, point: refstore/convert/out, hit: 3, at: 0s, for: "
	"1s}\n"
	"objectives: {recover: 2s, stop: 3s}\n";

static const char pool_yaml[] =
	"claim: moving mailboxes while the MTA is disabled delays nobody else\n"
	"workload:\n"
	"  - {as: mail, do: smtp, sessions: 2, messages: 60, pace: 10/s, to: [u1, u2]}\n"
	"steps:\n"
	"  - {as: no_mta, do: mta-disabled, agent: mta, at: 1s, for: 6s}\n"
	"  - {do: move-mailbox, users: [m1, m2, m3, m4, m5, m6, m7, m8], while: no_mta, delay: "
	"1s}\n"
	"objectives: {recover: 2s, slowdown: 5, slowdown_floor: 2s}\n";

struct values {
	double at[VALUES_MAX];
	size_t count;
};

static void add(struct values *values, double value)
{
	if (values->count < VALUES_MAX)
		values->at[values->count++] = value;
}

static void print_row(const char *what, const char *accelerator, const char *unit, struct values *v)
{
	if (!v->count) {
		printf("%-46s  none was seen\n", what);
		return;
	}
	spread_sort(v->at, v->count);
	printf("%-46s  %-4s  min %7.3f  p50 %7.3f  max %7.3f %s (%zu)\n", what, accelerator,
		v->at[0], v->at[v->count / 2], v->at[v->count - 1], unit, v->count);
}

/* ---- a bed whose looks are counted, or that cannot look ---- */

static struct bed_ops own_ops;
static int (*real_scan)(struct bed *bed, bool deep, json_t **ret, struct err *err);
static struct values shallow_ms, deep_ms;

static int counted_scan(struct bed *bed, bool deep, json_t **ret, struct err *err)
{
	int rc = real_scan(bed, deep, ret, err);

	if (!rc)
		add(deep ? &deep_ms : &shallow_ms,
			(double)json_get_int(*ret, "took_ns", 0) / (double)NS_PER_MS);
	return rc;
}

static char accelerator[32] = "none";
static clockid_t qemu_clock;
static int64_t cpu_began_ns, cpu_used_ns; /* of QEMU: until the first command after the workload */

static int64_t cpu_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(qemu_clock, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int (*real_run)(struct bed *bed, const char *line, const char *const *env,
	int64_t timeout_ms, bool daemons, struct command_result *ret, struct err *err);

static int clocked_run(struct bed *bed, const char *line, const char *const *env,
	int64_t timeout_ms, bool daemons, struct command_result *ret, struct err *err)
{
	if (!cpu_used_ns)
		cpu_used_ns = cpu_ns() - cpu_began_ns;
	return real_run(bed, line, env, timeout_ms, daemons, ret, err);
}

static int open_bed(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn fn,
	void *arg, void *watched, struct err *err)
{
	int rc = bed_vm_open(ret, plan, dir, fn, arg, NULL, err);

	if (!*ret)
		return rc;
	own_ops = *(*ret)->ops;
	real_scan = own_ops.scan;
	own_ops.scan = *(const bool *)watched ? counted_scan : NULL;
	real_run = own_ops.run;
	own_ops.run = clocked_run;
	(*ret)->ops = &own_ops;
	if (!rc && !clock_getcpuclockid(machine_pid(((struct vm_bed *)*ret)->machine), &qemu_clock))
		cpu_began_ns = cpu_ns();
	cpu_used_ns = 0;
	if (!rc)
		snprintf(accelerator, sizeof(accelerator), "%s", own_ops.describe(*ret));
	return rc;
}

/* ---- one cell ---- */

static int run_cell(
	struct plan *plan, const char *top, bool watched, struct history **ret, struct err *err)
{
	auto_free char *dir = path_join(top, "cell");
	auto_free char *path = path_join(dir, "history.jsonl");
	int rc;

	plan->again = true; /* no hang is run on */
	fs_remove_tree(dir, NULL);
	rc = fs_mkdir_p(dir, err);
	if (!rc)
		rc = plan_save(plan, dir, err);
	if (!rc)
		rc = cell_run(plan, dir, open_bed, &watched, err);
	return rc ? rc : history_load(path, ret, err);
}

/* From the first mail's begin to the last one's end; negative: it did not get through. */
static double workload_s(const struct history *history)
{
	double first = -1, last = -1;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (strcmp(json_get_text(event->data, "op", ""), "smtp-message") != 0)
			continue;
		if (first < 0 && event_is(event, "begin"))
			first = event->t;
		if (event_is(event, "end"))
			last = event->t;
	}
	return last - first;
}

static int measure_once(
	struct plan *plan, const char *top, bool watched, double *ret_s, struct err *err)
{
	struct history *history = NULL;
	int rc = run_cell(plan, top, watched, &history, err);

	if (!rc)
		*ret_s = workload_s(history);
	if (!rc && *ret_s <= 0)
		rc = err_set(err, -EIO, "the workload did not run");
	history_free(history);
	return rc;
}

static int measure_cost(struct plan *plan, const char *top, size_t pairs, struct err *err)
{
	static struct values ratios, with, cpu;
	int rc = 0;

	for (size_t i = 0; i < pairs && !rc; i++) {
		double s[2] = {0}, cpu_s[2] = {0};

		for (size_t k = 0; k < 2 && !rc; k++) {
			bool watched = (i + k) % 2;

			rc = measure_once(plan, top, watched, &s[watched], err);
			cpu_s[watched] = (double)cpu_used_ns / (double)NS_PER_SEC;
		}
		if (rc)
			return rc;
		add(&ratios, s[1] / s[0]);
		add(&with, s[1]);
		add(&cpu, cpu_s[1] / cpu_s[0]);
	}
	print_row("400 mails, with the watch over without", accelerator, "", &ratios);
	print_row("processor time of QEMU, likewise", accelerator, "", &cpu);
	print_row("400 mails, with the watch", accelerator, "s", &with);
	print_row("a look", accelerator, "ms", &shallow_ms);
	print_row("a deep look", accelerator, "ms", &deep_ms);
	return 0;
}

/* ---- how soon ---- */

static void read_latency(
	const struct history *history, struct values *cycles, struct values *overdue)
{
	double healed = -1;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "fault") &&
			!strcmp(json_get_text(event->data, "state", ""), "healed"))
			healed = event->t;
		if (!event_is(event, "suspected"))
			continue;
		if (!strcmp(json_get_text(event->data, "why", ""), "overdue"))
			add(overdue, json_get_real(event->data, "age_s", 0) -
					     json_get_real(event->data, "limit_s", 0));
		else if (healed >= 0)
			add(cycles, event->t - healed);
	}
}

static int measure_latency(struct plan_list *plans, const char *top, size_t rounds, struct err *err)
{
	static struct values cycles, overdue;
	int rc = 0;

	for (size_t i = 0; i < rounds * plans->count && !rc; i++) {
		struct history *history = NULL;

		rc = run_cell(plans->at[i % plans->count], top, true, &history, err);
		if (!rc)
			read_latency(history, &cycles, &overdue);
		history_free(history);
	}
	print_row("a cycle is told after it could close", accelerator, "s", &cycles);
	print_row("others are told after the objective is broken", accelerator, "s", &overdue);
	return rc;
}

/* ---- plans ---- */

static int add_plan(const char *top, const char *root, const char *name, const char *yaml,
	const char *target, const char *setting, struct plan_list *ret, struct err *err)
{
	auto_free char *path = text_fmt("%s/%s.yaml", top, name);
	const char *const scenarios[] = {path, NULL}, *const targets[] = {target, NULL},
			  *const settings[] = {setting, NULL};
	struct plan_request request = {.root = root,
		.scenarios = scenarios,
		.targets = targets,
		.settings = setting ? settings : NULL,
		.seed = 1,
		.repeat = 1};
	auto_buf struct buf complaints = {0};
	struct plan_list made = {0};
	int rc = fs_write_atomic(path, yaml, strlen(yaml), err);

	if (!rc)
		rc = plan_make(&request, &made, &complaints, err);
	if (!rc && made.count != 1)
		rc = err_set(err, -EINVAL, "'%s' gives %zu plans", name, made.count);
	if (rc && complaints.len)
		fprintf(stderr, "%s", buf_text(&complaints));
	if (!rc)
		rc = bed_vm_prepare(made.at[0]->target, NULL, NULL, err);
	if (!rc) {
		ret->at = mem_grow(ret->at, ret->count + 1, sizeof(*ret->at));
		ret->at[ret->count++] = made.at[0];
		made.count = 0;
	}
	plan_list_free(&made);
	return rc;
}

int main(int argc, char **argv)
{
	size_t pairs = argc > 1 ? strtoul(argv[1], NULL, 10) : 5;
	size_t hangs = argc > 2 ? strtoul(argv[2], NULL, 10) : 3;
	const char *target = argc > 3 ? argv[3] : "refstore";
	char top[] = "/tmp/mailrig-watch.XXXXXX";
	struct plan_list load = {0}, sick = {0};
	auto_free char *root = NULL;
	struct err err = {0};
	int rc;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	root = plan_root(&err);
	if (!root || pairs > VALUES_MAX || hangs > VALUES_MAX || !mkdtemp(top))
		return 64;
	rc = add_plan(top, root, "load", load_yaml, target, NULL, &load, &err);
	if (!rc && pairs)
		rc = measure_cost(load.at[0], top, pairs, &err);
	if (!rc && hangs)
		rc = add_plan(
			top, root, "cycle", cycle_yaml, "refstore", "f2=shipped", &sick, &err);
	if (!rc && hangs)
		rc = add_plan(top, root, "pool", pool_yaml, "refstore", "f4=shipped", &sick, &err);
	if (!rc && hangs)
		rc = measure_latency(&sick, top, hangs, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	plan_list_free(&load);
	plan_list_free(&sick);
	fs_remove_tree(top, NULL);
	return rc ? 1 : 0;
}
