#include "tests/unit/maildir_table.h"

#define BOTH   SENT GOOD(1, "a", "m1") GOOD(1, "b", "m2") RUNNING(1)
#define STORE  OP(10, 9, "imap-uid-store", "u1") DONE(11, 9, "OK")
#define ONLY_B FILE_OF(2, "b", ":2,S", "m2", "aa", true) STOPPED(2)

static void flags_keep_the_count(void)
{
	static const struct row rows[] = {
		{"one is gone", BOTH STORE ONLY_B, RULING_BROKEN, "'a'", .role = "maildir lost"},
		{"one is there twice",
			BOTH STORE GOOD(2, "a", "m1") FILE_OF(2, "a", ":2,S", "m1", "aa", true)
				GOOD(2, "b", "m2") STOPPED(2),
			RULING_BROKEN, "twice", .role = "maildir doubled"},
		{"the STORE never ended", BOTH OP(10, 9, "imap-store", "u1") ONLY_B, RULING_BROKEN,
			"'a'"},
		{"both are there, with other flags",
			BOTH STORE FILE_OF(2, "a", ":2,S", "m1", "aa", true)
				FILE_OF(2, "b", ":2,S", "m2", "aa", true) STOPPED(2),
			RULING_HOLDS},
		{"gone, and no flag was changed: that is another law", BOTH ONLY_B, RULING_HOLDS},
		{"flags of another user",
			BOTH OP(10, 9, "imap-uid-store", "u2") DONE(11, 9, "OK") ONLY_B,
			RULING_HOLDS},
		{"flags were changed before the first look",
			SENT OP(3, 9, "imap-store", "u1") DONE(4, 9, "OK") GOOD(1, "a", "m1")
				GOOD(1, "b", "m2") RUNNING(1) ONLY_B,
			RULING_HOLDS},
		{"the rig removed it",
			BOTH STORE "{\"t\":12,\"ev\":\"excused\",\"user\":\"u1\",\"token\":\"m1\"}"
				   "\n" ONLY_B,
			RULING_HOLDS, .excused = 1},
		{"the rig removed one of two that are gone",
			BOTH STORE
			"{\"t\":12,\"ev\":\"excused\",\"user\":\"u1\",\"count\":1}\n" STOPPED(2),
			RULING_BROKEN, .excused = 1},
		{"no files", SENT, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("M3", rows);
}

CHECK_MAIN(CHECK_CASE(flags_keep_the_count))
