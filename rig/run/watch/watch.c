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
#define BUDGET_PERCENT 4
#define OVERDUE_PERCENT \
	15 /* more, of the time in which one takes longer than those before it: it is the rest that \
	      must not suffer */
#define BUDGET_FREE_MS 200 /* that may be spent at once */

/* ---- what is under way; the cell's lock held ---- */

/* The oldest operation that no hang was told about, or, with the id 0, the oldest of those that were. */
struct oldest {
	uint64_t id;
	bool any;
	char name[OP_NAME_MAX];
	int64_t began_ns, limit_ns;
	bool slow;	  /* one takes longer than those of its kind before it */
	int64_t first_ns; /* when the oldest of all began */
	bool stop;
};

static bool was_told(const struct watch *w, uint64_t id)
{
	for (size_t i = 0; i < w->told_count; i++)
		if (w->told[i] == id)
			return true;
	return false;
}

/* There is room for as many as are under way at once; who is told last is the least likely to have ended. */
static void note_told(struct watch *w, uint64_t id)
{
	if (w->told_count == CELL_OPS_MAX)
		memmove(w->told, w->told + 1, --w->told_count * sizeof(*w->told));
	w->told[w->told_count++] = id;
}

static void forget_told(struct watch *w)
{
	w->told_count = w->known_count = 0;
	json_cleanup(&w->before);
}

static int64_t limit_of(const struct watch *w, int64_t began_ns, bool in_force)
{
	const struct objectives *o = &w->cell->objectives;

	if (in_force)
		return began_ns + o->slowdown_floor_ms * NS_PER_MS;
	/* What was pending at the heal may take as long as a recovery, counted from then. */
	return (began_ns > w->in_force_ns ? began_ns : w->in_force_ns) + o->recover_ms * NS_PER_MS;
}

/* What was told is over once none of its operations is under way. */
static bool is_any_told(const struct watch *w)
{
	for (size_t i = 0; i < CELL_OPS_MAX; i++)
		if (w->cell->ops[i].id && was_told(w, w->cell->ops[i].id))
			return true;
	return w->cell->stopping && was_told(w, UINT64_MAX);
}

static bool is_slow(int64_t age_ns, int64_t usual_ns)
{
	return age_ns >= OVERDUE_MS * NS_PER_MS && age_ns >= usual_ns;
}

static bool find_oldest(struct watch *w, struct oldest *ret)
{
	struct cell *cell = w->cell;
	bool in_force = fault_in_force(cell);
	int64_t now = cell_now(cell);

	if (w->told_count && !is_any_told(w))
		forget_told(w);
	if (in_force || w->was_in_force)
		w->in_force_ns =
			now; /* a heal is never earlier than it was seen, however late that is */
	if (!in_force && w->was_in_force)
		forget_told(w); /* what still waits after the heal is told again, in its time */
	w->was_in_force = in_force;
	*ret = (struct oldest){.first_ns = now};
	if (cell->stopping && cell->stop_began_ns == CLOCK_NEVER)
		return false;
	if (cell->stopping) {
		ret->stop = ret->any = true;
		ret->id = UINT64_MAX;
		ret->began_ns = ret->first_ns = cell->stop_began_ns;
		ret->limit_ns = ret->began_ns + cell->objectives.stop_ms * NS_PER_MS;
		ret->slow = is_slow(now - ret->began_ns, 0);
		snprintf(ret->name, sizeof(ret->name), "stop");
		return true;
	}
	for (size_t i = 0; i < CELL_OPS_MAX; i++) {
		const struct op_slot *op = &cell->ops[i];

		if (!op->id || op->idle)
			continue;
		ret->first_ns = op->began_ns < ret->first_ns ? op->began_ns : ret->first_ns;
		ret->slow |= is_slow(now - op->began_ns, op->usual_ns);
		if (ret->id && (was_told(w, op->id) || op->began_ns >= ret->began_ns))
			continue;
		if (was_told(w, op->id) && ret->any && op->began_ns >= ret->began_ns)
			continue;
		ret->any = true;
		ret->id = was_told(w, op->id) ? 0 : op->id;
		ret->began_ns = op->began_ns;
		snprintf(ret->name, sizeof(ret->name), "%s", op->name);
	}
	ret->limit_ns = limit_of(w, ret->began_ns, in_force);
	return ret->id != 0;
}

/* All that are past their limits stand behind what was told. */
static void note_overdue(struct watch *w)
{
	struct cell *cell = w->cell;
	int64_t now = cell_now(cell);

	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < CELL_OPS_MAX; i++) {
		const struct op_slot *op = &cell->ops[i];

		if (op->id && !op->idle && !was_told(w, op->id) &&
			now >= limit_of(w, op->began_ns, fault_in_force(cell)))
			note_told(w, op->id);
	}
	pthread_mutex_unlock(&cell->lock);
}

/* ---- samples ---- */

static bool may_spend(const struct watch *w, int64_t now_ns)
{
	return w->spent_ns <= now_ns / 100 * BUDGET_PERCENT +
				      w->overdue_ns / 100 * OVERDUE_PERCENT +
				      BUDGET_FREE_MS * NS_PER_MS;
}

/* ---- a hang ---- */

/* Saved by a thread of its own, so that the watch goes on: another hang need not wait for the evidence of the first. */
struct saving {
	struct watch *w;
	char name[HANG_NAME_MAX];
	const char *why;
	json_t *first, *known;
};

static void save(struct saving *s)
{
	struct cell *cell = s->w->cell;

	if (watch_save_beside(cell, s->name, s->known) &&
		watch_save(cell, s->name, s->why, s->first, true))
		watch_branch(s->w, s->name);
	cell_queue_depth(cell); /* what waits is told beside it; not part of what is judged */
	pthread_mutex_lock(&cell->lock);
	s->w->saving--;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
	json_decref(s->first);
	json_decref(s->known);
	free(s);
}

static void *saving_main(void *arg)
{
	save(arg);
	return NULL;
}

static void begin_saving(struct watch *w, const char *name, const char *why)
{
	struct saving *s = mem_zero(1, sizeof(*s));
	pthread_t thread;

	/* A copy: jansson reads a count of references without care for who changes it. */
	*s = (struct saving){.w = w, .why = why, .first = json_deep_copy(w->deep)};
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->known = watch_known_json(w);
	pthread_mutex_lock(&w->cell->lock);
	w->saving++;
	pthread_mutex_unlock(&w->cell->lock);
	if (pthread_create(&thread, NULL, saving_main, s))
		save(s);
	else
		pthread_detach(thread);
}

/* What the last deep look says beside what was told; `late`: something is overdue. */
static void ask(struct watch *w, bool late, const json_t *before, struct diagnosis *ret)
{
	auto_json json_t *owed = late ? json_pack("[{sf}]", "age_s", 1.0) : NULL;
	int parked[CELL_PARKED_MAX];
	size_t count = 0;

	pthread_mutex_lock(&w->cell->lock);
	for (size_t i = 0; i < CELL_PARKED_MAX; i++)
		if (w->cell->parked[i])
			parked[count++] = w->cell->parked[i];
	pthread_mutex_unlock(&w->cell->lock);
	diagnose(&(struct diagnose_input){.scan = w->deep,
			 .healthy = w->healthy,
			 .owed = owed,
			 .frozen = json_get_bool(w->deep, "frozen", false),
			 .parked = parked,
			 .parked_count = count,
			 .known = w->known,
			 .known_count = w->known_count,
			 .before = before,
			 .target = w->cell->target,
			 .ours = rig_programs},
		ret);
}

static void remember(struct watch *w, const char *name, const struct diagnosis *d)
{
	for (size_t i = 0;
		d->finding && i < d->culprit_count && w->known_count < ARRAY_SIZE(w->known); i++)
		w->known[w->known_count++] = d->culprits[i].tid;
	json_decref(w->before);
	w->before = json_incref(w->deep);
	snprintf(w->before_name, sizeof(w->before_name), "%s", name);
}

static void suspect(struct watch *w, const struct oldest *oldest, const char *why,
	const struct diagnosis *diagnosis)
{
	struct cell *cell = w->cell;
	int64_t now = cell_now(cell);
	char name[HANG_NAME_MAX];

	snprintf(name, sizeof(name), "hang-%u", ++w->hangs);
	history_add_at(cell->recorder, now, "suspected",
		json_pack("{ss ss ss sf sf}", "name", name, "why", why, "op", oldest->name, "age_s",
			watch_seconds(now - oldest->began_ns), "limit_s",
			watch_seconds(oldest->limit_ns - oldest->began_ns)));
	begin_saving(w, name, why);
	remember(w, name, diagnosis);
	if (oldest->id)
		note_told(w, oldest->id);
}

static void suspect_cycle(struct watch *w, const struct oldest *oldest)
{
	struct diagnosis diagnosis;

	ask(w, false, w->before, &diagnosis);
	if (diagnosis.hang_class && !strcmp(diagnosis.hang_class, "deadlock"))
		suspect(w, oldest, "a cycle in the wait-for graph", &diagnosis);
	diagnosis_free(&diagnosis);
}

/* One that waits behind what was told already is not told again. Where nobody was to blame for that (it waited for the
 * fault, or was only slow), somebody may be by now. */
static void suspect_overdue(struct watch *w, const struct oldest *oldest)
{
	struct diagnosis diagnosis;

	ask(w, true, w->known_count ? w->before : NULL, &diagnosis);
	if (!w->before || (diagnosis.finding && diagnosis.culprit_count))
		suspect(w, oldest, "overdue", &diagnosis);
	else
		note_overdue(w);
	diagnosis_free(&diagnosis);
}

/* A cycle is to be told within half a second: the gap, a tick, the look itself and what it takes to see it in it. */
static bool look_deep(struct watch *w, const struct oldest *oldest, int64_t now_ns)
{
	json_t *deep;

	w->deep_ns = now_ns + DEEP_MS * NS_PER_MS;
	deep = watch_scan(w, true);
	if (!deep)
		return false;
	json_decref(w->deep);
	w->deep = deep;
	w->deep_of_ns = now_ns;
	w->sample_ns = now_ns + SAMPLE_MS * NS_PER_MS;
	if (w->hangs < HANGS_MAX && oldest->any && (!oldest->id || !was_told(w, oldest->id)))
		suspect_cycle(w, oldest);
	return true;
}

static bool is_late(const struct watch *w, const struct oldest *oldest, int64_t now_ns)
{
	return w->hangs < HANGS_MAX && now_ns >= oldest->limit_ns &&
	       (!w->before || now_ns >= w->deep_ns);
}

/* It was looked at while it waited. Beside what was told already, that would be too little to know who is new. */
static bool was_looked_at(const struct watch *w, const struct oldest *oldest)
{
	return w->deep && !w->before && w->deep_of_ns > oldest->began_ns;
}

/* Who saves it looks once more. On a busy host a look takes seconds, and what is overdue is told at once. */
static void look(struct watch *w, const struct oldest *oldest, bool any)
{
	int64_t now = cell_now(w->cell), age = now - oldest->first_ns;

	if (oldest->slow)
		w->overdue_ns += now - w->looked_ns;
	w->looked_ns = now;
	if (any && is_late(w, oldest, now)) {
		bool looked = was_looked_at(w, oldest) || look_deep(w, oldest, now);

		if (!was_told(w, oldest->id) && (looked || !w->before))
			suspect_overdue(w, oldest);
	} else if (age >= OVERDUE_MS * NS_PER_MS && now >= w->deep_ns && may_spend(w, now)) {
		look_deep(w, oldest, now);
	} else if (now >= w->sample_ns && may_spend(w, now)) {
		w->sample_ns = now + SAMPLE_MS * NS_PER_MS;
		json_decref(watch_scan(w, false));
	}
}

/* ---- a death ---- */

static void *reading_main(void *arg)
{
	struct watch *w = arg;
	struct cell *cell = w->cell;

	pthread_mutex_lock(&cell->lock);
	watch_read_cores(cell);
	w->reads = false;
	w->saving--;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
	return NULL;
}

/* By a thread of its own: a core takes seconds, and a cycle that closes meanwhile is told in half of one. The cell's
 * lock held on entry and exit. */
static void read_cores(struct watch *w)
{
	pthread_t thread;

	if (w->reads || !json_array_size(w->cell->cores))
		return;
	w->reads = true;
	w->saving++;
	if (!pthread_create(&thread, NULL, reading_main, w)) {
		pthread_detach(thread);
		return;
	}
	w->reads = false; /* the next turn tries again */
	w->saving--;
}

/* ---- the thread ---- */

/* The cell's lock held on entry and exit. */
static void take_turn(struct watch *w)
{
	struct cell *cell = w->cell;
	struct oldest oldest;
	bool any;

	read_cores(w);
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
	w->sample_ns = SAMPLE_MS * NS_PER_MS; /* the healthy look is the first */
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
	while (held && (w->looks || w->saving)) /* each of its commands has a deadline */
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
	pthread_mutex_lock(&cell->lock);
	while (w->saving)
		cell_wait(cell, CLOCK_NEVER);
	pthread_mutex_unlock(&cell->lock);
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
	json_decref(w->before);
	json_decref(w->since);
	pthread_mutex_destroy(&w->branching);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
