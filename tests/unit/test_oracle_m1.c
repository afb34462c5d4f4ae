#include "tests/unit/maildir_table.h"

static void every_file_is_a_whole_message(void)
{
	static const struct row rows[] = {
		{"it ends inside its header",
			SENT GOOD(1, "a", "m1") FILE_OF(1, "b", "", "", "", false) RUNNING(1),
			RULING_BROKEN, "'b'", .role = "maildir partial", .line = 5},
		{"it ends inside its body", SENT FILE_OF(1, "a", "", "m1", "ff", true) RUNNING(1),
			RULING_BROKEN, "'a'", .baseline = SAME},
		{"after the stop too", SENT FILE_OF(1, "a", "", "", "", false) STOPPED(1),
			RULING_BROKEN},
		{"whole", SENT GOOD(1, "a", "m1") RUNNING(1), RULING_HOLDS},
		{"as the store makes it of this message",
			SENT FILE_OF(1, "a", "", "m1", "bb", true) RUNNING(1), RULING_HOLDS,
			.baseline = WORK SEND(1, "m1", "u1@store") COPY_OF("m1", "u1", "bb") END},
		{"another body, and nothing to compare it with",
			SENT FILE_OF(1, "a", "", "m1", "ff", true) RUNNING(1), RULING_CANNOT_TELL,
			"nothing to be compared"},
		{"mail of others has no token", SENT FILE_OF(1, "a", "", "", "ff", true) RUNNING(1),
			RULING_NOT_APPLICABLE},
		{"a look that failed", SENT FILE_OF(1, "b", "", "", "", false),
			RULING_NOT_APPLICABLE},
		{"after a crash it is another law's",
			SENT DIED FILE_OF(1, "b", "", "", "", false) RUNNING(1),
			RULING_NOT_APPLICABLE},
		{"before a crash", SENT FILE_OF(1, "b", "", "", "", false) RUNNING(1) DIED,
			RULING_BROKEN},
		{"no files", SENT, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("M1", rows);
}

static void an_exception_is_counted(void)
{
	static struct exception exceptions[] = {
		{(char *)"M1", (char *)"partial", (char *)"written in place", NULL}};
	struct target target = table_target();
	const struct row rows[] = {
		{"declared", SENT FILE_OF(1, "b", "", "", "", false) RUNNING(1), RULING_HOLDS,
			.target = &target, .excused = 1},
	};

	target.exceptions = exceptions;
	target.exception_count = 1;
	CHECK_TABLE("M1", rows);
}

CHECK_MAIN(CHECK_CASE(every_file_is_a_whole_message), CHECK_CASE(an_exception_is_counted))
