/* The POP3 workloads on the fake store: each law of POP3 holds on a healthy one and is seen broken by its bug. */
#include "tests/unit/cell_fixture.h"

/* Rounds go on after the last mail came: on a busy host those before it may find nothing. */
#define DELETE_YAML(recover, rounds)                                        \
	"claim: POP3 deletes at QUIT and nothing else\n"                    \
	"objectives: {recover: " recover "}\n"                              \
	"workload:\n"                                                       \
	"  - {as: writers, do: smtp, messages: 16, pace: 16/s, to: [u1]}\n" \
	"  - {as: pop, do: pop3-delete, sessions: 2, pace: 20/s, "          \
	"messages: " rounds ", user: u1}\n"

static const char delete_yaml[] = DELETE_YAML("10s", "40");
static const char lock_yaml[] =
	DELETE_YAML("3s", "60"); /* so long a lock may stay: who is refused waits 200 ms */

/* Nobody deletes: what is gone is lost. */
static const char look_yaml[] = "claim: POP3 keeps what nobody marked\n"
				"objectives: {recover: 10s}\n"
				"workload:\n"
				"  - {as: writers, do: smtp, messages: 8, pace: 10/s, to: [u1]}\n"
				"  - {as: pop, do: pop3, messages: 30, pace: 20/s, user: u1}\n";

static const char idle_yaml[] = "claim: nobody is logged out\n"
				"objectives: {recover: 10s}\n"
				"workload:\n"
				"  - {as: writers, do: smtp, messages: 4, to: [u1]}\n"
				"  - {as: pop, do: pop3, messages: 3, for: 200ms, user: u1}\n";

static void a_healthy_store_keeps_the_laws_of_pop3(void)
{
	expect_holds(delete_yaml, "P1 P2 P3 P4");
	expect_holds(idle_yaml, "P5");
}

static void a_cut_session_that_deletes_is_a_finding_of_p1(void)
{
	expect_broken(delete_yaml, FAKE_CUT_DELETES, 1, "P1");
}

static void a_quit_that_keeps_the_marked_is_a_finding_of_p1(void)
{
	expect_broken(delete_yaml, FAKE_QUIT_KEEPS, 1, "P1");
}

static void a_lost_unmarked_message_is_a_finding_of_p2(void)
{
	expect_broken(look_yaml, FAKE_OVERDELETES, 3, "P2");
}

static void a_lock_that_stays_is_a_finding_of_p3(void)
{
	expect_broken(lock_yaml, FAKE_LOCK_STAYS, 1, "P3");
}

static void a_uidl_that_changes_is_a_finding_of_p4(void)
{
	expect_broken(look_yaml, FAKE_UIDL_CHANGES, 2, "P4");
}

static void a_uidl_that_is_shared_is_a_finding_of_p4(void)
{
	expect_broken(look_yaml, FAKE_UIDL_SHARED, 2, "P4");
}

static void an_early_autologout_is_a_finding_of_p5(void)
{
	expect_broken(idle_yaml, FAKE_AUTOLOGOUT, 1, "P5");
}

CHECK_MAIN(CHECK_CASE(a_healthy_store_keeps_the_laws_of_pop3),
	CHECK_CASE(a_cut_session_that_deletes_is_a_finding_of_p1),
	CHECK_CASE(a_quit_that_keeps_the_marked_is_a_finding_of_p1),
	CHECK_CASE(a_lost_unmarked_message_is_a_finding_of_p2),
	CHECK_CASE(a_lock_that_stays_is_a_finding_of_p3),
	CHECK_CASE(a_uidl_that_changes_is_a_finding_of_p4),
	CHECK_CASE(a_uidl_that_is_shared_is_a_finding_of_p4),
	CHECK_CASE(an_early_autologout_is_a_finding_of_p5))
