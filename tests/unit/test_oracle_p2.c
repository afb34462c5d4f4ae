#include "tests/unit/maildrop_table.h"

static void what_nobody_marked_stays(void)
{
	static const struct row rows[] = {
		{"gone after QUIT",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A) LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", ),
			RULING_BROKEN, "'b'", .role = "pop3-session unmarked removed", .line = 6},
		{"gone after a cut",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", ) ONLY(3, 2, "u1", "a", "m1"),
			RULING_BROKEN, "'b'"},
		{"gone between two looks at the end",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", ) BOTH(3, 2, "u1")
				QUIT(4, 2, "u1", "OK", ) ONLY(5, 3, "u1", "a", "m1"),
			RULING_BROKEN, "'b'"},
		{"marked, unmarked by RSET, and gone",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", ) ONLY(3, 2, "u1", "b", "m2"),
			RULING_BROKEN, "'a'"},
		{"both stay", WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", ) BOTH(3, 2, "u1"),
			RULING_HOLDS},
		{"only the marked one is gone",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A)
				ONLY(3, 2, "u1", "b", "m2"),
			RULING_HOLDS},
		{"a session that logged in before the message came does not show it",
			WORK LOGIN(1, 2, "u1") LOGIN(1, 1, "u1") LIST(2, 1, "u1",
				M("a", "m1") "," M("b", "m2")) LIST(3, 2, "u1", M("a", "m1")),
			RULING_NOT_APPLICABLE},
		{"one look only", WORK BOTH(1, 1, "u1"), RULING_NOT_APPLICABLE},
		{"no POP3", WORK SEND(1, "m1", "u1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P2", rows);
}

static void what_the_rig_removed_is_no_loss(void)
{
	static const struct row rows[] = {
		{"one nameless removal for one loss",
			WORK BOTH(1, 1, "u1") "{\"t\":2,\"ev\":\"excused\",\"user\":\"u1\","
					      "\"count\":1,\"why\":\"x\"}\n" ONLY(
						      3, 2, "u1", "a", "m1"),
			RULING_HOLDS, .excused = 1},
		{"one nameless removal for two losses",
			WORK BOTH(1, 1, "u1") "{\"t\":2,\"ev\":\"excused\",\"user\":\"u1\","
					      "\"count\":1,\"why\":\"x\"}\n" LOGIN(3, 2, "u1")
						      LIST(3, 2, "u1", ),
			RULING_BROKEN, .excused = 1},
		{"the user was removed",
			WORK BOTH(1, 1, "u1") "{\"t\":2,\"ev\":\"excused\",\"user\":\"u1\","
					      "\"count\":4294967295,"
					      "\"why\":\"x\"}\n" LOGIN(3, 2, "u1")
						      LIST(3, 2, "u1", ),
			RULING_HOLDS, .excused = 2},
		{"it is there under another UIDL: that is another law",
			WORK BOTH(1, 1, "u1") LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", M("a", "m1") "," M("c", "m2")),
			RULING_HOLDS},
		{"it may have another UIDL: nothing new was retrieved",
			WORK BOTH(1, 1, "u1") LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", M("a", "m1") ",{\"uidl\":\"c\"}"),
			RULING_CANNOT_TELL, "another UIDL"},
	};

	CHECK_TABLE("P2", rows);
}

CHECK_MAIN(CHECK_CASE(what_nobody_marked_stays), CHECK_CASE(what_the_rig_removed_is_no_loss))
