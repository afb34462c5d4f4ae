#include "run/watch.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "diagnose/diagnose.h"
#include "run/rig_programs.h"

#include <string.h>

#define TICK_MS 100
#define OVERDUE_MS \
	250 /* an operation that takes longer, and longer than those before it, is looked at */
#define SAMPLE_MS      1000
#define HANGS_MAX      4 /* evidence folders that the watch makes of its own */
#define BUDGET_PERCENT 4
#define BUDGET_FREE_MS 200 /* that may be spent at once */
#define SCAN_MAX       (64u << 20)

struct watch {
	struct cell *cell;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* `since` and `noted_ns` */
	bool end;	      /* the cell's lock */
	json_t *healthy, *deep;
	json_t *since;
	int64_t noted_ns;		    /* the last look */
	int64_t sample_ns, deep_ns, gap_ms; /* when the next is due */
	int64_t spent_ns;
	int64_t in_force_ns; /* a fault was last seen in force */
	bool was_in_force;
	uint64_t about; /* operation that the last hang was about */
	unsigned int hangs;
	bool saw_cycle;
};

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

/* ---- what is under way; the cell's lock held ---- */

struct oldest {
	uint64_t id;
	char name[OP_NAME_MAX];
	int64_t began_ns, limit_ns, usual_ns;
	bool stop;
};

static bool fault_in_force(const struct cell *cell)
{
	for (size_t i = 0; i < cell->step_count; i++)
		if (cell->steps[i].fault && cell->steps[i].state == STEP_IN_FORCE)
			return true;
	return false;
}

static int64_t limit_of(const struct watch *w, int64_t began_ns, bool in_force)
{
	const struct objectives *o = &w->cell->objectives;

	if (in_force)
		return began_ns + o->slowdown_floor_ms * NS_PER_MS;
	/* What was pending at the heal may take as long as a recovery, counted from then. */
	return (began_ns > w->in_force_ns ? began_ns : w->in_force_ns) + o->recover_ms * NS_PER_MS;
}

static bool find_oldest(struct watch *w, struct oldest *ret)
{
	struct cell *cell = w->cell;
	bool in_force = fault_in_force(cell);

	if (in_force)
		w->in_force_ns = cell_now(cell);
	else if (w->was_in_force)
		w->about = 0; /* what still waits after the heal is told again, in its time */
	w->was_in_force = in_force;
	*ret = (struct oldest){.usual_ns = cell->op_usual_ns};
	if (cell->stopping) {
		ret->stop = true;
		ret->id = UINT64_MAX;
		ret->began_ns = cell->stop_began_ns;
		ret->limit_ns = ret->began_ns + cell->objectives.stop_ms * NS_PER_MS;
		snprintf(ret->name, sizeof(ret->name), "stop");
		return true;
	}
	for (size_t i = 0; i < CELL_OPS_MAX; i++) {
		const struct op_slot *op = &cell->ops[i];

		if (!op->id || op->idle || (ret->id && op->began_ns >= ret->began_ns))
			continue;
		ret->id = op->id;
		ret->began_ns = op->began_ns;
		snprintf(ret->name, sizeof(ret->name), "%s", op->name);
	}
	ret->limit_ns = limit_of(w, ret->began_ns, in_force);
	return ret->id != 0;
}

/* ---- samples ---- */

/* Between which two looks each thread came into the call that it is in now; at 0 all begins anew. */
static void note_calls(struct watch *w, const json_t *scan, int64_t now_ns)
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
					json_text(call), "t", seconds(w->noted_ns),
					seconds(now_ns)));
	}
	json_decref(w->since);
	w->since = since;
	w->noted_ns = now_ns;
	pthread_mutex_unlock(&w->lock);
}

/* NULL where the guest cannot be asked now: halted, gone, or its agent is silent. */
static json_t *scan_now(struct watch *w, bool deep)
{
	struct cell *cell = w->cell;
	int64_t began = cell_now(cell);
	struct err err = {0};
	json_t *scan = NULL;

	if (cell->bed->ops->scan(cell->bed, deep, &scan, &err)) {
		log_line("watch: %s", err.text);
		return NULL;
	}
	w->spent_ns += json_get_int(scan, "took_ns", 0);
	note_calls(w, scan, began);
	return scan;
}

static bool may_spend(const struct watch *w, int64_t now_ns)
{
	return w->spent_ns <= now_ns / 100 * BUDGET_PERCENT + BUDGET_FREE_MS * NS_PER_MS;
}

/* ---- evidence ---- */

static json_t *ops_json(struct cell *cell, int64_t now_ns)
{
	json_t *ops = json_array();

	for (size_t i = 0; i < CELL_OPS_MAX; i++)
		if (cell->ops[i].id && !cell->ops[i].idle)
			json_array_append_new(
				ops, json_pack("{ss sf}", "op", cell->ops[i].name, "age_s",
					     seconds(now_ns - cell->ops[i].began_ns)));
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

/* `ended`: operations that had ended at the first of the two instants. */
static int save_input(struct cell *cell, const char *dir, const char *why, uint64_t ended,
	bool twice, struct err *err)
{
	auto_free char *path = path_join(dir, "input.json");
	auto_json json_t *input = NULL;
	int64_t now = cell_now(cell), limit;

	pthread_mutex_lock(&cell->lock);
	limit = fault_in_force(cell) ? cell->objectives.slowdown_floor_ms
				     : cell->objectives.recover_ms;
	input = json_pack("{sf so sf sb sb so so so}", "t", seconds(now), "why", json_text(why),
		"owed_limit_s", (double)limit / 1000, "progressed",
		(int)(twice && cell->ops_ended != ended), "stopping", (int)cell->stopping,
		"in_force", in_force_json(cell), "parked", parked_json(cell), "ops",
		ops_json(cell, now));
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

/* What is saved is looked at once more: since when, and with which functions on their stacks. */
static void look_at_saved(struct watch *w, const char *dir)
{
	auto_free char *path = path_join(dir, "scan.json");
	auto_json json_t *scan = fs_exists(path) ? json_load_path(path, SCAN_MAX, NULL) : NULL;
	struct bed *bed = w->cell->bed;
	struct err err = {0};
	int tids[BED_STACKS_MAX];
	size_t count;

	if (!scan)
		return;
	note_calls(w, scan, cell_now(w->cell));
	count = bed_has(bed, stacks) ? watch_suspects(w->cell, w->healthy, scan, tids) : 0;
	if (count && (bed->ops->stacks(bed, scan, tids, count, &err) ||
			     json_save_path(path, scan, &err)))
		log_line("watch: %s", err.text);
}

/* `first` may be NULL. */
static int save_instants(struct cell *cell, const char *dir, const char *why, json_t *first,
	bool twice, struct err *err)
{
	auto_free char *path = path_join(dir, "earlier.json");
	uint64_t ended = cell->ops_ended;
	int rc = fs_mkdir_p(dir, err);

	if (!rc && first)
		rc = json_save_path(path, first, err);
	if (!rc && twice)
		wait_apart(cell);
	if (!rc)
		rc = cell->bed->ops->evidence(cell->bed, dir, err);
	if (!rc)
		rc = save_input(cell, dir, why, ended, twice, err);
	if (!rc && cell->watch)
		look_at_saved(cell->watch, dir);
	return rc;
}

static bool save_evidence(
	struct cell *cell, const char *name, const char *why, json_t *first, bool twice)
{
	auto_free char *base = path_join(cell->dir, "evidence");
	auto_free char *dir = path_join(base, name);
	struct err err = {0};

	if (save_instants(cell, dir, why, first, twice, &err)) {
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
		first = scan_now(cell->watch, true);
	save_evidence(cell, name, why, first, twice && first);
}

/* ---- a hang ---- */

/*
 * The moment of a suspected hang: the machine still runs, its evidence is in evidence/NAME. Whoever wants more of
 * this very state, a branch of the machine for example, takes it here.
 */
static void on_hang(struct cell *cell, const char *name)
{
	log_line("watch: a hang is suspected: %s/evidence/%s", cell->dir, name);
}

static void suspect(struct watch *w, const struct oldest *oldest, const char *why)
{
	struct cell *cell = w->cell;
	int64_t now = cell_now(cell);
	char name[24];

	w->about = oldest->id;
	snprintf(name, sizeof(name), "hang-%u", ++w->hangs);
	history_add_at(cell->recorder, now, "suspected",
		json_pack("{ss ss ss sf}", "name", name, "why", why, "op", oldest->name, "age_s",
			seconds(now - oldest->began_ns)));
	if (save_evidence(cell, name, why, w->deep, true))
		on_hang(cell, name);
}

static bool has_cycle(struct watch *w)
{
	struct diagnosis diagnosis;
	bool found;

	diagnose(&(struct diagnose_input){.scan = w->deep,
			 .healthy = w->healthy,
			 .target = w->cell->target,
			 .ours = rig_programs},
		&diagnosis);
	found = diagnosis.hang_class && !strcmp(diagnosis.hang_class, "deadlock");
	diagnosis_free(&diagnosis);
	return found;
}

/* A deep look; the gap to the next one grows as long as nothing gets on. */
static void look_deep(struct watch *w, const struct oldest *oldest, int64_t now_ns)
{
	json_t *deep;

	w->gap_ms = w->gap_ms ? w->gap_ms * 2 : OVERDUE_MS;
	w->gap_ms = w->gap_ms < SAMPLE_MS ? w->gap_ms : SAMPLE_MS;
	w->deep_ns = now_ns + w->gap_ms * NS_PER_MS;
	deep = scan_now(w, true);
	if (!deep)
		return;
	json_decref(w->deep);
	w->deep = deep;
	w->sample_ns = now_ns + SAMPLE_MS * NS_PER_MS;
	if (w->hangs < HANGS_MAX && !w->saw_cycle && has_cycle(w)) {
		w->saw_cycle = true;
		suspect(w, oldest, "a cycle in the wait-for graph");
	}
}

static void look(struct watch *w, const struct oldest *oldest, bool any)
{
	int64_t now = cell_now(w->cell), age = any ? now - oldest->began_ns : 0;
	int64_t early = oldest->usual_ns > OVERDUE_MS * NS_PER_MS ? oldest->usual_ns
								  : OVERDUE_MS * NS_PER_MS;

	if (!any || age < early)
		w->gap_ms = 0;
	if (any && oldest->id != w->about && now >= oldest->limit_ns && w->hangs < HANGS_MAX) {
		w->deep_ns = 0;
		look_deep(w, oldest, now);
		if (oldest->id != w->about)
			suspect(w, oldest, "overdue");
	} else if (any && age >= early && now >= w->deep_ns && may_spend(w, now)) {
		look_deep(w, oldest, now);
	} else if (now >= w->sample_ns && may_spend(w, now)) {
		w->sample_ns = now + SAMPLE_MS * NS_PER_MS;
		json_decref(scan_now(w, false));
	}
}

/* ---- the thread ---- */

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	struct cell *cell = w->cell;
	struct oldest oldest;
	bool any;

	pthread_mutex_lock(&cell->lock);
	while (!w->end) {
		cond_wait(&cell->watch_tick, &cell->lock, deadline_in_ms(TICK_MS));
		if (cell_ended(cell))
			continue;
		watch_read_cores(cell);
		if (w->end)
			continue;
		any = find_oldest(w, &oldest);
		pthread_mutex_unlock(&cell->lock);
		look(w, &oldest, any);
		pthread_mutex_lock(&cell->lock);
	}
	pthread_mutex_unlock(&cell->lock);
	return NULL;
}

/* ---- begin and end ---- */

static void save_healthy(struct watch *w)
{
	auto_free char *dir = path_join(w->cell->dir, "evidence/healthy");
	auto_free char *path = path_join(dir, "scan.json");
	struct err err = {0};

	w->healthy = scan_now(w, true);
	w->spent_ns = 0; /* before the workload */
	if (w->healthy && (fs_mkdir_p(dir, &err) || json_save_path(path, w->healthy, &err)))
		log_line("watch: %s", err.text);
}

void watch_open(struct cell *cell)
{
	struct watch *w;

	if (!bed_has(cell->bed, scan))
		return;
	w = mem_zero(1, sizeof(*w));
	w->cell = cell;
	w->since = json_object();
	cell->cores = json_array();
	pthread_mutex_init(&w->lock, NULL);
	cell->watch = w;
	save_healthy(w);
}

void watch_start(struct cell *cell)
{
	struct watch *w = cell->watch;

	if (!w)
		return;
	note_calls(w, w->healthy, 0);
	w->started = !pthread_create(&w->thread, NULL, watch_main, w);
	if (!w->started)
		cell_trouble(cell, "set-up", "cannot start the watch");
}

void watch_close(struct cell *cell)
{
	struct watch *w = cell->watch;

	if (!w)
		return;
	pthread_mutex_lock(&cell->lock);
	w->end = true;
	pthread_cond_broadcast(&cell->watch_tick);
	pthread_mutex_unlock(&cell->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	cell->watch = NULL;
	json_cleanup(&cell->cores);
	json_decref(w->healthy);
	json_decref(w->deep);
	json_decref(w->since);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
