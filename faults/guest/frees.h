/*
 * The free journal: what each process of the guest freed lately, so that a crash over an object that
 * is gone can be laid at the door of whoever freed it. It stands behind the board in the same
 * file, so it costs no system call of its own, outlives the process, and reaches into chroots.
 *
 * Each process has the share `pid % FREES_PROCESSES`, cleared when a program begins. A share is a
 * table by address, not a ring: memory that is allocated and freed again and again overwrites its own
 * entry alone, and an object that was freed long ago is still known. The index is kept apart, so that
 * malloc() looks at one page.
 *
 * While the rig holds a thread of the process in a call, and for a moment after, the first free of each
 * address since then is kept: what that thread still uses was whole when it was stopped, so that free is
 * the one that took it away, whoever has had the memory since.
 *
 * Beside it, in a smaller table of the same kind, stands which thread was handed each block last: whose it
 * was. Only where a process has several threads; what is not freed yet stays longer than what is, and while a
 * thread is held, what belongs to a block whose free is kept is kept too.
 *
 * An entry holds the caller of free() as registers and the bytes of the stack above it: the frames are
 * found afterwards, by whoever has the program's file. Writers wait for nobody: an entry that another
 * thread is writing is left to it. Anybody in the guest can write here, so readers check everything.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define FREES_PROCESSES 128u
#define FREES_EACH	1024u /* entries of a process; a power of two */
#define FREES_EACH_BITS 10
#define FREES_PROBES	4    /* places that are tried where the first is kept */
#define FREES_STACK	320u /* bytes of the caller's stack */
#define FREES_AGAIN	1u   /* in the index: the address was handed out again since */
#define FREES_HELD_NS	INT64_C(1000000000) /* for so long after a thread was let go */
#define FREES_HOLDS	8u		    /* of a process, the latest */
#define MADES_EACH	512u		    /* blocks that were handed out; a power of two */
#define MADES_EACH_BITS 9
#define MADE_STACK	512u
#define MADE_FREED	1u /* in its index: the block was freed since */

struct frees_entry {
	_Atomic uint32_t busy; /* a writer is inside; one that died there never leaves */
	int32_t pid, tid;
	_Atomic int32_t twice;	  /* the thread that freed it once more while it was free, or 0 */
	uint64_t address, size;	  /* size 0: not known */
	int64_t ns;		  /* CLOCK_MONOTONIC_COARSE */
	uint64_t pc, sp, bp;	  /* of the caller, on return */
	uint32_t stack_len, hold; /* hold: the latest hold of the process by then, 0: none */
	uint32_t
		reused; /* this process wrote here before: of that address, or of one that hides it */
	uint32_t unused;
	unsigned char stack[FREES_STACK];
};

/* Who was handed a block. */
struct made_entry {
	_Atomic uint32_t busy;
	int32_t pid, tid;
	uint32_t stack_len;
	uint64_t address;
	int64_t ns;
	uint64_t pc, sp, bp; /* of malloc()'s caller, on return */
	unsigned char stack[MADE_STACK];
};

/* A thread that the rig held, as the hold of this number: what it used was whole then. */
struct frees_hold {
	_Atomic int32_t tid;
	_Atomic uint32_t number; /* from 1 */
};

struct frees_process {
	_Atomic int32_t held;		    /* threads that stand in a call */
	_Atomic int64_t held_since;	    /* as frees_entry.ns; 0: never */
	_Atomic int64_t held_until;	    /* of those that were let go; 0: none was */
	_Atomic uint64_t index[FREES_EACH]; /* address, 0: none */
	struct frees_entry entries[FREES_EACH];
	_Atomic uint32_t hold_count; /* ever: the number of the latest */
	struct frees_hold holds[FREES_HOLDS];
	_Atomic uint64_t made_index[MADES_EACH]; /* address, 0: none */
	struct made_entry mades[MADES_EACH];
};

struct frees {
	struct frees_process processes[FREES_PROCESSES];
};

/* Is what was freed since `held_since` kept, at that moment? */
static inline int frees_are_kept(const struct frees_process *process, int64_t now_ns)
{
	return atomic_load_explicit(&process->held_since, memory_order_relaxed) &&
	       (atomic_load_explicit(&process->held, memory_order_relaxed) > 0 ||
		       now_ns < atomic_load_explicit(&process->held_until, memory_order_relaxed));
}

/* Neighbours differ, and so do objects of one page apart. */
static inline uint32_t frees_place(uint64_t address)
{
	return (uint32_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - FREES_EACH_BITS));
}

/* It stands there, or at the other place of that pair (^ 1). */
static inline uint32_t mades_place(uint64_t address)
{
	return (uint32_t)((address >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - MADES_EACH_BITS));
}
