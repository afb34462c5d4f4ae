/* Words as glibc 2.36 leaves them in its locks, and words that are none. */
#include "diagnose/futex.h"

#include "base/cleanup.h"
#include "tests/check/check.h"

#include <linux/futex.h>

static struct wait refine(
	enum wait_kind kind, uint32_t value, bool shared, const uint32_t words[FUTEX_WORDS])
{
	struct wait wait = {.kind = kind, .value = value, .shared = shared};

	futex_refine(words, &wait);
	return wait;
}

static void a_mutex_names_its_owner_in_the_third_word(void)
{
	static const struct {
		uint32_t words[FUTEX_WORDS];
		int64_t owner;
	} rows[] = {
		{{2, 0, 77, 1, 0}, 77},				/* normal */
		{{2, 3, 77, 1, 1}, 77},				/* recursive, locked three times */
		{{2, 0, 77, 1, 2}, 77},				/* errorcheck */
		{{2, 0, 77, 1, 0x80 | 3}, 77},			/* adaptive, shared by processes */
		{{1, 0, 77, 1, 0}, 0},				/* nobody waits */
		{{2, 0, 77, 0, 0}, 0},				/* nobody uses it */
		{{2, 0, 0, 1, 0}, 0}, {{2, 0, 77, 1, 0x20}, 0}, /* a kind with another layout */
		{{2, 0, 0xffffffff, 1, 0}, 0},
		{{2, 1, 0x2d3e4740, 0x7f94, 0}, 0}, /* a stream's lock: 2, depth, an address */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_INT(refine(WAIT_MUTEX, 2, false, rows[i].words).target, rows[i].owner);
}

static void a_mutex_with_priority_inheritance_names_its_owner_to_the_kernel(void)
{
	struct wait wait = {.kind = WAIT_MUTEX, .pi = true};

	futex_refine((const uint32_t[FUTEX_WORDS]){FUTEX_WAITERS | 77, 0, 77, 1, 0x20}, &wait);
	CHECK_INT(wait.target, 77);
}

/* From pthread_rwlock_t: wrphase_futex, writers_futex, 0, 0, cur_writer, shared. */
static void a_read_write_lock_names_the_writer_that_has_it(void)
{
	static const uint32_t reader[FUTEX_WORDS] = {3, 1, 0, 0, 77};
	static const uint32_t writer[FUTEX_WORDS] = {3, 0, 0, 77, 0};
	struct wait wait = refine(WAIT_FUTEX, 3, false, reader);

	CHECK_INT(wait.kind, WAIT_RWLOCK);
	CHECK_INT(wait.target, 77);
	wait = refine(WAIT_FUTEX, 3, false, writer);
	CHECK_INT(wait.kind, WAIT_RWLOCK);
	CHECK_INT(wait.target, 77);
	/* Shared by processes it looks like a join at first. */
	CHECK_INT(refine(WAIT_JOIN, 3, true, reader).kind, WAIT_RWLOCK);
}

static void readers_that_have_a_read_write_lock_are_not_named(void)
{
	struct wait wait =
		refine(WAIT_FUTEX, 2, false, (const uint32_t[FUTEX_WORDS]){2, 1, 0, 0, 0});

	CHECK_INT(wait.kind, WAIT_RWLOCK);
	CHECK_INT(wait.target, 0);
}

/* A lock where writers go first, two readers have it, a writer waits at its third word: who comes then. From __readers,
 * 2 << 3 | RWAITING | WRLOCKED, and from writers_futex. */
static void who_stands_behind_a_writer_is_at_a_read_write_lock(void)
{
	static const uint32_t reader[FUTEX_WORDS] = {22, 0, 2, 1, 0};
	static const uint32_t second_writer[FUTEX_WORDS] = {3, 0, 0, 0, 0};
	static const uint32_t of_processes[FUTEX_WORDS] = {3, 0, 0, 0, 1};
	static const uint32_t none[FUTEX_WORDS] = {6, 0, 2, 1, 0};

	CHECK_INT(refine(WAIT_FUTEX, 22, false, reader).kind, WAIT_RWLOCK);
	CHECK_INT(refine(WAIT_FUTEX, 22, false, reader).target, 0);
	CHECK_INT(refine(WAIT_FUTEX, 3, false, second_writer).kind, WAIT_RWLOCK);
	CHECK_INT(refine(WAIT_FUTEX, 3, true, of_processes).kind, WAIT_RWLOCK);
	CHECK_INT(refine(WAIT_FUTEX, 3, true, of_processes).target, 0); /* not thread 1 */
	CHECK_INT(refine(WAIT_FUTEX, 6, false, none).kind, WAIT_FUTEX);
	CHECK_INT(refine(WAIT_FUTEX, 21, false, reader).kind, WAIT_FUTEX);
}

static void a_semaphore_counts_who_waits(void)
{
	static const uint32_t own[FUTEX_WORDS] = {0, 4, 0, 0, 9};
	static const uint32_t of_processes[FUTEX_WORDS] = {0, 1, FUTEX_PRIVATE_FLAG, 0, 0};

	CHECK_INT(refine(WAIT_FUTEX, 0, false, own).kind, WAIT_SEMAPHORE);
	CHECK_INT(refine(WAIT_FUTEX, 0, true, of_processes).kind, WAIT_SEMAPHORE);
	CHECK_INT(refine(WAIT_FUTEX, 0, false, of_processes).kind, WAIT_FUTEX);
}

static void what_fits_nothing_stays_an_event(void)
{
	static const uint32_t rows[][FUTEX_WORDS] = {
		{0, 0, 0, 0, 0}, /* a condition variable */
		{7, 7, 7, 7, 7},
		{3, 3, 1, 0, 77},
		{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (uint32_t value = 0; value < 4; value++)
			CHECK_INT(refine(WAIT_FUTEX, value, false, rows[i]).kind, WAIT_FUTEX);
}

CHECK_MAIN(CHECK_CASE(a_mutex_names_its_owner_in_the_third_word),
	CHECK_CASE(a_mutex_with_priority_inheritance_names_its_owner_to_the_kernel),
	CHECK_CASE(a_read_write_lock_names_the_writer_that_has_it),
	CHECK_CASE(readers_that_have_a_read_write_lock_are_not_named),
	CHECK_CASE(who_stands_behind_a_writer_is_at_a_read_write_lock),
	CHECK_CASE(a_semaphore_counts_who_waits), CHECK_CASE(what_fits_nothing_stays_an_event))
