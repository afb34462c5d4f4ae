#include "diagnose/futex.h"

#include <linux/futex.h>

/* A mutex: lock, count, owner, users, kind. */
#define MUTEX_LOCKED_AND_WAITED 2
#define MUTEX_KIND_MASK		0x7f
#define MUTEX_KIND_PLAIN	3 /* normal, recursive, errorcheck, adaptive */
#define MUTEX_ELISION		0x300
#define MUTEX_PSHARED		0x80

/* A read-write lock from its first word on: __readers (a count above three bits), writers, wrphase_futex,
 * writers_futex. Where writers go first a reader waits at __readers while one is there. */
#define READERS_WAIT_FOR_WRITER 6u /* PTHREAD_RWLOCK_RWAITING and WRLOCKED */
#define READERS_SHIFT		3

/* A read-write lock from its fourth word on: writers_futex, two words of padding, cur_writer, whether it is shared;
 * the word before is wrphase_futex. Bit 1 of either futex says that somebody waits; a writer has locked both. */
#define RWLOCK_USED	   2u
#define RWLOCK_WAITED	   3u /* locked, and somebody waits */
#define WRITER_AFTER_PHASE 4  /* words from wrphase_futex to cur_writer */
#define WRITER_AFTER_LOCK  3  /* words from writers_futex to cur_writer */

/* A semaphore: value, how many wait, FUTEX_PRIVATE_FLAG where it is shared, nothing. */
#define WAITERS_MAX 65536

#define TID_MAX (4u << 20) /* PID_MAX_LIMIT, include/linux/threads.h */

#define JOINED_MIN 2 /* the lowest number of a thread that is not its process's first */

/* A lock of a stream has half an address where a mutex has its owner. */
static bool is_tid(uint32_t word)
{
	return word && word <= TID_MAX;
}

static bool is_mutex(const uint32_t *w)
{
	uint32_t kind = w[4] & ~(uint32_t)(MUTEX_ELISION | MUTEX_PSHARED);

	return w[0] == MUTEX_LOCKED_AND_WAITED && w[3] &&
	       (kind & MUTEX_KIND_MASK) <= MUTEX_KIND_PLAIN && is_tid(w[2]);
}

/* pthread_mutex_timedlock() waits as for any event (nptl/lowlevellock.c, glibc 2.36: __lll_clocklock_wait()). */
static bool is_timed_lock(const uint32_t *w, const struct wait *wait)
{
	return wait->kind == WAIT_FUTEX && wait->timed && wait->value == MUTEX_LOCKED_AND_WAITED &&
	       is_mutex(w);
}

/* A reader, or the first writer, waits at wrphase_futex; other writers at writers_futex. */
static bool is_rwlock(const uint32_t *w, struct wait *wait)
{
	/* A writer behind another, whom readers keep waiting. */
	if (wait->value == RWLOCK_WAITED && w[0] == RWLOCK_WAITED && !w[1] && !w[2] && !w[3] &&
		w[4] == wait->shared)
		return true;
	if (wait->value == RWLOCK_WAITED && w[0] == RWLOCK_WAITED && !w[2]) {
		if (w[1] && !w[3] && is_tid(w[4]))
			wait->target = w[WRITER_AFTER_PHASE];
		else if (!w[1] && is_tid(w[3]))
			wait->target = w[WRITER_AFTER_LOCK];
		else
			return false;
		return true;
	}
	/* A reader behind a writer, whom readers keep waiting. */
	if (wait->value == w[0] && (w[0] & READERS_WAIT_FOR_WRITER) == READERS_WAIT_FOR_WRITER &&
		w[0] >> READERS_SHIFT && w[2] <= RWLOCK_WAITED && w[3] & 1 &&
		w[3] <= RWLOCK_WAITED && !w[4]) {
		wait->behind = true;
		return true;
	}
	/* Readers have it: the lock counts them and names none. */
	return wait->value == RWLOCK_USED && w[0] == RWLOCK_USED && (w[1] == 1 || w[1] == 3) &&
	       !w[2] && !w[3];
}

static bool is_semaphore(const uint32_t *w, const struct wait *wait)
{
	return !wait->value && !w[0] && w[1] && w[1] <= WAITERS_MAX && !w[3] &&
	       w[2] == (wait->shared ? FUTEX_PRIVATE_FLAG : 0);
}

void futex_refine(const uint32_t words[FUTEX_WORDS], struct wait *wait)
{
	if (is_timed_lock(words, wait))
		wait->kind = WAIT_MUTEX;
	if (wait->kind == WAIT_MUTEX && is_mutex(words))
		wait->target = words[2];
	else if (wait->kind == WAIT_MUTEX && wait->pi)
		wait->target = words[0] & FUTEX_TID_MASK;
	else if ((wait->kind == WAIT_FUTEX || wait->kind == WAIT_JOIN) && is_rwlock(words, wait))
		wait->kind = WAIT_RWLOCK;
	else if (wait->kind == WAIT_FUTEX && is_semaphore(words, wait))
		wait->kind = WAIT_SEMAPHORE;
}

/* Small numbers are what counters and states are made of. In another PID namespace threads have such numbers too:
 * there those are small that the kernel does not give a second time (RESERVED_PIDS, kernel/pid.c, Linux 6.1). */
#define OWNER_MIN	 16
#define OWNER_MIN_INSIDE 300

/* It slept while the word was that, and the word is still that. The waiters' bit may stand beside it. */
static bool names_thread(const struct evidence *e, const struct task *t)
{
	uint32_t tid = t->words[0] & FUTEX_TID_MASK;
	const struct task *owner;

	if (t->wait.kind != WAIT_FUTEX || t->words[0] != t->wait.value ||
		tid < (t->pid_ns ? OWNER_MIN_INSIDE : OWNER_MIN))
		return false;
	owner = evidence_task(e, t, tid);
	return owner && owner->pid == t->pid;
}

/* In the first process of a PID namespace one may join a thread whose number other futexes count with. From the number
 * on (glibc 2.36, nptl/descr.h): it, nothing, an address. */
static bool joins_second(const struct evidence *e, const struct task *t)
{
	const struct task *second;

	if (!t->pid_ns || t->wait.kind != WAIT_FUTEX || !t->wait.shared || t->wait.taken ||
		t->wait.value != JOINED_MIN || t->words[0] != JOINED_MIN || t->words[1] ||
		!t->words[3])
		return false;
	second = evidence_task(e, t, JOINED_MIN);
	return second && second->pid == t->pid && second != t;
}

void futex_refine_all(struct evidence *e)
{
	for (size_t i = 0; i < e->task_count; i++) {
		struct task *t = &e->tasks[i];

		if (!t->has_words)
			continue;
		futex_refine(t->words, &t->wait);
		if (names_thread(e, t)) {
			t->wait.kind = WAIT_MUTEX;
			t->wait.target = t->words[0] & FUTEX_TID_MASK;
			t->named_by_word = true;
		} else if (joins_second(e, t)) {
			t->wait.kind = WAIT_JOIN;
			t->wait.target = JOINED_MIN;
		}
	}
}
