/*
 * The write-ahead log: records enter the log buffer in memory; the log flusher, a thread of its own,
 * writes the buffer to the log file and fdatasync()s it when it is signalled.
 *
 * wal_append() gives the record's log sequence number (LSN); wal_commit() waits until that LSN is
 * durable. wal_freeze() and wal_thaw() are what a snapshot calls: no flush runs in between.
 * A write that fails is tried again: a commit ends only when its record is durable.
 *
 * One log per process. All functions but wal_open() and wal_rotate() may be called by any thread;
 * those two while no operation is under way.
 */
#pragma once

#include "common.h"

#define WAL_BUFFER_MAX (64u << 20)

/* A record of the log and of a checkpoint: a type and packed fields. */
struct record {
	struct bytes bytes;
};

void record_u32(struct record *record, uint32_t value);
void record_text(struct record *record, const char *text);
void record_blob(struct record *record, const void *data, size_t len);

/* Reading one back; `bad` once anything did not fit. Texts and blobs point into the record. */
struct fields {
	const char *at, *end;
	bool bad;
};
uint32_t field_u32(struct fields *fields);
const char *field_text(struct fields *fields);
const void *field_blob(struct fields *fields, size_t *ret_len);

/* Add the record, framed with its length and checksum, to `out`. */
void record_frame(const struct record *record, struct bytes *out);
/* Call `apply` for each whole record of a file; the length of what was whole, or negative errno. */
int64_t records_read(const char *path, void (*apply)(struct fields *fields));

int wal_open(const char *path, int64_t end); /* goes on at `end`, cuts what is behind */
void wal_start(void);			     /* the flusher */
uint64_t wal_append(const struct record *record);
void wal_commit(uint64_t lsn);
uint64_t wal_durable(void); /* up to this LSN */
bool wal_full(void);	    /* refuse work: the buffer holds WAL_BUFFER_MAX */
void wal_freeze(void);
void wal_thaw(void);
bool wal_frozen(void);
void wal_flush(void); /* everything so far, whatever was signalled: at dismount */
int64_t wal_size(void);
size_t wal_waiting(void);	   /* bytes in the buffer */
unsigned int wal_committing(void); /* commits that wait for the flusher */
