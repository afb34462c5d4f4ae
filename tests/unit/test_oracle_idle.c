/* I16: IDLE, and who is logged out too early. */
#include "tests/unit/imap_rows.h"

#define ONE	  OPENED(1, "a.1") OPENED(2, "b.1")
#define IDLES	  SAY(10, 2, "r4", "IDLE")
#define LEAVES(t) SAY(t, 2, "r4", "DONE") GOT(t, 2, "r4", "OK")
#define APPENDS                               \
	SAY(20, 1, "r4", "APPEND INBOX {99}") \
	CONTENT(20, 1, "r4", "m4") GOT_CODE(21, 1, "r4", "OK", "APPENDUID 7 4")
#define EXPUNGES SAY(20, 1, "r4", "EXPUNGE") TELL(20, 1, GONE(2)) GOT(21, 1, "r4", "OK")
#define MAIL	 SEND(9, "m9", "u1@store") TRY_AT("inner", "m9", "u1@store", "2yz", 250, 20, 21)

static void what_others_do_is_pushed(void)
{
	static const struct row rows[] = {
		{"a message, in time", ONE IDLES APPENDS TELL(23, 2, EXISTS(4)) LEAVES(40),
			RULING_HOLDS},
		{"a message, late", ONE IDLES APPENDS TELL(30, 2, EXISTS(4)) LEAVES(40),
			RULING_BROKEN, "not told within 5.0 s that UID 4 came",
			.role = "imap idle added"},
		{"a message, never", ONE IDLES APPENDS LEAVES(40), RULING_BROKEN},
		{"it left IDLE before", ONE IDLES APPENDS LEAVES(24), RULING_HOLDS},
		{"an expunge, in time", ONE IDLES EXPUNGES TELL(23, 2, GONE(2)) LEAVES(40),
			RULING_HOLDS},
		{"an expunge, never", ONE IDLES EXPUNGES LEAVES(40), RULING_BROKEN,
			"UID 2 was expunged"},
		{"mail, in time", ONE IDLES MAIL TELL(23, 2, EXISTS(4)) LEAVES(40), RULING_HOLDS},
		{"mail, never", ONE IDLES MAIL LEAVES(40), RULING_BROKEN,
			"mail that was delivered"},
		{"the host starved", ONE IDLES EXPUNGES STARVED(24) LEAVES(40), RULING_CANNOT_TELL,
			"starved"},
		{"a fault was in force",
			ONE IDLES EXPUNGES FAULT(21, "freeze-fs", "in-force")
				FAULT(39, "freeze-fs", "healed") LEAVES(40),
			RULING_HOLDS},
		{"not in IDLE", ONE EXPUNGES SAY(40, 2, "r9", "NOOP") GOT(40, 2, "r9", "OK"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I16", rows);
}

static void done_is_answered_and_nobody_is_logged_out_early(void)
{
	static const struct row rows[] = {
		{"DONE is answered", ONE IDLES LEAVES(12), RULING_HOLDS},
		{"DONE is not", ONE IDLES SAY(12, 2, "r4", "DONE") CLOSED(700, 2, "gave-up"),
			RULING_BROKEN, "DONE got no answer"},
		{"logged out after 10 min", ONE CLOSED(610, 2, "store"), RULING_BROKEN,
			"after 608 s without a command", .role = "imap autologout"},
		{"logged out in IDLE", ONE IDLES CLOSED(610, 2, "store"), RULING_BROKEN},
		{"logged out after 31 min", ONE CLOSED(1900, 2, "store"), RULING_NOT_APPLICABLE},
		{"the client went", ONE CLOSED(610, 2, "client"), RULING_NOT_APPLICABLE},
		{"the store was stopped", ONE PHASE(600, "stop") CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"a fault was in force",
			ONE FAULT(600, "jump-clock", "in-force") CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"its mailbox was deleted",
			ONE SAY(600, 1, "r9", "DELETE INBOX") CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"its mailbox was renamed, while it was in IDLE",
			ONE IDLES SAY(600, 1, "r9", "RENAME INBOX Old") CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"another mailbox was deleted",
			ONE SAY(600, 1, "r9", "DELETE Other") CLOSED(610, 2, "store"),
			RULING_BROKEN},
		{"it was deleted, and made and selected anew",
			ONE SAY(600, 1, "r9", "DELETE INBOX") SAY(601, 2, "r9", "SELECT INBOX")
				GOT(602, 2, "r9", "OK") CLOSED(610, 2, "store"),
			RULING_BROKEN},
		{"the rig deleted it by the target's tool",
			ONE "{\"t\":600,\"ev\":\"excused\",\"user\":\"u1\",\"count\":9,\"why\":"
			    "\"mailbox-delete\"}\n" CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"its process died",
			ONE
			"{\"t\":600,\"ev\":\"died\",\"program\":\"imap\",\"signal\":9}\n" CLOSED(
				610, 2, "store"),
			RULING_NOT_APPLICABLE},
		{"it ended a command", ONE SAY(600, 2, "r9", "NOOP") CLOSED(610, 2, "store"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I16", rows);
}

CHECK_MAIN(CHECK_CASE(what_others_do_is_pushed),
	CHECK_CASE(done_is_answered_and_nobody_is_logged_out_early))
