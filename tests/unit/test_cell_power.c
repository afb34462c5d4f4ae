/* Whole cells on the fake store: the power is cut, and each law of durability finds its bug and only that. */
#include "tests/unit/cell_fixture.h"

#define STEPS_WHEN(sessions, model, when)                                     \
	"claim: what is acknowledged is durable\n"                            \
	"workload:\n"                                                         \
	"  - {as: writers, do: smtp, sessions: " sessions                     \
	", messages: 10, pace: 25/s, to: [u1, u2]}\n"                         \
	"  - {as: appender, do: append, messages: 5, pace: 20/s, user: u1}\n" \
	"steps:\n"                                                            \
	"  - {as: cut, do: power-cut, model: " model ", when: " when "}\n"

/* The third hand-over is of the second mail, which a single session sends only once the first was acknowledged: that one
 * is taken on both hops before the cut, however late the queue gets a processor. */
#define STEPS(model) STEPS_WHEN("1", model, "lmtp/reply, nth: 3")

#define APPENDS                                                   \
	"claim: an append is durable\n"                           \
	"workload:\n"                                             \
	"  - {as: appender, do: append, messages: 6, user: u1}\n" \
	"steps:\n"                                                \
	"  - {as: cut, do: power-cut, model: cache-lost, when: imap/append, nth: 3}\n"

#define NO_SYNC                                                                                 \
	"claim: nothing is acknowledged while no fsync succeeds\n"                              \
	"workload:\n"                                                                           \
	"  - {as: writers, do: smtp, sessions: 1, messages: 8, pace: 20/s, to: [u1]}\n"         \
	"steps:\n"                                                                              \
	"  - {as: f, do: errno, point: posix/io/sync/fsync, errno: EIO, calls: 1000, at: 0s}\n" \
	"  - {as: d, do: errno, point: posix/io/sync/fdatasync, errno: EIO, calls: 1000, at: "  \
	"0s}\n"                                                                                 \
	"  - {as: m, do: smtp, messages: 2, to: [u2], while: d}\n"

/* The snapshot is taken after the first mails, and put back after later ones were shown; then others come. */
#define PUT_BACK(procedure)                                                                \
	"claim: no UID names another message than before\n"                                \
	"workload:\n"                                                                      \
	"  - {as: appender, do: append, messages: 40, pace: 20/s, user: u1, size: 1KiB}\n" \
	"  - {as: reader, do: imap, pace: 20/s, user: u1}\n"                               \
	"steps:\n"                                                                         \
	"  - {as: back, do: restore-snapshot, when: imap/append, nth: 8, until: look,\n"   \
	"     procedure: " procedure "}\n"                                                 \
	"  - {as: more, do: append, messages: 6, user: u1, size: 1KiB, while: back}\n"     \
	"  - {as: look, do: imap, user: u1, after: more,\n"                                \
	"     send: [SELECT INBOX, 'UID FETCH 1:* (BODY.PEEK[])']}\n"                      \
	"  - {as: others, do: append, messages: 6, user: u1, size: 1KiB, after: back}\n"

/* On the fake target, with `to` where it has `from`. */
static void run_changed(const char *from, const char *to, const char *yaml,
	struct bed_fake_wish *wish, struct result *ret)
{
	struct buf target auto_buf = {0};
	const char *at = strstr(fixture_target, from);

	buf_add(&target, fixture_target, (size_t)(at - fixture_target));
	buf_addf(&target, "%s%s", to, at + strlen(from));
	fixture_run_plan(fixture_plan_on(buf_text(&target), yaml), wish, ret);
}

static void run_put_back(const char *yaml, struct result *ret)
{
	struct bed_fake_wish wish = {0};

	run_changed("commands: {", "commands: {restored: fake-restored, ", yaml, &wish, ret);
}

static void uids_that_are_given_again_after_a_restore_are_a_finding_of_i2(void)
{
	struct result result = {0};

	run_put_back(PUT_BACK("none"), &result);
	CHECK_STR(verdict_name(result.verdict), "FAIL");
	CHECK_STR(fixture_ruling(&result, "I2"), "broken");
	CHECK(result.fired > 0);
	result_free(&result);
}

static void a_store_that_is_told_of_the_restore_passes(void)
{
	struct result result = {0};

	run_put_back(PUT_BACK("own"), &result);
	CHECK_STR(verdict_name(result.verdict), "PASS");
	CHECK_STR(result.reason, "");
	CHECK_STR(fixture_ruling(&result, "I2"), "holds");
	result_free(&result);
}

static void a_healthy_store_survives_each_model(void)
{
	expect_holds(STEPS("guest-dies"), "U1 U3 U4 S1 S3");
	expect_holds(STEPS("cache-lost"), "U1 U3 U4 S1 S3");
	expect_holds(STEPS("any-prefix"), "U1 U3 U4 S1 S3");
	expect_holds(STEPS("any-subset"), "U1 U3 U4 S1 S3");
}

static void a_mail_acknowledged_too_early_is_a_finding_of_u1(void)
{
	expect_broken(STEPS("cache-lost"), FAKE_ACKS_EARLY, 1, "U1");
}

static void an_append_acknowledged_too_early_is_a_finding_of_u1(void)
{
	expect_holds(APPENDS, "U1 U4");
	expect_broken(APPENDS, FAKE_ACKS_EARLY, 1, "U1");
}

static void the_same_bug_is_hidden_when_only_the_guest_dies(void)
{
	struct bed_fake_wish wish = {.bug = FAKE_ACKS_EARLY, .nth = 1};
	struct result result = {0};

	fixture_run(STEPS("guest-dies"), &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "PASS");
	result_free(&result);
}

static void an_acknowledgement_without_a_flush_is_a_finding_of_u2(void)
{
	expect_holds(NO_SYNC, "U2");
	/* The first mail may be on its way before both calls are armed. */
	expect_broken(NO_SYNC, FAKE_IGNORES_SYNC, 4, "U2");
}

static void a_queue_that_lets_go_too_early_is_a_finding_of_u3(void)
{
	expect_broken(STEPS("cache-lost"), FAKE_LETS_GO_EARLY, 1, "U3");
}

/* It is waited for 5 s and not 20 s. */
static void expect_down(enum fake_bug bug, const char *law)
{
	struct bed_fake_wish wish = {.bug = bug, .nth = 1};
	struct result result = {0};

	run_changed("ready_within: 20s", "ready_within: 5s", STEPS("cache-lost"), &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "FAIL");
	CHECK_STR(fixture_ruling(&result, law), "broken");
	CHECK_HAS(result.reason, "after the power cut the store was not ready");
	result_free(&result);
}

static void a_store_that_needs_an_operator_is_a_finding_of_u4(void)
{
	expect_down(FAKE_NEEDS_OPERATOR, "U4");
}

static void nobody_is_blamed_for_what_the_cut_did(void)
{
	struct bed_fake_wish wish = {0};
	struct result result = {0};

	fixture_run(STEPS_WHEN("2", "cache-lost", "smtp/data, nth: 8"), &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "PASS");
	CHECK_INT(result.fired, 1);
	CHECK_INT(result.residue, 0);
	CHECK_INT(result.finding_count, 0);
	result_free(&result);
}

CHECK_MAIN(CHECK_CASE(uids_that_are_given_again_after_a_restore_are_a_finding_of_i2),
	CHECK_CASE(a_store_that_is_told_of_the_restore_passes),
	CHECK_CASE(a_healthy_store_survives_each_model),
	CHECK_CASE(a_mail_acknowledged_too_early_is_a_finding_of_u1),
	CHECK_CASE(an_append_acknowledged_too_early_is_a_finding_of_u1),
	CHECK_CASE(the_same_bug_is_hidden_when_only_the_guest_dies),
	CHECK_CASE(an_acknowledgement_without_a_flush_is_a_finding_of_u2),
	CHECK_CASE(a_queue_that_lets_go_too_early_is_a_finding_of_u3),
	CHECK_CASE(a_store_that_needs_an_operator_is_a_finding_of_u4),
	CHECK_CASE(nobody_is_blamed_for_what_the_cut_did))
