/* What a set of UIDs or numbers names in a session's view, with UIDs that were not shown yet among those that were. */
#include "tests/check/check.h"

#include "api/imap_walk.h"
#include "base/buf.h"
#include "base/rng.h"

#define SLOTS  24
#define ROUNDS 4000

/* UIDs ascending with gaps; one in `unknown` was not shown, as mostly the last ones are not. */
static void fill(struct view *view, struct rng *rng, uint32_t unknown)
{
	uint32_t uid = 0;

	view->count = rng_below(rng, SLOTS + 1);
	view->unknown = view->known = 0;
	for (size_t i = 0; i < view->count; i++) {
		uid += 1 + (uint32_t)rng_below(rng, 3);
		view->slots[i] = (struct view_slot){.uid = rng_below(rng, unknown) ? uid : 0};
		view->unknown += !view->slots[i].uid;
	}
	view_learn(view);
}

static void some_set(struct uid_set *set, struct rng *rng)
{
	auto_buf struct buf text = {0};

	for (uint64_t n = 1 + rng_below(rng, 3); n; n--) {
		buf_addf(&text, "%llu", (unsigned long long)(1 + rng_below(rng, 2 * SLOTS)));
		if (rng_below(rng, 2))
			buf_addf(&text, ":%llu",
				(unsigned long long)(1 + rng_below(rng, 2 * SLOTS)));
		if (n > 1)
			buf_addf(&text, ",");
	}
	CHECK_INT(uid_set_parse(set, buf_text(&text), SLOTS), 0);
}

/* Slot by slot, as RFC 9051 says what a set means. */
static size_t next_named(const struct view *view, const struct uid_set *set, bool uid, size_t at)
{
	while (at < view->count && !uid_set_has(set, uid ? view->slots[at].uid : (uint32_t)at + 1))
		at++;
	return at;
}

static void a_set_names_the_same_slots_as_a_look_at_each(void)
{
	struct view_slot slots[SLOTS];
	struct view view = {.slots = slots, .room = SLOTS};
	struct rng rng = rng_stream(1, "sets");

	for (int round = 0; round < ROUNDS; round++) {
		cleanup(uid_set_free) struct uid_set set = {0};
		bool uid = rng_below(&rng, 2);
		size_t at = 0;

		fill(&view, &rng, 2 + (uint32_t)rng_below(&rng, 20));
		some_set(&set, &rng);
		do {
			size_t want = next_named(&view, &set, uid, at);

			CHECK_INT(view_set_next(&view, &set, uid, at), want);
			at = want + 1;
		} while (at <= view.count);
	}
}

static void a_uid_is_found_wherever_it_stands(void)
{
	struct view_slot slots[SLOTS];
	struct view view = {.slots = slots, .room = SLOTS};
	struct rng rng = rng_stream(2, "finds");

	for (int round = 0; round < ROUNDS; round++) {
		fill(&view, &rng, 2 + (uint32_t)rng_below(&rng, 20));
		for (size_t i = 0; i < view.count; i++)
			if (slots[i].uid)
				CHECK(view_find(&view, slots[i].uid) == &slots[i]);
		CHECK(!view_find(&view, 4 * SLOTS));
		CHECK(!view_find(&view, 0));
	}
}

/* UIDs that do not ascend are the store's mistake: whatever is found, it ends. */
static void a_set_ends_in_a_view_out_of_order(void)
{
	struct view_slot slots[] = {{.uid = 9}, {.uid = 4}, {.uid = 12}, {.uid = 1}, {.uid = 6}};
	struct view view = {.slots = slots, .count = ARRAY_SIZE(slots)};

	view_learn(&view);
	for (uint32_t uid = 1; uid < 16; uid++) {
		struct uid_range range = {uid, uid + 3};
		struct uid_set set = {.ranges = &range, .count = 1};
		size_t steps = 0;

		for (size_t at = 0; at < view.count; steps++)
			at = view_set_next(&view, &set, true, at) + 1;
		CHECK(steps <= view.count);
	}
}

CHECK_MAIN(CHECK_CASE(a_set_names_the_same_slots_as_a_look_at_each),
	CHECK_CASE(a_uid_is_found_wherever_it_stands),
	CHECK_CASE(a_set_ends_in_a_view_out_of_order))
