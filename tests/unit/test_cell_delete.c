/*
 * Deletions by the rig itself in whole cells on the fake store: what it removed is not called lost, what a store loses
 * beside it is.
 */
#include "tests/unit/cell_fixture.h"

static const char by_imap[] = "claim: an expunge costs what it names\n"
			      "workload:\n"
			      "  - {as: mailbox, do: append, user: u1, messages: 6, size: 1KiB}\n"
			      "  - {as: mail, do: smtp, messages: 6, size: 1KiB, to: [u1]}\n"
			      "steps:\n"
			      "  - {as: gone, do: delete-by-imap, after: mail, delay: 300ms, "
			      "command: expunge, user: u1, uids: '2:4'}\n"
			      "  - {as: look, do: imap, after: gone, user: u1, send: [SELECT "
			      "INBOX, 'UID FETCH 1:* (BODY.PEEK[])']}\n";

static const char by_pop3[] =
	"claim: QUIT removes what was marked\n"
	"workload:\n"
	"  - {as: mail, do: smtp, messages: 8, size: 1KiB, to: [u1]}\n"
	"steps:\n"
	"  - {as: gone, do: delete-by-pop3, after: mail, delay: 300ms, user: u1, numbers: '2:3'}\n";

static const char too_late[] =
	"claim: a deletion that comes too late says so\n"
	"workload:\n"
	"  - {as: mailbox, do: append, user: u1, messages: 4, size: 1KiB}\n"
	"steps:\n"
	"  - {as: reader, do: imap, after: mailbox, user: u1, send: [SELECT INBOX, 'UID FETCH 2 "
	"(BODY.PEEK[])']}\n"
	"  - {as: held, do: park, point: fake/imap/fetch, step: reader, for: 300ms}\n"
	"  - {as: gone, do: delete-by-imap, while: held, command: expunge, user: u1, uids: '1'}\n"
	"  - {as: held_too, do: park, point: fake/imap/expunge, step: gone, for: 1500ms}\n";

static void what_was_expunged_is_not_lost(void)
{
	expect_holds(by_imap, "S1 I2");
}

static void what_was_marked_in_pop3_is_not_lost(void)
{
	expect_holds(by_pop3, "S1 P1 P2");
}

static void what_is_lost_beside_a_deletion_is_found(void)
{
	expect_broken(by_imap, FAKE_LOSES, 2, "S1");
	expect_broken(by_pop3, FAKE_LOSES, 5, "S1");
	expect_broken(by_pop3, FAKE_OVERDELETES, 1, "P2");
}

static const char refused[] =
	"claim: a refused DELETE may have removed some of it\n"
	"workload:\n"
	"  - {as: mail, do: smtp, messages: 2, size: 1KiB, to: [u1]}\n"
	"steps:\n"
	"  - {as: gone, do: delete-by-imap, after: mail, command: delete, user: u1, mailbox: "
	"Nowhere}\n";

/* Seen of Dovecot: "NO New mails were added to mailbox during deletion", and those before had gone. */
static void of_a_refused_delete_nothing_is_known(void)
{
	struct fixture_cell cell = {0};

	fixture_cell_start(&cell, fixture_plan(refused));
	pthread_join(cell.thread, NULL);
	CHECK_INT(fixture_lines(cell.dir, "{ss ss ss}", "ev", "end", "op", "imap-delete", "outcome",
			  "NO"),
		1);
	CHECK_INT(fixture_lines(cell.dir, "{ss ss}", "ev", "excused", "mailbox", "Nowhere"), 1);
	fixture_cell_free(&cell);
}

static void a_deletion_outside_its_window_is_not_counted(void)
{
	struct bed_fake_wish wish = {0};
	struct result result = {0};

	fixture_run(too_late, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "UNKNOWN");
	CHECK_STR(result.reason, "the step 'gone' ended outside its window");
	result_free(&result);
}

CHECK_MAIN(CHECK_CASE(what_was_expunged_is_not_lost),
	CHECK_CASE(what_was_marked_in_pop3_is_not_lost),
	CHECK_CASE(what_is_lost_beside_a_deletion_is_found),
	CHECK_CASE(of_a_refused_delete_nothing_is_known),
	CHECK_CASE(a_deletion_outside_its_window_is_not_counted))
