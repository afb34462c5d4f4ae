/*
 * What stands around a suspect: those of its process who wait for a lock whose holders nobody names; and
 * of one that waits for an event others at the same event, and lone threads that wait for work as they did when all
 * was well: one of them may be who should have signalled.
 */
#include "diagnose/case.h"

#include "base/cleanup.h"

#include <string.h>

#define IDLE_TOLD_MAX 4

static bool same_event(const struct task *a, const struct task *b)
{
	return a->wait.kind == b->wait.kind && wait_object(&a->wait) == wait_object(&b->wait);
}

/* Of the process of `t`, at that instant: at the event where `t` is now. */
static size_t count_at(const struct evidence *instant, const struct task *t)
{
	size_t count, first = evidence_process(instant, t->pid, &count), same = 0;

	for (size_t i = first; i < first + count; i++)
		same += same_event(&instant->tasks[i], t);
	return same;
}

bool names_no_owner(const struct task *task)
{
	return (task->wait.kind == WAIT_RWLOCK || task->wait.kind == WAIT_MUTEX ||
		       (task->wait.kind == WAIT_FUTEX && task->wait.taken)) &&
	       !task->wait.target;
}

/* Stands in a call for as long as it takes, and not as one that waits for work. */
static bool stands_in_call(const struct task *t)
{
	switch (t->wait.kind) {
	case WAIT_READ:
	case WAIT_WRITE:
	case WAIT_OPEN:
	case WAIT_POLL:
	case WAIT_CONNECT:
	case WAIT_CHILD:
	case WAIT_FILE_LOCK:
		return !graph_is_idle(t) && !t->wait.timed;
	default:
		return false;
	}
}

bool has_likely_holder(const struct diagnosing *d, const struct task *waiter)
{
	size_t count, first = evidence_process(&d->now, waiter->pid, &count);

	for (size_t i = first; i < first + count; i++) {
		const struct task *t = &d->now.tasks[i];

		if (stands_in_call(t) && !waits_for_client(d, i) && !waited_so_when_healthy(d, t))
			return true;
	}
	return false;
}

/* Who has the lock is not known, so it may be the suspect. */
static bool may_stand_behind(const struct diagnosing *d, size_t task, const struct task *suspect)
{
	const struct task *t = &d->now.tasks[task];

	return t->pid == suspect->pid && names_no_owner(t);
}

size_t perhaps_behind(const struct diagnosing *d, size_t suspect)
{
	const struct task *s = &d->now.tasks[suspect];
	size_t count = 0;

	if (names_no_owner(s))
		return 0;
	for (size_t i = 0; i < d->now.task_count; i++)
		count += may_stand_behind(d, i, s);
	return count;
}

/* True, and told with its like: another of them, from the suspect on, stands with the same functions on its stack. */
static bool tell_alike(struct diagnosing *d, size_t suspect, size_t task)
{
	const struct task *t = &d->now.tasks[task], *s = &d->now.tasks[suspect];

	for (size_t i = 0; i <= task; i++) {
		const struct task *other = i == task ? s : &d->now.tasks[i];
		auto_free char *name = NULL;

		if (other == t || other->pid != s->pid || !same_event(other, s) || !t->frames ||
			!json_equal(other->frames, t->frames))
			continue;
		name = who(d, task);
		say_evidence(d, "%s stands as thread %d does", name, other->tid);
		return true;
	}
	return false;
}

static void tell_others(struct diagnosing *d, size_t suspect)
{
	const struct task *s = &d->now.tasks[suspect];
	size_t same = count_at(&d->now, s);

	if (same < 2)
		return;
	say_evidence(d, "%zu threads wait for this event", same);
	for (size_t i = 0; i < d->now.task_count; i++)
		if (i != suspect && d->now.tasks[i].pid == s->pid &&
			same_event(&d->now.tasks[i], s)) {
			add_culprit(d, i);
			if (!tell_alike(d, suspect, i))
				say_task(d, i);
		}
}

static void tell_behind(struct diagnosing *d, size_t suspect)
{
	const struct task *s = &d->now.tasks[suspect];
	size_t count = perhaps_behind(d, suspect), readers = 0;

	for (size_t i = 0; i < d->now.task_count; i++)
		readers += may_stand_behind(d, i, s) && d->now.tasks[i].wait.kind == WAIT_RWLOCK;
	if (readers)
		say_evidence(d,
			"%zu threads of its process wait for a read-write lock that readers have, "
			"and the lock does "
			"not name them: they stand behind it, if it is one of the readers",
			readers);
	if (count > readers)
		say_evidence(d,
			"%zu thread%s of its process wait%s for a lock that does not name its "
			"owner: behind it, if it is the owner",
			count - readers, count - readers == 1 ? "" : "s",
			count - readers == 1 ? "s" : "");
	for (size_t i = 0; i < d->now.task_count && count; i++)
		if (may_stand_behind(d, i, s)) {
			add_culprit(d, i);
			say_task(d, i);
		}
}

/* Alone at its event, as it was when all was well. */
static void tell_idle(struct diagnosing *d, size_t suspect)
{
	const struct task *s = &d->now.tasks[suspect];
	size_t told = 0;

	for (size_t i = 0; i < d->now.task_count && told < IDLE_TOLD_MAX; i++) {
		const struct task *t = &d->now.tasks[i];

		if (i == suspect || t->pid != s->pid || !wait_is_event(t->wait.kind) ||
			!waited_so_when_healthy(d, t) || count_at(&d->now, t) > 1 ||
			count_at(&d->healthy, t) > 1)
			continue;
		told++;
		say_task_as(d, i, "idle meanwhile, as when all was well: ");
	}
}

void tell_around(struct diagnosing *d, size_t suspect)
{
	if (wait_is_event(d->now.tasks[suspect].wait.kind)) {
		tell_others(d, suspect);
		tell_idle(d, suspect);
	}
	tell_behind(d, suspect);
}
