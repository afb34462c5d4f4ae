/*
 * Which programs of a target the fault library reaches: read from the ELF file of the image, before anything runs. The
 * library comes by /etc/ld.so.preload, which the dynamic loader reads (ld.so(8)), for set-id programs too; what has no
 * loader never sees it, and what makes its system calls itself (Go) passes it by.
 *
 * Blocking. The file is hostile: bounded and checked.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

enum reach {
	REACH_CALLS,   /* dynamic: all calls of libc that it makes by name */
	REACH_STATIC,  /* no loader: none */
	REACH_OWN,     /* a Go program: it makes system calls of its own */
	REACH_SCRIPT,  /* no ELF: its interpreter may be reached, and is not meant */
	REACH_MISSING, /* there is no such file */
};

/* One sentence about it, and what to use instead: "static: ..." */
const char *reach_text(enum reach reach);

#define REACH_FILE_MAX (64u << 20)

/* A file of the host, as a guest program is before it is packed. */
int reach_of_file(const char *path, enum reach *ret, struct err *err);

/* `program` is an absolute path in the root file system `disk` (raw ext4). */
int reach_in_disk(const char *disk, const char *program, enum reach *ret, struct err *err);
