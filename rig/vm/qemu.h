/*
 * QEMU as a command line and as a process. The command line is made in one place, for running and for
 * --dry-run, and always holds the full set of devices: those of a template and of its clones must be the
 * same (QEMU 7.2, docs/devel/migration.rst). Only paths, descriptors and the memory's sharing differ.
 *
 * QEMU talks to the rig over socket pairs made before it starts: nothing to wait for, nothing on disk, nobody
 * else can connect. It dies with the thread that started it (PR_SET_PDEATHSIG) and leads a process group.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "vm/machine.h"

#include <stdbool.h>
#include <sys/types.h>

#define QEMU_PROGRAM	 "qemu-system-x86_64"
#define QEMU_IMG_PROGRAM "qemu-img"
#define QEMU_LOG_MAX	 2048 /* bytes of its complaints that go into an error */

enum qemu_memory {
	QEMU_MEMORY_PLAIN,   /* anonymous: a cold boot */
	QEMU_MEMORY_SHARED,  /* the file `memory` is the guest's memory: a template being made */
	QEMU_MEMORY_PRIVATE, /* copy on write over the file `memory`: a clone */
};

struct qemu_line {
	const struct machine_spec *spec;
	const char *dir; /* layers, console.log; QEMU's working directory */
	enum qemu_memory memory_kind;
	const char *memory; /* path, NULL for PLAIN */
	bool incoming;	    /* wait, stopped, for a state to load */
	bool log_writes;    /* each layer's writes into machine_write_log_path() */
	bool warp;	    /* idle time is skipped: one TCG thread that counts instructions */
	bool isolated;	    /* the NIC is on a hub with nobody else; `netdev` is a spare, or NULL */
	const char *capture;		/* NULL: none */
	const char *netdev;		/* network_netdev() */
	int tap_fd;			/* passed on; -1: none */
	int qmp_fd, qga_fd, witness_fd; /* QEMU's ends; -1: named sockets in `dir` (--dry-run) */
};

/* A NULL-terminated argument vector; qemu_argv_free(). Cannot fail. */
char **qemu_argv(const struct qemu_line *line);
void qemu_argv_free(char **argv);
void qemu_argv_shell(char *const *argv, struct buf *out); /* quoted for sh, one option a line */

/* A running QEMU and the rig's ends of its sockets. Zero is not the empty value: see QEMU_NONE. */
struct qemu {
	pid_t pid;
	int qmp_fd, qga_fd, witness_fd; /* -1 once handed over */
};
#define QEMU_NONE ((struct qemu){-1, -1, -1, -1})

/* Start it; complaints go to `dir`/qemu.log. The line's three descriptors are set by this call. */
int qemu_start(struct qemu_line *line, struct qemu *ret, struct err *err);
void qemu_kill(struct qemu *qemu); /* SIGKILL, reap, close; idempotent */

/* Has it ended, or does it within `wait_ms`? Then how, with its last words, is in `out`. Does not reap. */
bool qemu_ended(const struct qemu *qemu, const char *dir, int wait_ms, struct buf *out);

/* A fresh qcow2 layer `path` over `base`. With `size_bytes` the base need not exist yet: its absolute
 * path is written down unseen. */
int qemu_layer(const char *path, const char *base, const char *base_format, uint64_t size_bytes,
	struct err *err);
int64_t qemu_layer_size(const char *path, struct err *err); /* what its guest sees, or an errno */

/* QEMU's version as it prints it; asked once per process. */
int qemu_version(char *ret, size_t size, struct err *err);

/* The longest tail of file `path` that has at most `max` bytes and begins at a line, escaped. */
void qemu_file_tail(const char *path, size_t max, struct buf *out);
