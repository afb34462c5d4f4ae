#include "tests/unit/oracle_table.h"

#define SENT	      WORK SEND(1, "m1", "u1@store")
#define REPLY(dot, t) TRY_AT("edge", "m1", "u1@store", "2yz", 250, dot, t)
#define SILENCE(dot)                                                                         \
	"{\"t\":9,\"ev\":\"attempt\",\"hop\":\"edge\",\"token\":\"m1\",\"to\":\"u1@store\"," \
	"\"result\":\"none\",\"dot_t\":" #dot "}\n"
#define LAST(t) "{\"t\":" #t ",\"ev\":\"recovered\",\"all\":false}\n"

static void a_reply_in_time_is_fine(void)
{
	static const struct row rows[] = {
		{"at once", SENT REPLY(2, 3), RULING_HOLDS},
		{"just within the objective", SENT REPLY(2, 32), RULING_HOLDS},
		{"late, but a fault was in force",
			SENT FAULT(3, "freeze-fs", "in-force") FAULT(93, "freeze-fs", "healed")
				REPLY(2, 100),
			RULING_HOLDS},
		{"the connection was closed instead", SENT SILENCE(2) DONE(5, 1, "MAYBE"),
			RULING_HOLDS},
		{"a late reply of the delivery agent is not the client's",
			SENT TRY_AT("inner", "m1", "u1@store", "2yz", 250, 2, 700),
			RULING_NOT_APPLICABLE},
		{"no dot, no reply", SENT TRY("edge", "m1", "u1@store", "not-sent"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S5", rows);
}

static void a_late_reply_is_blamed(void)
{
	static const struct row rows[] = {
		{"later than the objective", SENT REPLY(2, 33), RULING_BROKEN, "31.0 s"},
		{"later than the law, whatever was in force",
			SENT FAULT(1, "freeze-fs", "in-force") REPLY(2, 603), RULING_BROKEN,
			"limit 600 s"},
		{"long after the heal",
			SENT FAULT(1, "freeze-fs", "in-force") FAULT(10, "freeze-fs", "healed")
				REPLY(2, 41),
			RULING_BROKEN, "31.0 s"},
		{"closed without a reply, too late", SENT SILENCE(2) DONE(50, 1, "MAYBE"),
			RULING_BROKEN, "no reply"},
		{"the scope tells late from never", SENT REPLY(2, 33), RULING_BROKEN,
			.role = "edge smtp-message late", .line = 3},
		{"and never from late", SENT SILENCE(2) DONE(50, 1, "MAYBE"), RULING_BROKEN,
			.role = "edge smtp-message none"},
		{"never", SENT SILENCE(2) LAST(40), RULING_BROKEN, "no reply"},
	};

	CHECK_TABLE("S5", rows);
}

static void what_was_not_waited_for_cannot_be_told(void)
{
	static const struct row rows[] = {
		{"the rig stopped waiting", SENT SILENCE(2) LAST(12), RULING_CANNOT_TELL,
			"still owed"},
		{"the host starved the guest", SENT REPLY(2, 40) STARVED(20), RULING_CANNOT_TELL,
			"starved"},
		{"it starved it at another time", SENT REPLY(2, 40) STARVED(90), RULING_BROKEN},
		{"no operation is known",
			WORK "{\"t\":9,\"ev\":\"attempt\",\"hop\":\"edge\",\"token\":\"m7\",\"to\":"
			     "\"u1\","
			     "\"result\":\"none\",\"dot_t\":2}\n",
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S5", rows);
}

CHECK_MAIN(CHECK_CASE(a_reply_in_time_is_fine), CHECK_CASE(a_late_reply_is_blamed),
	CHECK_CASE(what_was_not_waited_for_cannot_be_told))
