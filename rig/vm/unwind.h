/*
 * User stacks without touching the process: from registers, a copy of the stack and the ELF files that were
 * mapped, frame by frame by their call frame information (elfutils libdwfl 0.188, x86-64). Of a thread that
 * waits in a system call only the program counter and the stack pointer are known; the frame pointer, where the
 * code has one, is found (vm/frame_pointer.h).
 *
 * A function is named only where a symbol of the file covers the address. Code without a name is called by its
 * file and, outside of the C library, by where in it the function begins ("smtpd+0x5a10"); among the frames that
 * are not the C library's by the file alone, neighbours of one file once. Everything read is hostile: bounded, and the
 * frames end where something does not fit. Not thread-safe for one `struct unwind`.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNWIND_REGS	  17 /* DWARF numbers: 6 rbp, 7 rsp, 16 rip */
#define UNWIND_BP	  6
#define UNWIND_SP	  7
#define UNWIND_PC	  16
#define UNWIND_FRAMES_MAX 32
#define UNWIND_FILES_MAX  128

/* An ELF file where it was mapped. */
struct unwind_file {
	uint64_t base;	  /* where its first byte was mapped */
	char *host_path;  /* a copy on the host */
	char *guest_path; /* its name in answers is the last part */
};

struct unwind {
	uint64_t regs[UNWIND_REGS];
	uint32_t known; /* bit n: regs[n] is */
	const struct unwind_file *files;
	size_t file_count;
	uint64_t stack_base;
	const char *stack; /* bytes from stack_base on */
	size_t stack_size;
};

/* Names, innermost first: an array, perhaps empty. New reference. What compilers add to the name of a
 * function that they made another of ("track.isra.0") is left out. `ret_own` (may be NULL): those
 * that are not the C library's; in a static program those are known by their place. `ret_jumped` (may be NULL): the
 * innermost of those called a function by a pointer, which went on to the C library's by a jump and has left no
 * frame. */
json_t *unwind_frames(const struct unwind *unwind, json_t **ret_own, bool *ret_jumped);

/* What the variable at that address is called ("queue.lock", members by DWARF where the file has it, else
 * "queue+0x8"; "lock of db.c" where other source files have one of that name), or NULL: none that a symbol covers.
 * Caller frees. */
char *unwind_object(const struct unwind *unwind, uint64_t address);
