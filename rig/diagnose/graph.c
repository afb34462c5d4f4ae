#include "diagnose/graph_needs.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

bool graph_leader_ended(const struct evidence *e, size_t task)
{
	return e->tasks[task].wait.kind == WAIT_ENDED && task + 1 < e->task_count &&
	       e->tasks[task + 1].pid == e->tasks[task].pid;
}

/* ---- who can never go on ---- */

struct reach {
	bool *free;	/* per task: it can go on */
	size_t *living; /* per first task of a process: how many of its threads can */
	size_t *leader; /* per task: index of the first of its process */
};

/* The words of one lock that are waited at lie nearer to each other than those of two. */
#define LOCK_WORDS 16

#define LIKELY 3

/* It wants the read-write lock itself. */
static bool wants_too(const struct need *need, const struct task *t)
{
	uint64_t object = wait_object(&t->wait);

	return need->lock && t->wait.kind == WAIT_RWLOCK && object + LOCK_WORDS > need->lock &&
	       object < need->lock + LOCK_WORDS;
}

/* How likely it holds what is wanted: less, who wants it too, if only to read, and least, who idles. */
static int likely(const struct graph *g, const struct need *need, size_t task)
{
	const struct task *t = &g->e->tasks[task];

	if (t->wait.kind == WAIT_ENDED)
		return -1;
	if (g->supposed.idle[task])
		return 0;
	return !wants_too(need, t) ? LIKELY : t->wait.behind ? 1 : 2;
}

/* Somebody of the process who may hold what is wanted; everybody, unless idle ones are left out. */
static bool may_hold(const struct graph *g, const struct need *need, size_t task)
{
	int own = g->supposed.idle ? likely(g, need, task) : LIKELY;

	for (size_t i = need->first; own >= 0 && own < LIKELY && i < need->first + need->count; i++)
		if (likely(g, need, i) > own)
			return false;
	return true;
}

/* Needs that are supposed count. */
static bool counts(const struct graph *g)
{
	return (g->supposed.idle && !g->supposed.events) || g->supposed.last;
}

static bool need_is_met(const struct graph *g, const struct reach *r, const struct need *need)
{
	if (need->supposed && !counts(g))
		return true;
	if (need->count == 1)
		return r->free[need->first];
	if (!g->supposed.idle)
		return r->living[r->leader[need->first]] > 0;
	for (size_t i = need->first; i < need->first + need->count; i++)
		if (r->free[i] && may_hold(g, need, i))
			return true;
	return false;
}

/* The need at `i` or one of those that would do as well; `i` becomes the last of them. */
static bool one_is_met(
	const struct graph *g, const struct reach *r, const struct node *node, size_t *i)
{
	size_t others = g->needs[node->first_need + *i].others;
	bool met = others && !g->supposed.all;

	for (size_t k = 0; k <= others; k++)
		met |= need_is_met(g, r, &g->needs[node->first_need + *i + k]);
	*i += others;
	return met;
}

static bool can_go_on(const struct graph *g, const struct reach *r, size_t task)
{
	const struct node *node = &g->nodes[task];

	if (g->e->tasks[task].wait.timed && !g->e->tasks[task].wait.tries &&
		!(g->supposed.patient && wait_is_lock(g->e->tasks[task].wait.kind) &&
			!g->e->tasks[task].wait.lease && node->need_count))
		return true;
	for (size_t i = 0; i < node->need_count; i++)
		if (!one_is_met(g, r, node, &i))
			return false;
	return true;
}

static bool sweep(const struct graph *g, struct reach *r, bool backward)
{
	size_t count = g->e->task_count;
	bool changed = false;

	for (size_t n = 0; n < count; n++) {
		size_t i = backward ? count - 1 - n : n;

		if (r->free[i] || !can_go_on(g, r, i))
			continue;
		r->free[i] = changed = true;
		r->living[r->leader[i]] += !graph_leader_ended(g->e, i);
	}
	return changed;
}

static void find_stuck(struct graph *g)
{
	size_t count = g->e->task_count;
	struct reach r = {.free = mem_zero(count, sizeof(bool)),
		.living = mem_zero(count, sizeof(size_t)),
		.leader = mem_zero(count, sizeof(size_t))};
	bool backward = false;

	for (size_t i = 1; i < count; i++)
		r.leader[i] = g->e->tasks[i].pid == g->e->tasks[i - 1].pid ? r.leader[i - 1] : i;
	while (sweep(g, &r, backward))
		backward = !backward;
	for (size_t i = 0; i < count; i++)
		g->nodes[i].stuck = !r.free[i];
	free(r.free);
	free(r.living);
	free(r.leader);
}

void graph_suppose(struct graph *graph, const struct supposed *supposed)
{
	graph->supposed = supposed ? *supposed : (struct supposed){0};
	find_stuck(graph);
}

void graph_free(struct graph *graph)
{
	free(graph->nodes);
	free(graph->needs);
	*graph = (struct graph){0};
}

/* ---- suppositions ---- */

int graph_last_user(const struct task *t)
{
	bool as_lock = t->sem.op == -1 && !t->sem.value, for_zero = !t->sem.op && t->sem.value > 0;

	return wait_is_of_set(&t->wait) && (as_lock || for_zero) && t->sem.last > 0 &&
			       t->sem.last != t->pid
		       ? t->sem.last
		       : 0;
}

bool graph_is_supposed(const struct graph *g, size_t task)
{
	const struct node *node = &g->nodes[task];

	return node->need_count && g->needs[node->first_need].supposed;
}

void graph_drop_supposed(struct graph *g, size_t task)
{
	if (!graph_is_supposed(g, task))
		return;
	g->nodes[task].need_count = 0;
	g->nodes[task].next = SIZE_MAX;
}

/* ---- walking ---- */

bool graph_is_idle(const struct task *task)
{
	switch (task->wait.kind) {
	case WAIT_ACCEPT:
	case WAIT_SLEEP:
		return true;
	case WAIT_POLL:
		return task->only_fd < 0;
	case WAIT_CHILD:
		return task->wait.target == -1;
	default:
		return false;
	}
}

/* How little a thread looks like one that waits for work. */
static int busyness(const struct task *task)
{
	if (graph_is_idle(task) || task->serves)
		return 0;
	return wait_is_event(task->wait.kind) ? 1 : 2;
}

static bool need_is_stuck(const struct graph *g, const struct need *need)
{
	if (need->supposed && !counts(g))
		return false;
	for (size_t i = need->first; i < need->first + need->count; i++)
		if (!g->nodes[i].stuck && may_hold(g, need, i))
			return false;
	return true;
}

/* Of a process whose every thread may hold what is wanted: the one that looks least like it waits for work,
 * chosen alike in every run. The waiter itself where no other may. */
static size_t likely_holder(const struct graph *g, const struct need *need, size_t waiter)
{
	size_t best = SIZE_MAX;

	for (size_t i = need->first; i < need->first + need->count; i++) {
		const struct task *t = &g->e->tasks[i],
				  *b = best == SIZE_MAX ? NULL : &g->e->tasks[best];

		if (!may_hold(g, need, i) || (i == waiter && b))
			continue;
		if (!b || best == waiter || busyness(t) > busyness(b) ||
			(busyness(t) == busyness(b) && t->wait.kind < b->wait.kind))
			best = i;
	}
	return best;
}

static bool all_are_stuck(const struct graph *g, const struct need *need)
{
	for (size_t k = 0; k <= need->others; k++)
		if (!need_is_stuck(g, need + k))
			return false;
	return true;
}

/* Of alternatives: another process than its own, where there is one. */
static size_t likely_of(const struct graph *g, const struct need *need, size_t task)
{
	size_t best = SIZE_MAX;

	for (size_t k = 0; k <= need->others; k++) {
		size_t holder = likely_holder(g, need + k, task);

		if (best == SIZE_MAX || g->e->tasks[best].pid == g->e->tasks[task].pid)
			best = holder;
	}
	return best;
}

static size_t next_stuck(const struct graph *g, size_t task)
{
	const struct node *node = &g->nodes[task];

	for (size_t i = 0; i < node->need_count; i++) {
		const struct need *need = &g->needs[node->first_need + i];

		if (need->others) {
			if (g->supposed.all && all_are_stuck(g, need))
				return likely_of(g, need, task);
			i += need->others;
		} else if (need_is_stuck(g, need)) {
			return likely_holder(g, need, task);
		}
	}
	return SIZE_MAX;
}

size_t graph_cycle(const struct graph *g, size_t from, size_t cycle[CYCLE_MAX])
{
	size_t *seen = mem_zero(g->e->task_count, sizeof(size_t)), at = from, step = 1, count = 0;

	if (g->e->task_count && g->nodes[from].stuck)
		for (; at != SIZE_MAX && !seen[at]; at = next_stuck(g, at))
			seen[at] = step++;
	else
		at = SIZE_MAX;
	free(seen);
	if (at == SIZE_MAX)
		return 0;
	from = at;
	do {
		cycle[count++] = at;
		at = next_stuck(g, at);
	} while (at != from && at != SIZE_MAX && count < CYCLE_MAX);
	return count;
}

void graph_turn(size_t *cycle, size_t count)
{
	size_t head = cycle[0];

	memmove(cycle, cycle + 1, (count - 1) * sizeof(*cycle));
	cycle[count - 1] = head;
}

/* All threads that live wait for work or for a time. */
static bool is_all_idle(const struct graph *g, const struct need *need)
{
	for (size_t i = need->first; i < need->first + need->count; i++)
		if (g->e->tasks[i].wait.kind != WAIT_ENDED && !graph_is_idle(&g->e->tasks[i]))
			return false;
	return true;
}

/* Several processes have what `task` waits for, and one alone of them is at anything: who has it by a fork() and waits
 * for its own work is not the one that is missed. NULL: it is not so. */
static const struct need *only_busy(const struct graph *g, const struct need *need, size_t task)
{
	const struct need *only = NULL;

	for (size_t k = 0; k <= need->others; k++) {
		if (is_all_idle(g, need + k))
			continue;
		if (only || g->e->tasks[need[k].first].pid == g->e->tasks[task].pid)
			return NULL;
		only = need + k;
	}
	return only;
}

/* Of two that look alike the same one in every run, whichever was begun first. */
static bool is_likelier(const struct task *a, const struct task *b)
{
	int order = busyness(b) - busyness(a);

	if (!order)
		order = strcmp(a->comm, b->comm);
	return order ? order < 0 : strcmp(a->began, b->began) < 0;
}

static size_t find_next(const struct graph *g, size_t task)
{
	const struct node *node = &g->nodes[task];
	size_t best = SIZE_MAX;

	for (size_t n = 0; n < node->need_count; n++) {
		const struct need *need = &g->needs[node->first_need + n];
		size_t count;

		n += need->others;
		if (need->others)
			need = only_busy(g, need, task);
		/* Which thread of its own is not known. */
		if (!need ||
			(need->supposed && g->e->tasks[need->first].pid == g->e->tasks[task].pid))
			continue;
		count = need->count < THREADS_LOOKED_AT ? need->count : THREADS_LOOKED_AT;
		for (size_t i = need->first; i < need->first + count; i++)
			if (i != task && (best == SIZE_MAX ||
						 is_likelier(&g->e->tasks[i], &g->e->tasks[best])))
				best = i;
	}
	return best;
}

/* The end of the chain that begins at `at`, after so many steps; SIZE_MAX: it comes by `task`, or has no end. */
static size_t end_without(const struct graph *g, size_t at, size_t task, size_t *ret_steps)
{
	for (*ret_steps = 0; *ret_steps < CYCLE_MAX && at != task; ++*ret_steps) {
		size_t next = g->nodes[at].next;

		if (next == SIZE_MAX || next == at)
			return at;
		at = next;
	}
	return SIZE_MAX;
}

/* Several processes that have what `task` waits for are at something: where all of them stand behind the same one, so
 * does it, by way of the one who is furthest from there. */
static size_t behind_the_same(const struct graph *g, const struct need *need, size_t task)
{
	size_t best = SIZE_MAX, furthest = 0, common = SIZE_MAX;

	for (size_t k = 0; k <= need->others; k++) {
		size_t holder = likely_holder(g, need + k, task), steps, end;

		if (holder == SIZE_MAX || is_all_idle(g, need + k))
			continue;
		end = end_without(g, holder, task, &steps);
		if (end == SIZE_MAX || (common != SIZE_MAX && end != common))
			return SIZE_MAX;
		common = end;
		if (best == SIZE_MAX || steps > furthest) {
			best = holder;
			furthest = steps;
		}
	}
	return best;
}

/* Once the others are known. */
static size_t find_next_of_several(const struct graph *g, size_t task)
{
	const struct node *node = &g->nodes[task];
	const struct need *need = &g->needs[node->first_need];

	return node->next == SIZE_MAX && node->several && node->need_count && need->others
		       ? behind_the_same(g, need, task)
		       : node->next;
}

size_t graph_next(const struct graph *g, size_t task)
{
	return g->nodes[task].next;
}

bool graph_next_is_guess(const struct graph *g, size_t task)
{
	const struct node *node = &g->nodes[task];
	size_t next = node->next;

	for (size_t n = 0; next != SIZE_MAX && n < node->need_count; n++) {
		const struct need *need = &g->needs[node->first_need + n];

		if (next < need->first || next >= need->first + need->count)
			continue;
		for (size_t i = need->first; i < need->first + need->count; i++)
			if (i != next && i != task && g->e->tasks[i].wait.kind != WAIT_ENDED &&
				busyness(&g->e->tasks[i]) == busyness(&g->e->tasks[next]))
				return true;
		return false;
	}
	return false;
}

void graph_build(const struct evidence *e, struct graph *ret)
{
	*ret = (struct graph){.e = e,
		.nodes = mem_zero(e->task_count, sizeof(struct node)),
		.needs = mem_zero(NEEDS_MAX, sizeof(struct need))};
	for (size_t i = 0; i < e->locks.count; i++)
		if (e->locks.at[i].waits)
			graph_match_waiter(ret, &e->locks.at[i]);
	for (size_t i = 0; i < e->task_count; i++) {
		if (e->tasks[i].tried)
			ret->nodes[i].wants = &e->tasks[i].tried->wants;
		graph_add_needs(ret, i);
	}
	for (size_t i = 0; i < e->task_count; i++)
		ret->nodes[i].next = find_next(ret, i);
	for (size_t i = 0; i < e->task_count; i++)
		ret->nodes[i].next = find_next_of_several(ret, i);
	find_stuck(ret);
}
