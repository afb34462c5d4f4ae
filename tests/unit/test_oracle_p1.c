#include "tests/unit/maildrop_table.h"

static void only_quit_removes(void)
{
	static const struct row rows[] = {
		{"cut, and gone",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", MARK_A) ONLY(3, 2, "u1", "b", "m2"),
			RULING_BROKEN, "did not end with QUIT", .role = "pop3-session cut removed",
			.line = 6},
		{"ended by the store, and gone",
			WORK BOTH(1, 1, "u1") POP(2, 1, "u1", "closed",
				",\"idle_s\":700,\"marked\":[\"a\"]") ONLY(3, 2, "u1", "b", "m2"),
			RULING_BROKEN, "did not end with QUIT"},
		{"cut, and there", WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", MARK_A) BOTH(3, 2, "u1"),
			RULING_HOLDS},
		{"cut, and marked again with QUIT",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", MARK_A) BOTH(3, 2, "u1")
				QUIT(4, 2, "u1", "OK", MARK_A) ONLY(5, 3, "u1", "b", "m2"),
			RULING_HOLDS},
		{"another user's has the same name",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", MARK_A) ONLY(3, 2, "u2", "b", "m2")
				BOTH(4, 3, "u1"),
			RULING_HOLDS},
		{"an unmarked one is gone: that is another law",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", ) ONLY(3, 2, "u1", "b", "m2"),
			RULING_NOT_APPLICABLE},
		{"nobody marked anything", WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", ),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P1", rows);
}

static void after_quit_they_are_gone(void)
{
	static const struct row rows[] = {
		{"shown again",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A) BOTH(3, 2, "u1"),
			RULING_BROKEN, "shown again", .role = "pop3-session quit kept"},
		{"shown again at the end",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A)
				ONLY(3, 2, "u1", "b", "m2") QUIT(4, 2, "u1", "OK", )
					PHASE(9, "read-back") BOTH(10, 3, "u1"),
			RULING_BROKEN, "shown again"},
		{"gone",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A)
				ONLY(3, 2, "u1", "b", "m2"),
			RULING_HOLDS},
		{"a session that had logged in before shows it still",
			WORK BOTH(1, 1, "u1") LOGIN(1, 2, "u1") QUIT(2, 1, "u1", "OK", MARK_A)
				LIST(3, 2, "u1", M("a", "m1") "," M("b", "m2")),
			RULING_HOLDS},
		{"the reply to QUIT was lost: both are right",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "MAYBE", MARK_A) BOTH(3, 2, "u1"),
			RULING_HOLDS},
		{"the reply to QUIT was lost, and it is gone",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "MAYBE", MARK_A)
				ONLY(3, 2, "u1", "b", "m2"),
			RULING_HOLDS},
		{"QUIT was refused",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "NO", MARK_A) BOTH(3, 2, "u1"),
			RULING_HOLDS},
	};

	CHECK_TABLE("P1", rows);
}

static void what_the_rig_removed_itself_is_excused(void)
{
	static const struct row rows[] = {
		{"expunged over IMAP",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1",
				MARK_A) "{\"t\":2,\"ev\":\"excused\",\"user\":\"u1\",\"token\":"
					"\"m1\",\"why\":\"x\"}\n" ONLY(3, 2, "u1", "b", "m2"),
			RULING_HOLDS, .excused = 1},
		{"perhaps moved",
			WORK BOTH(1, 1, "u1") CUT(2, 1, "u1", MARK_A) OP(2, 9, "imap-uid-move",
				"u1") DONE(2, 9, "OK") ONLY(3, 2, "u1", "b", "m2"),
			RULING_CANNOT_TELL, "moved"},
	};

	CHECK_TABLE("P1", rows);
}

CHECK_MAIN(CHECK_CASE(only_quit_removes), CHECK_CASE(after_quit_they_are_gone),
	CHECK_CASE(what_the_rig_removed_itself_is_excused))
