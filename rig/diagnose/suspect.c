/*
 * Without a cycle the end of a chain is the suspect. Every thread's wait gets a weight: how much it looks
 * like a cause and how little like waiting for work; how many wait behind decides among equals.
 */
#include "diagnose/suspect.h"

#include "base/buf.h"

#include <string.h>

#define LIVELOCK_PERCENT 20 /* of the processor; several that spin share one */
#define STORM_PERCENT	 2  /* that beginning them costs whoever does */

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
	{WAIT_READ, WEIGHT_READ, "lost-wakeup", "it reads, and nobody writes"},
	{WAIT_POLL, 50, "lost-wakeup", "it waits for the one descriptor, and nothing comes"},
	{WAIT_CONNECT, 50, "lost-wakeup", "it connects, and nobody accepts"},
	{WAIT_PAGE, 58, "lost-wakeup",
		"it touched a page of memory that another shall bring, and nobody does"},
	{WAIT_PERMISSION, 52, "lost-wakeup",
		"it opens a file that somebody watches, who does not say that it may"},
	{WAIT_DISK, 40, "slow", "it waits for a device (state D)"},
	{WAIT_SIGNAL, 25, "lost-wakeup", "it waits for a signal that nobody sends"},
	{WAIT_OTHER, 25, "lost-wakeup", "it is blocked in a call of no known kind"},
};

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

bool speaks_for_itself(const struct suspect *suspect)
{
	return suspect->weight >= WEIGHT_OF_ITSELF;
}

bool waited_so_when_healthy(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->healthy, task);

	return then && !task->wait.tries && same_wait(then, task);
}

/* A process of one thread, which reads that pipe. */
static bool only_reads(const struct diagnosing *d, int pid, uint64_t ino)
{
	size_t count, first = evidence_process(&d->now, pid, &count);
	const struct task *t = &d->now.tasks[first];
	const struct open_fd *fd = count == 1 ? evidence_awaited_fd(&d->now, t) : NULL;

	return fd && t->wait.kind == WAIT_READ && fd->ino == ino;
}

bool is_left_alone(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	const struct open_fd *awaited = evidence_awaited_fd(&d->now, t);
	bool others = false;

	if (t->wait.kind != WAIT_READ || !awaited || awaited->socket || d->now.no_fds)
		return false;
	for (size_t i = 0; i < d->now.fd_count; i++) {
		const struct open_fd *fd = &d->now.fds[i];

		if (fd->ino != awaited->ino)
			continue;
		if (!only_reads(d, fd->pid, fd->ino))
			return false;
		others |= fd->pid != t->pid;
	}
	return others;
}

bool waits_for_client(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	size_t client = graph_next(&d->graph, task);

	return t->serves &&
	       (t->outside || (client != SIZE_MAX && graph_is_idle(&d->now.tasks[client])));
}

/* ---- one thread ---- */

/* Who was on the way in or out of a call has no wait that could be read. */
static bool works(const struct diagnosing *d, const struct task *t)
{
	return t->wait.kind == WAIT_NONE || (t->wait.kind == WAIT_UNKNOWN && has_moved(d, t));
}

static void judge_spinning(const struct diagnosing *d, const struct task *t, struct suspect *s)
{
	const struct task *then = same_thread(&d->earlier, t);
	int percent = cpu_percent(d, t);

	if (t->wait.kind == WAIT_NONE && got_no_turn(d, t)) {
		s->weight = WEIGHT_RUNS;
		return;
	}
	if (d->in->progressed) {
		if (works(d, t)) {
			s->weight = WEIGHT_RUNS;
			s->hang_class = "slow";
			s->why = "it is at work, and others wait for it";
		}
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

void judge_by_kind(const struct task *t, struct suspect *s)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kind != t->wait.kind)
			continue;
		s->weight = table[i].weight;
		s->hang_class = table[i].hang_class;
		s->why = table[i].why;
	}
	if (t->tried && t->tried->wants.kind == LOCK_DOT) {
		s->why = "it looks again and again for a dot-lock to go, which names a process "
			 "that has ended";
	} else if (t->timer_off) {
		s->weight = WEIGHT_TIMER_OFF;
		s->why = "it reads a timer that is not set";
	} else if (wait_is_of_set(&t->wait) && t->sem.value > 0 && !t->sem.op) {
		s->why = "it waits for a semaphore to become zero, and nobody takes it";
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

bool at_same_event(const struct task *a, const struct task *b)
{
	return wait_is_event(b->wait.kind) && wait_object(&a->wait) == wait_object(&b->wait) &&
	       (a->pid == b->pid || (a->wait.shared && b->wait.shared && is_pool_of(a, b)));
}

/* Several threads at one event: how the idle workers of a pool wait, unless it is known where this one waits for
 * work. */
static bool shares_event(const struct diagnosing *d, const struct task *t)
{
	const struct task *then = same_thread(&d->healthy, t);
	size_t first = 0, count = d->now.task_count, same = 0;

	if (then && wait_is_event(then->wait.kind) && !same_wait(then, t))
		return false;
	if (!t->wait.shared)
		first = evidence_process(&d->now, t->pid, &count);
	for (size_t i = first; i < first + count; i++)
		same += at_same_event(t, &d->now.tasks[i]);
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
	if (t->wait.timed && !t->wait.tries && s->weight > WEIGHT_TIMED &&
		s->weight < WEIGHT_LIVELOCK) {
		s->weight = WEIGHT_TIMED;
		s->hang_class = "slow";
		s->why = "its wait has a time limit of its own";
	}
	if (judge_ignored(d, s->task, s))
		return;
	if (waits_for_client(d, s->task)) {
		s->weight = WEIGHT_CLIENT;
		s->hang_class = "slow";
		s->why = t->outside ? "it waits for its client, who is outside"
				    : "it waits for its client, who idles";
	}
	if (wait_is_event(t->wait.kind) && s->weight > WEIGHT_SHARED && shares_event(d, t))
		s->weight = WEIGHT_SHARED;
	if (s->weight == WEIGHT_READ && graph_door(&d->graph, s->task))
		s->weight = WEIGHT_READ_AT_DOOR;
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

struct suspect judge_task(const struct diagnosing *d, size_t task)
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
		judge_by_kind(t, &s);
	if (!s.weight && t->wait.kind == WAIT_SLEEP)
		judge_sleeper(d, t, &s);
	soften(d, t, &s);
	if (s.weight > WEIGHT_MOVED && s.weight < WEIGHT_STORM && t->wait.kind != WAIT_NONE &&
		has_moved(d, t))
		s.weight = WEIGHT_MOVED;
	if (s.weight && s.weight < WEIGHT_STORM && event_goes_on(d, t)) {
		s.hang_class = "slow";
		s.why = "it waits for an event that comes again and again";
	}
	if (s.weight < WEIGHT_ZOMBIE && t->pid == t->tid && t->wait.kind != WAIT_CHILD &&
		has_zombie(d, t)) {
		s.weight = WEIGHT_ZOMBIE;
		s.hang_class = "lost-wakeup";
		s.why = "its child has ended and it does not wait for it";
	}
	return s;
}
