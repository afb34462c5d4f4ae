#include "tests/unit/maildir_table.h"

#define ELSEWHERE(look, base, token, folder)                                                 \
	"{\"t\":5,\"ev\":\"file\",\"look\":" #look                                           \
	",\"user\":\"u1\",\"folder\":" Q(folder) ",\"where\":\"cur\",\"base\":" Q(           \
		base) ",\"info\":\"\",\"bytes\":9,\"token\":" Q(token) ",\"sha256\":\"aa\"," \
								       "\"whole\":true}\n"

static void a_name_is_one_messages(void)
{
	static const struct row rows[] = {
		{"another message later",
			SENT GOOD(1, "a", "m1") RUNNING(1) GOOD(2, "a", "m2") STOPPED(2),
			RULING_BROKEN, "another message", .role = "maildir name reused", .line = 6},
		{"two messages at once", SENT GOOD(1, "a", "m1") GOOD(1, "a", "m2") RUNNING(1),
			RULING_BROKEN},
		{"other bodies without token",
			SENT FILE_OF(1, "a", "", "", "aa", true) RUNNING(1)
				FILE_OF(2, "a", "", "", "bb", true) STOPPED(2),
			RULING_BROKEN},
		{"the same message",
			SENT GOOD(1, "a", "m1") RUNNING(1) GOOD(2, "a", "m1") STOPPED(2),
			RULING_HOLDS},
		{"the same message with other flags",
			SENT GOOD(1, "a", "m1") RUNNING(1) FILE_OF(2, "a", ":2,S", "m1", "aa", true)
				STOPPED(2),
			RULING_HOLDS},
		{"cut short at first",
			SENT FILE_OF(1, "a", "", "", "", false) RUNNING(1) GOOD(2, "a", "m1")
				STOPPED(2),
			RULING_HOLDS},
		{"cut short at first, then one, then another",
			SENT FILE_OF(1, "a", "", "", "", false) RUNNING(1) GOOD(2, "a", "m1")
				STOPPED(2) GOOD(3, "a", "m2") STOPPED(3),
			RULING_BROKEN},
		{"another folder may have it",
			SENT GOOD(1, "a", "m1") ELSEWHERE(1, "a", "m2", ".Sent") RUNNING(1),
			RULING_HOLDS},
		{"no files", SENT, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("M2", rows);
}

CHECK_MAIN(CHECK_CASE(a_name_is_one_messages))
