#include "diagnose/lock_look.h"

#include "base/buf.h"
#include "base/json.h"
#include "diagnose/futex.h"
#include "diagnose/graph.h"

#include <string.h>

static json_t *thread_json(const struct graph *g, size_t task)
{
	char what[WHAT_MAX];

	graph_what(g, task, what);
	return json_pack("{so si si so}", "role", json_text(g->e->tasks[task].role), "pid",
		g->e->tasks[task].pid, "tid", g->e->tasks[task].tid, "what", json_text(what));
}

/* ---- cycles ---- */

static json_t *cycle_json(const struct graph *g, const size_t *cycle, size_t count)
{
	json_t *threads = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(threads, thread_json(g, cycle[i]));
	return threads;
}

/* Each cycle once: told from its member that comes first in the scan. */
static bool is_first(const struct graph *g, const size_t *cycle, size_t count, size_t task)
{
	for (size_t i = 0; i < count; i++)
		if (cycle[i] < task || g->e->tasks[cycle[i]].mine)
			return false;
	return count && cycle[0] == task;
}

static json_t *find_cycles(const struct graph *g)
{
	json_t *cycles = json_array();
	size_t cycle[CYCLE_MAX];

	for (size_t i = 0; i < g->e->task_count && json_array_size(cycles) < LOOK_ENTRIES_MAX;
		i++) {
		size_t count = g->nodes[i].stuck ? graph_cycle(g, i, cycle) : 0, low = 0;

		for (size_t k = 1; k < count; k++)
			low = cycle[k] < cycle[low] ? k : low;
		/* The walk may enter the cycle anywhere: turn it so that it begins alike. */
		for (; low; low--)
			graph_turn(cycle, count);
		if (is_first(g, cycle, count, i))
			json_array_append_new(cycles, cycle_json(g, cycle, count));
	}
	return cycles;
}

/* ---- locks held while their holder waits for a client ---- */

/* The thread that holds what `waiter` wants exclusively, and is waiting for a client; SIZE_MAX: none. */
static size_t holder_at_client(const struct graph *g, size_t waiter)
{
	const struct task *task = &g->e->tasks[waiter];
	const struct file_lock *wants = g->nodes[waiter].wants;
	size_t holder;

	if (task->mine || (task->wait.kind != WAIT_FILE_LOCK && task->wait.kind != WAIT_MUTEX))
		return SIZE_MAX;
	if (wants && !g->e->locks.at[wants->by].write)
		return SIZE_MAX; /* shared */
	holder = graph_next(g, waiter);
	if (holder == SIZE_MAX || g->e->tasks[holder].mine || !g->e->tasks[holder].outside)
		return SIZE_MAX;
	return holder;
}

static json_t *entry_of(json_t *held, const struct graph *g, size_t holder, size_t waiter)
{
	json_t *entry;
	char what[WHAT_MAX];
	size_t i;

	graph_what(g, waiter, what);
	json_array_foreach (held, i, entry)
		if (json_get_int(entry, "pid", 0) == g->e->tasks[holder].pid &&
			!strcmp(json_get_text(entry, "what", ""), what))
			return entry;
	entry = json_pack("{so si so s[]}", "role", json_text(g->e->tasks[holder].role), "pid",
		g->e->tasks[holder].pid, "what", json_text(what), "waiters");
	json_array_append_new(held, entry);
	return entry;
}

static json_t *find_held(const struct graph *g)
{
	json_t *held = json_array();

	for (size_t i = 0; i < g->e->task_count && json_array_size(held) < LOOK_ENTRIES_MAX; i++) {
		size_t holder = holder_at_client(g, i);
		json_t *waiters;

		if (holder == SIZE_MAX)
			continue;
		waiters = json_object_get(entry_of(held, g, holder, i), "waiters");
		if (json_array_size(waiters) < LOOK_ENTRIES_MAX)
			json_array_append_new(waiters, json_text(g->e->tasks[i].role));
	}
	return held;
}

json_t *lock_look(const json_t *scan, const struct target *target, const char *const *ours)
{
	struct evidence e;
	struct graph g;
	json_t *look;

	evidence_read(scan, target, ours, &e);
	futex_refine_all(&e);
	graph_build(&e, &g);
	look = json_pack("{so so}", "cycles", find_cycles(&g), "held", find_held(&g));
	graph_free(&g);
	evidence_free(&e);
	return look;
}
