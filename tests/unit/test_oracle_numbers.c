/* I5, I6 and I17: message numbers, when they may change, and tagged replies. */
#include "tests/unit/imap_rows.h"

#define IN OPENED(1, "a.1")

static void numbers_shift_with_each_expunge(void)
{
	static const struct row rows[] = {
		{"the one behind it moves up",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(1) "," FETCH(1, 2, ""))
				GOT(3, 1, "r4", "OK"),
			RULING_HOLDS},
		{"it does not move",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(1) "," FETCH(2, 2, ""))
				GOT(3, 1, "r4", "OK"),
			RULING_BROKEN, "as expunges were told it is message 1"},
		{"one that is not there",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(4)) GOT(3, 1, "r4", "OK"),
			RULING_BROKEN, "EXPUNGE 4 of a mailbox with 3"},
		{"number 0", IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(0)), RULING_BROKEN},
		{"one of the mailbox before",
			IN SAY(3, 1, "r4", "SELECT Other") TELL(3, 1, GONE(9) "," EXISTS(1)),
			RULING_HOLDS},
		{"after a response that is not known nothing is",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, "{\"lost\":true}," GONE(4)),
			RULING_HOLDS},
		{"nothing selected", LOGIN(1, "a") TELL(3, 1, GONE(4)), RULING_NOT_APPLICABLE},
		{"a number that does not exist",
			IN SAY(3, 1, "r4", "FETCH 9 (FLAGS)") TELL(3, 1, FETCH(9, 9, "")),
			RULING_BROKEN, "FETCH 9"},
	};

	CHECK_TABLE("I5", rows);
}

/* UIDs 1, 2, 3 and 9 were shown; one message between 3 and 9 and one behind 9 only by the count. */
#define HALF_SHOWN                                                                   \
	IN SAY(3, 1, "r4", "ENABLE QRESYNC") TELL(3, 1, "{\"enabled\":\"QRESYNC\"}") \
		GOT(3, 1, "r4", "OK") SAY(3, 1, "r5", "NOOP")                        \
			TELL(3, 1, EXISTS(5) "," FETCH(5, 9, "") "," EXISTS(6))

static void numbers_shift_with_what_vanished_unseen(void)
{
	static const struct row rows[] = {
		{"the one before it", HALF_SHOWN TELL(3, 1, VANISH("4") "," FETCH(4, 9, "")),
			RULING_HOLDS},
		{"the one before it, and the number stays",
			HALF_SHOWN TELL(3, 1, VANISH("4") "," FETCH(5, 9, "")), RULING_BROKEN,
			"as expunges were told it is message 4"},
		{"the one behind it", HALF_SHOWN TELL(3, 1, VANISH("12") "," FETCH(5, 9, "")),
			RULING_HOLDS},
		{"the one behind it, and the number moves",
			HALF_SHOWN TELL(3, 1, VANISH("12") "," FETCH(4, 9, "")), RULING_BROKEN,
			"as expunges were told it is message 5"},
		{"both, and one that was shown",
			HALF_SHOWN TELL(3, 1, VANISH("2,7,20") "," FETCH(3, 9, "")), RULING_HOLDS},
		{"more than can stand there: nothing is known any more",
			HALF_SHOWN TELL(3, 1, VANISH("4:8") "," FETCH(2, 9, "")), RULING_HOLDS},
		{"more than anybody can count",
			HALF_SHOWN TELL(3, 1, VANISH("1:4294967295") "," FETCH(2, 9, "")),
			RULING_HOLDS},
	};

	CHECK_TABLE("I5", rows);
}

static void exists_never_lowers_the_count(void)
{
	static const struct row rows[] = {
		{"it grows", IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, EXISTS(4)), RULING_HOLDS},
		{"it stays", IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, EXISTS(3)), RULING_HOLDS},
		{"it falls", IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, EXISTS(2)), RULING_BROKEN,
			"2 messages where there were 3"},
		{"it falls as EXPUNGE said",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(3) "," EXISTS(2)), RULING_HOLDS},
		{"after a new SELECT",
			IN SAY(3, 1, "r4", "SELECT Other") TELL(3, 1, EXISTS(0))
				GOT(3, 1, "r4", "OK"),
			RULING_HOLDS},
	};

	CHECK_TABLE("I5", rows);
}

static void expunge_waits_for_a_command_that_allows_it(void)
{
	static const struct row rows[] = {
		{"NOOP", IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(1)), RULING_HOLDS},
		{"IDLE", IN SAY(3, 1, "r4", "IDLE") TELL(3, 1, GONE(1)), RULING_HOLDS},
		{"UID FETCH", IN SAY(3, 1, "r4", "UID FETCH 1 (FLAGS)") TELL(3, 1, GONE(2)),
			RULING_HOLDS},
		{"no command", IN TELL(3, 1, GONE(1)), RULING_BROKEN, "no command"},
		{"FETCH", IN SAY(3, 1, "r4", "FETCH 1 (FLAGS)") TELL(3, 1, GONE(2)), RULING_BROKEN,
			"FETCH", .role = "imap expunge in FETCH"},
		{"STORE", IN SAY(3, 1, "r4", "STORE 1 +FLAGS (x)") TELL(3, 1, GONE(2)),
			RULING_BROKEN},
		{"SEARCH", IN SAY(3, 1, "r4", "SEARCH ALL") TELL(3, 1, GONE(2)), RULING_BROKEN},
		{"pipelined, one of them allows it",
			IN SAY(3, 1, "r4", "FETCH 1 (FLAGS)") SAY(3, 1, "r5", "NOOP")
				TELL(3, 1, GONE(2)),
			RULING_HOLDS},
		{"pipelined, the one that allows it is over",
			IN SAY(3, 1, "r4", "NOOP") SAY(3, 1, "r5", "FETCH 1 (FLAGS)")
				GOT(3, 1, "r4", "OK") TELL(3, 1, GONE(2)),
			RULING_BROKEN},
		{"APPEND that still waits to send its content",
			IN SAY(3, 1, "r4", "APPEND INBOX {9}") TELL(3, 1, GONE(2)), RULING_BROKEN},
		{"APPEND whose content is on its way",
			IN SAY(3, 1, "r4", "APPEND INBOX {9}") CONTENT(3, 1, "r4", "m1")
				TELL(3, 1, GONE(2)),
			RULING_HOLDS},
		{"none was sent", IN, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I6", rows);
}

static void a_command_has_one_tagged_reply(void)
{
	static const struct row rows[] = {
		{"one each", IN, RULING_HOLDS},
		{"two for one", IN GOT(3, 1, "r3", "OK"), RULING_BROKEN, "answers no command"},
		{"a tag of nobody", IN SAY(3, 1, "r4", "NOOP") GOT(3, 1, "x9", "OK"), RULING_BROKEN,
			"'x9'"},
		{"none, and a later one",
			IN SAY(3, 1, "r4", "NOOP") SAY(3, 1, "r5", "LOGOUT") GOT(3, 1, "r5", "OK")
				CLOSED(3, 1, "client"),
			RULING_BROKEN, "NOOP got no tagged reply"},
		{"none, and the client closed in the middle of IDLE",
			IN SAY(3, 1, "r4", "IDLE") TELL(3, 1, EXISTS(4)) CLOSED(4, 1, "client"),
			RULING_HOLDS},
		{"none, and the client went without LOGOUT",
			IN SAY(3, 1, "r4", "NOOP") SAY(3, 1, "r5", "NOOP") GOT(3, 1, "r5", "OK")
				CLOSED(3, 1, "client"),
			RULING_HOLDS},
		{"none, and LOGOUT was refused",
			IN SAY(3, 1, "r4", "NOOP") SAY(3, 1, "r5", "LOGOUT") GOT(3, 1, "r5", "BAD")
				CLOSED(3, 1, "client"),
			RULING_HOLDS},
		{"none until the client gave up",
			IN SAY(3, 1, "r4", "NOOP") CLOSED(700, 1, "gave-up"), RULING_BROKEN,
			"gave up"},
		{"none, and BYE",
			IN SAY(3, 1, "r4", "NOOP") TELL(4, 1, "{\"bye\":\"gone\"}")
				CLOSED(4, 1, "store"),
			RULING_HOLDS},
		{"none, and the rig cut it", IN SAY(3, 1, "r4", "NOOP") CLOSED(4, 1, "rig"),
			RULING_HOLDS},
		{"pipelined, in another order",
			IN SAY(3, 1, "r4", "NOOP") SAY(3, 1, "r5", "NOOP") GOT(3, 1, "r5", "OK")
				GOT(3, 1, "r4", "OK") CLOSED(4, 1, "client"),
			RULING_HOLDS},
		{"no session", WORK END, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I17", rows);
}

CHECK_MAIN(CHECK_CASE(numbers_shift_with_each_expunge),
	CHECK_CASE(numbers_shift_with_what_vanished_unseen),
	CHECK_CASE(exists_never_lowers_the_count),
	CHECK_CASE(expunge_waits_for_a_command_that_allows_it),
	CHECK_CASE(a_command_has_one_tagged_reply))
