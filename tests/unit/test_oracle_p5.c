#include "tests/unit/maildrop_table.h"

static void ten_minutes_at_the_least(void)
{
	static const struct row rows[] = {
		{"after half a minute", WORK LOGIN(1, 1, "u1") CLOSED(31, 1, "u1", 30),
			RULING_BROKEN, "30 s", .role = "pop3-session autologout", .line = 3},
		{"after 599 s", WORK LOGIN(1, 1, "u1") CLOSED(600, 1, "u1", 599), RULING_BROKEN},
		{"after ten minutes", WORK LOGIN(1, 1, "u1") CLOSED(601, 1, "u1", 600),
			RULING_HOLDS},
		{"not at all",
			WORK LOGIN(1, 1, "u1") IDLE(31, 1, "u1", 30) QUIT(32, 1, "u1", "OK", ),
			RULING_HOLDS},
		{"nobody stood idle", WORK LOGIN(1, 1, "u1") QUIT(32, 1, "u1", "OK", ),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P5", rows);
}

static void what_else_may_have_ended_it(void)
{
	static const struct row rows[] = {
		{"a fault was in force",
			WORK LOGIN(1, 1, "u1") FAULT(10, "jump-clock", "in-force")
				FAULT(12, "jump-clock", "healed") CLOSED(31, 1, "u1", 30),
			RULING_NOT_APPLICABLE},
		{"a fault before it counts for nothing",
			WORK FAULT(1, "f", "in-force") FAULT(2, "f", "healed") LOGIN(3, 1, "u1")
				CLOSED(40, 1, "u1", 30),
			RULING_BROKEN},
		{"an action went on",
			WORK LOGIN(1, 1, "u1") OP(10, 9, "user-delete", "u1") DONE(31, 9, "OK")
				CLOSED(31, 1, "u1", 30),
			RULING_NOT_APPLICABLE},
		{"a client's operation ends nobody else's session",
			WORK LOGIN(1, 1, "u1") OP(10, 9, "imap-noop", "u1") DONE(31, 9, "OK")
				CLOSED(31, 1, "u1", 30),
			RULING_BROKEN},
		{"a process died",
			WORK LOGIN(1, 1, "u1")
				CLOSED(31, 1, "u1", 30) "{\"t\":31.5,\"ev\":\"died\",\"program\":"
							"\"pop3\",\"signal\":11}\n",
			RULING_NOT_APPLICABLE},
		{"the store was stopped",
			WORK LOGIN(1, 1, "u1") PHASE(30, "stop") CLOSED(31, 1, "u1", 30),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("P5", rows);
}

CHECK_MAIN(CHECK_CASE(ten_minutes_at_the_least), CHECK_CASE(what_else_may_have_ended_it))
