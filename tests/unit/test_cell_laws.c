/* Laws of delivery and of bystanders through whole cells of the fake store: they hold on a healthy one, and
 * each planted bug is a finding of its law. */
#include "tests/unit/cell_fixture.h"

/* The next hop refuses for good; who sent it has a mailbox here. */
static const char bounce_yaml[] =
	"claim: who sent what failed is told\n"
	"workload:\n"
	"  - {as: writers, do: smtp, messages: 6, pace: 4/s, to: [x@sink.rig, u1], from: u2}\n"
	"steps:\n"
	"  - {as: gone, do: next-hop-fails, mode: rcpt-5yz, when: smtp/data}\n";

static const char null_path_yaml[] =
	"claim: nobody is told of what had no return path\n"
	"workload:\n"
	"  - {as: writers, do: smtp, messages: 6, pace: 4/s, to: [x@sink.rig], from: '<>'}\n"
	"steps:\n"
	"  - {as: gone, do: next-hop-fails, mode: data-5yz, when: smtp/data}\n";

static const char broken_box_yaml[] =
	"claim: one's broken mailbox is nobody else's trouble\n"
	"workload:\n"
	"  - {as: writers, do: smtp, messages: 24, pace: 12/s, to: [u1, u2]}\n"
	"steps:\n"
	"  - {as: full, do: errno, point: posix/io/rw/write, errno: EIO, path: mailbox,\n"
	"     user: u1, calls: 100, when: smtp/data, nth: 2}\n";

/* A healthy store is judged by wide limits, so that a host which gives us no processor for a second is not its fault; one
 * with a bug by narrow ones, which it passes by far. */
#define BYSTANDER(floor)                                                   \
	"claim: readers do not need the delivery agent\n"                  \
	"objectives: {slowdown: 2, slowdown_floor: " floor "}\n"           \
	"workload:\n"                                                      \
	"  - {as: writers, do: smtp, messages: 8, pace: 10/s, to: [u1]}\n" \
	"  - {as: reader, do: imap, pace: 20/s, user: u2}\n"               \
	"steps:\n"                                                         \
	"  - {as: gone, do: mta-refuses, when: smtp/data, nth: 3, for: 3s}\n"

#define SILENT(recover)                                                    \
	"claim: a silent agent is given up\n"                              \
	"objectives: {recover: " recover "}\n"                             \
	"workload:\n"                                                      \
	"  - {as: writers, do: smtp, messages: 10, pace: 3/s, to: [u1]}\n" \
	"steps:\n"                                                         \
	"  - {as: gone, do: mta-silent, when: smtp/data, for: 3s}\n"

static const char rounds_yaml[] =
	"claim: rounds leave nothing behind\n"
	"workload:\n"
	"  - {as: rounds, do: rounds, messages: 4, sessions: 8, user: u1}\n";

#define MAIL(reply, recover)                                                   \
	"claim: mail is answered, delivered as it is, and to whom it is for\n" \
	"objectives: {reply: " reply ", recover: " recover "}\n"               \
	"workload:\n"                                                          \
	"  - {as: writers, do: smtp, sessions: 2, messages: 8, pace: 10/s, to: [u1]}\n"

static const char mail_yaml[] = MAIL("400ms", "1s");

static const char thaw_yaml[] =
	"claim: trouble that passes is not answered for good\n"
	"workload:\n"
	"  - {as: writers, do: smtp, sessions: 2, messages: 8, to: [u1, u2]}\n"
	"steps:\n"
	"  - {as: snapshot, do: freeze-fs, when: smtp/data, nth: 3, for: 200ms}\n";

static void a_healthy_store_keeps_them(void)
{
	expect_holds(MAIL("10s", "10s"), "S1 S3 S5 S8 S9 L1 H5 H9");
	expect_holds(thaw_yaml, "S4 H1 H2");
	expect_holds(rounds_yaml, "H8");
	expect_holds(bounce_yaml, "S6 L2");
	expect_holds(null_path_yaml, "S6");
	expect_holds(broken_box_yaml, "L2 H6");
	expect_holds(BYSTANDER("10s"), "H3");
	expect_holds(SILENT("10s"), "H4");
}

static void a_refusal_for_good_in_a_freeze_is_a_finding_of_s4(void)
{
	expect_broken(thaw_yaml, FAKE_BOUNCES, 1, "S4");
}

static void a_dot_without_a_reply_is_a_finding_of_s5(void)
{
	expect_broken(mail_yaml, FAKE_NO_REPLY, 2, "S5");
}

static void an_altered_body_is_a_finding_of_s8(void)
{
	expect_broken(mail_yaml, FAKE_CORRUPTS, 2, "S8");
}

static void a_copy_in_anothers_mailbox_is_a_finding_of_s9(void)
{
	expect_broken(mail_yaml, FAKE_MIXES_USERS, 2, "S9");
}

static void a_reply_that_is_left_out_is_a_finding_of_l1(void)
{
	expect_broken(mail_yaml, FAKE_SKIPS_REPLY, 2, "L1");
}

static void an_alarm_in_the_log_is_a_finding_of_h9(void)
{
	expect_broken(mail_yaml, FAKE_ALARMS, 2, "H9");
}

static void a_missing_bounce_is_a_finding_of_s6(void)
{
	expect_broken(bounce_yaml, FAKE_NO_BOUNCE, 1, "S6");
}

static void a_second_bounce_is_a_finding_of_s6(void)
{
	expect_broken(bounce_yaml, FAKE_BOUNCES_TWICE, 1, "S6");
}

static void a_bounce_without_return_path_is_a_finding_of_s6(void)
{
	expect_broken(null_path_yaml, FAKE_BOUNCES_NULL, 1, "S6");
}

static void a_promise_without_a_copy_is_a_finding_of_l2(void)
{
	expect_broken(broken_box_yaml, FAKE_LIES, 1, "L2");
}

static void a_refusal_with_a_copy_is_a_finding_of_l2(void)
{
	expect_broken(broken_box_yaml, FAKE_KEEPS_DEFERRED, 1, "L2");
}

static void trouble_that_spreads_is_a_finding_of_l2(void)
{
	expect_broken(broken_box_yaml, FAKE_SPREADS, 6, "L2");
}

static void a_lock_cycle_is_a_finding_of_h6(void)
{
	expect_broken(broken_box_yaml, FAKE_LOCK_CYCLE, 1, "H6");
}

static void a_wait_without_limit_is_a_finding_of_h4(void)
{
	expect_broken(SILENT("1s"), FAKE_NO_LIMIT, 1, "H4");
}

static void a_leak_is_a_finding_of_h8(void)
{
	expect_broken(rounds_yaml, FAKE_LEAKS, 1, "H8");
}

static void a_bystander_that_waits_is_a_finding_of_h3(void)
{
	expect_broken(BYSTANDER("300ms"), FAKE_STALLS, 1, "H3");
}

CHECK_MAIN(CHECK_CASE(a_healthy_store_keeps_them),
	CHECK_CASE(a_refusal_for_good_in_a_freeze_is_a_finding_of_s4),
	CHECK_CASE(a_dot_without_a_reply_is_a_finding_of_s5),
	CHECK_CASE(an_altered_body_is_a_finding_of_s8),
	CHECK_CASE(a_copy_in_anothers_mailbox_is_a_finding_of_s9),
	CHECK_CASE(a_reply_that_is_left_out_is_a_finding_of_l1),
	CHECK_CASE(an_alarm_in_the_log_is_a_finding_of_h9),
	CHECK_CASE(a_missing_bounce_is_a_finding_of_s6),
	CHECK_CASE(a_second_bounce_is_a_finding_of_s6),
	CHECK_CASE(a_bounce_without_return_path_is_a_finding_of_s6),
	CHECK_CASE(a_promise_without_a_copy_is_a_finding_of_l2),
	CHECK_CASE(a_refusal_with_a_copy_is_a_finding_of_l2),
	CHECK_CASE(trouble_that_spreads_is_a_finding_of_l2),
	CHECK_CASE(a_lock_cycle_is_a_finding_of_h6),
	CHECK_CASE(a_wait_without_limit_is_a_finding_of_h4), CHECK_CASE(a_leak_is_a_finding_of_h8),
	CHECK_CASE(a_bystander_that_waits_is_a_finding_of_h3))
