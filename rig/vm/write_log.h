/*
 * The log of what a machine wrote to a disk, as QEMU's blklogwrites driver leaves it (QEMU 7.2,
 * block/blklogwrites.c; the kernel's Documentation/admin-guide/device-mapper/log-writes.rst has the format):
 * every write with its bytes, every discard, every completed FLUSH, in the order in which the disk took them.
 * An entry is written after its data reached the disk and before the guest hears of it, so whatever the guest
 * was told is in the log. QEMU does not keep the number of entries in the head up to date: the file's own end
 * counts, and an entry that is cut short never was.
 *
 * A cut of the power picks from the entries up to `bytes` of the file those that reached the medium.
 *
 * The file is mapped, and must not change while it is open here. Its content is a guest's doing: every length
 * is checked, entries are bounded by WRITE_LOG_ENTRIES_MAX. Immutable once open: any thread may read.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WRITE_LOG_SECTOR      512
#define WRITE_LOG_ENTRIES_MAX (1u << 22)

enum write_kind { WRITE_DATA, WRITE_FLUSH, WRITE_DISCARD };

struct write_entry {
	enum write_kind kind;
	bool durable;	      /* forced through the cache by itself (FUA) */
	uint64_t offset, len; /* on the disk, bytes; 0 of a flush */
	const uint8_t *data;  /* of WRITE_DATA */
	uint64_t end;	      /* of the file, up to and with this entry */
};

struct write_log {
	struct write_entry *entries;
	size_t count;
	const uint8_t *bytes; /* the mapping */
	size_t size;
};

/* -EBADMSG: no such log, or one with a hole, where QEMU was killed between two writes under way. An
 * empty file is a log without entries. `disk_bytes` bounds what an entry may name. */
int write_log_open(const char *path, uint64_t disk_bytes, struct write_log **ret, struct err *err);
void write_log_close(struct write_log *log);

/* The same from memory, which is borrowed. */
int write_log_parse(const uint8_t *bytes, size_t size, uint64_t disk_bytes, struct write_log **ret,
	struct err *err);

/* What is on the medium after a power cut. What was written before a completed flush always is. */
enum write_keep {
	WRITE_KEEP_ALL,	    /* the guest died, the disk did not */
	WRITE_KEEP_FLUSHED, /* the disk's cache is lost: nothing after the last completed flush */
	WRITE_KEEP_PREFIX,  /* some first part of what came after it, by chance */
	WRITE_KEEP_SUBSET,  /* each write after it or not, by chance */
};

struct write_cut {
	uint64_t bytes; /* of the log: what had been written at that instant */
	enum write_keep keep;
	uint64_t seed;
};

struct write_tally {
	size_t writes, flushes; /* up to the cut */
	size_t unflushed;	/* of the writes: after the last flush */
	size_t lost;		/* of those */
	uint64_t lost_bytes;
};

/* For each write and discard that is on the medium after the cut, in order; `take` may be NULL. Ends at the
 * first `take` that returns other than 0, with that. */
int write_log_cut(const struct write_log *log, const struct write_cut *cut,
	int (*take)(void *arg, const struct write_entry *entry, struct err *err), void *arg,
	struct write_tally *ret, struct err *err);
