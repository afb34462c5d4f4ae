/*
 * Which programs of a target the fault library reaches: read from the ELF file of the image, before anything runs. The
 * library comes by /etc/ld.so.preload, which the dynamic loader reads (ld.so(8)), for set-id programs too; what has no
 * loader never sees it, and what makes its system calls itself (Go) passes it by.
 *
 * Blocking. The file is hostile: bounded and checked.
 */
#pragma once

#include "base/buf.h"
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

/*
 * The functions that a dynamic program takes from elsewhere: what it calls itself, and what the libraries do that it is
 * linked with, but the C library and the loader, whose calls of themselves nobody sees. Libraries are looked for in
 * the image, where the program's RUNPATH and the loader's own folders say (ld.so(8)). What a program loads later
 * (dlopen) is added by who knows of it.
 */
struct reach_calls {
	bool known;		   /* its tables could be read, and those of all libraries */
	struct buf own, libraries; /* names, each ended by its NUL */
};

void reach_calls_free(struct reach_calls *calls);
bool reach_calls_has(const struct buf *names, const char *name);
void reach_calls_add(struct buf *names, const struct buf *more);
/* A library whose calls are seen: not the C library, the loader, the rig's. */
bool reach_is_followed(const char *path);

/* Of what a file holds. `disk` NULL: its libraries are not looked at, and what they call is not known. */
enum reach reach_of_bytes(const char *bytes, size_t len);
void reach_calls_of_bytes(const char *bytes, size_t len, const char *disk, struct reach_calls *ret);
/* Of a file of the host, or of a program in the image; `disk` has the libraries of both. What is not there, or not
 * dynamic, has none. */
int reach_calls_of_file(
	const char *path, const char *disk, struct reach_calls *ret, struct err *err);
int reach_calls_in_disk(
	const char *disk, const char *program, struct reach_calls *ret, struct err *err);

#define REACH_FILE_MAX (64u << 20)

/* A file of the host, as a guest program is before it is packed. */
int reach_of_file(const char *path, enum reach *ret, struct err *err);

/* `program` is an absolute path in the root file system `disk` (raw ext4). */
int reach_in_disk(const char *disk, const char *program, enum reach *ret, struct err *err);
