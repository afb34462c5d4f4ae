/*
 * The watch over a cell, on the fake store: what it suspects and when, what it saves, of which hangs it keeps a copy,
 * and what comes of the copies. A scan shows what a golden file holds, from the moment on at which the store's bug
 * has shown itself.
 */
#include "tests/unit/cell_fixture.h"

#include "base/clock.h"

#define TARGET(objectives)                                                         \
	"summary: the fake store\n"                                                \
	"image: none\n"                                                            \
	"ready_within: 20s\n"                                                      \
	"users: [u1]\n"                                                            \
	"services:\n"                                                              \
	"  - {name: smtp, protocol: smtp, port: 25}\n"                             \
	"  - {name: imap, protocol: imap, port: 143}\n"                            \
	"disks:\n"                                                                 \
	"  - {name: mail, mount: /srv/mail, size: 64MiB}\n"                        \
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue}\n" \
	"timers: {retry_first: 200ms, retry_longest: 200ms}\n"                     \
	"objectives: {" objectives "}\n"

static const char target_yaml[] = TARGET("recover: 1s, drain: 1s, stop: 1s, slowdown_floor: 500ms");
/* Where nothing hangs, or not after the heal: a host that gives us no processor for a second must not look like it. */
static const char patient_yaml[] =
	TARGET("recover: 20s, drain: 20s, stop: 20s, slowdown_floor: 20s");
static const char slow_yaml[] = TARGET("recover: 4s, drain: 1s, stop: 1s, slowdown_floor: 4s");
static const char freezes_yaml[] =
	TARGET("recover: 20s, drain: 20s, stop: 20s, slowdown_floor: 500ms");

#define LONE(steps)                      \
	"claim: nobody waits for ever\n" \
	"workload:\n"                    \
	"  - {as: writers, do: smtp, messages: 4, to: [u1]}\n" steps

static const char plain_yaml[] = "claim: nobody waits for ever\n"
				 "workload:\n"
				 "  - {as: writers, do: smtp, messages: 8, pace: 4/s, to: [u1]}\n";
static const char freeze_yaml[] =
	LONE("steps:\n  - {as: snapshot, do: freeze-fs, when: smtp/data, for: 200ms}\n");
static const char long_freeze_yaml[] =
	LONE("steps:\n  - {as: snapshot, do: freeze-fs, when: smtp/data, for: 3s}\n");
static const char longest_freeze_yaml[] =
	LONE("steps:\n  - {as: snapshot, do: freeze-fs, when: smtp/data, for: 5s}\n");

static const char three_s_freeze_yaml[] =
	LONE("steps:\n  - {as: snapshot, do: freeze-fs, when: smtp/data, for: 3s}\n");

struct run {
	struct bed_fake_wish wish;
	struct result result;
	struct history *history;
	char *dir;
};

static void begin(struct run *r, struct plan *plan)
{
	auto_free char *path = NULL;

	fixture_run_plan(plan, &r->wish, &r->result);
	r->dir = text_dup(r->result.path);
	path = path_join(r->dir, "history.jsonl");
	CHECK_INT(history_load(path, &r->history, NULL), 0);
}

static void end(struct run *r)
{
	history_free(r->history);
	result_free(&r->result);
	free(r->dir);
}

static size_t count(const struct run *r, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < r->history->count; i++)
		n += event_is(&r->history->events[i], kind);
	return n;
}

static double since(int64_t began_ns)
{
	return (double)(clock_mono_ns() - began_ns) / (double)NS_PER_SEC;
}

/* The n-th event of a kind, from 0; an empty object where there is none. */
static const json_t *nth(const struct run *r, const char *kind, size_t n)
{
	for (size_t i = 0; i < r->history->count; i++)
		if (event_is(&r->history->events[i], kind) && !n--)
			return r->history->events[i].data;
	CHECK(!kind);
	return NULL;
}

static bool has_file(const struct run *r, const char *name)
{
	auto_free char *path = text_fmt("%s/evidence/%s", r->dir, name);

	return fs_exists(path);
}

static void a_healthy_store_is_looked_at_and_not_suspected(void)
{
	struct run r = {.wish = {.healthy = "idle-store", .hangs = "mutex-abba"}};
	int64_t began_ns = clock_mono_ns();

	begin(&r, fixture_plan_on(patient_yaml, plain_yaml));
	CHECK_STR(verdict_name(r.result.verdict), "PASS");
	CHECK(has_file(&r, "healthy/scan.json"));
	CHECK_INT(count(&r, "suspected") + count(&r, "evidence") + count(&r, "branched"), 0);
	CHECK_INT(r.wish.branches, 0);
	/* About one look a second, three where the host makes an operation slow; and of the healthy store. */
	CHECK(r.wish.scans >= 3 && (double)r.wish.scans <= 8 + 4 * since(began_ns));
	end(&r);
}

/* Baseline and cell: a healthy look each, and one more. It took a second, so the next may be after twenty, or after five
 * in which the host made an operation slow. */
static void looking_keeps_within_its_share_of_the_time(void)
{
	struct run r = {.wish = {.healthy = "idle-store", .scan_took_ns = NS_PER_SEC}};
	int64_t began_ns = clock_mono_ns();

	begin(&r, fixture_plan_on(patient_yaml, plain_yaml));
	CHECK_STR(verdict_name(r.result.verdict), "PASS");
	CHECK(r.wish.scans >= 4 && (double)r.wish.scans <= 4 + since(began_ns) / 5);
	end(&r);
}

static size_t deep_looks_of_a_freeze(bool starves)
{
	struct run r = {.wish = {.healthy = "frozen-store",
				.scan_lasts_ms = 300,
				.scan_took_ns = 300 * NS_PER_MS,
				.starves = starves}};

	begin(&r, fixture_plan_on(target_yaml, three_s_freeze_yaml));
	end(&r);
	return r.wish.deep_scans;
}

/* Three seconds pay for three looks of 0.3 s, and twice as many find room in them, if the host lets them: it is tried
 * more than once. */
static void what_the_host_takes_away_is_not_charged_to_a_look(void)
{
	bool more = false;

	for (int tries = 0; !more && tries < 3; tries++)
		more = deep_looks_of_a_freeze(true) >= deep_looks_of_a_freeze(false) + 2;
	CHECK(more);
}

/* Each look is longer than the time between two: one is nearly always under way. */
static void the_audit_waits_for_a_look_that_is_under_way(void)
{
	struct run r = {.wish = {.healthy = "idle-store", .scan_lasts_ms = 1500}};

	begin(&r, fixture_plan_on(patient_yaml, plain_yaml));
	CHECK_STR(verdict_name(r.result.verdict), "PASS");
	CHECK_INT(r.result.residue, 0);
	CHECK(r.wish.scans >= 3);
	end(&r);
}

static void an_overdue_operation_is_told_kept_once_and_judged(void)
{
	struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.healthy = "idle-store",
				.hangs = "queue-behind-event",
				.recovery = "permanent"}};
	auto_json json_t *once = NULL, *again = NULL;
	struct result second = {0};
	double limit;

	begin(&r, fixture_plan_on(target_yaml, freeze_yaml));
	CHECK_STR(json_get_text(nth(&r, "suspected", 0), "name", ""), "hang-1");
	CHECK_STR(json_get_text(nth(&r, "suspected", 0), "why", ""), "overdue");
	/* It stood in the freeze for 0.2 s, and may take one second after the heal. */
	limit = json_get_real(nth(&r, "suspected", 0), "limit_s", 0);
	CHECK(limit >= 1.2);
	CHECK(json_get_real(nth(&r, "suspected", 0), "age_s", 0) >= limit);
	CHECK(has_file(&r, "hang-1/scan.json") && has_file(&r, "hang-1/earlier.json") &&
		has_file(&r, "hang-1/input.json"));
	/* The same hang at the end of the workload, and again at the stop. */
	CHECK(count(&r, "evidence") >= 2);
	CHECK_INT(count(&r, "branched"), 1);
	CHECK_INT(r.wish.branches, 1);
	CHECK_INT(r.wish.adjudged, 1);
	/* The watch and the cell's own limit see it at the same time; whose copy was first is run on. */
	CHECK_STR(json_get_text(nth(&r, "adjudged", 0), "name", ""),
		json_get_text(nth(&r, "branched", 0), "name", "?"));
	CHECK_STR(verdict_name(r.result.verdict), "FAIL");
	CHECK_STR(result_finding(&r.result)->hang_class, "lost-wakeup");
	CHECK_STR(r.result.recovery, "permanent");
	CHECK_INT(json_get_int(result_finding(&r.result)->recovery, "searched_s", 0), 21600);
	/* Whoever judges the folder again finds the same. */
	CHECK_INT(judge_cell(r.dir, &second, NULL), 0);
	once = result_to_json(&r.result);
	again = result_to_json(&second);
	CHECK(json_equal(once, again));
	result_free(&second);
	end(&r);
}

static void a_cycle_is_told_before_anything_is_overdue(void)
{
	struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.healthy = "idle-store",
				.hangs = "mutex-abba",
				.recovery = "permanent"}};

	const json_t *told;

	begin(&r, fixture_plan_on(slow_yaml, freeze_yaml));
	told = nth(&r, "suspected", 0);
	CHECK_STR(json_get_text(told, "why", ""), "a cycle in the wait-for graph");
	CHECK(json_get_real(told, "age_s", 9) < json_get_real(told, "limit_s", 0));
	CHECK_INT(count(&r, "branched"), 1);
	CHECK_STR(result_finding(&r.result)->hang_class, "deadlock");
	end(&r);
}

/* It is still being read when the cycle closes. */
static void a_core_that_takes_long_keeps_no_cycle_from_being_told(void)
{
	struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.healthy = "idle-store",
				.hangs = "mutex-abba",
				.core_lasts_ms = 5000}};
	const char *why = "";
	size_t i = 0, core = SIZE_MAX, cycle = SIZE_MAX;

	begin(&r, fixture_plan_on(target_yaml, long_freeze_yaml));
	CHECK_INT(count(&r, "core"), 1);
	for (i = 0; i < r.history->count; i++) {
		const struct event *event = &r.history->events[i];

		if (event_is(event, "core"))
			core = i;
		why = event_is(event, "suspected") ? json_get_text(event->data, "why", "") : "";
		if (cycle == SIZE_MAX && strstr(why, "cycle"))
			cycle = i;
	}
	CHECK(cycle < core);
	end(&r);
}

/* The scan shows a store that waits for a frozen disk: overdue, and nobody's fault but the freeze's. */
static void what_only_waits_for_the_fault_is_not_kept(void)
{
	struct run r = {.wish = {.healthy = "frozen-store", .recovery = "permanent"}};

	begin(&r, fixture_plan_on(freezes_yaml, long_freeze_yaml));
	CHECK_STR(verdict_name(r.result.verdict), "PASS");
	CHECK(count(&r, "suspected") >= 1);
	CHECK_INT(count(&r, "branched") + count(&r, "adjudged"), 0);
	CHECK_INT(r.wish.branches, 0);
	end(&r);
}

/* The same scan, but the store goes on after the freeze: there is no finding that the copy could speak for. */
static void a_copy_of_what_is_no_finding_is_not_asked(void)
{
	struct run r = {.wish = {.healthy = "idle-store",
				.hangs = "queue-behind-event",
				.always_hangs = true,
				.recovery = "permanent"}};

	begin(&r, fixture_plan_on(freezes_yaml, long_freeze_yaml));
	CHECK_STR(verdict_name(r.result.verdict), "PASS");
	CHECK_INT(r.wish.branches, 1);
	CHECK_INT(r.wish.adjudged, 0);
	CHECK(!r.result.recovery);
	end(&r);
}

/* In the freeze and after it: the second copy says more, so the first is not asked. */
static void what_still_hangs_after_the_heal_is_kept_once_more(void)
{
	struct run r = {.wish = {.healthy = "idle-store",
				.hangs = "queue-behind-event",
				.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.always_hangs = true,
				.recovery = "after_guest_s"}};

	begin(&r, fixture_plan_on(target_yaml, long_freeze_yaml));
	CHECK_INT(count(&r, "branched"), 2);
	CHECK_INT(count(&r, "adjudged"), 1);
	CHECK_STR(json_get_text(nth(&r, "adjudged", 0), "name", ""),
		json_get_text(nth(&r, "branched", 1), "name", "?"));
	CHECK_STR(r.result.recovery, "after_guest_s");
	CHECK_INT(r.result.recovers_after_s, 9000);
	CHECK(!json_get_bool(result_finding(&r.result)->recovery, "recovery_in_force", true));
	end(&r);
}

static void a_copy_that_cannot_be_had_is_said(void)
{
	struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.healthy = "idle-store",
				.hangs = "queue-behind-event",
				.branch_fails = true}};
	auto_buf struct buf text = {0};

	begin(&r, fixture_plan_on(target_yaml, freeze_yaml));
	CHECK_INT(count(&r, "branched"), 0);
	CHECK_INT(count(&r, "adjudged"), 1);
	CHECK_STR(verdict_name(r.result.verdict), "FAIL");
	CHECK_STR(r.result.recovery, "not-judged");
	CHECK(finding_recovery(result_finding(&r.result), &text));
	CHECK_STR(buf_text(&text), "not judged: planted: there is no room for a copy");
	end(&r);
}

/* A control and a repetition tell what is known already. */
static void what_is_repeated_is_not_judged_again(void)
{
	for (int control = 0; control < 2; control++) {
		struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
					.nth = 1,
					.healthy = "idle-store",
					.hangs = "mutex-abba",
					.recovery = "permanent"}};
		struct plan *plan = fixture_plan_on(target_yaml, freeze_yaml);

		plan->again = !control;
		plan->kind = control ? PLAN_CONTROL : PLAN_CELL;
		begin(&r, plan);
		CHECK_INT(r.wish.branches + r.wish.adjudged, 0);
		CHECK_INT(count(&r, "adjudged"), 0);
		end(&r);
	}
}

/* In the freeze somebody waits for an event, which is told; then two others come to wait for each other. */
static void a_second_hang_is_told_beside_the_first(void)
{
	struct run r = {.wish = {.bug = FAKE_HANGS_AT_THAW,
				.nth = 1,
				.healthy = "idle-store",
				.hangs = "queue-behind-event",
				.then = "event-and-abba",
				.always_hangs = true,
				.recovery = "permanent"}};
	const json_t *second;

	begin(&r, fixture_plan_on(target_yaml, longest_freeze_yaml));
	CHECK(count(&r, "suspected") >= 2);
	CHECK_STR(json_get_text(nth(&r, "suspected", 0), "why", ""), "overdue");
	second = nth(&r, "suspected", 1);
	CHECK_STR(json_get_text(second, "name", ""), "hang-2");
	CHECK_STR(json_get_text(second, "why", ""), "a cycle in the wait-for graph");
	CHECK(has_file(&r, "hang-2/known.json") && !has_file(&r, "hang-1/known.json"));
	end(&r);
}

CHECK_MAIN(CHECK_CASE(a_second_hang_is_told_beside_the_first),
	CHECK_CASE(a_healthy_store_is_looked_at_and_not_suspected),
	CHECK_CASE(looking_keeps_within_its_share_of_the_time),
	CHECK_CASE(what_the_host_takes_away_is_not_charged_to_a_look),
	CHECK_CASE(the_audit_waits_for_a_look_that_is_under_way),
	CHECK_CASE(an_overdue_operation_is_told_kept_once_and_judged),
	CHECK_CASE(a_cycle_is_told_before_anything_is_overdue),
	CHECK_CASE(a_core_that_takes_long_keeps_no_cycle_from_being_told),
	CHECK_CASE(what_only_waits_for_the_fault_is_not_kept),
	CHECK_CASE(a_copy_of_what_is_no_finding_is_not_asked),
	CHECK_CASE(what_still_hangs_after_the_heal_is_kept_once_more),
	CHECK_CASE(a_copy_that_cannot_be_had_is_said),
	CHECK_CASE(what_is_repeated_is_not_judged_again))
