/* The files of the mailboxes through whole cells of the fake store: each law of Maildirs holds on a healthy one,
 * and each planted bug is a finding of its law. */
#include "tests/unit/cell_fixture.h"

static const char flags_yaml[] =
	"claim: flags keep the files\n"
	"workload:\n"
	"  - {as: writers, do: smtp, messages: 4, to: [u1]}\n"
	"steps:\n"
	"  - {as: first, do: imap, after: writers, delay: 300ms, user: u1, send: [SELECT INBOX]}\n"
	"  - {as: before, do: look-at-files, after: first}\n"
	"  - {as: seen, do: imap, after: before, user: u1,\n"
	"     send: [SELECT INBOX, 'STORE 2:3 +FLAGS.SILENT (\\Seen)']}\n"
	"  - {as: behind, do: look-at-files, after: seen}\n";

static void a_healthy_store_keeps_the_laws_of_maildirs(void)
{
	expect_holds(flags_yaml, "M1 M2 M3");
}

static void a_partial_file_is_a_finding_of_m1(void)
{
	expect_broken(flags_yaml, FAKE_PARTIAL_FILE, 2, "M1");
}

static void a_name_that_is_used_again_is_a_finding_of_m2(void)
{
	expect_broken(flags_yaml, FAKE_NAME_REUSED, 1, "M2");
}

static void a_file_that_flags_double_is_a_finding_of_m3(void)
{
	expect_broken(flags_yaml, FAKE_FLAGS_DOUBLE, 1, "M3");
}

static void a_file_that_flags_lose_is_a_finding_of_m3(void)
{
	expect_broken(flags_yaml, FAKE_FLAGS_LOSE, 1, "M3");
}

static void half_a_message_after_a_crash_is_a_finding_of_m4(void)
{
	expect_broken(flags_yaml, FAKE_LITTER, 1, "M4");
}

CHECK_MAIN(CHECK_CASE(a_healthy_store_keeps_the_laws_of_maildirs),
	CHECK_CASE(a_partial_file_is_a_finding_of_m1),
	CHECK_CASE(a_name_that_is_used_again_is_a_finding_of_m2),
	CHECK_CASE(a_file_that_flags_double_is_a_finding_of_m3),
	CHECK_CASE(a_file_that_flags_lose_is_a_finding_of_m3),
	CHECK_CASE(half_a_message_after_a_crash_is_a_finding_of_m4))
