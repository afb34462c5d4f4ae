/*
 * Where a function keeps its caller's frame pointer. /proc/PID/syscall does not tell the frame pointer of a thread in
 * a system call, and the call frame information of code that is built with one needs it (x86-64 System V ABI 3.2.2).
 */
#pragma once

#include "vm/unwind.h"

#include <elfutils/libdwfl.h>

/* A function on a stack whose callees have left the frame pointer alone. */
struct frame_place {
	Dwarf_Addr start; /* of the function, 0: it has no symbol */
	Dwarf_Addr pc;	  /* in it */
	Dwarf_Word sp;	  /* at its call of the next function; 0: not known */
};

/* The call that returns to `address` names no function, but a place that has one: not the table of a library's
 * functions that a program has, which code reaches from where it lies. */
bool frame_is_of_pointer(Dwfl *dwfl, Dwarf_Addr address);

/* The frame pointer of that function. False where nothing confirms one: beside the place that it points to lies an
 * address that a call returns to. */
bool frame_pointer_find(
	Dwfl *dwfl, const struct unwind *u, const struct frame_place *at, uint64_t *ret);
