/*
 * What this process freed lately (frees.h). Runs in every free() and malloc() of every process: no
 * lock, no memory, one system call at most, and that one only for a thread that stands near the end of
 * a page of its stack.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE	       4096u
#define MAIN_STACK_MAX ((uintptr_t)8 << 20) /* below its end, all that is above sp is mapped */
#define BLOCK_MAX      (UINT64_C(1) << 40)

/* Flags in a chunk's size word (glibc 2.36, malloc/malloc.c). */
#define CHUNK_FLAGS   7u
#define CHUNK_MMAPPED 2u

static struct frees_process *journal; /* NULL: none */
static int32_t process_id;
static uintptr_t main_stack_end;
RIG_TLS int32_t thread_id; /* 0: not asked for yet */

void rig_frees_begin(struct frees *frees, int32_t pid, const void *stack_end)
{
	struct frees_process *mine = &frees->processes[(uint32_t)pid % FREES_PROCESSES];

	for (size_t i = 0; i < FREES_EACH; i++)
		atomic_store_explicit(&mine->index[i], 0, memory_order_relaxed);
	for (size_t i = 0; i < MADES_EACH; i++)
		atomic_store_explicit(&mine->made_index[i], 0, memory_order_relaxed);
	for (size_t i = 0; i < FREES_HOLDS; i++)
		atomic_store_explicit(&mine->holds[i].tid, 0, memory_order_relaxed);
	atomic_store(&mine->hold_count, 0);
	atomic_store(&mine->held, 0);
	atomic_store(&mine->held_since, 0);
	atomic_store(&mine->held_until, 0);
	main_stack_end = (uintptr_t)stack_end;
	process_id = pid;
	thread_id = 0;
	journal = mine;
}

static int32_t own_thread(void)
{
	if (UNLIKELY(!thread_id))
		thread_id = (int32_t)syscall(SYS_gettid);
	return thread_id;
}

/* rt_sigprocmask() reads the new set before it refuses an unknown `how`: EFAULT or EINVAL
 * (kernel/signal.c, Linux 6.1). */
static bool can_read(uintptr_t at)
{
	int keep = errno;
	bool can = syscall(SYS_rt_sigprocmask, -1, at, NULL, _NSIG / 8) && errno == EINVAL;

	errno = keep;
	return can;
}

/* Of so many bytes: no further than the page that they begin in, unless it is the main stack: no system call for
 * this. */
static uint32_t surely_readable(uintptr_t sp, uint32_t wanted)
{
	uintptr_t page_end = (sp | (PAGE - 1)) + 1;

	if (page_end - sp >= wanted)
		return wanted;
	if (sp < main_stack_end && main_stack_end - sp < MAIN_STACK_MAX &&
		main_stack_end - sp >= wanted)
		return wanted;
	return (uint32_t)(page_end - sp);
}

/* A stack may end anywhere above us: a coroutine's at a page that is not mapped. */
static uint32_t readable(uintptr_t sp)
{
	uint32_t surely = surely_readable(sp, FREES_STACK);

	return surely < FREES_STACK && can_read(sp + surely) ? FREES_STACK : surely;
}

static uint64_t size_of(const void *block)
{
	uint64_t word;

	memcpy(&word, (const char *)block - sizeof(word), sizeof(word));
	if ((word & ~(uint64_t)CHUNK_FLAGS) < 16 || word > BLOCK_MAX)
		return 0;
	return (word & ~(uint64_t)CHUNK_FLAGS) - (word & CHUNK_MMAPPED ? 16 : 8);
}

void rig_frees_hold(void)
{
	int64_t now = board_ns(CLOCK_MONOTONIC_COARSE);
	struct frees_hold *hold;
	uint32_t number;

	if (!journal)
		return;
	if (!frees_are_kept(journal, now))
		atomic_store(&journal->held_since, now);
	number = atomic_fetch_add(&journal->hold_count, 1) + 1;
	hold = &journal->holds[number % FREES_HOLDS];
	atomic_store(&hold->number, number);
	atomic_store(&hold->tid, own_thread());
	atomic_fetch_add(&journal->held, 1);
}

void rig_frees_let_go(void)
{
	if (!journal)
		return;
	atomic_store(&journal->held_until, board_ns(CLOCK_MONOTONIC_COARSE) + FREES_HELD_NS);
	atomic_fetch_sub(&journal->held, 1);
}

/* Freed while a thread was held: nothing takes its place. */
static bool is_kept(const struct frees_entry *entry, uint32_t place, int64_t now)
{
	return frees_are_kept(journal, now) &&
	       entry->ns >= atomic_load_explicit(&journal->held_since, memory_order_relaxed) &&
	       atomic_load_explicit(&journal->index[place], memory_order_relaxed);
}

/* Where this free is written down; NULL: nowhere. */
static struct frees_entry *place_for(uint64_t address, int64_t now, uint32_t *ret_place)
{
	uint32_t place = frees_place(address);

	for (int i = 0; i < FREES_PROBES; i++, place = (place + 1) % FREES_EACH) {
		struct frees_entry *entry = &journal->entries[place];

		*ret_place = place;
		if (UNLIKELY(is_kept(entry, place, now))) {
			/* The first since a thread was held; of those before, another that was held later may ask. */
			if (entry->address == address &&
				entry->hold == atomic_load_explicit(
						       &journal->hold_count, memory_order_relaxed))
				return NULL;
			continue;
		}
		return atomic_exchange_explicit(&entry->busy, 1, memory_order_acquire) ? NULL
										       : entry;
	}
	return NULL;
}

/* What the frame of free() itself says of its caller. */
static void fill(struct frees_entry *entry, const void *frame)
{
	const uint64_t *saved = frame;

	entry->reused = entry->pid == process_id;
	entry->pid = process_id;
	entry->tid = own_thread();
	entry->bp = saved[0];
	entry->pc = saved[1];
	entry->sp = (uint64_t)(uintptr_t)(saved + 2);
	entry->hold = atomic_load_explicit(&journal->hold_count, memory_order_relaxed);
	entry->stack_len = readable((uintptr_t)(saved + 2));
	memcpy(entry->stack, saved + 2, entry->stack_len);
	atomic_store_explicit(&entry->twice, 0, memory_order_relaxed);
}

/* Where the index says that address, from `first` on; NULL: nowhere. Only once a thread was held does anything stand
 * elsewhere than in its own place. */
static _Atomic uint64_t *index_of(uint64_t address, int first)
{
	bool spread = atomic_load_explicit(&journal->held_since, memory_order_relaxed) != 0;

	for (int i = first; i < (spread ? (int)FREES_PROBES : 1); i++) {
		_Atomic uint64_t *index =
			&journal->index[(frees_place(address) + (uint32_t)i) % FREES_EACH];

		if (UNLIKELY((atomic_load_explicit(index, memory_order_relaxed) &
				     ~(uint64_t)FREES_AGAIN) == address))
			return index;
	}
	return NULL;
}

/* True, and noted: it is free already. */
static bool is_freed_twice(uint64_t address)
{
	_Atomic uint64_t *index;

	for (int i = 0; (index = index_of(address, i)); i++) {
		if (atomic_load_explicit(index, memory_order_relaxed) != address)
			continue;
		atomic_store_explicit(&journal->entries[index - journal->index].twice, own_thread(),
			memory_order_relaxed);
		return true;
	}
	return false;
}

/* What stands elsewhere is of while a thread was held: the one at its own place counts now. */
static void forget_older(uint64_t address)
{
	_Atomic uint64_t *older;

	for (int i = 1; (older = index_of(address, i)); i++)
		atomic_store_explicit(older, 0, memory_order_relaxed);
}

/* ---- whose it was ---- */

/* Of a block whose free is kept: nothing takes its place either. */
static bool is_of_a_kept_free(uint64_t address)
{
	_Atomic uint64_t *index = address ? index_of(address, 0) : NULL;

	return index && journal->entries[index - journal->index].ns >=
				atomic_load_explicit(&journal->held_since, memory_order_relaxed);
}

/* Where it stands whose this block was; NULL: nowhere. */
static _Atomic uint64_t *made_of(uint64_t address)
{
	for (uint32_t i = 0; i < 2; i++) {
		_Atomic uint64_t *index = &journal->made_index[mades_place(address) ^ i];

		if ((atomic_load_explicit(index, memory_order_relaxed) & ~(uint64_t)MADE_FREED) ==
			address)
			return index;
	}
	return NULL;
}

/* How much is lost with what stands there: 0 nothing, 1 a freed block's, 2 a block's that is in use, 3 it is kept. */
static int worth(const _Atomic uint64_t *index, bool kept)
{
	uint64_t value = atomic_load_explicit(index, memory_order_relaxed);

	if (!value)
		return 0;
	if (UNLIKELY(kept) && is_of_a_kept_free(value & ~(uint64_t)MADE_FREED))
		return 3;
	return value & MADE_FREED ? 1 : 2;
}

/* Where it is written down whose this block is; MADES_EACH: nowhere. Of two in use the older one goes. */
static uint32_t made_place_for(uint64_t address, int64_t now)
{
	bool kept = frees_are_kept(journal, now);
	_Atomic uint64_t *index = made_of(address);
	uint32_t place = mades_place(address), other = place ^ 1;
	int first, second;

	if (index)
		return worth(index, kept) == 3 ? MADES_EACH
					       : (uint32_t)(index - journal->made_index);
	first = worth(&journal->made_index[place], kept);
	second = worth(&journal->made_index[other], kept);
	if (first == 3 && second == 3)
		return MADES_EACH;
	if (first == second)
		return journal->mades[other].ns < journal->mades[place].ns ? other : place;
	return second < first ? other : place;
}

static void fill_made(struct made_entry *entry, uint64_t address, int64_t now, const void *frame)
{
	const uint64_t *saved = frame;

	entry->pid = process_id;
	entry->tid = own_thread();
	entry->address = address;
	entry->ns = now;
	entry->bp = saved[0];
	entry->pc = saved[1];
	entry->sp = (uint64_t)(uintptr_t)(saved + 2);
	entry->stack_len = surely_readable((uintptr_t)(saved + 2), MADE_STACK);
	memcpy(entry->stack, saved + 2, entry->stack_len);
}

void rig_frees_made(void *block, const void *frame)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct made_entry *entry;
	uint32_t place;
	int64_t now;

	if (__libc_single_threaded || !journal || !block || address & MADE_FREED)
		return;
	now = board_ns(CLOCK_MONOTONIC_COARSE);
	place = made_place_for(address, now);
	if (place == MADES_EACH)
		return;
	entry = &journal->mades[place];
	if (atomic_exchange_explicit(&entry->busy, 1, memory_order_acquire))
		return;
	atomic_store_explicit(&journal->made_index[place], 0, memory_order_relaxed);
	fill_made(entry, address, now, frame);
	atomic_store_explicit(&journal->made_index[place], address, memory_order_release);
	atomic_store_explicit(&entry->busy, 0, memory_order_release);
}

static void made_is_freed(uint64_t address)
{
	_Atomic uint64_t *index = made_of(address);

	if (index)
		atomic_store_explicit(index, address | MADE_FREED, memory_order_relaxed);
}

/* ---- what was freed ---- */

void rig_frees_note(void *block, const void *frame, bool known_heap)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct frees_entry *entry;
	uint32_t place;
	int64_t now;

	if (!journal || !block || address & FREES_AGAIN || is_freed_twice(address))
		return;
	now = board_ns(CLOCK_MONOTONIC_COARSE);
	if (!__libc_single_threaded)
		made_is_freed(address);
	entry = place_for(address, now, &place);
	if (!entry)
		return;
	atomic_store_explicit(&journal->index[place], 0, memory_order_relaxed);
	entry->address = address;
	entry->ns = now;
	entry->size = known_heap ? size_of(block) : 0;
	fill(entry, frame);
	atomic_store_explicit(&journal->index[place], address, memory_order_release);
	atomic_store_explicit(&entry->busy, 0, memory_order_release);
	if (!frees_are_kept(journal, now))
		forget_older(address);
}

void rig_frees_undo(void *block)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	_Atomic uint64_t *index;

	for (int i = 0; journal && block && (index = index_of(address, i)); i++) {
		uint64_t expected = address;

		atomic_compare_exchange_strong(index, &expected, 0);
	}
}

void rig_frees_again(void *block)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	_Atomic uint64_t *index;

	for (int i = 0; journal && block && (index = index_of(address, i)); i++)
		atomic_store_explicit(index, address | FREES_AGAIN, memory_order_relaxed);
}
