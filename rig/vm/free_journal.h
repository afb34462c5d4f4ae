/*
 * What a process had freed lately, as the witness's core helper wrote it down beside the core
 * (vm-images/guest/witness_frees.c: the text's format), and which of it a crash stumbled over. Pure.
 * The text is the guest's word: bounded, and lines that are none are left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FREE_STACK_MAX	 512u
#define FREE_RECORDS_MAX 2048u
#define FREE_HOLDS_MAX	 16u
#define FREE_TEXT_MAX	 (1u << 20) /* what one read of the witness gives */
#define FREE_MAPPED_MIN \
	(128u << 10) /* such a block is given back to the kernel (glibc's M_MMAP_THRESHOLD) */

struct free_record {
	uint64_t address, size; /* size 0: not known */
	int tid, twice;		/* twice: the thread that freed it once more, 0: none */
	bool again;		/* the address was handed out again since */
	bool held;		/* freed since the rig held a thread of the process, and kept */
	unsigned int reused;	/* another block may have been freed there before */
	unsigned int hold;	/* the number of the process's latest hold by then, 0: none */
	int64_t age_ns;		/* before the core was taken */
	uint64_t pc, sp, bp;	/* of the caller of free(), on return */
	size_t stack_len;
	char stack[FREE_STACK_MAX]; /* from sp on */
};

/* A thread that the rig held in a call; holds of a process are numbered from 1. */
struct free_hold {
	int tid;
	unsigned int number;
};

struct free_journal {
	struct free_record *records;
	size_t count;
	struct free_hold holds[FREE_HOLDS_MAX];
	size_t hold_count;
};

/* `len` bytes of text; the journal is the caller's to release. */
void free_journal_read(const char *text, size_t len, struct free_journal *ret);
void free_journal_free(struct free_journal *journal);

/* How sure it is that a value belongs to a freed block. */
enum free_match {
	FREE_NO,
	FREE_INSIDE, /* the value lies in it: it may be of another block that was there before, or is there now */
	FREE_START, /* it is the block's own address, and no other was freed there before */
	FREE_HELD, /* it lies in it, and the block was whole when the rig held a thread: whoever has it now */
	FREE_FAULT /* the address that the signal was about lies in it */
};

/* The block that `value` lies in and that was not handed out again, or was freed while a thread was held: the
 * likeliest of them, or NULL. `is_fault`: the value is the address of the fault itself. `tid` crashed over it: what was
 * freed before that thread was held itself is not what it used; 0: not known. */
const struct free_record *free_journal_find(const struct free_journal *journal, uint64_t value,
	bool is_fault, int tid, enum free_match *ret_match);
/* Who was handed the block of `freed`, a record of the journal, before it was freed, out of the text of the other file:
 * tid, age and the caller of malloc(); false: it does not say. */
bool free_journal_made(const struct free_journal *journal, const struct free_record *freed,
	const char *text, size_t len, struct free_record *ret);
/* A block that was freed twice, the latest, or NULL. */
const struct free_record *free_journal_twice(const struct free_journal *journal);
