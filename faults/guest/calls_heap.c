/*
 * The heap's functions: not points, nothing fails here. They tell the free journal who freed what.
 * libc's own calls of them come here too, and so do the loader's, before any constructor has run.
 * A program that brings an allocator of its own in its main part is not seen.
 */
#include "faults/guest/calls_names.h"

#include <malloc.h>

static _Atomic(void *) next_of_free, next_of_malloc, next_of_calloc, next_of_realloc,
	next_of_reallocarray, next_of_memalign, next_of_aligned_alloc, next_of_posix_memalign,
	next_of_valloc, next_of_pvalloc;

/* Is the heap behind us glibc's, whose blocks tell their size? 0: not asked yet, 1: no, 2: yes. */
static _Atomic int heap_known;

static __attribute__((noinline, cold)) bool ask_heap(void)
{
	bool known = rig_next("free") == rig_next("__libc_free");

	atomic_store_explicit(&heap_known, known ? 2 : 1, memory_order_relaxed);
	return known;
}

static inline bool heap_is_known(void)
{
	int known = atomic_load_explicit(&heap_known, memory_order_relaxed);

	return UNLIKELY(!known) ? ask_heap() : known == 2;
}

EXPORT void free(void *block)
{
	rig_frees_note(block, __builtin_frame_address(0), heap_is_known());
	NEXT(free)(block);
}

static inline void handed_out(void *block, const void *frame)
{
	rig_frees_again(block);
	rig_frees_made(block, frame);
}

/* A block that moves, or shrinks to nothing, is freed. */
static inline void *moved(void *from, void *to, bool gone, const void *frame)
{
	if (to == from || (!to && !gone))
		rig_frees_undo(from);
	else
		handed_out(to, frame);
	return to;
}

EXPORT void *realloc(void *block, size_t size)
{
	rig_frees_note(block, __builtin_frame_address(0), heap_is_known());
	return moved(block, NEXT(realloc)(block, size), !size, __builtin_frame_address(0));
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
	rig_frees_note(block, __builtin_frame_address(0), heap_is_known());
	return moved(block, NEXT(reallocarray)(block, count, size), !count || !size,
		__builtin_frame_address(0));
}

/* ---- handed out ---- */

#define HANDS_OUT(function, params, args)                      \
	EXPORT void *function params                           \
	{                                                      \
		void *block = NEXT(function) args;             \
                                                               \
		handed_out(block, __builtin_frame_address(0)); \
		return block;                                  \
	}

HANDS_OUT(malloc, (size_t size), (size))
HANDS_OUT(calloc, (size_t count, size_t size), (count, size))
HANDS_OUT(memalign, (size_t alignment, size_t size), (alignment, size))
HANDS_OUT(aligned_alloc, (size_t alignment, size_t size), (alignment, size))
HANDS_OUT(valloc, (size_t size), (size))
HANDS_OUT(pvalloc, (size_t size), (size))

EXPORT int posix_memalign(void **ret, size_t alignment, size_t size)
{
	int rc = NEXT(posix_memalign)(ret, alignment, size);

	if (!rc)
		handed_out(*ret, __builtin_frame_address(0));
	return rc;
}
