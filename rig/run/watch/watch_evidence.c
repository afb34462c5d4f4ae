/* What the cell looks like now: scans, and what is saved of them beside what the rig itself knows. */
#include "run/watch/evidence_keep.h"
#include "run/watch/watch_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

#include <string.h>

#define SCAN_MAX (64u << 20)

void watch_note_calls(struct watch *w, const json_t *scan, int64_t now_ns)
{
	json_t *since = json_object(), *task;
	size_t i;

	pthread_mutex_lock(&w->lock);
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		const char *call = json_get_text(task, "syscall", "");
		int64_t start = json_get_int(task, "start", 0);
		json_t *before;
		char key[24];

		if (!*json_get_text(task, "exe", "") || !*call)
			continue;
		snprintf(key, sizeof(key), "%lld", (long long)json_get_int(task, "tid", 0));
		before = json_object_get(w->since, key);
		if (before && now_ns && json_get_int(before, "start", -1) == start &&
			!strcmp(json_get_text(before, "call", ""), call))
			json_object_set(since, key, before);
		else
			json_object_set_new(since, key,
				json_pack("{sI so s[ff]}", "start", (json_int_t)start, "call",
					json_text(call), "t", watch_seconds(w->noted_ns),
					watch_seconds(now_ns)));
	}
	json_decref(w->since);
	w->since = since;
	w->noted_ns = now_ns;
	pthread_mutex_unlock(&w->lock);
}

/* How long the machine had to wait for the host, up to now. */
static uint64_t host_wait_ns(const struct cell *cell)
{
	uint64_t waited = 0;

	if (bed_has(cell->bed, processor_wait) &&
		cell->bed->ops->processor_wait(cell->bed, &waited, NULL))
		waited = 0;
	return waited;
}

/* What a look took from the store. While the host lets neither of them run it takes nothing: charged for that, one
 * look on a busy host would leave the watch blind for seconds. */
static int64_t cost_of(const json_t *scan, uint64_t waited_before_ns, uint64_t waited_ns)
{
	int64_t took = json_get_int(scan, "took_ns", 0);
	int64_t lost = waited_ns > waited_before_ns && waited_before_ns
			       ? (int64_t)(waited_ns - waited_before_ns)
			       : 0;

	return took > lost ? took - lost : 0;
}

json_t *watch_scan(struct watch *w, bool deep)
{
	struct cell *cell = w->cell;
	int64_t began = cell_now(cell);
	uint64_t waited = host_wait_ns(cell);
	struct err err = {0};
	json_t *scan = NULL;

	if (cell->bed->ops->scan(cell->bed, deep, &scan, &err)) {
		log_line("watch: %s", err.text);
		return NULL;
	}
	w->spent_ns += cost_of(scan, waited, host_wait_ns(cell));
	watch_note_calls(w, scan, began);
	return scan;
}

/* ---- evidence ---- */

static json_t *ops_json(struct cell *cell, int64_t now_ns)
{
	json_t *ops = json_array();

	for (size_t i = 0; i < CELL_OPS_MAX; i++)
		if (cell->ops[i].id && !cell->ops[i].idle)
			json_array_append_new(
				ops, json_pack("{ss sf}", "op", cell->ops[i].name, "age_s",
					     watch_seconds(now_ns - cell->ops[i].began_ns)));
	return ops;
}

static json_t *in_force_json(const struct cell *cell)
{
	json_t *steps = json_array();

	for (size_t i = 0; i < cell->step_count; i++)
		if (cell->steps[i].fault && cell->steps[i].state == STEP_IN_FORCE)
			json_array_append_new(steps, json_text(cell->steps[i].step->label));
	return steps;
}

static json_t *parked_json(const struct cell *cell)
{
	json_t *tids = json_array();

	for (size_t i = 0; i < CELL_PARKED_MAX; i++)
		if (cell->parked[i])
			json_array_append_new(tids, json_integer(cell->parked[i]));
	return tids;
}

static json_t *since_json(struct watch *w)
{
	json_t *all = json_object(), *one;
	const char *key;

	pthread_mutex_lock(&w->lock);
	json_object_foreach (w->since, key, one)
		json_object_set(all, key, json_object_get(one, "t"));
	pthread_mutex_unlock(&w->lock);
	return all;
}

static int save_input(
	struct cell *cell, const char *dir, const char *why, bool progressed, struct err *err)
{
	auto_free char *path = path_join(dir, "input.json");
	auto_json json_t *input = NULL;
	int64_t now = cell_now(cell), limit;

	pthread_mutex_lock(&cell->lock);
	limit = fault_in_force(cell) ? cell->objectives.slowdown_floor_ms
				     : cell->objectives.recover_ms;
	input = json_pack("{sf so sf sb sb so so so}", "t", watch_seconds(now), "why",
		json_text(why), "owed_limit_s", (double)limit / 1000, "progressed", (int)progressed,
		"stopping", (int)cell->stopping, "in_force", in_force_json(cell), "parked",
		parked_json(cell), "ops", ops_json(cell, now));
	pthread_mutex_unlock(&cell->lock);
	if (cell->watch)
		json_object_set_new(input, "since", since_json(cell->watch));
	return json_save_path(path, input, err);
}

static void wait_apart(struct cell *cell)
{
	int64_t until = cell_now(cell) + WATCH_APART_MS * NS_PER_MS;

	pthread_mutex_lock(&cell->lock);
	while (cell_now(cell) < until && !cell_ended(cell))
		cell_wait(cell, until);
	pthread_mutex_unlock(&cell->lock);
}

/* What is saved is looked at once more: since when, what those who sleep ask for, and with which functions on their
 * stacks. */
static void look_at_saved(struct watch *w, const char *dir, const json_t *earlier, bool progressed)
{
	auto_free char *path = path_join(dir, "scan.json");
	auto_json json_t *scan = fs_exists(path) ? json_load_path(path, SCAN_MAX, NULL) : NULL;
	struct err err = {0};

	if (!scan)
		return;
	watch_note_calls(w, scan, cell_now(w->cell));
	if (watch_look_closer(w->cell,
		    &(struct diagnose_input){.scan = scan,
			    .earlier = earlier,
			    .healthy = w->healthy,
			    .progressed = progressed},
		    scan) &&
		json_save_path(path, scan, &err))
		log_line("watch: %s", err.text);
}

/* `first` may be NULL. */
static int save_instants(struct cell *cell, const char *dir, const char *why, json_t *first,
	bool twice, struct err *err)
{
	auto_free char *path = path_join(dir, "earlier.json");
	uint64_t ended = cell->ops_ended;
	bool progressed = false;
	int rc = fs_mkdir_p(dir, err);

	if (!rc && first)
		rc = json_save_path(path, first, err);
	if (!rc && twice)
		wait_apart(cell);
	if (!rc)
		rc = cell->bed->ops->evidence(cell->bed, dir, err);
	pthread_mutex_lock(&cell->lock);
	progressed = twice && cell->ops_ended != ended;
	pthread_mutex_unlock(&cell->lock);
	if (!rc)
		rc = save_input(cell, dir, why, progressed, err);
	if (!rc && cell->watch)
		look_at_saved(cell->watch, dir, first, progressed);
	return rc;
}

static int finish(const struct cell *cell, const char *dir, struct err *err)
{
	auto_free char *logs = path_join(cell->dir, "logs");
	uint64_t bytes;
	int rc = evidence_log_tail(logs, dir, err);

	return rc ? rc : evidence_bound(dir, EVIDENCE_BYTES_MAX, &bytes, err);
}

json_t *watch_known_json(const struct watch *w)
{
	json_t *tids = json_array();

	for (size_t i = 0; i < w->known_count; i++)
		json_array_append_new(tids, json_integer(w->known[i]));
	if (w->before && w->known_count)
		return json_pack("{ss so}", "before", w->before_name, "known", tids);
	json_decref(tids);
	return NULL;
}

bool watch_save_beside(struct cell *cell, const char *name, const json_t *known)
{
	auto_free char *dir = text_fmt("%s/evidence/%s", cell->dir, name);
	auto_free char *path = path_join(dir, "known.json");
	struct err err = {0};

	if (!known || (!fs_mkdir_p(dir, &err) && !json_save_path(path, known, &err)))
		return true;
	log_line("watch: %s", err.text);
	return false;
}

bool watch_save(struct cell *cell, const char *name, const char *why, json_t *first, bool twice)
{
	auto_free char *base = path_join(cell->dir, "evidence");
	auto_free char *dir = path_join(base, name);
	struct err err = {0};

	if (save_instants(cell, dir, why, first, twice, &err) || finish(cell, dir, &err)) {
		history_add(cell->recorder, "note", "{ss so}", "evidence", name, "text",
			json_text(err.text));
		return false;
	}
	history_add(cell->recorder, "evidence", "{ss so}", "name", name, "why", json_text(why));
	waits_record(cell, name, dir);
	return true;
}

void watch_evidence(struct cell *cell, const char *name, const char *why, bool twice)
{
	auto_json json_t *first = NULL;

	if (!bed_has(cell->bed, evidence) || cell->broken)
		return;
	if (twice && cell->watch)
		first = watch_scan(cell->watch, true);
	if (watch_save(cell, name, why, first, twice && first) && cell->watch)
		watch_branch(cell->watch, name);
}
