/* The log of a disk's writes, and what a power cut leaves of them. */
#include "tests/check/check.h"

#include "base/fs.h"
#include "vm/write_log.h"

#include <string.h>

#define DISK (UINT64_C(1) << 20)

enum { FLUSH = 1, FUA = 2, DISCARD = 4, MARK = 8 };

static void put(struct buf *out, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		buf_addc(out, (char)(value >> (8 * i)));
}

static void pad(struct buf *out)
{
	while (out->len % WRITE_LOG_SECTOR)
		buf_addc(out, '\0');
}

static void put_head(struct buf *out)
{
	put(out, UINT64_C(0x6a736677736872));
	put(out, 1);
	put(out, 0); /* the number of entries is never up to date */
	put(out, WRITE_LOG_SECTOR);
	pad(out);
}

/* An entry; its data is `fill` all over. */
static void put_entry(
	struct buf *out, uint64_t sector, uint64_t sectors, unsigned int flags, char fill)
{
	put(out, sector);
	put(out, sectors);
	put(out, flags);
	put(out, 0);
	pad(out);
	for (uint64_t i = 0; !(flags & DISCARD) && i < sectors * WRITE_LOG_SECTOR; i++)
		buf_addc(out, fill);
}

/* a b flush c d e */
static void put_usual(struct buf *out)
{
	put_head(out);
	put_entry(out, 0, 2, 0, 'a');
	put_entry(out, 8, 1, 0, 'b');
	put_entry(out, 0, 0, FLUSH, 0);
	put_entry(out, 0, 1, 0, 'c');
	put_entry(out, 16, 1, 0, 'd');
	put_entry(out, 24, 1, 0, 'e');
}

static struct write_log *parse(const struct buf *text, int want)
{
	struct write_log *log = NULL;
	struct err err = {0};

	CHECK_INT(write_log_parse((const uint8_t *)text->data, text->len, DISK, &log, &err), want);
	CHECK((want == 0) == (log != NULL));
	CHECK(want == 0 || *err.text);
	return log;
}

static int note(void *arg, const struct write_entry *entry, struct err *err)
{
	(void)err;
	buf_addc(arg, entry->kind == WRITE_DISCARD ? '-' : (char)entry->data[0]);
	return 0;
}

/* The first bytes of what is left. */
static char *left(const struct write_log *log, enum write_keep keep, uint64_t bytes, uint64_t seed,
	struct write_tally *tally)
{
	struct write_cut cut = {.bytes = bytes, .keep = keep, .seed = seed};
	struct buf out = {0};

	CHECK_INT(write_log_cut(log, &cut, note, &out, tally, NULL), 0);
	buf_addc(&out, '\0');
	return buf_steal(&out);
}

static void entries_are_read_in_order(void)
{
	auto_buf struct buf text = {0};
	struct write_log *log;

	put_usual(&text);
	log = parse(&text, 0);
	if (!log || !CHECK_INT(log->count, 6))
		return;
	CHECK_INT(log->entries[0].offset, 0);
	CHECK_INT(log->entries[0].len, 1024);
	CHECK_INT(log->entries[0].end, 4 * 512);
	CHECK_INT(log->entries[1].offset, 4096);
	CHECK_INT(log->entries[2].kind, WRITE_FLUSH);
	CHECK_INT(log->entries[5].end, text.len);
	write_log_close(log);
}

static void each_model_of_a_cut_keeps_what_it_says(void)
{
	auto_buf struct buf text = {0};
	struct write_log *log;
	struct write_tally tally;

	put_usual(&text);
	log = parse(&text, 0);
	{
		auto_free char *all = left(log, WRITE_KEEP_ALL, text.len, 1, &tally);

		CHECK_STR(all, "abcde");
		CHECK_INT(tally.writes, 5);
		CHECK_INT(tally.flushes, 1);
		CHECK_INT(tally.unflushed, 3);
		CHECK_INT(tally.lost, 0);
	}
	{
		auto_free char *flushed = left(log, WRITE_KEEP_FLUSHED, text.len, 1, &tally);

		CHECK_STR(flushed, "ab");
		CHECK_INT(tally.lost, 3);
		CHECK_INT(tally.lost_bytes, 3 * 512);
	}
	write_log_close(log);
}

static void chance_keeps_the_flushed_and_is_the_seeds(void)
{
	static const char *const prefixes[] = {"ab", "abc", "abcd", "abcde"};
	auto_buf struct buf text = {0};
	unsigned int seen = 0, holes = 0;
	struct write_log *log;

	put_usual(&text);
	log = parse(&text, 0);
	for (uint64_t seed = 0; seed < 100; seed++) {
		auto_free char *prefix = left(log, WRITE_KEEP_PREFIX, text.len, seed, NULL);
		auto_free char *again = left(log, WRITE_KEEP_PREFIX, text.len, seed, NULL);
		auto_free char *subset = left(log, WRITE_KEEP_SUBSET, text.len, seed, NULL);

		CHECK_STR(again, prefix);
		for (unsigned int i = 0; i < 4; i++)
			if (!strcmp(prefix, prefixes[i]))
				seen |= 1u << i;
		CHECK(!strncmp(subset, "ab", 2));
		holes += !strcmp(subset, "abce") || !strcmp(subset, "abe") ||
			 !strcmp(subset, "abde");
	}
	CHECK_INT(seen, 15);
	CHECK(holes > 0);
	write_log_close(log);
}

static void a_cut_ends_at_its_byte(void)
{
	auto_buf struct buf text = {0};
	struct write_log *log;

	put_usual(&text);
	log = parse(&text, 0);
	for (size_t i = 0; i < log->count; i++) {
		struct write_tally before, at;
		auto_free char *one =
			left(log, WRITE_KEEP_ALL, log->entries[i].end - 1, 1, &before);
		auto_free char *two = left(log, WRITE_KEEP_ALL, log->entries[i].end, 1, &at);

		CHECK(strlen(one) <= strlen(two));
		CHECK_INT(before.writes + before.flushes, i);
		CHECK_INT(at.writes + at.flushes, i + 1);
	}
	write_log_close(log);
}

static void a_forced_write_needs_no_flush(void)
{
	auto_buf struct buf text = {0};
	auto_free char *kept = NULL;
	struct write_log *log;

	put_head(&text);
	put_entry(&text, 0, 1, 0, 'a');
	put_entry(&text, 1, 1, FUA, 'b');
	put_entry(&text, 2, 1, DISCARD, 0);
	log = parse(&text, 0);
	kept = left(log, WRITE_KEEP_FLUSHED, text.len, 1, NULL);
	CHECK_STR(kept, "b");
	write_log_close(log);
}

static void a_mark_is_passed_over_and_a_flush_before_a_write_counts(void)
{
	auto_buf struct buf text = {0};
	auto_free char *kept = NULL;
	struct write_log *log;

	put_head(&text);
	put_entry(&text, 0, 1, 0, 'a');
	put_entry(&text, 0, 0, MARK, 0);
	put_entry(&text, 1, 1, FLUSH, 'b');
	log = parse(&text, 0);
	kept = left(log, WRITE_KEEP_FLUSHED, text.len, 1, NULL);
	CHECK_STR(kept, "a");
	write_log_close(log);
}

static void a_flush_is_nothing_else(void)
{
	auto_buf struct buf text = {0};
	struct write_log *log;
	auto_free char *kept = NULL;

	put_head(&text);
	put_entry(&text, 0, 1, 0, 'a');
	put_entry(&text, 7, 0, FLUSH | FUA | DISCARD, 0);
	log = parse(&text, 0);
	CHECK_INT(log->count, 2);
	CHECK_INT(log->entries[1].kind, WRITE_FLUSH);
	kept = left(log, WRITE_KEEP_FLUSHED, text.len, 1, NULL);
	CHECK_STR(kept, "a");
	write_log_close(log);
}

static void what_was_never_written_whole_never_was(void)
{
	auto_buf struct buf text = {0};

	put_usual(&text);
	for (size_t cut = 1; cut < 2 * WRITE_LOG_SECTOR; cut += 100) {
		struct buf part = {.data = text.data, .len = text.len - cut};
		struct write_log *log = parse(&part, 0);

		if (log)
			CHECK_INT(log->count, 5);
		write_log_close(log);
	}
}

static void a_log_nobody_wrote_to_is_empty(void)
{
	static const char zeros[WRITE_LOG_SECTOR];
	struct buf none = {0}, head = {.data = (char *)(uintptr_t)zeros, .len = sizeof(zeros)};
	struct write_log *log = parse(&none, 0);

	CHECK_INT(log->count, 0);
	write_log_close(log);
	log = parse(&head, 0);
	CHECK_INT(log->count, 0);
	write_log_close(log);
}

static void what_is_no_log_is_refused(void)
{
	struct {
		uint64_t sector, sectors;
		unsigned int flags;
	} bad[] = {
		{0, 0, 0},			    /* a hole */
		{0, 1, 16},			    /* an unknown flag */
		{DISK / 512, 1, 0},		    /* behind the disk */
		{UINT64_MAX, 1, 0},		    /* far behind it */
		{0, UINT64_MAX / 512 + 2, DISCARD}, /* a length that wraps */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		auto_buf struct buf text = {0};

		put_usual(&text);
		put_entry(&text, bad[i].sector, 0, 0, 0);
		text.len -= WRITE_LOG_SECTOR;
		put(&text, bad[i].sector);
		put(&text, bad[i].sectors);
		put(&text, bad[i].flags);
		pad(&text);
		parse(&text, -EBADMSG);
	}
	{
		auto_buf struct buf text = {0};

		buf_add_str(&text, "QFI");
		pad(&text);
		parse(&text, -EBADMSG);
	}
}

static void a_file_is_read_as_its_bytes_are(void)
{
	auto_free char *path = path_join(check_dir(), "mail.log");
	auto_buf struct buf text = {0};
	struct write_log *log = NULL;
	struct err err = {0};

	put_usual(&text);
	CHECK_INT(fs_write_atomic(path, text.data, text.len, &err), 0);
	if (CHECK_INT(write_log_open(path, DISK, &log, &err), 0))
		CHECK_INT(log->count, 6);
	write_log_close(log);
	CHECK_INT(write_log_open("/nonexistent/log", DISK, &log, &err), -ENOENT);
	CHECK_HAS(err.text, "/nonexistent/log");
	CHECK_INT(fs_write_atomic(path, "", 0, &err), 0);
	if (CHECK_INT(write_log_open(path, DISK, &log, &err), 0))
		CHECK_INT(log->count, 0);
	write_log_close(log);
}

CHECK_MAIN(CHECK_CASE(entries_are_read_in_order),
	CHECK_CASE(each_model_of_a_cut_keeps_what_it_says),
	CHECK_CASE(chance_keeps_the_flushed_and_is_the_seeds), CHECK_CASE(a_cut_ends_at_its_byte),
	CHECK_CASE(a_forced_write_needs_no_flush),
	CHECK_CASE(a_mark_is_passed_over_and_a_flush_before_a_write_counts),
	CHECK_CASE(a_flush_is_nothing_else), CHECK_CASE(what_was_never_written_whole_never_was),
	CHECK_CASE(a_log_nobody_wrote_to_is_empty), CHECK_CASE(what_is_no_log_is_refused),
	CHECK_CASE(a_file_is_read_as_its_bytes_are))
