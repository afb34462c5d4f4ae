#include "tests/unit/oracle_table.h"

/* timers.agent_silent of the table's target is 600 s, `recover` 10 s. */
#define WAITED(t, hop, waited, answered)                                                          \
	"{\"t\":" #t ",\"ev\":\"waited\",\"hop\":" Q(hop) ",\"verb\":\".\",\"waited_s\":" #waited \
							  ",\"answered\":" #answered "}\n"
#define SILENT(t, state)                                                                    \
	"{\"t\":" #t ",\"ev\":\"fault\",\"step\":\"s\",\"fault\":\"mta-silent\",\"agent\":" \
	"\"delivery\",\"state\":" Q(state) "}\n"
#define LEFT_AFTER(took, processes)                                                                \
	"{\"t\":900,\"ev\":\"stop\",\"ended\":true,\"took_s\":" #took ",\"left\":[" processes "]}" \
	"\n"
#define LEFT(processes) LEFT_AFTER(1, processes)

static void limits_are_kept(void)
{
	static const struct row rows[] = {
		{"given up at the limit",
			WORK SILENT(1, "in-force") WAITED(602, "inner", 600, false), RULING_HOLDS},
		{"given up within the slack",
			WORK SILENT(1, "in-force") WAITED(611, "inner", 609, false), RULING_HOLDS},
		{"given up long after it",
			WORK SILENT(1, "in-force") WAITED(700, "inner", 690, false), RULING_BROKEN,
			"690.0 s", .role = "inner wait beyond limit", .line = 3},
		{"answered long after it",
			WORK SILENT(1, "in-force") WAITED(700, "inner", 690, true), RULING_BROKEN},
		{"without any fault", WORK WAITED(700, "inner", 690, true), RULING_BROKEN},
		{"answered long before: nothing is known of the limit",
			WORK WAITED(20, "inner", 10, true), RULING_NOT_APPLICABLE},
		{"another hop", WORK WAITED(700, "outbound", 690, true), RULING_NOT_APPLICABLE},
		{"the machine was hurt",
			WORK FAULT(1, "freeze-machine", "in-force")
				WAITED(700, "inner", 690, false),
			RULING_NOT_APPLICABLE},
		{"the reply dripped",
			WORK "{\"t\":1,\"ev\":\"fault\",\"step\":\"s\",\"fault\":\"mta-drips\","
			     "\"agent\":\"delivery\",\"state\":\"in-force\"}\n" WAITED(
				     700, "inner", 690, true),
			RULING_NOT_APPLICABLE},
		{"the host was busy", WORK STARVED(300) WAITED(700, "inner", 690, true),
			RULING_CANNOT_TELL, "starved"},
	};

	CHECK_TABLE("H4", rows);
}

static void a_limit_leaves_no_child(void)
{
	static const struct row rows[] = {
		{"a process is left", WORK WAITED(602, "inner", 600, false) LEFT("\"lmtp (12)\""),
			RULING_BROKEN, "'lmtp (12)'", .role = "limit leaves a child"},
		{"none is left", WORK WAITED(602, "inner", 600, false) LEFT(), RULING_HOLDS},
		{"one is left, and the host was busy while all was stopped",
			WORK WAITED(602, "inner", 600, false) STARVED(890)
				LEFT_AFTER(40, "\"lmtp (12)\""),
			RULING_CANNOT_TELL, "starved"},
		{"one is left, and the host was busy long before",
			WORK STARVED(300) WAITED(602, "inner", 600, false) LEFT("\"lmtp (12)\""),
			RULING_BROKEN},
		{"no limit was enforced: that is another law",
			WORK WAITED(602, "inner", 600, true) LEFT("\"lmtp (12)\""), RULING_HOLDS},
	};
	static const struct target silent_about_it;
	const struct row unknown[] = {
		{"the target says no limit", WORK WAITED(700, "inner", 690, true),
			RULING_NOT_APPLICABLE, .target = &silent_about_it},
	};

	CHECK_TABLE("H4", rows);
	CHECK_TABLE("H4", unknown);
}

CHECK_MAIN(CHECK_CASE(limits_are_kept), CHECK_CASE(a_limit_leaves_no_child))
