/*
 * What the watch over a cell costs the workload, and how soon it tells of a hang.
 *
 * Cost: one cell with a workload without pace, in which the watch may look in every other window of time (off on on off
 * off on ...). Of each two windows side by side: how many more mails a second of QEMU's processor time got through
 * without the looks, over what both had in the mean. Two cells differ by more than the watch costs, and so does wall
 * time on a busy host; this does not. A look that is not taken is charged all the same, or the watch would look twice as
 * often in the other windows. Prints the mean with its standard error, what the looks took, and the accelerator. Ends
 * with 1 where the mean is above 5 %.
 *
 * Latency: cells of the reference store that hang as two of its defects make it. A cycle: from the end of the fault that
 * lets it close, the last look at which it was open, or the begin of the oldest operation, whichever was last, which is
 * before its onset, until it is told.
 * Others: from the moment at which the objective is broken. In seconds of the cell clock. One that is told too late is
 * printed with the looks before it. Ends with 1 where more than one in twenty is.
 *
 *	watch [CELLS [HANGS [TARGET]]]
 */
#include "api/history.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "run/cell/cell.h"
#include "run/judge.h"
#include "tests/bench/values.h"
#include "vm/relay.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_MS   1000
#define COST_MAX    0.05
#define CYCLE_MAX_S 0.5
#define HANG_MAX_S  2.0

static const char load_yaml[] =
	"claim: a workload that takes as long as the store lets it\n"
	"workload:\n"
	"  - {as: writers, do: smtp, sessions: 2, messages: 1200, to: [u1, u2]}\n"
	"  - {as: reader,  do: imap, sessions: 1, pace: 5/s, user: u1}\n";

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

/* ---- a bed whose looks are counted, and that looks at times only ---- */

static struct bed_ops own_ops;
static int (*real_scan)(struct bed *bed, bool deep, json_t **ret, struct err *err);
static struct values shallow_ms, deep_ms;
static atomic_bool may_look = true;
static _Atomic int64_t took_ns[2]; /* the last look, and the last deep one */
static atomic_int mails;
static struct {
	bed_event_fn fn;
	void *arg;
} told;

/* The looks of one cell, on the bed's clock, and a line of the log by which that is known on the cell's. */
static struct look {
	int64_t began_ns, over_ns;
	bool deep;
} looks[VALUES_MAX];
static atomic_size_t look_count;
static unsigned int late_count; /* cells that were kept */
static struct {
	char text[256];
	int64_t bed_ns;
} last_log;

/* Nothing is seen, for the price of the last look. */
static int look_away(bool deep, json_t **ret)
{
	*ret = json_pack("{sI ss s[]}", "took_ns", (json_int_t)took_ns[deep], "locks", "", "tasks");
	return 0;
}

static int counted_scan(struct bed *bed, bool deep, json_t **ret, struct err *err)
{
	int64_t began = bed->ops->clock_ns(bed);
	int rc = may_look ? real_scan(bed, deep, ret, err) : look_away(deep, ret);
	size_t at = look_count++;

	if (at < VALUES_MAX)
		looks[at] = (struct look){began, bed->ops->clock_ns(bed), deep};
	if (rc || !may_look)
		return rc;
	took_ns[deep] = json_get_int(*ret, "took_ns", 0);
	values_add(deep ? &deep_ms : &shallow_ms, (double)took_ns[deep] / (double)NS_PER_MS);
	return 0;
}

static void on_event(void *arg, enum bed_event event, const json_t *json)
{
	(void)arg;
	if (event == BED_LOG) {
		snprintf(last_log.text, sizeof(last_log.text), "%s",
			json_get_text(json, "text", ""));
		last_log.bed_ns = json_get_int(json, "cell_ns", 0);
	}
	if (event == BED_WIRE && !strcmp(json_get_text(json, "moment", ""), "smtp/reply"))
		mails++;
	told.fn(told.arg, event, json);
}

static char accelerator[32] = "none";
static clockid_t qemu_clock;

static int64_t cpu_ns(void)
{
	struct timespec ts = {0};

	clock_gettime(qemu_clock, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

static int open_bed(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn fn,
	void *arg, void *wish, struct err *err)
{
	int rc;

	(void)wish;
	told.fn = fn;
	told.arg = arg;
	rc = bed_vm_open(ret, plan, dir, on_event, NULL, NULL, err);
	if (!*ret)
		return rc;
	own_ops = *(*ret)->ops;
	real_scan = own_ops.scan;
	own_ops.scan = counted_scan;
	(*ret)->ops = &own_ops;
	if (!rc)
		rc = -clock_getcpuclockid(
			machine_pid(((struct vm_bed *)*ret)->machine), &qemu_clock);
	if (!rc)
		snprintf(accelerator, sizeof(accelerator), "%s", own_ops.describe(*ret));
	return rc;
}

/* ---- one cell ---- */

static int run_cell(struct plan *plan, const char *top, struct history **ret, struct err *err)
{
	auto_free char *dir = path_join(top, "cell");
	auto_free char *path = path_join(dir, "history.jsonl");
	int rc;

	look_count = 0;
	plan->again = true; /* no hang is run on */
	fs_remove_tree(dir, NULL);
	rc = fs_mkdir_p(dir, err);
	if (!rc)
		rc = plan_save(plan, dir, err);
	if (!rc)
		rc = cell_run(plan, dir, open_bed, NULL, err);
	return rc ? rc : history_load(path, ret, err);
}

/* ---- what it costs ---- */

struct window {
	bool on;
	double rate; /* mails for a second of QEMU's processor time; 0: none got through */
};

struct sampling {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
	struct window at[VALUES_MAX];
	size_t count;
};

/* The first and the last mails share their windows with nothing. */
static void *sample(void *arg)
{
	struct sampling *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->over && s->count < VALUES_MAX) {
		struct window window = {.on = (s->count + 1) / 2 % 2};
		int before;
		int64_t cpu;

		may_look = window.on;
		before = mails;
		cpu = before ? cpu_ns() : 0;
		cond_wait(&s->changed, &s->lock, deadline_in_ms(WINDOW_MS));
		if (!before)
			continue;
		cpu = cpu_ns() - cpu;
		window.rate = cpu > 0 ? (double)(mails - before) * 1e9 / (double)cpu : 0;
		s->at[s->count++] = window;
	}
	pthread_mutex_unlock(&s->lock);
	may_look = true;
	return NULL;
}

/* Of windows side by side, one of each kind: how much more got through without the looks. Over the mean, because a
 * ratio of two noisy numbers is too big in the mean. */
static void add_costs(const struct sampling *s, struct values *costs)
{
	for (size_t i = 0; i + 1 < s->count; i += 2) {
		const struct window *one = &s->at[i], *two = &s->at[i + 1];
		double off = one->on ? two->rate : one->rate;
		double on = one->on ? one->rate : two->rate;

		if (on > 0 && off > 0)
			values_add(costs, 2 * (off - on) / (off + on));
	}
}

static int measure_once(struct plan *plan, const char *top, struct values *costs, struct err *err)
{
	struct sampling *s = mem_zero(1, sizeof(*s));
	struct history *history = NULL;
	pthread_t thread;
	int rc;

	mails = 0;
	pthread_mutex_init(&s->lock, NULL);
	cond_init(&s->changed);
	if (pthread_create(&thread, NULL, sample, s))
		abort();
	rc = run_cell(plan, top, &history, err);
	pthread_mutex_lock(&s->lock);
	s->over = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(thread, NULL);
	if (!rc)
		add_costs(s, costs);
	history_free(history);
	free(s);
	return rc;
}

/* By Newton: the library of mathematics is linked for nothing else. */
static double root(double x)
{
	double y = x > 1 ? x : 1;

	for (int i = 0; i < 60; i++)
		y = (y + x / y) / 2;
	return y;
}

static int measure_cost(
	struct plan *plan, const char *top, size_t cells, bool *ret_missed, struct err *err)
{
	static struct values costs;
	double sum = 0, squares = 0, mean, error;
	int rc = 0;

	for (size_t i = 0; i < cells && !rc; i++)
		rc = measure_once(plan, top, &costs, err);
	if (rc || costs.count < 2)
		return rc ? rc : err_set(err, -EIO, "the workload did not run");
	for (size_t i = 0; i < costs.count; i++) {
		sum += costs.at[i];
		squares += costs.at[i] * costs.at[i];
	}
	mean = sum / (double)costs.count;
	error = root((squares / (double)costs.count - mean * mean) / (double)(costs.count - 1));
	printf("the watch costs %.1f %% of a mail's processor time, standard error %.1f "
	       "(at most %.0f)\n",
		100 * mean, 100 * error, 100 * COST_MAX);
	values_print("of windows side by side, part of one", accelerator, "", &costs);
	values_print("a look", accelerator, "ms", &shallow_ms);
	values_print("a deep look", accelerator, "ms", &deep_ms);
	*ret_missed = mean > COST_MAX;
	return 0;
}

/* ---- how soon ---- */

/* Where the cell clock began on the bed's, by the last line of a log; 0: no line is known on both. */
static int64_t origin_ns(const struct history *history)
{
	const struct event *last = NULL;

	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "log"))
			last = &history->events[i];
	if (!last || strcmp(json_get_text(last->data, "text", ""), last_log.text) != 0)
		return 0;
	return last_log.bed_ns - (int64_t)(last->t * (double)NS_PER_SEC);
}

/* Which looks there were meanwhile, and what the host took away: why it was told so late. */
static void print_late(const struct history *history, double from_s, double told_s)
{
	int64_t origin = origin_ns(history);
	size_t count = look_count < VALUES_MAX ? look_count : VALUES_MAX;

	printf("late: looks from %.2f s on at", from_s);
	for (size_t i = 0; i < count && origin; i++) {
		double began = (double)(looks[i].began_ns - origin) / (double)NS_PER_SEC;

		if (began >= from_s - 2 && began <= told_s)
			printf(" %+.2f%s (%.0f ms)", began - from_s, looks[i].deep ? "" : " flat",
				(double)(looks[i].over_ns - looks[i].began_ns) / (double)NS_PER_MS);
	}
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "rig"))
			printf("; %+.2f %s", history->events[i].t - from_s,
				json_get_text(history->events[i].data, "text", ""));
	printf("\n");
}

static bool add_latency(const struct history *history, const char *what, struct values *values,
	double from_s, double told_s, double limit_s)
{
	values_add(values, told_s - from_s);
	printf("%s told after %.3f s\n", what, told_s - from_s);
	fflush(stdout);
	if (told_s - from_s <= limit_s)
		return false;
	print_late(history, from_s, told_s);
	return true;
}

/* For people to read. */
static void keep_late(const char *top, const char *dir)
{
	auto_free char *path = text_fmt("%s/late-%u", top, ++late_count);

	if (!rename(dir, path))
		printf("late: see %s\n", path);
	fflush(stdout);
}

/* Of the cell's first finding: the last look at which not all of those who make it stood. */
static double not_yet(const char *dir)
{
	struct result result = {0};
	struct err err = {0};
	double t = -1;

	if (judge_cell(dir, &result, &err))
		fprintf(stderr, "%s\n", err.text);
	else if (result.finding_count)
		t = json_number_value(json_array_get(
			json_object_get(result.findings[0].diagnosis, "onset_s"), 0));
	result_free(&result);
	return t;
}

/* True: one was told late. */
static bool read_latency(const struct history *history, const char *dir, struct values *cycles,
	struct values *overdue)
{
	double open = not_yet(dir), healed = -1, from, began;
	bool late = false, cycle = false;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "fault") &&
			!strcmp(json_get_text(event->data, "state", ""), "healed"))
			healed = event->t;
		if (!event_is(event, "suspected"))
			continue;
		from = open < event->t && open > healed ? open : healed;
		/* Both sides of the cycle work for operations, and that is the oldest under way. */
		began = event->t - json_get_real(event->data, "age_s", 0);
		from = from < began ? began : from;
		if (!strcmp(json_get_text(event->data, "why", ""), "overdue"))
			late |= add_latency(history, "a hang", overdue,
				event->t - json_get_real(event->data, "age_s", 0) +
					json_get_real(event->data, "limit_s", 0),
				event->t, HANG_MAX_S);
		else if (!cycle && from >= 0)
			late |= add_latency(
				history, "a cycle", cycles, from, event->t, CYCLE_MAX_S);
		/* What comes later stands behind it, and is told so. */
		cycle |= strcmp(json_get_text(event->data, "why", ""), "overdue") != 0;
	}
	return late;
}

static int measure_latency(
	struct plan_list *plans, const char *top, size_t rounds, bool *ret_missed, struct err *err)
{
	static struct values cycles, overdue;
	auto_free char *dir = path_join(top, "cell");
	int rc = 0;

	for (size_t i = 0; i < rounds * plans->count && !rc; i++) {
		struct history *history = NULL;

		rc = run_cell(plans->at[i % plans->count], top, &history, err);
		if (!rc && read_latency(history, dir, &cycles, &overdue))
			keep_late(top, dir);
		history_free(history);
	}
	values_print("a cycle is told after it could close", accelerator, "s", &cycles);
	values_print("others are told after the objective is broken", accelerator, "s", &overdue);
	*ret_missed |= 20 * values_above(&cycles, CYCLE_MAX_S) > cycles.count ||
		       20 * values_above(&overdue, HANG_MAX_S) > overdue.count;
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
	size_t cells = argc > 1 ? strtoul(argv[1], NULL, 10) : 2;
	size_t hangs = argc > 2 ? strtoul(argv[2], NULL, 10) : 3;
	const char *target = argc > 3 ? argv[3] : "refstore";
	char top[] = "/tmp/mailrig-watch.XXXXXX";
	struct plan_list load = {0}, sick = {0};
	auto_free char *root = NULL;
	struct err err = {0};
	bool missed = false;
	int rc;

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	root = plan_root(&err);
	if (!root || cells > VALUES_MAX || hangs > VALUES_MAX || !mkdtemp(top))
		return 64;
	rc = add_plan(top, root, "load", load_yaml, target, NULL, &load, &err);
	if (!rc && cells)
		rc = measure_cost(load.at[0], top, cells, &missed, &err);
	if (!rc && hangs)
		rc = add_plan(
			top, root, "cycle", cycle_yaml, "refstore", "f2=shipped", &sick, &err);
	if (!rc && hangs)
		rc = add_plan(top, root, "pool", pool_yaml, "refstore", "f4=shipped", &sick, &err);
	if (!rc && hangs)
		rc = measure_latency(&sick, top, hangs, &missed, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	plan_list_free(&load);
	plan_list_free(&sick);
	if (!late_count)
		fs_remove_tree(top, NULL);
	return rc || missed;
}
