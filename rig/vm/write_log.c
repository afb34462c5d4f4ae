#include "vm/write_log.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/rng.h"

#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Linux, drivers/md/dm-log-writes.c: all little-endian. */
#define MAGIC	     UINT64_C(0x6a736677736872)
#define FLAG_FLUSH   1u
#define FLAG_FUA     2u
#define FLAG_DISCARD 4u
#define FLAG_MARK    8u
#define FLAGS	     15u

static uint64_t word(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* QEMU writes the head at the first flush; until then it is a hole. */
static int check_head(const uint8_t *bytes, size_t size, struct err *err)
{
	uint32_t sector;

	if (size < WRITE_LOG_SECTOR || all_zero(bytes, WRITE_LOG_SECTOR))
		return 0;
	memcpy(&sector, bytes + 24, sizeof(sector));
	if (word(bytes) != MAGIC || word(bytes + 8) != 1)
		return err_set(err, -EBADMSG, "the file is no log of writes");
	if (le32toh(sector) != WRITE_LOG_SECTOR)
		return err_set(err, -EBADMSG, "the log has sectors of %u bytes",
			(unsigned)le32toh(sector));
	return 0;
}

/* 1: an entry; 0: the end, perhaps in the middle of one; negative: no such log. */
static int read_entry(const uint8_t *bytes, size_t size, uint64_t at, uint64_t disk_bytes,
	struct write_entry *ret, uint64_t *ret_next, struct err *err)
{
	uint64_t sector, count, flags, room, data;

	if (at + WRITE_LOG_SECTOR > size)
		return 0;
	sector = word(bytes + at);
	count = word(bytes + at + 8);
	flags = word(bytes + at + 16);
	if (flags & ~(uint64_t)FLAGS || (!count && !(flags & (FLAG_FLUSH | FLAG_MARK))) ||
		count > disk_bytes / WRITE_LOG_SECTOR ||
		sector > disk_bytes / WRITE_LOG_SECTOR - count)
		return err_set(
			err, -EBADMSG, "the log has no entry at byte %llu", (unsigned long long)at);
	data = flags & FLAG_DISCARD ? 0 : count * WRITE_LOG_SECTOR;
	room = size - at - WRITE_LOG_SECTOR;
	if (data > room)
		return 0;
	*ret = (struct write_entry){
		.kind = !count ? WRITE_FLUSH /* of nothing more, whatever else it says */
			: flags & FLAG_DISCARD ? WRITE_DISCARD
					       : WRITE_DATA,
		.durable = flags & FLAG_FUA,
		.offset = sector * WRITE_LOG_SECTOR,
		.len = count * WRITE_LOG_SECTOR,
		.data = data ? bytes + at + WRITE_LOG_SECTOR : NULL,
		.end = at + WRITE_LOG_SECTOR + data,
	};
	*ret_next = ret->end;
	return flags & FLAG_MARK && !count ? 2 : 1;
}

static void add(struct write_log *log, size_t *room, const struct write_entry *entry)
{
	if (log->count == *room) {
		*room = *room ? 2 * *room : 256;
		log->entries = mem_grow(log->entries, *room, sizeof(*log->entries));
	}
	log->entries[log->count++] = *entry;
}

/* A write may say that a flush came first: then that is an entry of its own. */
static void add_parts(
	struct write_log *log, size_t *room, struct write_entry *entry, uint64_t flags)
{
	struct write_entry flush = {.kind = WRITE_FLUSH, .end = entry->end};

	if (flags & FLAG_FLUSH && entry->kind != WRITE_FLUSH)
		add(log, room, &flush);
	add(log, room, entry);
}

int write_log_parse(const uint8_t *bytes, size_t size, uint64_t disk_bytes, struct write_log **ret,
	struct err *err)
{
	struct write_log *log = mem_zero(1, sizeof(*log));
	uint64_t at = WRITE_LOG_SECTOR, next = 0;
	struct write_entry entry;
	size_t room = 0;
	int rc = check_head(bytes, size, err);

	while (!rc && (rc = read_entry(bytes, size, at, disk_bytes, &entry, &next, err)) > 0) {
		if (log->count + 2 > WRITE_LOG_ENTRIES_MAX) {
			rc = err_set(err, -E2BIG, "the log has more than %u entries",
				WRITE_LOG_ENTRIES_MAX);
			break;
		}
		if (rc == 1)
			add_parts(log, &room, &entry, word(bytes + at + 16));
		at = next;
		rc = 0;
	}
	if (rc) {
		write_log_close(log);
		return rc;
	}
	*ret = log;
	return 0;
}

int write_log_open(const char *path, uint64_t disk_bytes, struct write_log **ret, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *bytes = NULL;
	int rc;

	if (fd < 0 || fstat(fd, &st))
		return err_sys(err, errno, "cannot open the log of writes '%s'", path);
	if (st.st_size) {
		bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (bytes == MAP_FAILED)
			return err_sys(err, errno, "cannot read the log of writes '%s'", path);
	}
	rc = write_log_parse(bytes, (size_t)st.st_size, disk_bytes, ret, err);
	if (rc) {
		if (bytes)
			munmap(bytes, (size_t)st.st_size);
		return err_wrap(err, rc, "cannot use '%s'", path);
	}
	(*ret)->bytes = bytes;
	(*ret)->size = (size_t)st.st_size;
	return 0;
}

void write_log_close(struct write_log *log)
{
	if (!log)
		return;
	if (log->bytes)
		munmap((void *)(uintptr_t)log->bytes, log->size);
	free(log->entries);
	free(log);
}

/* ---- a cut of the power ------------------------------------------------------------------------- */

/* Of the entries before `count`: what comes after the last flush is in nobody's hands. */
static size_t flushed_part(const struct write_log *log, size_t count)
{
	while (count && log->entries[count - 1].kind != WRITE_FLUSH)
		count--;
	return count;
}

static size_t part_before(const struct write_log *log, uint64_t bytes)
{
	size_t count = 0;

	while (count < log->count && log->entries[count].end <= bytes)
		count++;
	return count;
}

struct chance {
	enum write_keep keep;
	struct rng rng;
	size_t flushed, prefix; /* entries */
};

static struct chance chance_of(const struct write_cut *cut, size_t flushed, size_t count)
{
	struct chance chance = {.keep = cut->keep,
		.rng = rng_stream(cut->seed, "power cut"),
		.flushed = flushed,
		.prefix = count};

	if (cut->keep == WRITE_KEEP_PREFIX)
		chance.prefix = flushed + rng_below(&chance.rng, count - flushed + 1);
	return chance;
}

static bool survives(struct chance *chance, size_t index, const struct write_entry *entry)
{
	if (index < chance->flushed || entry->durable)
		return true;
	switch (chance->keep) {
	case WRITE_KEEP_ALL:
		return true;
	case WRITE_KEEP_FLUSHED:
		return false;
	case WRITE_KEEP_PREFIX:
		return index < chance->prefix;
	case WRITE_KEEP_SUBSET:
		return rng_below(&chance->rng, 2);
	}
	return true;
}

int write_log_cut(const struct write_log *log, const struct write_cut *cut,
	int (*take)(void *arg, const struct write_entry *entry, struct err *err), void *arg,
	struct write_tally *ret, struct err *err)
{
	size_t count = part_before(log, cut->bytes), flushed = flushed_part(log, count);
	struct chance chance = chance_of(cut, flushed, count);
	struct write_tally tally = {0};
	int rc = 0;

	for (size_t i = 0; i < count && !rc; i++) {
		const struct write_entry *entry = &log->entries[i];

		if (entry->kind == WRITE_FLUSH) {
			tally.flushes++;
			continue;
		}
		tally.writes++;
		tally.unflushed += i >= flushed;
		if (survives(&chance, i, entry)) {
			rc = take ? take(arg, entry, err) : 0;
		} else {
			tally.lost++;
			tally.lost_bytes += entry->len;
		}
	}
	if (!rc && ret)
		*ret = tally;
	return rc;
}
