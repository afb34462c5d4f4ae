#include "vm/free_journal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hex.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS		12
#define MADE_FIELDS	6
#define RECORD_LINE_MAX (2 * FREE_STACK_MAX + 256)

static bool read_line(const char *line, struct free_record *ret)
{
	int again = 0, held = 0, at = 0;

	*ret = (struct free_record){0};
	if (sscanf(line,
		    "free %" SCNx64 " %" SCNu64 " %d %d %d %d %u %u %" SCNd64 " %" SCNx64
		    " %" SCNx64 " %" SCNx64 " %n",
		    &ret->address, &ret->size, &ret->tid, &ret->twice, &again, &held, &ret->hold,
		    &ret->reused, &ret->age_ns, &ret->pc, &ret->sp, &ret->bp, &at) != FIELDS ||
		!at)
		return false;
	ret->again = again;
	ret->held = held;
	ret->stack_len = hex_read(line + at, strlen(line + at), ret->stack, sizeof(ret->stack));
	return ret->address && ret->tid > 0 && ret->size <= UINT64_MAX - ret->address;
}

static void read_hold(const char *line, struct free_journal *journal)
{
	struct free_hold *hold = &journal->holds[journal->hold_count];

	if (journal->hold_count < FREE_HOLDS_MAX &&
		sscanf(line, "hold %d %u", &hold->tid, &hold->number) == 2 && hold->tid > 0)
		journal->hold_count++;
}

void free_journal_read(const char *text, size_t len, struct free_journal *ret)
{
	char line[RECORD_LINE_MAX];

	*ret = (struct free_journal){.records = mem_zero(FREE_RECORDS_MAX, sizeof(*ret->records))};
	if (len > FREE_TEXT_MAX)
		len = FREE_TEXT_MAX;
	for (size_t at = 0; at < len && ret->count < FREE_RECORDS_MAX;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t size = end ? (size_t)(end - text) - at : len - at;

		if (size < sizeof(line)) {
			memcpy(line, text + at, size);
			line[size] = '\0';
			if (read_line(line, &ret->records[ret->count]))
				ret->count++;
			else
				read_hold(line, ret);
		}
		at += size + 1;
	}
}

void free_journal_free(struct free_journal *journal)
{
	free(journal->records);
	*journal = (struct free_journal){0};
}

/* The number of the last hold of that thread; 0: the rig did not hold it. */
static unsigned int hold_of(const struct free_journal *journal, int tid)
{
	unsigned int number = 0;

	for (size_t i = 0; i < journal->hold_count; i++)
		if (journal->holds[i].tid == tid && journal->holds[i].number > number)
			number = journal->holds[i].number;
	return number;
}

static enum free_match match(
	const struct free_record *r, uint64_t value, bool is_fault, unsigned int hold)
{
	bool held = r->held && r->hold >= hold;

	if ((r->again && !held) || value < r->address ||
		value - r->address >= (r->size ? r->size : sizeof(void *)))
		return FREE_NO;
	if (is_fault)
		return FREE_FAULT;
	/* Of pages that the kernel got back somebody else may stand there now. */
	if (r->size >= FREE_MAPPED_MIN)
		return FREE_NO;
	if (held)
		return FREE_HELD;
	return value == r->address && !r->reused ? FREE_START : FREE_INSIDE;
}

/* Of what was freed while a thread was held, the block that begins there, else the first: what was there when it was
 * held. A block that covers the same address and was freed later was handed out in between. Of all else the latest. */
static bool is_likelier(const struct free_record *one, const struct free_record *best,
	uint64_t value, enum free_match how)
{
	if (how == FREE_HELD && (one->address == value) != (best->address == value))
		return one->address == value;
	return how == FREE_HELD ? one->age_ns > best->age_ns : one->age_ns < best->age_ns;
}

/* The latest block that began at that very address, whatever became of it. */
static const struct free_record *began_at(const struct free_journal *journal, uint64_t value)
{
	const struct free_record *latest = NULL;

	for (size_t i = 0; i < journal->count; i++) {
		const struct free_record *one = &journal->records[i];

		if (one->address == value && (!latest || one->age_ns < latest->age_ns))
			latest = one;
	}
	return latest;
}

const struct free_record *free_journal_find(const struct free_journal *journal, uint64_t value,
	bool is_fault, int tid, enum free_match *ret_match)
{
	unsigned int hold = hold_of(journal, tid);
	const struct free_record *best = NULL, *began;

	*ret_match = FREE_NO;
	for (size_t i = 0; i < journal->count; i++) {
		const struct free_record *one = &journal->records[i];
		enum free_match how = match(one, value, is_fault, hold);

		if (how == FREE_NO || how < *ret_match ||
			(how == *ret_match && best && !is_likelier(one, best, value, how)))
			continue;
		best = one;
		*ret_match = how;
	}
	/* A pointer may be older than its thread's hold: the address that a block had outweighs the middle of one
	 * that covered it. */
	if (*ret_match != FREE_HELD || best->address == value ||
		!(began = began_at(journal, value)))
		return best;
	*ret_match = began->again || began->reused ? FREE_INSIDE : FREE_START;
	return began;
}

const struct free_record *free_journal_twice(const struct free_journal *journal)
{
	const struct free_record *best = NULL;

	for (size_t i = 0; i < journal->count; i++) {
		const struct free_record *one = &journal->records[i];

		if (one->twice > 0 && !one->again && (!best || one->age_ns < best->age_ns))
			best = one;
	}
	return best;
}

/* The line of this address, or NULL. */
static const char *made_line(const char *text, size_t len, uint64_t address, size_t *ret_size)
{
	auto_free char *begin = text_fmt("made %" PRIx64 " ", address);

	for (size_t at = 0; at < len; at += *ret_size + 1) {
		const char *end = memchr(text + at, '\n', len - at);

		*ret_size = end ? (size_t)(end - text) - at : len - at;
		if (*ret_size > strlen(begin) && !memcmp(text + at, begin, strlen(begin)))
			return text + at;
	}
	return NULL;
}

/* It was freed once more in between: it was somebody else's by then. */
static bool is_older(const struct free_journal *journal, const struct free_record *made,
	const struct free_record *freed)
{
	for (size_t i = 0; i < journal->count; i++)
		if (journal->records[i].address == freed->address &&
			journal->records[i].age_ns > freed->age_ns &&
			journal->records[i].age_ns < made->age_ns)
			return true;
	return false;
}

bool free_journal_made(const struct free_journal *journal, const struct free_record *freed,
	const char *text, size_t len, struct free_record *ret)
{
	char line[RECORD_LINE_MAX];
	size_t size;
	const char *found =
		made_line(text, len < FREE_TEXT_MAX ? len : FREE_TEXT_MAX, freed->address, &size);
	int at = 0;

	if (!found || size >= sizeof(line))
		return false;
	memcpy(line, found, size);
	line[size] = '\0';
	*ret = (struct free_record){0};
	if (sscanf(line, "made %" SCNx64 " %d %" SCNd64 " %" SCNx64 " %" SCNx64 " %" SCNx64 " %n",
		    &ret->address, &ret->tid, &ret->age_ns, &ret->pc, &ret->sp, &ret->bp,
		    &at) != MADE_FIELDS ||
		!at)
		return false;
	ret->stack_len = hex_read(line + at, strlen(line + at), ret->stack, sizeof(ret->stack));
	return ret->tid > 0 && ret->age_ns >= freed->age_ns && !is_older(journal, ret, freed);
}
