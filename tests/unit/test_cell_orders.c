/*
 * The order matrix, on whole cells of the fake store: a bug that shows in one order only is found there and nowhere
 * else, a store that is right passes all, and an order that cannot be reached is said and not counted.
 */
#include "tests/unit/cell_fixture.h"

#include "report/summary.h"
#include "run/plan/orders.h"

#include <pthread.h>

/* Both sides stand still inside the store: the one before it reads a message, the other before it removes one. */
static const char two_parks[] =
	"claim: a fetch shows its own message\n"
	"workload:\n"
	"  - {as: mailbox, do: append, user: u1, messages: 6, size: 1KiB}\n"
	"steps:\n"
	"  - {as: reader, do: imap, after: mailbox, user: u1, send: [SELECT INBOX, 'UID FETCH 4 "
	"(BODY.PEEK[])']}\n"
	"  - {as: reading, do: park, point: fake/imap/fetch, step: reader, for: 30s}\n"
	"  - {as: remover, do: delete-by-imap, while: reading, command: expunge, user: u1, uids: "
	"'2'}\n"
	"  - {as: removing, do: park, point: fake/imap/expunge, step: remover, for: 30s}\n"
	"orders: all\n";

/* One of them is held by the rig's own client. */
static const char one_park[] =
	"claim: a fetch shows its own message\n"
	"workload:\n"
	"  - {as: mailbox, do: append, user: u1, messages: 6, size: 1KiB}\n"
	"steps:\n"
	"  - {as: reader, do: imap, after: mailbox, user: u1, send: [SELECT INBOX, 'UID FETCH 4 "
	"(BODY.PEEK[])']}\n"
	"  - {as: reading, do: park, point: fake/imap/fetch, step: reader, for: 30s}\n"
	"  - {as: remover, do: imap, while: reading, user: u1, send: [SELECT INBOX,\n"
	"      'UID STORE 2 +FLAGS.SILENT (\\Deleted)', UID EXPUNGE 2]}\n"
	"orders: all\n";

/* The remover never comes by the point at which it is awaited. */
static const char never_met[] =
	"claim: a fetch shows its own message\n"
	"workload:\n"
	"  - {as: mailbox, do: append, user: u1, messages: 6, size: 1KiB}\n"
	"steps:\n"
	"  - {as: reader, do: imap, after: mailbox, user: u1, send: [SELECT INBOX, 'UID FETCH 4 "
	"(BODY.PEEK[])']}\n"
	"  - {as: reading, do: park, point: fake/imap/fetch, step: reader, for: 500ms}\n"
	"  - {as: remover, do: delete-by-imap, while: reading, command: expunge, user: u1, uids: "
	"'2'}\n"
	"  - {as: removing, do: park, point: fake/imap/nowhere, step: remover, for: 500ms}\n"
	"orders: all\n";

struct trial {
	const char *yaml;
	uint32_t order; /* from 0 */
	bool bug;
	struct fixture_cell cell;
};

static void run(struct trial *trials, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct plan *plan = fixture_plan(trials[i].yaml);

		orders_nth(plan->scenario, trials[i].order, &plan->order);
		trials[i].cell.wish =
			(struct bed_fake_wish){.bug = FAKE_STALE_FETCH, .nth = trials[i].bug};
		fixture_cell_start(&trials[i].cell, plan);
	}
	for (size_t i = 0; i < count; i++) {
		pthread_join(trials[i].cell.thread, NULL);
		CHECK_INT(trials[i].cell.rc, 0);
	}
}

static void done(struct trial *trials, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fixture_cell_free(&trials[i].cell);
}

static bool covered(const struct trial *trial)
{
	return json_get_bool(trial->cell.result.order, "covered", false);
}

static bool is_broken(const struct trial *trial, const char *law)
{
	return !strcmp(fixture_ruling(&trial->cell.result, law), "broken");
}

/* Another message under that UID: whether it is called so (I2) or not its own (I12) hangs on what was seen before. */
static void expect(const struct trial *trial, bool broken)
{
	bool ok = CHECK_STR(verdict_name(trial->cell.result.verdict), broken ? "FAIL" : "PASS");

	ok = CHECK_INT(is_broken(trial, "I12") || is_broken(trial, "I2"), broken) && ok;
	ok = CHECK(covered(trial)) && ok;
	if (!ok)
		fprintf(stderr, "%s: %s\n", trial->cell.dir, trial->cell.result.reason);
}

static void a_store_that_is_right_passes_every_order(void)
{
	struct trial trials[] = {{.yaml = two_parks, .order = 0}, {.yaml = two_parks, .order = 1},
		{.yaml = one_park, .order = 0}, {.yaml = one_park, .order = 1}};

	run(trials, ARRAY_SIZE(trials));
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		expect(&trials[i], false);
	done(trials, ARRAY_SIZE(trials));
}

static void a_bug_of_one_order_is_found_in_that_order_alone(void)
{
	struct trial trials[] = {{.yaml = two_parks, .order = 0, .bug = true},
		{.yaml = two_parks, .order = 1, .bug = true},
		{.yaml = one_park, .order = 0, .bug = true},
		{.yaml = one_park, .order = 1, .bug = true}};

	run(trials, ARRAY_SIZE(trials));
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++)
		expect(&trials[i], i % 2);
	done(trials, ARRAY_SIZE(trials));
}

static void an_order_that_is_not_reached_is_said_and_never_counted(void)
{
	struct trial trials[] = {{.yaml = never_met, .order = 0}, {.yaml = two_parks, .order = 1}};
	struct summary_end end = {0};
	auto_buf struct buf out = {0};
	struct result cells[2];

	run(trials, ARRAY_SIZE(trials));
	CHECK(!covered(&trials[0]));
	CHECK_STR(verdict_name(trials[0].cell.result.verdict), "UNKNOWN");
	CHECK_HAS(trials[0].cell.result.reason, "'remover' never stood at its point");
	for (size_t i = 0; i < ARRAY_SIZE(cells); i++)
		cells[i] = trials[i].cell.result;
	summary_totals(cells, ARRAY_SIZE(cells), &end, &out);
	CHECK_HAS(buf_text(&out),
		"orders of test on fake: 1 of 2 covered, not reached: reader, remover");
	done(trials, ARRAY_SIZE(trials));
}

static void every_order_is_planned_once(void)
{
	struct plan *plan = fixture_plan(two_parks);
	struct text_list first = {0}, second = {0};

	CHECK_INT(orders_count(plan->scenario), 2);
	orders_nth(plan->scenario, 0, &first);
	orders_nth(plan->scenario, 1, &second);
	CHECK_STR(first.at[0], "reader");
	CHECK_STR(first.at[1], "remover");
	CHECK_STR(second.at[0], "remover");
	CHECK_STR(second.at[1], "reader");
	text_list_free(&first);
	text_list_free(&second);
	plan_free(plan);
}

static void three_sides_have_six_orders_each_another(void)
{
	static const char text[] =
		"claim: x\n"
		"steps:\n"
		"  - {as: a, do: imap, at: 0s, user: u1, send: [SELECT INBOX]}\n"
		"  - {as: held, do: park, point: fake/imap/fetch, step: a, for: 1s}\n"
		"  - {as: b, do: delete-by-imap, while: held, command: expunge}\n"
		"  - {as: c, do: delete-by-pop3, while: held}\n"
		"orders: all\n";
	static const char *const want[] = {"a b c", "a c b", "b a c", "b c a", "c a b", "c b a"};
	struct plan *plan = fixture_plan(text);

	CHECK_INT(orders_count(plan->scenario), 6);
	for (uint32_t n = 0; n < ARRAY_SIZE(want); n++) {
		struct text_list order = {0};
		auto_free char *line = NULL;

		orders_nth(plan->scenario, n, &order);
		line = text_fmt("%s %s %s", order.at[0], order.at[1], order.at[2]);
		CHECK_STR(line, want[n]);
		text_list_free(&order);
	}
	plan_free(plan);
}

/* Without workload its baseline has neither workload nor steps. */
static void an_order_is_kept_in_the_plan_and_not_in_its_baseline(void)
{
	static const char steps_only[] =
		"claim: x\n"
		"steps:\n"
		"  - {as: reader, do: imap, at: 0s, user: u1, send: [SELECT INBOX]}\n"
		"  - {as: held, do: park, point: fake/imap/fetch, step: reader, for: 1s}\n"
		"  - {as: gone, do: delete-by-imap, while: held, command: expunge}\n"
		"orders: all\n";
	struct plan *plan = fixture_plan(steps_only), *copy, *baseline, *control;

	orders_nth(plan->scenario, 1, &plan->order);
	copy = plan_copy(plan);
	CHECK_INT(copy->order.count, 2);
	CHECK_STR(copy->order.at[0], "gone");
	baseline = plan_baseline(copy);
	control = plan_control(copy);
	CHECK_INT(baseline->order.count, 0);
	CHECK_INT(control->order.count, 0);
	plan_free(copy);
	copy = plan_copy(baseline);
	CHECK_INT(copy->scenario->step_count, 0);
	plan_free(copy);
	plan_free(control);
	plan_free(baseline);
	plan_free(plan);
}

static void one_side_alone_is_a_mistake_with_its_line(void)
{
	static const char text[] =
		"claim: x\n"
		"workload:\n"
		"  - {as: mailbox, do: append, user: u1}\n"
		"steps:\n"
		"  - {as: reader, do: imap, after: mailbox, user: u1, send: [SELECT INBOX]}\n"
		"  - {as: held, do: park, point: posix/io/oc/open, step: reader, for: 1s}\n"
		"orders: all\n";
	auto_buf struct buf complaints = {0};
	struct scenario *scenario = NULL;
	struct err err = {0};

	CHECK_INT(scenario_parse("x.yaml", text, sizeof(text) - 1, &plan_vocabulary, &complaints,
			  &scenario, &err),
		-EINVAL);
	CHECK_HAS(
		buf_text(&complaints), "x.yaml:7: 'orders: all' needs 2 to 4 sides and there is 1");
	scenario_free(scenario);
}

CHECK_MAIN(CHECK_CASE(a_store_that_is_right_passes_every_order),
	CHECK_CASE(a_bug_of_one_order_is_found_in_that_order_alone),
	CHECK_CASE(an_order_that_is_not_reached_is_said_and_never_counted),
	CHECK_CASE(every_order_is_planned_once),
	CHECK_CASE(three_sides_have_six_orders_each_another),
	CHECK_CASE(an_order_is_kept_in_the_plan_and_not_in_its_baseline),
	CHECK_CASE(one_side_alone_is_a_mistake_with_its_line))
