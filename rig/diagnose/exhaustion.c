/*
 * k of k workers in the same wait while work is waiting. A pool is found, not told: the threads of a
 * process that waited for the same event when all was well; where nothing is known of them, its threads beside the
 * first one, or the single-threaded processes of one program and one parent. A service thread that waits just as it
 * did when all was well, and not where the workers waited then, is no worker.
 */
#include "diagnose/case.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define POOL_MAX     512
#define WEIGHT_WAIT  65 /* for somebody else: a descriptor, a lock of unknown owner */
#define WEIGHT_EVENT 30 /* an event in memory: how idle pools wait as well */

struct pool {
	size_t members[POOL_MAX];
	char *waits[POOL_MAX]; /* of each member, in words that are the same in the same wait */
	size_t count;	       /* all */
	size_t same;	       /* in the wait of the largest part */
	size_t example;	       /* one of those: a task */
	size_t chosen;	       /* the same one: a member */
};

static bool threads_of(const struct evidence *e, size_t task)
{
	size_t count;

	evidence_process(e, e->tasks[task].pid, &count);
	return count > 1;
}

/* Where it waited for work, as others did: what makes them a pool. NULL: not known. */
static const struct task *idle_place(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->healthy, task);
	size_t count = 0, first, same = 0;

	if (!then || !wait_is_event(then->wait.kind))
		return NULL;
	first = evidence_process(&d->healthy, then->pid, &count);
	for (size_t i = first; i < first + count; i++)
		same += same_wait(then, &d->healthy.tasks[i]);
	return same > 1 ? then : NULL;
}

bool same_name(const char *a, const char *b)
{
	static const char digits[] = "0123456789";

	while (*a && *b) {
		size_t skip_a = strspn(a, digits), skip_b = strspn(b, digits);

		if (!skip_a != !skip_b || (!skip_a && *a != *b))
			return false;
		a += skip_a ? skip_a : 1;
		b += skip_b ? skip_b : 1;
	}
	return !*a && !*b;
}

bool is_pool_of(const struct task *a, const struct task *b)
{
	return !strcmp(a->exe, b->exe) && a->ppid == b->ppid && same_name(a->comm, b->comm);
}

static bool is_member(const struct diagnosing *d, size_t example, size_t task)
{
	const struct evidence *e = &d->now;
	const struct task *a = &e->tasks[example], *b = &e->tasks[task];
	const struct task *place = idle_place(d, a), *other = idle_place(d, b);

	if (b->mine || b->wait.kind == WAIT_ENDED)
		return false;
	if (place || other)
		return place && other && a->pid == b->pid && same_wait(place, other);
	if (threads_of(e, example))
		return a->pid == b->pid && b->tid != b->pid && same_name(a->comm, b->comm);
	return !threads_of(e, task) && is_pool_of(a, b);
}

static char *wait_of(const struct diagnosing *d, size_t task)
{
	const struct wait *wait = &d->now.tasks[task].wait;
	bool in_memory =
		wait_is_event(wait->kind) || wait->kind == WAIT_MUTEX || wait->kind == WAIT_RWLOCK;
	char what[WHAT_MAX];

	if (in_memory)
		return text_fmt("%d %d %llx", (int)wait->kind, wait->number,
			(unsigned long long)wait_object(wait));
	graph_what(&d->graph, task, what);
	return text_fmt("%d %d %s", (int)wait->kind, wait->number, what);
}

static bool alike(const struct pool *pool, size_t a, size_t b)
{
	return !strcmp(pool->waits[a], pool->waits[b]);
}

/* Each is a process that somebody of its own waits for. */
static bool have_clients(const struct diagnosing *d, const struct pool *pool)
{
	for (size_t i = 0; i < pool->count; i++)
		if (alike(pool, pool->chosen, i) &&
			(threads_of(&d->now, pool->members[i]) || !is_missed(d, pool->members[i])))
			return false;
	return true;
}

/* Each waits for somebody else of its own, or is waited for so: sessions, which only a connection at the door makes
 * scarce. */
static bool are_sessions(const struct diagnosing *d, const struct pool *pool)
{
	int pid = 0;

	if (have_clients(d, pool))
		return true;
	for (size_t i = 0; i < pool->count; i++) {
		size_t next = graph_next(&d->graph, pool->members[i]);

		if (waits_for_client(d, pool->members[i]))
			return true;
		if (next == SIZE_MAX || !alike(pool, pool->chosen, i))
			continue;
		if (pid && d->now.tasks[next].pid != pid)
			return true;
		pid = d->now.tasks[next].pid;
	}
	return false;
}

static bool has_open(const struct diagnosing *d, const struct pool *pool, uint64_t ino)
{
	for (size_t i = 0; i < d->now.fd_count; i++)
		for (size_t k = 0; d->now.fds[i].ino == ino && k < pool->count; k++)
			if (d->now.tasks[pool->members[k]].pid == d->now.fds[i].pid)
				return true;
	return false;
}

/* Connections that nobody has accepted, but for those of its own that stand at the door of somebody else. */
static int64_t backlog_of(const struct diagnosing *d, const struct pool *pool)
{
	int64_t backlog = d->backlog;

	for (size_t i = 0; i < pool->count; i++) {
		const struct socket_end *door = graph_door(&d->graph, pool->members[i]);

		backlog -= backlog > 0 && door && !has_open(d, pool, door->ino);
	}
	return backlog;
}

/* An idle one who has left unread what they sent, or their connections at its door: the one who is late. */
static bool is_late(const struct diagnosing *d, const struct pool *pool)
{
	size_t next = graph_next(&d->graph, pool->example);

	return next != SIZE_MAX && judge_silent_peer(d, pool->example, next).weight;
}

static bool others_have(const struct diagnosing *d, int pid, uint64_t ino)
{
	for (size_t i = 0; ino && i < d->now.fd_count; i++)
		if (d->now.fds[i].ino == ino && d->now.fds[i].pid != pid)
			return true;
	return false;
}

/* A door, a connection with somebody, or a pipe that another writes to. */
static bool may_bring_work(const struct diagnosing *d, const struct open_fd *fd)
{
	const struct socket_end *end = fd->socket ? evidence_socket(&d->now, fd->ino) : NULL;

	if (!fd->socket)
		return fd->reads && others_have(d, fd->pid, fd->ino);
	return end &&
	       (end->listens || end->outside || end->accept || others_have(d, fd->pid, end->peer));
}

/* By another way than the connection that it waits at. */
static bool may_be_given_work(const struct diagnosing *d, const struct task *t)
{
	const struct open_fd *awaited = evidence_awaited_fd(&d->now, t);

	for (size_t i = 0; i < d->now.fd_count; i++) {
		const struct open_fd *fd = &d->now.fds[i];

		if (fd->pid == t->pid && (!awaited || fd->ino != awaited->ino) &&
			may_bring_work(d, fd))
			return true;
	}
	return !awaited || d->now.no_fds || d->now.no_sockets;
}

/* They came to who they wait for, and nothing else brings them to do anything. */
static bool only_ask(const struct diagnosing *d, const struct pool *pool)
{
	const struct socket_end *end =
		evidence_awaited(&d->now, &d->now.tasks[pool->members[pool->chosen]]);
	const struct socket_end *peer = end ? evidence_socket(&d->now, end->peer) : NULL;

	if (!end || (peer ? !peer->accepted : !end->accept))
		return false;
	for (size_t i = 0; i < pool->count; i++)
		if (alike(pool, pool->chosen, i) &&
			may_be_given_work(d, &d->now.tasks[pool->members[i]]))
			return false;
	return true;
}

/* Processes alike that nothing says are workers: no work waits for them, and who they all wait for has left what they
 * sent, or does not accept; or it cannot come to them. They are its clients. */
static bool are_clients(const struct diagnosing *d, const struct pool *pool)
{
	size_t next = graph_next(&d->graph, pool->example);
	const struct socket_end *door = graph_door(&d->graph, pool->example);

	if (threads_of(&d->now, pool->example) || d->in->queued > 0)
		return false;
	if (only_ask(d, pool))
		return true;
	if (backlog_of(d, pool))
		return false;
	return next == SIZE_MAX || door ? door && !has_open(d, pool, door->ino) : is_late(d, pool);
}

/* How much the shared wait of a pool looks like exhaustion. */
static int weigh(const struct diagnosing *d, const struct pool *pool)
{
	const struct task *t = &d->now.tasks[pool->example];
	size_t next = graph_next(&d->graph, pool->example);
	bool holder_waits = next != SIZE_MAX && !graph_is_idle(&d->now.tasks[next]) &&
			    d->now.tasks[next].wait.kind != WAIT_ENDED;

	if (graph_is_idle(t) || waited_so_when_healthy(d, t))
		return 0;
	if (are_clients(d, pool) || is_left_alone(d, pool->example) ||
		(!backlog_of(d, pool) && are_sessions(d, pool)))
		return 0;
	switch (t->wait.kind) {
	case WAIT_READ:
	case WAIT_WRITE:
	case WAIT_POLL:
	case WAIT_CONNECT:
	case WAIT_OPEN:
		return holder_waits ? 0 : WEIGHT_WAIT;
	case WAIT_PARKED: /* their own replies are owed because of the fault; more must wait */
		return d->backlog || d->in->queued || d->owed > pool->count ? 96 : 0;
	case WAIT_FUTEX:
	case WAIT_SEMAPHORE:
	case WAIT_JOIN:
		return event_goes_on(d, t) ? 0 : WEIGHT_EVENT;
	default:
		return 0;
	}
}

/* The thread stands where it stood, and the workers stood elsewhere then. */
static bool is_service(const struct diagnosing *d, const struct pool *pool, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	const struct task *then = same_thread(&d->healthy, &d->now.tasks[pool->example]);

	return waited_so_when_healthy(d, t) && then && !same_wait(then, t);
}

static void find_members(const struct diagnosing *d, size_t first, struct pool *pool)
{
	pool->count = pool->same = 0;
	pool->example = first;
	for (size_t i = 0; i < d->now.task_count && pool->count < POOL_MAX; i++) {
		if (!is_member(d, first, i))
			continue;
		pool->waits[pool->count] = wait_of(d, i);
		pool->members[pool->count++] = i;
	}
}

static void pool_clear(struct pool *pool)
{
	for (size_t i = 0; i < pool->count; i++)
		free(pool->waits[i]);
	pool->count = 0;
}

/* The pool that `first` is the first member of; false: not all its workers are in one wait. */
static bool gather(const struct diagnosing *d, size_t first, struct pool *pool)
{
	size_t workers = 0, chosen = 0;

	find_members(d, first, pool);
	for (size_t i = 0; i < pool->count && pool->same * 2 <= pool->count; i++) {
		size_t same = 0;

		for (size_t k = 0; k < pool->count; k++)
			same += alike(pool, i, k);
		if (same > pool->same) {
			pool->same = same;
			pool->example = pool->members[i];
			chosen = i;
		}
	}
	for (size_t i = 0; i < pool->count; i++)
		workers += alike(pool, chosen, i) || !is_service(d, pool, pool->members[i]);
	pool->chosen = chosen;
	return pool->same >= 2 && workers == pool->same;
}

/* Whom they wait for. Who only keeps a socket open, and waits for what it waited for when all was well, is not the
 * one who should accept there: nobody is. */
static void tell_other_side(struct diagnosing *d, size_t example, bool late)
{
	size_t next = graph_next(&d->graph, example);
	bool door = graph_door(&d->graph, example);

	if (next == SIZE_MAX)
		return;
	if (door && !late && waited_so_when_healthy(d, &d->now.tasks[next])) {
		auto_free char *name = who(d, next);

		say_evidence(d,
			"nobody accepts there: %s has that socket open, and waits as when "
			"all was well",
			name);
		return;
	}
	say_task_as(d, next,
		door   ? "the other side, which does not accept: "
		: late ? "what they sent lies unread with "
		       : "they wait for ");
	if (!late) /* or it was named before them */
		add_culprit(d, next);
}

static void tell(struct diagnosing *d, const struct pool *pool)
{
	bool late = is_late(d, pool);
	const struct task *t = &d->now.tasks[pool->example];
	auto_free char *part = part_of(d, pool->example);
	auto_buf struct buf escaped = {0}, title = {0};
	char what[WHAT_MAX];

	graph_what(&d->graph, pool->example, what);
	buf_addf(&title, "All %zu %s of `%s` are in the same wait (%s) and work is waiting.",
		pool->same, threads_of(&d->now, pool->example) ? "worker threads" : "processes",
		t->role, what);
	buf_add_escaped(&escaped, title.data, title.len);
	free(d->out->title);
	d->out->title = buf_steal(&escaped);
	say_evidence(d, "%zu of %zu workers of `%s` in one wait: %s", pool->same, pool->same,
		t->role, what);
	say_no_owner(d, pool->example);
	if (late)
		add_culprit(d, graph_next(&d->graph, pool->example));
	for (size_t i = 0; i < pool->count; i++)
		if (alike(pool, pool->chosen, i))
			add_culprit(d, pool->members[i]);
	say_task(d, pool->example);
	tell_other_side(d, pool->example, late);
	conclude(d, "exhaustion", &part, 1, false);
}

static bool holds(const struct pool *pool, size_t task)
{
	for (size_t i = 0; i < pool->count; i++)
		if (pool->members[i] == task && alike(pool, pool->chosen, i))
			return true;
	return false;
}

/* A pool speaks louder than the best lone suspect if it weighs more, or if that is one of its own. */
static int weigh_against(
	const struct diagnosing *d, const struct pool *pool, const struct suspect *suspect)
{
	int weight = weigh(d, pool);

	return weight > suspect->weight || holds(pool, suspect->task) ? weight : 0;
}

bool find_exhaustion(struct diagnosing *d, const struct suspect *suspect)
{
	struct pool *pool = mem_zero(1, sizeof(*pool)), *best = mem_zero(1, sizeof(*best)), *swap;
	bool *seen = mem_zero(d->now.task_count, sizeof(bool));
	int best_weight = 0, weight;

	for (size_t i = 0; i < d->now.task_count; i++) {
		const struct task *t = &d->now.tasks[i];

		if (seen[i] || t->mine || (t->pid == t->tid && threads_of(&d->now, i)))
			continue;
		weight = gather(d, i, pool) ? weigh_against(d, pool, suspect) : 0;
		for (size_t k = 0; k < pool->count; k++)
			seen[pool->members[k]] = true;
		if (weight > best_weight ||
			(weight && weight == best_weight && pool->same > best->same)) {
			best_weight = weight;
			swap = best;
			best = pool;
			pool = swap;
		}
		pool_clear(pool);
	}
	if (best_weight)
		tell(d, best);
	pool_clear(best);
	free(pool);
	free(best);
	free(seen);
	return best_weight > 0;
}
