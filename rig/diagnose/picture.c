#include "diagnose/picture.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_SHOWN 8

/* One node: a thread, or several that wait alike for the same one and whom nobody waits for. */
struct shown {
	size_t task, count;
	bool culprit;
};

struct picture {
	const struct diagnosing *d;
	struct shown nodes[PICTURE_NODES_MAX];
	size_t count, left_out;
};

static size_t node_of(const struct picture *p, size_t task)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->nodes[i].task == task)
			return i;
	return SIZE_MAX;
}

static void add(struct picture *p, size_t task, bool culprit)
{
	size_t at = node_of(p, task);

	if (at != SIZE_MAX)
		p->nodes[at].culprit |= culprit;
	else if (p->count == PICTURE_NODES_MAX)
		p->left_out++;
	else
		p->nodes[p->count++] = (struct shown){.task = task, .count = 1, .culprit = culprit};
}

static bool is_waited_for(const struct picture *p, size_t task)
{
	for (size_t i = 0; i < p->d->now.task_count; i++)
		if (i != task && graph_next(&p->d->graph, i) == task)
			return true;
	return false;
}

static bool wait_alike(const struct picture *p, size_t a, size_t b)
{
	auto_free char *one = part_of(p->d, a);
	auto_free char *two = part_of(p->d, b);

	return graph_next(&p->d->graph, a) == graph_next(&p->d->graph, b) && !strcmp(one, two);
}

/* Counts the thread with one that is there and just like it; false: there is none. */
static bool folds(struct picture *p, size_t task, bool culprit)
{
	if (node_of(p, task) != SIZE_MAX || is_waited_for(p, task))
		return false;
	for (size_t i = 0; i < p->count; i++) {
		struct shown *node = &p->nodes[i];

		if (node->culprit != culprit || is_waited_for(p, node->task) ||
			!wait_alike(p, node->task, task))
			continue;
		node->count++;
		return true;
	}
	return false;
}

static size_t task_of(const struct diagnosing *d, const struct culprit *culprit)
{
	for (size_t i = 0; i < d->now.task_count; i++)
		if (d->now.tasks[i].pid == culprit->pid && d->now.tasks[i].tid == culprit->tid)
			return i;
	return SIZE_MAX;
}

static void add_culprits(struct picture *p)
{
	const struct diagnosis *out = p->d->out;
	bool pool = out->hang_class && !strcmp(out->hang_class, "exhaustion");

	for (size_t i = 0; i < out->culprit_count; i++) {
		size_t task = task_of(p->d, &out->culprits[i]);
		bool blamed = i == 0 || pool || !strcmp(out->hang_class, "deadlock");

		if (task != SIZE_MAX && !folds(p, task, blamed))
			add(p, task, blamed);
	}
}

static void add_chains(struct picture *p)
{
	size_t count = p->count;

	for (size_t i = 0; i < count; i++) {
		size_t at = p->nodes[i].task;

		for (int step = 0; step < CHAIN_SHOWN; step++) {
			at = graph_next(&p->d->graph, at);
			if (at == SIZE_MAX || node_of(p, at) != SIZE_MAX)
				break;
			add(p, at, false);
		}
	}
}

static bool was_counted(const struct picture *p, size_t task)
{
	const struct diagnosis *out = p->d->out;

	for (size_t i = 0; i < out->culprit_count; i++)
		if (p->d->now.tasks[task].tid == out->culprits[i].tid)
			return true;
	return false;
}

static void add_waiters(struct picture *p)
{
	for (size_t i = 0; i < p->d->now.task_count; i++) {
		size_t next = graph_next(&p->d->graph, i);

		if (next == SIZE_MAX || next == i || p->d->now.tasks[i].mine ||
			node_of(p, next) == SIZE_MAX || node_of(p, i) != SIZE_MAX ||
			was_counted(p, i))
			continue;
		if (!folds(p, i, false))
			add(p, i, false);
	}
}

/* ---- as JSON ---- */

/* Shorter than who(): it stands in a box. */
static char *name_of(const struct picture *p, const struct task *t)
{
	size_t threads;

	evidence_process(&p->d->now, t->pid, &threads);
	return text_fmt("`%s` %s %d", t->role, threads > 1 ? "thread" : "process", t->tid);
}

static json_t *node_json(const struct picture *p, const struct shown *node)
{
	const struct task *t = &p->d->now.tasks[node->task];
	const struct node *in_graph = &p->d->graph.nodes[node->task];
	auto_free char *name = name_of(p, t);
	char what[WHAT_MAX], state[2] = {t->state, '\0'};
	json_t *json;

	graph_what(&p->d->graph, node->task, what);
	json = json_pack("{so so so sb si}", "who",
		node->count > 1 ? json_text(t->role) : json_text(name), "what", json_text(what),
		"state", json_text(state), "culprit", (int)node->culprit, "count",
		(int)node->count);
	if (in_graph->unknown)
		json_object_set_new(json, "unknown", json_text(in_graph->unknown));
	return json;
}

/* The node of the picture that a need leads to. */
static size_t end_of(const struct picture *p, size_t waiter, const struct need *need)
{
	size_t next = graph_next(&p->d->graph, p->nodes[waiter].task);

	if (next != SIZE_MAX && next >= need->first && next < need->first + need->count &&
		node_of(p, next) != SIZE_MAX)
		return node_of(p, next);
	for (size_t i = 0; i < p->count; i++)
		if (p->nodes[i].task >= need->first && p->nodes[i].task < need->first + need->count)
			return i;
	return SIZE_MAX;
}

static void add_edges(const struct picture *p, size_t waiter, json_t *edges)
{
	const struct node *node = &p->d->graph.nodes[p->nodes[waiter].task];

	for (size_t i = 0; i < node->need_count; i++) {
		size_t end = end_of(p, waiter, &p->d->graph.needs[node->first_need + i]);

		if (end != SIZE_MAX)
			json_array_append_new(edges, json_pack("[ii]", (int)waiter, (int)end));
	}
}

/* Who has died stands in no scan, and waits for nobody: the first is who crashed. */
static void add_dead(const struct diagnosing *d, json_t *nodes, json_t *freed)
{
	const struct diagnosis *out = d->out;

	for (size_t i = 0; i < out->culprit_count && i < PICTURE_NODES_MAX; i++) {
		const struct culprit *c = &out->culprits[i];
		auto_free char *who = text_fmt("`%s` thread %d", c->role, c->tid);

		json_array_append_new(
			nodes, json_pack("{so so ss sb si}", "who", json_text(who), "what",
				       json_text(c->says), "state", "X", "culprit", 1, "count", 1));
		if (d->deleter_tid && c->tid == d->deleter_tid)
			json_array_append_new(freed, json_pack("[ii]", 0, (int)i));
	}
}

json_t *picture_of(const struct diagnosing *d)
{
	struct picture p = {.d = d};
	json_t *nodes = json_array(), *edges = json_array(), *freed = json_array(), *picture;

	add_culprits(&p);
	add_chains(&p);
	add_waiters(&p);
	for (size_t i = 0; i < p.count; i++) {
		json_array_append_new(nodes, node_json(&p, &p.nodes[i]));
		add_edges(&p, i, edges);
	}
	if (!p.count)
		add_dead(d, nodes, freed);
	picture = json_pack(
		"{so so sI}", "nodes", nodes, "edges", edges, "left_out", (json_int_t)p.left_out);
	if (json_array_size(freed))
		json_object_set(picture, "freed", freed);
	json_decref(freed);
	return picture;
}
