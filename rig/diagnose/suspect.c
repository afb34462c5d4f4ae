/*
 * Without a cycle the end of a chain is the suspect. Every thread's wait gets a weight: how much it looks
 * like a cause and how little like waiting for work. The order of weights is the whole of the
 * judgement; how many wait behind decides among equals.
 */
#include "diagnose/case.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

#define LIVELOCK_PERCENT 20 /* of the processor; several that spin share one */
#define STORM_PERCENT	 2  /* that beginning them costs whoever does */
#define CHAIN_MAX	 64

struct judging {
	enum wait_kind kind;
	int weight;
	const char *hang_class;
	const char *why;
};

/* For a wait without a time limit whose holder is not known. */
static const struct judging table[] = {
	{WAIT_STOPPED, 100, "stopped", "it is stopped and nobody continues it"},
	{WAIT_PARKED, 95, "blocked-on-fault", "the rig holds it inside a call"},
	{WAIT_FREEZE, 90, "blocked-on-fault",
		"it writes to a filesystem that the rig holds frozen"},
	{WAIT_MUTEX, 70, "lost-wakeup",
		"it waits for a lock that no living thread is known to hold"},
	{WAIT_FILE_LOCK, 70, "lost-wakeup",
		"it waits for a file lock that no living process is known to hold"},
	{WAIT_OPEN, 62, "lost-wakeup", "it opens a FIFO and nobody opens the other end"},
	{WAIT_FUTEX, 60, "lost-wakeup", "it waits for an event in memory, nobody owns the event"},
	{WAIT_SEMAPHORE, 60, "lost-wakeup", "it waits for a semaphore that nobody posts"},
	{WAIT_JOIN, 60, "lost-wakeup", "it waits for an event in memory, nobody owns the event"},
	{WAIT_WRITE, 58, "lost-wakeup", "it writes, and nobody reads"},
	/* Somebody has it: perhaps one of those above. */
	{WAIT_RWLOCK, 57, "lost-wakeup",
		"it waits for a read-write lock that readers have, and the lock does not name "
		"them"},
	{WAIT_READ, 55, "lost-wakeup", "it reads, and nobody writes"},
	{WAIT_POLL, 50, "lost-wakeup", "it waits for the one descriptor, and nothing comes"},
	{WAIT_CONNECT, 50, "lost-wakeup", "it connects, and nobody accepts"},
	{WAIT_PAGE, 58, "lost-wakeup",
		"it touched a page of memory that another shall bring, and nobody does"},
	{WAIT_DISK, 40, "slow", "it waits for a device (state D)"},
	{WAIT_SIGNAL, 25, "lost-wakeup", "it waits for a signal that nobody sends"},
	{WAIT_OTHER, 25, "lost-wakeup", "it is blocked in a call of no known kind"},
};

#define WEIGHT_THAW_LOST  75
#define WEIGHT_LIVELOCK	  85
#define WEIGHT_RUNS_TWICE 52
#define WEIGHT_STORM	  72
#define WEIGHT_HABIT	  24 /* less than any wait without a time limit */
#define WEIGHT_RUNS	  15
#define WEIGHT_TIMED	  20
#define WEIGHT_AS_HEALTHY 12
#define WEIGHT_ASLEEP	  14
#define WEIGHT_MOVED	  13
#define WEIGHT_COLLECTS	  13
#define WEIGHT_ZOMBIE	  22
#define WEIGHT_CLIENT	  8
#define WEIGHT_SHARED	  28
#define WEIGHT_ASLEEP_PEER \
	31 /* others wait for what it alone can send: more than they themselves */
#define WEIGHT_PARENT	     31 /* the same, and the child it waits for will not end */
#define WEIGHT_BEHIND_HOLDER 29 /* less than one whose other end is idle */
#define WEIGHT_IDLE_HOLDER   35
#define WEIGHT_OF_ITSELF     70
#define WEIGHT_HOLDER	     62 /* what it has, others are known to wait for: more than a lone event */

/* ---- other instants ---- */

const struct task *same_thread(const struct evidence *then, const struct task *task)
{
	size_t low = 0, high = then->task_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct task *t = &then->tasks[middle];

		if (t->pid == task->pid && t->tid == task->tid)
			return t->start == task->start ? t : NULL;
		if (t->pid < task->pid || (t->pid == task->pid && t->tid < task->tid))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool is_known(const struct diagnosing *d, const struct task *task)
{
	for (size_t i = 0; i < d->in->known_count; i++)
		if (d->in->known[i] == task->tid)
			return true;
	return false;
}

/* It stood so when the other trouble was told. */
static bool stood_before(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = d->in->before ? same_thread(&d->before, task) : NULL;

	return then && same_wait(then, task);
}

bool speaks_for_itself(const struct suspect *suspect)
{
	return suspect->weight >= WEIGHT_OF_ITSELF;
}

bool waited_so_when_healthy(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->healthy, task);

	return then && same_wait(then, task);
}

/* "ADDRESS:PORT" or "ADDRESS:PORT-ADDRESS:PORT": the port that is this end's. */
static size_t local_port(const char *name, const char **ret_port)
{
	size_t local = strcspn(name, "-"), at = local;

	while (at > 0 && name[at - 1] != ':')
		at--;
	*ret_port = name + at;
	return at ? local - at : 0;
}

bool waits_for_client(const struct diagnosing *d, const struct task *task)
{
	const struct open_fd *fd = evidence_fd(
		&d->now, task->pid, task->wait.kind == WAIT_POLL ? task->only_fd : task->wait.fd);
	const struct socket_end *end = fd && fd->socket ? evidence_socket(&d->now, fd->ino) : NULL;
	const char *port, *other;
	size_t len = end && end->name ? local_port(end->name, &port) : 0;

	if (!task->outside || !len)
		return false;
	for (size_t i = 0; i < d->now.socket_count; i++) {
		const struct socket_end *door = &d->now.sockets[i];

		if (door->listens && door->name && local_port(door->name, &other) == len &&
			!strncmp(port, other, len))
			return true;
	}
	return false;
}

/* ---- one thread ---- */

static void judge_spinning(const struct diagnosing *d, const struct task *t, struct suspect *s)
{
	const struct task *then = same_thread(&d->earlier, t);
	int percent = cpu_percent(d, t);

	if (d->in->progressed)
		return;
	if (t->wait.kind == WAIT_NONE && got_no_turn(d, t)) {
		s->weight = WEIGHT_RUNS;
		return;
	}
	/* One that always runs but gets little has a busy machine around it, where that is not known from its turns. */
	if (percent >= LIVELOCK_PERCENT ||
		(percent > 0 && !knows_turns(d, t) && t->wait.kind == WAIT_NONE &&
			then->wait.kind == WAIT_NONE)) {
		s->weight = WEIGHT_LIVELOCK;
		s->hang_class = "livelock";
		s->why = "it burns the processor and nothing is answered";
		if (habit_percent(d, t) >= LIVELOCK_PERCENT) {
			s->weight = WEIGHT_HABIT;
			s->why = "it burns the processor, as it did when all was well";
		}
	} else if (percent >= STORM_PERCENT && reaped_percent(d, t) >= LIVELOCK_PERCENT) {
		s->weight = WEIGHT_STORM;
		s->hang_class = "livelock";
		s->why = "it begins processes again and again, they burn the processor, and "
			 "nothing is answered";
	} else if (percent < 0 && then && then->wait.kind == WAIT_NONE &&
		   t->wait.kind == WAIT_NONE) {
		s->weight = WEIGHT_RUNS_TWICE;
		s->hang_class = "livelock";
		s->why = "it runs at both instants and nothing is answered; processor time is not "
			 "in the evidence";
	} else if (t->wait.kind == WAIT_NONE) {
		s->weight = WEIGHT_RUNS;
		s->hang_class = "slow";
		s->why = "it runs";
	}
}

static void judge_by_table(const struct task *t, struct suspect *s)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kind != t->wait.kind)
			continue;
		s->weight = table[i].weight;
		s->hang_class = table[i].hang_class;
		s->why = table[i].why;
	}
}

/* A whole process: its first thread may end before the others. */
static bool has_ended(const struct evidence *e, const struct task *t)
{
	size_t threads;

	evidence_process(e, t->pid, &threads);
	return t->pid == t->tid && threads == 1 && t->wait.kind == WAIT_ENDED;
}

static bool had_ended(const struct evidence *then, const struct task *task)
{
	const struct task *t = same_thread(then, task);

	return t && t->wait.kind == WAIT_ENDED;
}

/* One that it left so when all was well is its habit: many look after their children when they are next at work. */
static bool has_zombie(const struct diagnosing *d, const struct task *parent)
{
	for (size_t i = 0; i < d->now.task_count; i++) {
		const struct task *t = &d->now.tasks[i];

		if (t->ppid == parent->pid && has_ended(&d->now, t) &&
			(!d->in->earlier || had_ended(&d->earlier, t)) &&
			!had_ended(&d->healthy, t))
			return true;
	}
	return false;
}

/* Several threads at one event: how the idle workers of a pool wait, unless it is known where this one waits for
 * work. */
static bool shares_event(const struct diagnosing *d, const struct task *t)
{
	size_t count, first = evidence_process(&d->now, t->pid, &count), same = 0;
	const struct task *then = same_thread(&d->healthy, t);

	if (then && wait_is_event(then->wait.kind) && !same_wait(then, t))
		return false;
	for (size_t i = first; i < first + count; i++)
		same += wait_is_event(d->now.tasks[i].wait.kind) &&
			wait_object(&d->now.tasks[i].wait) == wait_object(&t->wait);
	return same > 1;
}

bool waits_for_work(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];

	return graph_is_idle(t) || waited_so_when_healthy(d, t) ||
	       (wait_is_event(t->wait.kind) && shares_event(d, t));
}

/* Waits that end by themselves, that were there while all was well, or that the rig's fault made. */
static void soften(const struct diagnosing *d, const struct task *t, struct suspect *s)
{
	s->on_fault = t->wait.kind == WAIT_PARKED || (t->wait.kind == WAIT_FREEZE && d->in->frozen);
	if (t->wait.kind == WAIT_FREEZE && !d->in->frozen) {
		s->weight = WEIGHT_THAW_LOST;
		s->hang_class = "lost-wakeup";
		s->why = "it waits for a filesystem to be thawed that the rig does not hold";
	}
	if (names_no_owner(t) && has_likely_holder(d, t))
		s->weight = WEIGHT_BEHIND_HOLDER;
	if (t->wait.timed && s->weight > WEIGHT_TIMED && s->weight < WEIGHT_LIVELOCK) {
		s->weight = WEIGHT_TIMED;
		s->hang_class = "slow";
		s->why = "its wait has a time limit of its own";
	}
	if (judge_ignored(d, s->task, s))
		return;
	if (waits_for_client(d, t)) {
		s->weight = WEIGHT_CLIENT;
		s->hang_class = "slow";
		s->why = "it waits for its client, who is outside";
	}
	if (wait_is_event(t->wait.kind) && s->weight > WEIGHT_SHARED && shares_event(d, t))
		s->weight = WEIGHT_SHARED;
	if (s->weight && !s->on_fault && t->wait.kind != WAIT_NONE &&
		waited_so_when_healthy(d, t) &&
		(s->weight < WEIGHT_LIVELOCK || t->wait.kind == WAIT_STOPPED)) {
		s->weight = WEIGHT_AS_HEALTHY;
		s->why = "it waits, as it did when all was well, although work is waiting";
	}
}

/* Nobody but itself wakes it; what it looks for then, the evidence does not tell. */
static void judge_sleeper(const struct diagnosing *d, const struct task *t, struct suspect *s)
{
	const struct task *then = same_thread(&d->earlier, t);

	if (waited_so_when_healthy(d, t) ||
		(d->in->earlier && (!then || then->wait.kind != WAIT_SLEEP)))
		return;
	s->weight = WEIGHT_ASLEEP;
	s->hang_class = "slow";
	s->why = "it sleeps, as it did not when all was well, and looks again when it wakes";
}

static struct suspect judge_task(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	struct suspect s = {.task = task};

	if (t->mine || t->wait.kind == WAIT_ENDED)
		return s;
	judge_spinning(d, t, &s);
	/* Caught on its way in or out of a call: what it burns is known, what it waits for is not. */
	if (t->wait.kind == WAIT_UNKNOWN)
		return s;
	if (!s.weight && !graph_is_idle(t))
		judge_by_table(t, &s);
	if (!s.weight && t->wait.kind == WAIT_SLEEP)
		judge_sleeper(d, t, &s);
	soften(d, t, &s);
	if (s.weight > WEIGHT_MOVED && s.weight < WEIGHT_STORM && t->wait.kind != WAIT_NONE &&
		has_moved(d, t))
		s.weight = WEIGHT_MOVED;
	if (s.weight < WEIGHT_ZOMBIE && t->pid == t->tid && t->wait.kind != WAIT_CHILD &&
		has_zombie(d, t)) {
		s.weight = WEIGHT_ZOMBIE;
		s.hang_class = "lost-wakeup";
		s.why = "its child has ended and it does not wait for it";
	}
	return s;
}

/* ---- chains ---- */


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

/* The chain ends at one who waits for work or for somebody outside, with a lock held that others wait
 * for. Among workers of one pool whom nobody misses that is the lock around accept(), which is never a lease. */
static struct suspect judge_idle_holder(const struct diagnosing *d, size_t waiter, size_t holder)
{
	const struct task *w = &d->now.tasks[waiter], *h = &d->now.tasks[holder];
	struct suspect s = {.task = holder};

	if (h->mine || waited_so_when_healthy(d, w) || lock_went_round(d, w, h) ||
		(is_pool_of(w, h) && h->wait.kind != WAIT_SLEEP && !w->wait.lease &&
			!is_missed(d, waiter)))
		return s;
	if (!wait_is_lock(w->wait.kind))
		return s;
	s.weight = WEIGHT_IDLE_HOLDER;
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

static bool is_better(const struct diagnosing *d, const struct suspect *a, const struct suspect *b)
{
	const struct task *one = &d->now.tasks[a->task], *two = &d->now.tasks[b->task];

	if (a->weight != b->weight)
		return a->weight > b->weight;
	if (a->behind != b->behind)
		return a->behind > b->behind;
	if (strcmp(one->role, two->role) != 0)
		return strcmp(one->role, two->role) < 0;
	return one->tid < two->tid;
}

/* Whatever it does: somebody stands behind its lock, and stood not there when all was well. */
static struct suspect weigh_holder(
	const struct diagnosing *d, const struct task *waiter, struct suspect s)
{
	if (s.weight && s.weight < WEIGHT_HOLDER && !waited_so_when_healthy(d, waiter) &&
		!lock_went_round(d, waiter, &d->now.tasks[s.task]))
		s.weight = WEIGHT_HOLDER;
	return s;
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
	if (t->wait.kind == WAIT_READ && e->wait.kind == WAIT_SLEEP && own[end].weight) {
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

static struct suspect judge_chain(
	const struct diagnosing *d, const struct suspect *own, size_t task)
{
	size_t last, end = chain_end(d, task, &last);
	const struct task *before = &d->now.tasks[last];
	struct suspect s = own[end], waiter;

	if (d->now.tasks[end].wait.kind == WAIT_ENDED && end != last)
		return own[last];
	if (end == task)
		return s;
	/* Stopped before: nobody missed it until then. */
	if (d->now.tasks[end].wait.kind == WAIT_STOPPED && !waited_so_when_healthy(d, before))
		judge_by_table(&d->now.tasks[end], &s);
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
	if (waiter.weight > s.weight && graph_is_idle(&d->now.tasks[end]))
		return waiter;
	/* The reader of a pipe or socket whose other end is idle: it may have missed its answer. */
	waiter = own[last];
	if (waiter.weight > WEIGHT_IDLE_HOLDER - 5)
		waiter.weight = WEIGHT_IDLE_HOLDER - 5;
	return waiter.weight > s.weight ? waiter : s;
}

/* It reads what several processes send, as a log does, and nobody waits for it: there may be nothing to tell. */
static bool only_collects(const struct diagnosing *d, const struct suspect *s)
{
	return !s->behind && d->now.tasks[s->task].wait.kind == WAIT_READ &&
	       d->graph.nodes[s->task].several;
}

struct suspect find_suspect(struct diagnosing *d)
{
	size_t count = d->now.task_count;
	struct suspect *own = mem_zero(count, sizeof(*own));
	struct suspect *ends = mem_zero(count, sizeof(*ends)), best = find_unread(d);
	size_t *behind = mem_zero(count, sizeof(size_t));

	for (size_t i = 0; i < count; i++)
		own[i] = judge_task(d, i);
	for (size_t i = 0; i < count; i++) {
		if (d->now.tasks[i].mine)
			continue;
		ends[i] = judge_chain(d, own, i);
		/* What it burned is its own doing, whoever it waits for at this instant. */
		if (own[i].weight >= WEIGHT_STORM && own[i].weight > ends[i].weight)
			ends[i] = own[i];
		if (ends[i].weight && ends[i].task != i)
			behind[ends[i].task]++;
	}
	for (size_t i = 0; i < count; i++) {
		ends[i].behind = behind[ends[i].task];
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
	return best;
}
