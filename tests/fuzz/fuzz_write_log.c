/*
 * A log of writes, as a disk of a hostile guest may leave it (rig/vm/write_log.h): entries stay inside the file
 * and the disk, and a cut keeps what was flushed, whatever its model.
 */
#include "vm/write_log.h"

#include <assert.h>

#define DISK_BYTES (UINT64_C(64) << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const uint8_t *first, *last;

static int take(void *arg, const struct write_entry *entry, struct err *err)
{
	size_t *taken = arg;

	(void)err;
	assert(entry->len && entry->offset + entry->len <= DISK_BYTES);
	assert(entry->kind == WRITE_DISCARD ||
		(entry->data >= first && entry->data + entry->len <= last));
	(*taken)++;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct write_log *log = NULL;

	first = bytes;
	last = bytes + len;
	if (write_log_parse(bytes, len, DISK_BYTES, &log, NULL))
		return 0;
	for (int keep = WRITE_KEEP_ALL; keep <= WRITE_KEEP_SUBSET; keep++) {
		struct write_cut cut = {
			len ? bytes[0] * UINT64_C(64) : 0, (enum write_keep)keep, len};
		struct write_tally tally;
		size_t taken = 0;

		assert(!write_log_cut(log, &cut, take, &taken, &tally, NULL));
		assert(taken == tally.writes - tally.lost && tally.lost <= tally.unflushed);
	}
	write_log_close(log);
	return 0;
}
