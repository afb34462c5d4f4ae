#include "tests/unit/maildir_table.h"

static void a_crash_leaves_whole_messages(void)
{
	static const struct row rows[] = {
		{"half a header", SENT DIED FILE_OF(1, "b", "", "", "", false) STOPPED(1),
			RULING_BROKEN, "'b'", .role = "maildir crash partial", .line = 5},
		{"half a body", SENT DIED FILE_OF(1, "a", "", "m1", "ff", true) STOPPED(1),
			RULING_BROKEN, .baseline = SAME},
		{"the rig killed it",
			SENT FAULT(3, "kill", "in-force") FAULT(3, "kill", "healed")
				FILE_OF(1, "b", "", "", "", false) STOPPED(1),
			RULING_BROKEN},
		{"whole", SENT DIED GOOD(1, "a", "m1") STOPPED(1), RULING_HOLDS},
		{"another body, and nothing to compare it with",
			SENT DIED FILE_OF(1, "a", "", "m1", "ff", true) STOPPED(1),
			RULING_CANNOT_TELL},
		{"no crash: that is another law",
			SENT FILE_OF(1, "b", "", "", "", false) STOPPED(1), RULING_NOT_APPLICABLE},
		{"a process that the stop ended",
			SENT "{\"t\":4,\"ev\":\"died\",\"program\":\"lmtp\",\"signal\":9,"
			     "\"by_rig\":true}\n" FILE_OF(1, "b", "", "", "", false) STOPPED(1),
			RULING_NOT_APPLICABLE},
		{"looked at before the crash",
			SENT FILE_OF(1, "b", "", "", "", false) RUNNING(1) DIED,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("M4", rows);
}

CHECK_MAIN(CHECK_CASE(a_crash_leaves_whole_messages))
