#include "tests/unit/maildrop_table.h"

/* `recover` is 10 s. */
static void whoever_is_gone_holds_no_lock(void)
{
	static const struct row rows[] = {
		{"refused long after a cut",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) REFUSED(13, 2, "u1"),
			RULING_BROKEN, "11.0 s", .role = "pop3-session lock stays", .line = 4},
		{"refused long after QUIT",
			WORK LOGIN(1, 1, "u1") QUIT(2, 1, "u1", "OK", ) REFUSED(13, 2, "u1"),
			RULING_BROKEN},
		{"refused long after the store closed it",
			WORK LOGIN(1, 1, "u1") CLOSED(700, 1, "u1", 650) REFUSED(720, 2, "u1"),
			RULING_BROKEN},
		{"refused before anybody used it", WORK REFUSED(20, 1, "u1"), RULING_BROKEN,
			"before any use"},
		{"refused again and again",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) REFUSED(5, 2, "u1")
				REFUSED(14, 3, "u1"),
			RULING_BROKEN, "12.0 s"},
		{"refused soon after",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) REFUSED(5, 2, "u1")
				LOGIN(6, 3, "u1"),
			RULING_HOLDS},
		{"refused while another has it",
			WORK LOGIN(1, 1, "u1") REFUSED(30, 2, "u1") QUIT(40, 1, "u1", "OK", ),
			RULING_HOLDS},
		{"refused while another has it to the end",
			WORK LOGIN(1, 1, "u1") REFUSED(30, 2, "u1"), RULING_HOLDS},
		{"another got it at the same instant",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) REFUSED(30, 2, "u1")
				LOGIN(30, 3, "u1") CUT(31, 3, "u1", ),
			RULING_HOLDS},
		{"a fault was in force meanwhile",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) FAULT(2, "f", "in-force")
				FAULT(25, "f", "healed") REFUSED(30, 2, "u1"),
			RULING_HOLDS},
		{"another user", WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) LOGIN(30, 2, "u2"),
			RULING_HOLDS},
		{"the wrong password is no lock",
			WORK POP(1, 1, "u1", "login", ",\"since\":1,\"outcome\":\"NO\""),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P3", rows);
}

static void who_cannot_know_does_not_blame(void)
{
	static const struct row rows[] = {
		{"the host was busy",
			WORK LOGIN(1, 1, "u1") CUT(2, 1, "u1", ) STARVED(5) REFUSED(13, 2, "u1"),
			RULING_CANNOT_TELL, "starved"},
		{"IMAP used it too",
			WORK OP(1, 9, "imap-login", "u1") LOGIN(1, 1, "u1") CUT(2, 1, "u1", )
				REFUSED(13, 2, "u1"),
			RULING_CANNOT_TELL, "IMAP"},
		{"no POP3", WORK SEND(1, "m1", "u1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P3", rows);
}

CHECK_MAIN(CHECK_CASE(whoever_is_gone_holds_no_lock), CHECK_CASE(who_cannot_know_does_not_blame))
