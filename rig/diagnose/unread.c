/*
 * What was sent and lies unread. Whoever waits for an answer to it is not the one who is late: an idle process that
 * has the other end is, whose loop has forgotten the connection or who never asked to hear of it again.
 */
#include "diagnose/case.h"

#include "base/buf.h"

#define WEIGHT_UNREAD 45

/* It has been late for longer than the wait lasts: it has looked since, and waits for others again. Who sleeps may be
 * at it piece by piece. */
static bool limit_went_by(const struct diagnosing *d, const struct wait *wait)
{
	return wait->kind == WAIT_POLL && wait->limit_ms && !d->in->progressed &&
	       2 * (double)wait->limit_ms / 1000 < d->oldest_s;
}

static struct suspect forgot(const struct diagnosing *d, size_t task)
{
	const struct wait *wait = &d->now.tasks[task].wait;
	bool timed = wait->timed && !limit_went_by(d, wait);

	return (struct suspect){.task = task,
		.weight = WEIGHT_UNREAD,
		.hang_class = timed ? "slow" : "lost-wakeup",
		.why = "what was sent to it lies unread, and it waits for something else"};
}

/* What has only just come may still be read. */
static bool lies_unread(const struct diagnosing *d, uint64_t ino)
{
	return evidence_has_unread(&d->now, ino) &&
	       (!d->in->earlier || evidence_has_unread(&d->earlier, ino));
}

/* Its connection stood there at both instants. */
static bool stands_at_door(const struct diagnosing *d, size_t waiter)
{
	const struct task *then = same_thread(&d->earlier, &d->now.tasks[waiter]);

	return graph_door(&d->graph, waiter) &&
	       (!d->in->earlier ||
		       (then && graph_door(&d->then, (size_t)(then - d->earlier.tasks))));
}

/* What it polls is known, and that socket is neither among it nor in a set that is. An eventfd or its like has no
 * number, and is not told. */
static bool asks_not_for(const struct diagnosing *d, const struct task *t, uint64_t ino)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)t->polled, i, one) {
		const struct open_fd *fd = evidence_fd(&d->now, t->pid, json_integer_value(one));

		if (fd && (fd->set || fd->ino == ino))
			return false;
	}
	return evidence_all_polled(t) && !d->now.no_fds;
}

/* A loop that no longer asks for connections, as it did when all was well, is late for all that stand at its door. */
static bool left_its_door(const struct diagnosing *d, size_t waiter, size_t peer)
{
	const struct task *t = &d->now.tasks[peer];

	return stands_at_door(d, waiter) && !waited_so_when_healthy(d, t) &&
	       asks_not_for(d, t, graph_door(&d->graph, waiter)->ino);
}

/* It sends to its client while others wait for it: when a client reads is the client's affair, and what it keeps from
 * others meanwhile is its own. */
static bool keeps_others_for_client(
	const struct diagnosing *d, size_t task, const struct socket_end *end)
{
	if (d->now.tasks[task].wait.kind != WAIT_WRITE || !end || !end->accepted)
		return false;
	for (size_t i = 0; i < d->now.task_count; i++)
		if (graph_next(&d->graph, i) == task && wait_is_lock(d->now.tasks[i].wait.kind))
			return true;
	return false;
}

struct suspect judge_silent_peer(const struct diagnosing *d, size_t waiter, size_t peer)
{
	const struct task *t = &d->now.tasks[waiter];
	const struct open_fd *fd = evidence_awaited_fd(&d->now, t);
	const struct socket_end *end = evidence_awaited(&d->now, t);
	struct suspect s = forgot(d, peer);

	if (!graph_is_idle(&d->now.tasks[peer]) || keeps_others_for_client(d, waiter, end))
		return (struct suspect){0};
	if (left_its_door(d, waiter, peer)) {
		s.why = "connections stand at its door, and it does not ask for them";
		return s;
	}
	/* Who waits to write to a pipe has filled it. */
	if (fd && fd->writes && !fd->socket && t->wait.kind == WAIT_WRITE)
		return s;
	return end && lies_unread(d, end->peer) ? s : (struct suspect){0};
}

bool judge_ignored(const struct diagnosing *d, size_t task, struct suspect *ret)
{
	const struct task *t = &d->now.tasks[task];
	const struct open_fd *fd = evidence_fd(&d->now, t->pid, t->only_fd);

	if (!evidence_ignores_unread(&d->now, t) || !lies_unread(d, fd->ino))
		return false;
	*ret = forgot(d, task);
	ret->why = "what was sent to it lies unread, and it does not ask for it";
	return true;
}

/* The one process that has the socket, 0: several, or none. */
static int only_holder(const struct evidence *e, uint64_t ino)
{
	int pid = 0;

	for (size_t i = 0; i < e->fd_count; i++) {
		if (e->fds[i].ino != ino || !e->fds[i].socket)
			continue;
		if (pid && pid != e->fds[i].pid)
			return 0;
		pid = e->fds[i].pid;
	}
	return pid;
}

/* The thread that waits for whatever comes, of a process that does nothing; SIZE_MAX: it is not so. */
static size_t idle_loop(const struct diagnosing *d, int pid)
{
	size_t count, first = pid ? evidence_process(&d->now, pid, &count) : 0, loop = SIZE_MAX;

	if (!pid)
		return SIZE_MAX;
	for (size_t i = first; i < first + count; i++) {
		const struct task *t = &d->now.tasks[i];

		if (t->mine || t->wait.kind == WAIT_SLEEP ||
			(t->wait.kind != WAIT_ENDED && !waits_for_work(d, i)))
			return SIZE_MAX;
		if (loop == SIZE_MAX && (t->wait.kind == WAIT_POLL || t->wait.kind == WAIT_ACCEPT))
			loop = i;
	}
	return loop;
}

struct suspect find_unread(const struct diagnosing *d)
{
	for (size_t i = 0; i < d->now.socket_count; i++) {
		const struct socket_end *end = &d->now.sockets[i];
		size_t loop;

		if (!end->outside || !lies_unread(d, end->ino))
			continue;
		loop = idle_loop(d, only_holder(&d->now, end->ino));
		if (loop != SIZE_MAX)
			return forgot(d, loop);
	}
	return (struct suspect){0};
}
