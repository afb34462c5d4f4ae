/*
 * What went on between the two instants, where there are two. Who has run meanwhile, or stands elsewhere by now, and
 * who has a lock that others had then, is hardly what hangs.
 */
#include "diagnose/case.h"

#include <sys/syscall.h>

/* What a word in memory is may be known of one instant alone: its words could not be read in time at the other. */
static bool same_word(const struct task *then, const struct task *now)
{
	return then->has_words != now->has_words && then->wait.number == SYS_futex &&
	       now->wait.number == SYS_futex && then->wait.addr == now->wait.addr &&
	       then->wait.value == now->wait.value;
}

/* Likewise: which semaphore of a set it is, of those of one call. */
static bool same_set(const struct task *then, const struct task *now)
{
	return wait_same_set(&then->wait, &now->wait) &&
	       (wait_semaphore(&then->wait) < 0) != (wait_semaphore(&now->wait) < 0) &&
	       then->wait.number == now->wait.number;
}

bool same_wait(const struct task *then, const struct task *now)
{
	if (same_word(then, now) || same_set(then, now))
		return true;
	if (now->wait.tries && !then->wait.tries) /* what it asks for is known of one instant */
		return then->wait.number == now->wait.number || then->wait.kind == WAIT_SLEEP ||
		       then->wait.kind == WAIT_POLL || then->wait.kind == WAIT_NONE;
	return then->wait.kind == now->wait.kind && then->wait.number == now->wait.number &&
	       then->wait.fd == now->wait.fd &&
	       wait_object(&then->wait) == wait_object(&now->wait) &&
	       then->wait.target == now->wait.target;
}

/* Of the processor: who had less has not shown what it does with it. */
#define TURN_MIN_NS  INT64_C(10000000)
#define REAPED_MAX   120.0 /* percent of a processor */
#define HABIT_MIN_NS INT64_C(1000000000)

/* ---- the processor ---- */

static double share(const struct diagnosing *d, int64_t from_ticks, int64_t to_ticks)
{
	int64_t ns = d->now.guest_ns - d->earlier.guest_ns;

	if (from_ticks < 0 || to_ticks < from_ticks || ns <= 0)
		return -1;
	return 100.0 * (double)(to_ticks - from_ticks) * (double)TICK_NS / (double)ns;
}

/* What it had of the processor between the two instants, and for how long it stood in the queue for it; false: not
 * known. What a guest says of it may be anything. */
static bool turns_of(
	const struct diagnosing *d, const struct task *task, int64_t *ret_ran, int64_t *ret_queued)
{
	const struct task *then = same_thread(&d->earlier, task);

	if (!then || then->ran_ns < 0 || then->queued_ns < 0 || task->ran_ns < then->ran_ns ||
		task->queued_ns < then->queued_ns)
		return false;
	*ret_ran = task->ran_ns - then->ran_ns;
	*ret_queued = task->queued_ns - then->queued_ns;
	return true;
}

int cpu_percent(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->earlier, task);
	int64_t ns = d->now.guest_ns - d->earlier.guest_ns, ran, queued;
	double percent = then ? share(d, then->ticks, task->ticks) : -1;

	/* Who stands in the queue does not sleep: of the time in which it could have run. */
	if (ns > 0 && turns_of(d, task, &ran, &queued))
		percent = queued < ns ? 100.0 * (double)ran / (double)(ns - queued) : 100.0;
	return (int)(percent > 100.0 ? 100.0 : percent);
}

bool knows_turns(const struct diagnosing *d, const struct task *task)
{
	int64_t ran, queued;

	return turns_of(d, task, &ran, &queued);
}

int habit_percent(const struct diagnosing *d, const struct task *task)
{
	const struct task *well = same_thread(&d->healthy, task);
	int64_t born = well && well->start >= 0 && well->start < INT64_MAX / TICK_NS
			       ? well->start * TICK_NS
			       : INT64_MAX;
	int64_t age = d->healthy.guest_ns > born ? d->healthy.guest_ns - born : 0;

	if (age < HABIT_MIN_NS || well->ran_ns < 0 || well->ran_ns > age)
		return -1;
	return (int)(100.0 * (double)well->ran_ns / (double)age);
}

bool got_no_turn(const struct diagnosing *d, const struct task *task)
{
	int64_t ns = d->now.guest_ns - d->earlier.guest_ns, ran, queued;

	return turns_of(d, task, &ran, &queued) && ran < TURN_MIN_NS && queued > ns / 2;
}

/* One that lived long brings all of its time when it ends: more than there was says nothing. */
int reaped_percent(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->earlier, task);
	double percent = then ? share(d, then->reaped, task->reaped) : -1;

	return percent > REAPED_MAX ? -1 : (int)percent;
}

/* ---- waits ---- */

/* Or it runs to ask again, which is no more than waiting. */
static bool is_held_still(const struct task *task)
{
	return task->wait.kind == WAIT_STOPPED || task->wait.kind == WAIT_PARKED ||
	       task->wait.kind == WAIT_FREEZE || task->wait.tries;
}

bool has_moved(const struct diagnosing *d, const struct task *task)
{
	const struct task *then = same_thread(&d->earlier, task);

	if (!then || is_held_still(task))
		return false;
	if (then->ran_ns >= 0 && task->ran_ns >= 0)
		return then->ran_ns != task->ran_ns;
	return then->wait.kind != WAIT_UNKNOWN && !same_wait(then, task);
}

bool event_goes_on(const struct diagnosing *d, const struct task *task)
{
	size_t count, first = evidence_process(&d->now, task->pid, &count), waiters = 0, woken = 0;

	if (!wait_is_event(task->wait.kind))
		return false;
	for (size_t i = first; i < first + count; i++) {
		const struct task *t = &d->now.tasks[i];
		const struct task *then = same_thread(&d->earlier, t);

		if (!at_same_event(task, t))
			continue;
		waiters++;
		woken += !t->wait.timed && then && same_wait(then, t) && has_moved(d, t);
	}
	return waiters > 1 && woken;
}

/* Whom it waited for then: a process, 0 if none is known. */
static int holder_then(const struct diagnosing *d, const struct task *waiter)
{
	const struct task *then = same_thread(&d->earlier, waiter);
	size_t next = then ? graph_next(&d->then, (size_t)(then - d->earlier.tasks)) : SIZE_MAX;

	return next == SIZE_MAX ? 0 : d->earlier.tasks[next].pid;
}

bool lock_went_round(
	const struct diagnosing *d, const struct task *waiter, const struct task *holder)
{
	int then = holder_then(d, waiter);

	return has_moved(d, waiter) || (then && then != holder->pid);
}
