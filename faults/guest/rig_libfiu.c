/*
 * libfiu inside this library: a private copy of libfiu 1.1's archive whose calls of malloc, of
 * pthread locks and of pthread keys have been renamed (libfiu.syms) to the functions below, so that
 * enabling a point allocates from a fixed arena and fork cannot leave its lock held. It starts in a
 * process when the first point armed there is met. Only exact names are enabled, with an external
 * callback and a failinfo, and they stay: the board's bit is what arms and disarms.
 *
 * The caller holds back all signals, so a handler never finds its own thread inside.
 */
#include "faults/guest/rigfault.h"

#include <fiu-control.h>
#include <pthread.h>
#include <string.h>

int rigfault_fiu_init(unsigned int flags);
int rigfault_fiu_fail(const char *name);
int rigfault_fiu_enable_external(const char *name, int failnum, void *failinfo, unsigned int flags,
	int (*callback)(const char *, int *, void **, unsigned int *));

#define ARENA_SIZE  65536u
#define ARENA_SPARE 8192u /* one more point, and its table grown, takes less */

static _Alignas(16) char arena[ARENA_SIZE];
static _Atomic size_t arena_used;
static _Atomic uint32_t registered[BOARD_POINTS_MAX]; /* hash of the name that is enabled */
static _Atomic uint32_t registering;
static bool broken; /* forked while another thread was registering: its table is half made */

RIG_TLS struct meeting *current;
RIG_TLS const void *last_failinfo;

/* ---- what libfiu's archive calls ---- */

void *rigfault_malloc(size_t size);
void *rigfault_calloc(size_t count, size_t size);
char *rigfault_strdup(const char *text);
void rigfault_free(void *block);
int rigfault_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int rigfault_key_create(pthread_key_t *key, void (*destroy)(void *));
int rigfault_setspecific(pthread_key_t key, const void *value);
void *rigfault_getspecific(pthread_key_t key);
int rigfault_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr);
int rigfault_rwlock_destroy(pthread_rwlock_t *lock);
int rigfault_rdlock(pthread_rwlock_t *lock);
int rigfault_wrlock(pthread_rwlock_t *lock);
int rigfault_unlock(pthread_rwlock_t *lock);
extern pthread_rwlock_t rigfault_enabled_fails_lock;

void *rigfault_malloc(size_t size)
{
	size_t need = (size + 15) & ~(size_t)15;
	size_t at = atomic_fetch_add(&arena_used, need);

	return at + need <= ARENA_SIZE ? arena + at : NULL;
}

void *rigfault_calloc(size_t count, size_t size)
{
	return rigfault_malloc(count * size); /* fresh memory of the arena is zero */
}

char *rigfault_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = rigfault_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void rigfault_free(void *block)
{
	(void)block; /* points stay enabled; outgrown tables are small */
}

int rigfault_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	(void)prepare, (void)parent,
		(void)child; /* its child half seeds a generator nobody draws from */
	return 0;
}

int rigfault_key_create(pthread_key_t *key, void (*destroy)(void *))
{
	(void)destroy;
	*key = 0;
	return 0;
}

int rigfault_setspecific(pthread_key_t key, const void *value)
{
	(void)key;
	last_failinfo = value;
	return 0;
}

void *rigfault_getspecific(pthread_key_t key)
{
	void *value;

	(void)key;
	memcpy(&value, &last_failinfo, sizeof(value));
	return value;
}

/* A read-write lock in the memory of pthread's: the count of readers, or WRITER. Held for a table
 * look-up at most, by threads that hold back their signals. */
#define WRITER UINT32_MAX
struct lock {
	_Atomic uint32_t state, waiters;
};
_Static_assert(sizeof(struct lock) <= sizeof(pthread_rwlock_t), "the lock must fit");

static void lock_take(struct lock *lock, bool write)
{
	for (;;) {
		uint32_t state = atomic_load(&lock->state);

		if (state != WRITER && !(write && state)) {
			if (atomic_compare_exchange_strong(
				    &lock->state, &state, write ? WRITER : state + 1))
				return;
			continue;
		}
		atomic_fetch_add(&lock->waiters, 1);
		rig_futex_wait(&lock->state, state, NULL);
		atomic_fetch_sub(&lock->waiters, 1);
	}
}

int rigfault_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
	(void)attr;
	memset(lock, 0, sizeof(*lock));
	return 0;
}

int rigfault_rwlock_destroy(pthread_rwlock_t *lock)
{
	(void)lock;
	return 0;
}

int rigfault_rdlock(pthread_rwlock_t *lock)
{
	lock_take((struct lock *)lock, false);
	return 0;
}

int rigfault_wrlock(pthread_rwlock_t *lock)
{
	lock_take((struct lock *)lock, true);
	return 0;
}

int rigfault_unlock(pthread_rwlock_t *rwlock)
{
	struct lock *lock = (struct lock *)rwlock;

	if (atomic_load(&lock->state) == WRITER)
		atomic_store(&lock->state, 0);
	else
		atomic_fetch_sub(&lock->state, 1);
	if (atomic_load(&lock->waiters))
		rig_futex_wake(&lock->state, INT32_MAX);
	return 0;
}

/* ---- what this library calls ---- */

static int decide_current(const char *name, int *failnum, void **failinfo, unsigned int *flags)
{
	(void)name, (void)failnum, (void)failinfo,
		(void)flags; /* shared between threads: left alone */
	return rig_decide(current);
}

static bool known_to_libfiu(uint32_t point, const char *name)
{
	uint32_t hash = board_hash(name);
	bool known = true;

	if (broken)
		return false;
	if (atomic_load(&registered[point]) == hash)
		return true;
	atomic_fetch_add(&registering, 1);
	if (atomic_load(&arena_used) + ARENA_SPARE > ARENA_SIZE || rigfault_fiu_init(0) ||
		rigfault_fiu_enable_external(name, 1, (void *)(intptr_t)EIO, 0, decide_current))
		known = false;
	else
		atomic_store(&registered[point], hash);
	atomic_fetch_sub(&registering, 1);
	return known;
}

bool rig_ask_libfiu(uint32_t point, const char *name, struct meeting *meeting)
{
	bool fails;

	if (!known_to_libfiu(point, name))
		return rig_decide(meeting);
	current = meeting;
	fails = rigfault_fiu_fail(name) != 0;
	current = NULL;
	return fails;
}

void rig_libfiu_after_fork(void)
{
	memset(&rigfault_enabled_fails_lock, 0, sizeof(rigfault_enabled_fails_lock));
	if (atomic_load(&registering))
		broken = true;
}
