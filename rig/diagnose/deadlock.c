/*
 * Cycles. A cycle among waits that no time limit ends is permanent, so one instant is enough; where an
 * earlier instant is at hand its members must have been in the same wait, which guards against evidence
 * that was not taken at one instant.
 */
#include "diagnose/suspect.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

static bool is_steady(const struct diagnosing *d, const size_t *cycle, size_t count)
{
	for (size_t i = 0; d->in->earlier && i < count; i++) {
		const struct task *now = &d->now.tasks[cycle[i]];
		const struct task *then = same_thread(&d->earlier, now);

		if (then && !same_wait(then, now))
			return false;
	}
	return true;
}

static bool is_of_rig_or_told(const struct diagnosing *d, const size_t *cycle, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (d->now.tasks[cycle[i]].mine || is_known(d, &d->now.tasks[cycle[i]]))
			return true;
	return false;
}

static bool is_one_process(const struct diagnosing *d, const size_t *cycle, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (d->now.tasks[cycle[i]].pid != d->now.tasks[cycle[0]].pid)
			return false;
	return count > 1;
}

/* Within one process a thread's number says which. */
static char *name_of(const struct diagnosing *d, size_t task, bool one)
{
	return one ? text_fmt("thread %d", d->now.tasks[task].tid) : who(d, task);
}

static bool has_unnamed_readers(const struct task *task)
{
	return task->wait.kind == WAIT_RWLOCK && !task->wait.target;
}

/* "A wants the lock X, which B holds; B waits for A (read on a pipe with A)" */
static void add_link(struct buf *text, const struct diagnosing *d, size_t from, size_t to, bool one)
{
	auto_free char *name = name_of(d, from, one);
	auto_free char *next = name_of(d, to, one);
	char what[WHAT_MAX];

	graph_what(&d->graph, from, what);
	if (from == to)
		buf_addf(text, "%s waits for itself: %s", name, what);
	else if (has_unnamed_readers(&d->now.tasks[from]))
		buf_addf(text, "%s waits for the %s, which %s is taken to have as a reader", name,
			what, next);
	else if (graph_is_supposed(&d->graph, from) && !d->now.tasks[from].sem.op)
		buf_addf(text, "%s waits for the %s to become zero, which %s changed last", name,
			what, next);
	else if (graph_is_supposed(&d->graph, from))
		buf_addf(text, "%s waits for the %s, which %s took last", name, what, next);
	else if (wait_is_lock(d->now.tasks[from].wait.kind))
		buf_addf(text, "%s waits for the %s, which %s holds", name, what, next);
	else
		buf_addf(text, "%s waits for %s (%s)", name, next, what);
}

static char *sentence(const struct diagnosing *d, const size_t *cycle, size_t count)
{
	const struct task *first = &d->now.tasks[cycle[0]];
	bool one = is_one_process(d, cycle, count);
	struct buf text = {0}, escaped = {0};

	if (one)
		buf_addf(&text, "%zu threads of `%s` (process %d) wait for each other: ", count,
			first->role, first->pid);
	for (size_t i = 0; i < count; i++) {
		buf_add_str(&text, i ? "; " : "");
		add_link(&text, d, cycle[i], cycle[(i + 1) % count], one);
	}
	buf_addc(&text, '.');
	buf_add_escaped(&escaped, text.data, text.len);
	buf_free(&text);
	return buf_steal(&escaped);
}

static size_t count_behind(const struct diagnosing *d, size_t members)
{
	size_t stuck = 0;

	for (size_t i = 0; i < d->now.task_count; i++)
		stuck += d->graph.nodes[i].stuck;
	return stuck > members ? stuck - members : 0;
}

/* What it waits for is known to be held by a process with several threads, no more. */
static bool is_of_several(const struct diagnosing *d, size_t task)
{
	const struct node *node = &d->graph.nodes[task];

	for (size_t i = 0; i < node->need_count; i++)
		if (d->graph.needs[node->first_need + i].count > 1)
			return true;
	return false;
}

/* Told from one who is waited for by name, where there is one, and not only by its process. */
static void turn(const struct diagnosing *d, size_t *cycle, size_t count)
{
	for (size_t turns = 0; turns < count && is_of_several(d, cycle[count - 1]); turns++)
		graph_turn(cycle, count);
}

static void tell(struct diagnosing *d, size_t *cycle, size_t count)
{
	char *parts[CYCLE_MAX + 1];

	turn(d, cycle, count);
	free(d->out->title);
	d->out->title = sentence(d, cycle, count);
	d->out->behind = count_behind(d, count);
	say_evidence(d, "a cycle of %zu in the wait-for graph", count);
	for (size_t i = 0; i < count; i++) {
		parts[i] = part_of(d, cycle[i]);
		add_culprit(d, cycle[i]);
		say_task(d, cycle[i]);
		if (has_unnamed_readers(&d->now.tasks[cycle[i]]))
			say_unknown(d,
				"owner unknown: the lock counts its readers and names none; "
				"that a thread which has ended was none of them is supposed");
		else if (graph_is_supposed(&d->graph, cycle[i]))
			say_no_owner(d, cycle[i]);
		else if (is_of_several(d, cycle[i]))
			say_unknown(d, "owner unknown: a process with several threads holds it, "
				       "which of them is not known");
		if (d->now.tasks[cycle[i]].named_by_word)
			say_unknown(d,
				"a lock of no known make: its word is the number of thread "
				"%lld, which is taken for its owner",
				(long long)d->now.tasks[cycle[i]].wait.target);
		if (d->graph.nodes[cycle[i]].inferred)
			say_unknown(d, "a holder was inferred: the only other process that has the "
				       "file open");
	}
	/* Not the same as two alike that wait for each other. */
	parts[count] = text_dup(count == 1 ? "itself" : "each other");
	conclude(d, "deadlock", parts, count + 1, true);
	for (size_t i = 0; i <= count; i++)
		free(parts[i]);
}

/* A server that reads what its client sends next, and the client that reads what comes: how both wait for news where
 * nothing is owed (RFC 2177), and as each other's only hope where something is. */
static bool is_conversation(const struct diagnosing *d, const size_t *cycle, size_t count)
{
	const struct task *one = &d->now.tasks[cycle[0]], *two = &d->now.tasks[cycle[count - 1]];
	const struct socket_end *end = evidence_awaited(&d->now, one),
				*other = evidence_awaited(&d->now, two);

	return count == 2 && end && other && end->peer == other->ino &&
	       (one->serves || two->serves) && one->wait.kind != WAIT_WRITE &&
	       two->wait.kind != WAIT_WRITE;
}

static bool find_cycle(struct diagnosing *d, bool conversations)
{
	size_t cycle[CYCLE_MAX], count;

	for (size_t i = 0; i < d->now.task_count; i++) {
		if (!d->graph.nodes[i].stuck)
			continue;
		count = graph_cycle(&d->graph, i, cycle);
		if (!count || is_of_rig_or_told(d, cycle, count) || !is_steady(d, cycle, count) ||
			is_left_alone(d, cycle[0]) ||
			is_conversation(d, cycle, count) != conversations ||
			(conversations && waited_so_when_healthy(d, &d->now.tasks[cycle[0]]) &&
				waited_so_when_healthy(d, &d->now.tasks[cycle[1]])))
			continue;
		tell(d, cycle, count);
		return true;
	}
	return false;
}

/* Where the evidence closes no cycle: what is supposed beyond it, the likeliest first, and how that is told. */
static const struct supposition {
	bool all;     /* of several processes that have an end none will do what is waited for */
	bool idle;    /* who waits for work holds nothing of what its process holds */
	bool events;  /* nor who waits for an event, of locks whose process is known */
	bool patient; /* no time limit of a lock comes */
	bool last;    /* who was the last to take a semaphore has it: told of each */
	const char *told;
} suppositions[] = {
	{.all = true,
		.told = "several processes have the other end of what is waited for: all of them "
			"stand, any of them would do"},
	{.last = true},
	{.idle = true,
		.told = "owner unknown: a process with several threads holds it; those that wait "
			"for work are taken not to"},
	{.patient = true, .told = "how long it lasts: a wait of it has a time limit of its own"},
	/* One alone at an event may be a worker that waits for work: more often than one that hangs with the lock while
	 * others of its process happen to close a cycle. */
	{.idle = true,
		.events = true,
		.told = "owner unknown: a process with several threads holds it; those that wait "
			"for an event are taken not to"},
};

/* It waits where its thread began, as workers do, and not on the way of an operation; or its stack is not known. */
static bool may_be_idle_worker(const struct task *t)
{
	const char *innermost = json_string_value(json_array_get(t->own, 0));

	return wait_is_event(t->wait.kind) &&
	       (!innermost || (*t->began && !strcmp(innermost, t->began)));
}

static bool find_supposed(struct diagnosing *d, const struct supposition *s)
{
	bool *idle = s->idle ? mem_zero(d->now.task_count, sizeof(bool)) : NULL, found;

	for (size_t i = 0; s->idle && i < d->now.task_count; i++)
		idle[i] =
			waits_for_work(d, i) || (s->events && may_be_idle_worker(&d->now.tasks[i]));
	graph_suppose(&d->graph, &(struct supposed){.all = s->all,
					 .patient = s->patient,
					 .last = s->last,
					 .events = s->events,
					 .idle = idle});
	found = find_cycle(d, false);
	graph_suppose(&d->graph, NULL);
	free(idle);
	if (found && s->told)
		say_unknown(d, "%s", s->told);
	return found;
}

bool find_deadlock(struct diagnosing *d)
{
	if (find_cycle(d, false) || !d->work)
		return d->out->hang_class != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(suppositions); i++)
		if (find_supposed(d, &suppositions[i]))
			return true;
	return false;
}

bool find_silence(struct diagnosing *d, const struct suspect *suspect)
{
	return suspect->weight <= WEIGHT_READ && find_cycle(d, true);
}
