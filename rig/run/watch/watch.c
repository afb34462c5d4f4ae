#include "run/watch/watch_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "diagnose/diagnose.h"
#include "run/rig_programs.h"

#include <string.h>

#define TICK_MS	       50
#define OVERDUE_MS     250 /* an operation that takes longer is looked at, deep */
#define DEEP_MS	       300 /* from the begin of a deep look to the next, while one is */
#define SAMPLE_MS      1000
#define HANGS_MAX      4 /* evidence folders that the watch makes of its own */
#define BUDGET_PERCENT 4
#define OVERDUE_PERCENT \
	15 /* more, of the time in which one takes longer than those before it: it is the rest that \
	      must not suffer */
#define BUDGET_FREE_MS 200 /* that may be spent at once */

/* ---- what is under way; the cell's lock held ---- */

struct oldest {
	uint64_t id;
	char name[OP_NAME_MAX];
	int64_t began_ns, limit_ns, usual_ns;
	bool stop;
};

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
	bool in_force = watch_in_force(cell);

	if (in_force)
		w->in_force_ns = cell_now(cell);
	else if (w->was_in_force)
		w->about = 0; /* what still waits after the heal is told again, in its time */
	w->was_in_force = in_force;
	*ret = (struct oldest){.usual_ns = cell->op_usual_ns};
	if (cell->stopping && cell->stop_began_ns == CLOCK_NEVER)
		return false;
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

static bool may_spend(const struct watch *w, int64_t now_ns)
{
	return w->spent_ns <= now_ns / 100 * BUDGET_PERCENT +
				      w->overdue_ns / 100 * OVERDUE_PERCENT +
				      BUDGET_FREE_MS * NS_PER_MS;
}

/* ---- a hang ---- */

static void suspect(struct watch *w, const struct oldest *oldest, const char *why)
{
	struct cell *cell = w->cell;
	int64_t now = cell_now(cell);
	char name[HANG_NAME_MAX];

	w->about = oldest->id;
	snprintf(name, sizeof(name), "hang-%u", ++w->hangs);
	history_add_at(cell->recorder, now, "suspected",
		json_pack("{ss ss ss sf sf}", "name", name, "why", why, "op", oldest->name, "age_s",
			watch_seconds(now - oldest->began_ns), "limit_s",
			watch_seconds(oldest->limit_ns - oldest->began_ns)));
	if (watch_save(cell, name, why, w->deep, true))
		watch_branch(w, name);
	cell_queue_depth(cell); /* what waits is told beside it; not part of what is judged */
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

/* A cycle is to be told within half a second: the gap, a tick, the look itself and what it takes to see it in it. */
static void look_deep(struct watch *w, const struct oldest *oldest, int64_t now_ns)
{
	json_t *deep;

	w->deep_ns = now_ns + DEEP_MS * NS_PER_MS;
	deep = watch_scan(w, true);
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

	if (any && age >= early)
		w->overdue_ns += now - w->looked_ns;
	w->looked_ns = now;
	if (any && oldest->id != w->about && now >= oldest->limit_ns && w->hangs < HANGS_MAX) {
		w->deep_ns = 0;
		look_deep(w, oldest, now);
		if (oldest->id != w->about)
			suspect(w, oldest, "overdue");
	} else if (age >= OVERDUE_MS * NS_PER_MS && now >= w->deep_ns && may_spend(w, now)) {
		look_deep(w, oldest, now);
	} else if (now >= w->sample_ns && may_spend(w, now)) {
		w->sample_ns = now + SAMPLE_MS * NS_PER_MS;
		json_decref(watch_scan(w, false));
	}
}

/* ---- the thread ---- */

/* The cell's lock held on entry and exit. */
static void take_turn(struct watch *w)
{
	struct cell *cell = w->cell;
	struct oldest oldest;
	bool any;

	watch_read_cores(cell);
	if (w->end)
		return;
	any = find_oldest(w, &oldest);
	pthread_mutex_unlock(&cell->lock);
	look(w, &oldest, any);
	pthread_mutex_lock(&cell->lock);
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	struct cell *cell = w->cell;

	pthread_mutex_lock(&cell->lock);
	while (!w->end) {
		cond_wait(&cell->watch_tick, &cell->lock, deadline_in_ms(TICK_MS));
		if (cell_ended(cell) || w->held)
			continue;
		w->looks = true;
		take_turn(w);
		w->looks = false;
		pthread_cond_broadcast(&cell->changed);
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

	w->healthy = watch_scan(w, true);
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
	pthread_mutex_init(&w->branching, NULL);
	cell->watch = w;
	save_healthy(w);
}

void watch_start(struct cell *cell)
{
	struct watch *w = cell->watch;

	if (!w)
		return;
	watch_note_calls(w, w->healthy, 0);
	w->started = !pthread_create(&w->thread, NULL, watch_main, w);
	if (!w->started)
		cell_trouble(cell, "set-up", "cannot start the watch");
}

void watch_hold(struct cell *cell, bool held)
{
	struct watch *w = cell->watch;

	if (!w)
		return;
	pthread_mutex_lock(&cell->lock);
	w->held = held;
	while (held && w->looks) /* each of its commands has a deadline */
		cell_wait(cell, CLOCK_NEVER);
	pthread_mutex_unlock(&cell->lock);
}

void watch_stop(struct cell *cell)
{
	struct watch *w = cell->watch;

	if (!w || !w->started)
		return;
	pthread_mutex_lock(&cell->lock);
	w->end = true;
	pthread_cond_broadcast(&cell->watch_tick);
	pthread_mutex_unlock(&cell->lock);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void watch_close(struct cell *cell)
{
	struct watch *w = cell->watch;

	watch_stop(cell);
	if (!w)
		return;
	cell->watch = NULL;
	json_cleanup(&cell->cores);
	json_decref(w->healthy);
	json_decref(w->deep);
	json_decref(w->since);
	pthread_mutex_destroy(&w->branching);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
