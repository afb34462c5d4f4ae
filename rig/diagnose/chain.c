/*
 * Where the chains of those who wait end: at a wait of its own, or at one who seems idle and has what others want.
 */
#include "diagnose/suspect.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 64

bool is_missed(const struct diagnosing *d, size_t task)
{
	for (size_t i = 0; i < d->now.task_count; i++) {
		const struct task *t = &d->now.tasks[i];

		if (graph_next(&d->graph, i) == task && !t->mine && t->wait.kind != WAIT_CHILD &&
			!is_pool_of(t, &d->now.tasks[task]))
			return true;
	}
	return false;
}

/* A descriptor that is not told may be a socket that listens. */
static bool may_be_at_door(const struct diagnosing *d, const struct task *t)
{
	const json_t *one;
	size_t i;

	json_array_foreach ((json_t *)t->polled, i, one) {
		const struct open_fd *fd = evidence_fd(&d->now, t->pid, json_integer_value(one));
		const struct socket_end *end =
			fd && fd->socket ? evidence_socket(&d->now, fd->ino) : NULL;

		if (!fd || (fd->socket && !end) || (end && end->listens))
			return true;
	}
	return !evidence_all_polled(t);
}

/* The chain ends at one who waits for work or for somebody outside, with a lock held that others wait
 * for. Among workers of one pool whom nobody misses that is the lock around accept(), which is never a lease. */
static struct suspect judge_idle_holder(const struct diagnosing *d, size_t waiter, size_t holder)
{
	const struct task *w = &d->now.tasks[waiter], *h = &d->now.tasks[holder];
	struct suspect s = {.task = holder};

	if (h->mine || waited_so_when_healthy(d, w) || lock_went_round(d, w, h) ||
		!wait_is_lock(w->wait.kind))
		return s;
	s.weight = WEIGHT_IDLE_HOLDER;
	if (is_pool_of(w, h) && h->wait.kind != WAIT_SLEEP && !w->wait.lease &&
		!is_missed(d, waiter))
		s.weight = may_be_at_door(d, h) ? 0 : WEIGHT_OF_KIND;
	s.hang_class = h->wait.timed || h->outside ? "slow" : "lost-wakeup";
	s.why = w->wait.lease ? "it has a lease that others asked back, and does not give it back"
		: h->outside
			? "it holds a lock that others wait for, and itself waits for somebody "
			  "outside"
		: h->wait.timed
			? "it holds a lock that others wait for, and itself waits for a time"
			: "it holds a lock that others wait for, and itself waits for work";
	return s;
}

/* Where the chain that begins at `task` ends. `ret_last` is the last before an idle end. */
static size_t chain_end(const struct diagnosing *d, size_t task, size_t *ret_last)
{
	size_t next;

	*ret_last = task;
	for (int step = 0; step < CHAIN_MAX; step++) {
		next = graph_next(&d->graph, task);
		if (next == SIZE_MAX || next == task)
			break;
		*ret_last = task;
		task = next;
	}
	return task;
}

/* Of which thread the chain that begins at `task` ends is not known, but for its process. */
static bool ends_in_guess(const struct diagnosing *d, size_t task)
{
	size_t last;

	chain_end(d, task, &last);
	return graph_next_is_guess(&d->graph, last);
}

/* Of two that look alike the same one in every run: by what they do, before their numbers, which are chance. */
static bool is_better(const struct diagnosing *d, const struct suspect *a, const struct suspect *b)
{
	const struct task *one = &d->now.tasks[a->task], *two = &d->now.tasks[b->task];
	size_t more = one->pid == two->pid ? a->sure : a->behind,
	       less = one->pid == two->pid ? b->sure : b->behind;
	auto_free char *part = NULL, *other = NULL;

	if (a->weight != b->weight)
		return a->weight > b->weight;
	if (more != less)
		return more > less;
	/* Who was looked at more closely was the better one without that. */
	if (!one->frames != !two->frames)
		return one->frames;
	part = part_of(d, a->task);
	other = part_of(d, b->task);
	if (strcmp(part, other) != 0)
		return strcmp(part, other) < 0;
	return one->tid < two->tid;
}

/* Whatever it does: somebody stands behind its lock, who is not of its kind, and stood not there when all was well. */
static struct suspect weigh_holder(
	const struct diagnosing *d, const struct task *waiter, struct suspect s)
{
	if (s.weight && s.weight != WEIGHT_OF_KIND && s.weight < WEIGHT_HOLDER &&
		!waited_so_when_healthy(d, waiter) &&
		!lock_went_round(d, waiter, &d->now.tasks[s.task]))
		s.weight = WEIGHT_HOLDER;
	return s;
}

/* Or polls that descriptor alone. */
static bool reads(const struct task *t)
{
	return t->wait.kind == WAIT_READ || (t->wait.kind == WAIT_POLL && t->only_fd >= 0);
}

/* The chain ends at one who sleeps, as it did not when all was well, and `last` waits for what it shall send; or at a
 * child that is at work as daemons are, whose parent waits for its end, and others for the parent. */
static struct suspect judge_idle_end(
	const struct diagnosing *d, const struct suspect *own, size_t last, size_t end, bool missed)
{
	const struct task *t = &d->now.tasks[last], *e = &d->now.tasks[end];
	struct suspect s = {0};

	if (t->mine || waited_so_when_healthy(d, t) || !graph_is_idle(e))
		return s;
	if (reads(t) && e->wait.kind == WAIT_SLEEP && own[end].weight) {
		s = own[end];
		s.weight = WEIGHT_ASLEEP_PEER;
		s.why = "it sleeps, as it did not when all was well, and others wait for what it "
			"shall send";
	} else if (t->wait.kind == WAIT_CHILD && t->wait.target > 0 && missed) {
		s = (struct suspect){.task = last,
			.weight = WEIGHT_PARENT,
			.hang_class = "lost-wakeup",
			.why = "it waits for the end of a child that waits for work, and others "
			       "wait for it"};
	}
	return s;
}

/* It called the idle `server`, who took the call and what was sent. */
static bool is_served_by(const struct diagnosing *d, size_t client, size_t server)
{
	const struct socket_end *end = evidence_awaited(&d->now, &d->now.tasks[client]);
	const struct socket_end *peer = end ? evidence_socket(&d->now, end->peer) : NULL;

	return peer && peer->accepted && graph_is_idle(&d->now.tasks[server]);
}

/* The process that has the other end, or the door where the connection stands, is at something that is not for
 * `task`. */
static bool is_at_another(const struct diagnosing *d, size_t task, const struct open_fd *fd)
{
	const struct socket_end *end = fd->socket ? evidence_socket(&d->now, fd->ino) : NULL;
	uint64_t other = !end || end->accepted ? 0 : end->peer ? end->peer : end->accept;

	for (size_t i = 0; other && i < d->now.fd_count; i++) {
		size_t count, first;

		if (d->now.fds[i].ino != other || d->now.fds[i].pid == fd->pid)
			continue;
		first = evidence_process(&d->now, d->now.fds[i].pid, &count);
		for (size_t k = first; k < first + count; k++)
			if (d->now.tasks[k].wait.kind != WAIT_ENDED && !waits_for_work(d, k) &&
				graph_next(&d->graph, k) != task)
				return true;
	}
	return false;
}

/* Who waits for whatever comes may wait for somebody whom it called, and who is at something else. */
static bool may_wait_for_another(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];

	for (size_t i = 0; i < d->now.fd_count; i++)
		if (d->now.fds[i].pid == t->pid && is_at_another(d, task, &d->now.fds[i]))
			return true;
	return false;
}

/* By turns: it has run since the other instant, and runs, sleeps or waits for a disk now. */
static bool is_at_work(const struct diagnosing *d, const struct task *t)
{
	return has_moved(d, t) && (t->wait.kind == WAIT_NONE || t->wait.kind == WAIT_SLEEP ||
					  t->wait.kind == WAIT_DISK);
}

static bool sleeps_by_turns(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];

	return t->wait.kind == WAIT_SLEEP && has_moved(d, t);
}

/* Somebody outside, or gone, and each time for so long. */
static bool asks_by_turns(const struct diagnosing *d, const struct suspect *s)
{
	const struct task *t = &d->now.tasks[s->task];

	return (s->weight == WEIGHT_TIMED || s->weight == WEIGHT_MOVED) && reads(t) &&
	       t->wait.timed && graph_next(&d->graph, s->task) == SIZE_MAX;
}

/* Nobody owns an event; where it comes again and again, the only one of the process who is at work brings it. */
static struct suspect judge_bringer(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	size_t count, first = evidence_process(&d->now, t->pid, &count), found = SIZE_MAX;

	if (!event_goes_on(d, t))
		return (struct suspect){0};
	for (size_t i = first; i < first + count; i++) {
		if (!is_at_work(d, &d->now.tasks[i]))
			continue;
		if (found != SIZE_MAX)
			return (struct suspect){0};
		found = i;
	}
	return (struct suspect){.task = found,
		.weight = found != SIZE_MAX ? WEIGHT_RUNS : 0,
		.hang_class = "slow",
		.why = "it is at work by turns, and others of its process wait for an event that "
		       "it alone can be taken to bring"};
}

/* The reader of a pipe or socket whose other end is idle may have missed its answer; unless that one owes it. */
static struct suspect judge_unanswered(
	const struct diagnosing *d, const struct suspect *own, size_t last, size_t end)
{
	struct suspect s = own[last];
	bool by_turns = sleeps_by_turns(d, end);

	if (!s.weight)
		return s;
	if (s.weight > WEIGHT_UNANSWERED)
		s.weight = WEIGHT_UNANSWERED;
	if (by_turns) {
		s.hang_class = "slow";
		s.why = "it waits for one who sleeps by turns";
	}
	if (is_served_by(d, last, end) || (by_turns && graph_door(&d->graph, last))) {
		s.task = end;
		s.why = "it was asked, owes the answer, and waits for something else";
		if (may_wait_for_another(d, end))
			s.weight--;
	}
	return s;
}

static struct suspect judge_chain(
	const struct diagnosing *d, const struct suspect *own, size_t task)
{
	size_t last, end = chain_end(d, task, &last);
	const struct task *before = &d->now.tasks[last];
	struct suspect s = own[end], waiter = judge_bringer(d, end);

	if (waiter.weight)
		return waiter;
	if (d->now.tasks[end].wait.kind == WAIT_ENDED && end != last)
		return own[last];
	if (end == task)
		return s;
	/* Stopped before: nobody missed it until then. */
	if (d->now.tasks[end].wait.kind == WAIT_STOPPED && !waited_so_when_healthy(d, before))
		judge_by_kind(&d->now.tasks[end], &s);
	if (s.weight <= WEIGHT_TIMED && graph_is_idle(&d->now.tasks[end]))
		s = judge_idle_holder(d, last, end);
	if (wait_is_lock(before->wait.kind))
		return weigh_holder(d, before, s);
	if (s.weight > WEIGHT_TIMED)
		return s;
	waiter = judge_idle_end(d, own, last, end, last != task);
	if (waiter.weight > s.weight)
		return waiter;
	waiter = judge_silent_peer(d, last, end);
	if (waiter.weight > s.weight)
		return waiter;
	/* It runs, and will answer. */
	if (s.weight && d->now.tasks[end].wait.kind == WAIT_NONE)
		return s;
	if (asks_by_turns(d, &s)) {
		s.weight = WEIGHT_UNANSWERED;
		return s;
	}
	waiter = judge_unanswered(d, own, last, end);
	return waiter.weight > s.weight ? waiter : s;
}

/* It stood so when the other trouble was told. */
static bool stood_before(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = d->in->before ? same_thread(&d->before, task) : NULL;

	return then && same_wait(then, task);
}

/* It reads what several processes send, as a log does, and nobody waits for it: there may be nothing to tell. */
static bool only_collects(const struct diagnosing *d, const struct suspect *s)
{
	return !s->behind && d->now.tasks[s->task].wait.kind == WAIT_READ &&
	       d->graph.nodes[s->task].several && !graph_door(&d->graph, s->task) &&
	       !is_left_alone(d, s->task);
}

static bool is_slow(const struct suspect *s)
{
	return s->hang_class && !strcmp(s->hang_class, "slow");
}

struct suspect find_suspect(struct diagnosing *d)
{
	size_t count = d->now.task_count;
	struct suspect *own = mem_zero(count, sizeof(*own));
	struct suspect *ends = mem_zero(count, sizeof(*ends)), best = find_unread(d);
	size_t *behind = mem_zero(count, sizeof(size_t)), *sure = mem_zero(count, sizeof(size_t));

	for (size_t i = 0; i < count; i++)
		own[i] = judge_task(d, i);
	for (size_t i = 0; i < count; i++) {
		if (d->now.tasks[i].mine)
			continue;
		ends[i] = judge_chain(d, own, i);
		/* What it burned is its own doing, whoever it waits for at this instant. */
		if (own[i].weight >= WEIGHT_STORM && own[i].weight > ends[i].weight)
			ends[i] = own[i];
		if (ends[i].weight && ends[i].task != i) {
			behind[ends[i].task]++;
			sure[ends[i].task] += !ends_in_guess(d, i);
		}
	}
	for (size_t i = 0; i < count; i++) {
		ends[i].behind = behind[ends[i].task];
		ends[i].sure = sure[ends[i].task];
		/* Who works by turns, and is waited for, is more than one who sleeps for nobody. */
		if (ends[i].weight == WEIGHT_MOVED && ends[i].behind && is_slow(&ends[i]))
			ends[i].weight = WEIGHT_RUNS;
		if (ends[i].weight > WEIGHT_COLLECTS && only_collects(d, &ends[i]))
			ends[i].weight = WEIGHT_COLLECTS;
		if (ends[i].weight && !is_known(d, &d->now.tasks[ends[i].task]) &&
			!stood_before(d, &d->now.tasks[ends[i].task]) &&
			(!best.weight || is_better(d, &ends[i], &best)))
			best = ends[i];
	}
	free(own);
	free(ends);
	free(behind);
	free(sure);
	return best;
}
