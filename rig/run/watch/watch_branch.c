/* For a hang that somebody is to blame for a copy of the machine is kept, and run on when the cell is over. */
#include "run/watch/watch_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "run/bed/adjudicate.h"
#include "run/watch/hang.h"
#include "run/judge.h"

#include <string.h>

#define SCAN_MAX (64u << 20)

/* A control has no fault, and what is repeated was judged the first time. */
static bool wanted(const struct watch *w)
{
	const struct cell *cell = w->cell;

	return bed_has(cell->bed, branch) && bed_has(cell->bed, adjudicate) &&
	       cell->plan->kind != PLAN_CONTROL && !cell->plan->again;
}

/* What stands still hangs, and somebody makes it so: neither a crash nor what the fault alone holds up. Of what burns
 * the processor no time can be skipped. */
static bool is_worth_it(const struct diagnosis *d)
{
	static const char *const hangs[] = {
		"deadlock", "lost-wakeup", "exhaustion", "stopped", NULL};

	if (!d->finding || !d->culprit_count || !d->hang_class)
		return false;
	for (const char *const *known = hangs; *known; known++)
		if (!strcmp(*known, d->hang_class))
			return true;
	return false;
}

/* What still hangs once no fault is in force is asked about anew. */
static bool is_known(const struct watch *w, const struct diagnosis *d, bool in_force)
{
	for (size_t i = 0; i < w->branch_count; i++)
		if (!strcmp(w->branches[i].signature, d->signature) &&
			(in_force || !w->branches[i].in_force))
			return true;
	return false;
}

/* With the signature that the hang had when the copy was kept: what the host lost is told later, and may be why its
 * evidence says less at the end. */
static void tell(struct watch *w, const struct watch_branch *branch, json_t *adjudged)
{
	json_object_set_new(adjudged, "name", json_string(branch->name));
	json_object_set_new(adjudged, "signature", json_string(branch->signature));
	json_object_set_new(adjudged, "in_force", json_boolean(branch->in_force));
	history_add_at(w->cell->recorder, cell_now(w->cell), "adjudged", adjudged);
}

static void tell_not_judged(
	struct watch *w, const struct watch_branch *branch, const struct err *why)
{
	tell(w, branch,
		json_pack("{ss so}", "recovery", "not-judged", "event", json_text(why->text)));
}

static void keep(struct watch *w, const char *name, const struct diagnosis *d, bool in_force)
{
	struct cell *cell = w->cell;
	struct watch_branch *branch = &w->branches[w->branch_count++];
	auto_free char *path = text_fmt("%s/evidence/%s/scan.json", cell->dir, name);
	auto_json json_t *scan = json_load_path(path, SCAN_MAX, NULL);
	int tids[CULPRITS_MAX];
	json_t *told = NULL;
	struct err err = {0};

	snprintf(branch->name, sizeof(branch->name), "%s", name);
	snprintf(branch->signature, sizeof(branch->signature), "%s", d->signature);
	branch->in_force = in_force;
	for (size_t i = 0; i < d->culprit_count; i++)
		tids[i] = d->culprits[i].tid;
	branch->saved =
		!cell->bed->ops->branch(cell->bed, name, scan, tids, d->culprit_count, &told, &err);
	if (!branch->saved) {
		tell_not_judged(w, branch, &err);
		return;
	}
	json_object_set_new(told, "name", json_string(name));
	history_add_at(cell->recorder, cell_now(cell), "branched", told);
}

void watch_branch(struct watch *w, const char *name)
{
	struct cell *cell = w->cell;
	auto_free char *path = path_join(cell->dir, "history.jsonl");
	struct history *history = NULL;
	struct diagnosis diagnosis = {0};
	struct err err = {0};
	bool in_force;

	if (!wanted(w))
		return;
	if (history_load(path, &history, &err))
		log_line("watch: %s", err.text);
	hang_diagnose(cell->plan, cell->dir, name, history, &diagnosis);
	history_free(history);
	pthread_mutex_lock(&cell->lock);
	in_force = fault_in_force(cell);
	pthread_mutex_unlock(&cell->lock);
	pthread_mutex_lock(&w->branching);
	if (is_worth_it(&diagnosis) && w->branch_count < BRANCHES_MAX &&
		!is_known(w, &diagnosis, in_force))
		keep(w, name, &diagnosis, in_force);
	pthread_mutex_unlock(&w->branching);
	diagnosis_free(&diagnosis);
}

static void run_on(struct watch *w, const struct watch_branch *branch, int64_t host_ms)
{
	const struct bed_patience patience = {.host_ms = host_ms, .over = cell_interrupted};
	struct bed *bed = w->cell->bed;
	json_t *adjudged = NULL;
	struct err err = {0};

	if (host_ms <= 0)
		err_set(&err, -ETIMEDOUT, "the time for it was spent on the hangs before");
	if (host_ms <= 0 || bed->ops->adjudicate(bed, branch->name, &patience, &adjudged, &err))
		tell_not_judged(w, branch, &err);
	else
		tell(w, branch, adjudged);
}

/* It hung on when no fault was in force: that copy says more. */
static bool is_superseded(const struct watch *w, const struct watch_branch *branch)
{
	for (size_t i = 0; branch->in_force && i < w->branch_count; i++)
		if (w->branches[i].saved && !w->branches[i].in_force &&
			!strcmp(w->branches[i].signature, branch->signature))
			return true;
	return false;
}

void watch_adjudicate(struct cell *cell)
{
	struct watch *w = cell->watch;
	int64_t deadline_ns = deadline_in_ms(ADJUDICATE_HOST_MS);
	struct result result = {0};
	struct err err = {0};

	if (!w || !w->branch_count || cell_interrupted())
		return;
	if (judge_cell(cell->dir, &result, &err)) {
		log_line("watch: %s", err.text);
		return;
	}
	/* What was suspected while a fault was in force, and went on after it, is mostly no finding. */
	for (size_t i = 0; i < w->branch_count; i++)
		if (w->branches[i].saved && !is_superseded(w, &w->branches[i]) &&
			result_has_signature(&result, w->branches[i].signature))
			run_on(w, &w->branches[i], (deadline_ns - clock_mono_ns()) / NS_PER_MS);
	result_free(&result);
}
