/*
 * What this process freed lately (frees.h). Runs in every free() and malloc() of every process: no
 * lock, no memory, one system call at most, and that one only for a thread that stands near the end of
 * a page of its stack.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>
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

/* A stack may end anywhere above us: a coroutine's at a page that is not mapped. */
static uint32_t readable(uintptr_t sp)
{
	uintptr_t page_end = (sp | (PAGE - 1)) + 1;

	if (page_end - sp >= FREES_STACK)
		return FREES_STACK;
	if (sp < main_stack_end && main_stack_end - sp < MAIN_STACK_MAX &&
		main_stack_end - sp >= FREES_STACK)
		return FREES_STACK;
	return can_read(page_end) ? FREES_STACK : (uint32_t)(page_end - sp);
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
	int64_t now = rig_ns(CLOCK_MONOTONIC_COARSE);

	if (journal && !frees_are_kept(journal, now))
		atomic_store(&journal->held_since, now);
	if (journal)
		atomic_fetch_add(&journal->held, 1);
}

void rig_frees_let_go(void)
{
	if (!journal)
		return;
	atomic_store(&journal->held_until, rig_ns(CLOCK_MONOTONIC_COARSE) + FREES_HELD_NS);
	atomic_fetch_sub(&journal->held, 1);
}

/* Freed first while a thread was held: nothing takes its place. */
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
			if (entry->address == address)
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

	entry->pid = process_id;
	entry->tid = own_thread();
	entry->bp = saved[0];
	entry->pc = saved[1];
	entry->sp = (uint64_t)(uintptr_t)(saved + 2);
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
	_Atomic uint64_t *index = index_of(address, 0);

	if (!index || atomic_load_explicit(index, memory_order_relaxed) != address)
		return false;
	atomic_store_explicit(&journal->entries[index - journal->index].twice, own_thread(),
		memory_order_relaxed);
	return true;
}

void rig_frees_note(void *block, const void *frame, bool known_heap)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct frees_entry *entry;
	_Atomic uint64_t *older;
	uint32_t place;
	int64_t now;

	if (!journal || !block || address & FREES_AGAIN || is_freed_twice(address))
		return;
	now = rig_ns(CLOCK_MONOTONIC_COARSE);
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
	older = index_of(address, 1); /* of while a thread was held: this one counts now */
	if (UNLIKELY(older && older != &journal->index[place]))
		atomic_store_explicit(older, 0, memory_order_relaxed);
}

void rig_frees_undo(void *block)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	_Atomic uint64_t *index = journal && block ? index_of(address, 0) : NULL;

	if (index)
		atomic_compare_exchange_strong(index, &address, 0);
}

void rig_frees_again(void *block)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	_Atomic uint64_t *index = journal && block ? index_of(address, 0) : NULL;

	if (UNLIKELY(index))
		atomic_store_explicit(index, address | FREES_AGAIN, memory_order_relaxed);
}
