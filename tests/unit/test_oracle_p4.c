#include "tests/unit/maildrop_table.h"

static void a_uidl_stays(void)
{
	static const struct row rows[] = {
		{"another UIDL, the same message",
			WORK BOTH(1, 1, "u1") LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", M("c", "m1") "," M("b", "m2")),
			RULING_BROKEN, "'a'", .role = "pop3-session uidl changed", .line = 5},
		{"the same by the hash of its body",
			WORK LOGIN(1, 1, "u1") LIST(
				1, 1, "u1", "{\"uidl\":\"a\",\"sha256\":\"aa\"}") LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", "{\"uidl\":\"c\",\"sha256\":\"aa\"}"),
			RULING_BROKEN},
		{"the same UIDLs", WORK BOTH(1, 1, "u1") BOTH(3, 2, "u1"), RULING_HOLDS},
		{"gone: that is another law", WORK BOTH(1, 1, "u1") ONLY(3, 2, "u1", "b", "m2"),
			RULING_HOLDS},
		{"one copy of two is gone",
			WORK LOGIN(1, 1, "u1") LIST(1, 1, "u1", M("a", "m1") "," M("b", "m1"))
				ONLY(3, 2, "u1", "b", "m1"),
			RULING_HOLDS},
		{"a UIDL that is free may be used again",
			WORK BOTH(1, 1, "u1") QUIT(2, 1, "u1", "OK", MARK_A) LOGIN(3, 2, "u1")
				LIST(3, 2, "u1", M("b", "m2") "," M("a", "m3")),
			RULING_HOLDS},
		{"moved out and back in by the rig",
			WORK BOTH(1, 1, "u1") OP(2, 9, "imap-uid-move", "u1") DONE(2, 9, "OK")
				LOGIN(3, 2, "u1") LIST(3, 2, "u1", M("c", "m1") "," M("b", "m2")),
			RULING_HOLDS},
		{"no POP3", WORK SEND(1, "m1", "u1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P4", rows);
}

static void only_the_same_content_shares_one(void)
{
	static const struct row rows[] = {
		{"different content",
			WORK LOGIN(1, 1, "u1") LIST(1, 1, "u1", M("a", "m1") "," M("a", "m2")),
			RULING_BROKEN, "share", .role = "pop3-session uidl shared"},
		{"two copies of one message",
			WORK LOGIN(1, 1, "u1") LIST(1, 1, "u1", M("a", "m1") "," M("a", "m1")),
			RULING_HOLDS},
		{"not retrieved",
			WORK LOGIN(1, 1, "u1") LIST(1, 1, "u1", M("a", "m1") ",{\"uidl\":\"a\"}"),
			RULING_CANNOT_TELL, "not both retrieved"},
		{"two users", WORK ONLY(1, 1, "u1", "a", "m1") ONLY(1, 2, "u2", "a", "m2"),
			RULING_HOLDS},
	};

	CHECK_TABLE("P4", rows);
}

CHECK_MAIN(CHECK_CASE(a_uidl_stays), CHECK_CASE(only_the_same_content_shares_one))
