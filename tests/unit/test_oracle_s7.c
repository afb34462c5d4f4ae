#include "tests/unit/oracle_table.h"

#define DRAINED(empty, took, depth)                                                 \
	WORK "{\"t\":700,\"ev\":\"drained\",\"empty\":" #empty ",\"took_s\":" #took \
	     ",\"depth\":" #depth "}\n"

static void the_queue_empties_by_itself(void)
{
	static const struct target silent = {.timers = {.retry_longest_ms = TIME_UNSET}};
	static const struct row rows[] = {
		{"at once", DRAINED(true, 0.2, 0), RULING_HOLDS},
		{"at the store's own retry", DRAINED(true, 455, 0), RULING_HOLDS},
		{"later than retry and objective", DRAINED(true, 470, 0), RULING_BROKEN, "460 s"},
		{"not at all", DRAINED(false, 460, 3), RULING_BROKEN, "3 messages"},
		{"not waited for long enough", DRAINED(false, 60, 3), RULING_CANNOT_TELL, "460 s"},
		{"retry not known: waited an hour and a half", DRAINED(false, 5461, 3),
			RULING_BROKEN, .target = &silent},
		{"retry not known: waited a minute", DRAINED(false, 61, 3), RULING_CANNOT_TELL,
			.target = &silent},
		{"the host starved the guest", DRAINED(true, 470, 0) STARVED(600),
			RULING_CANNOT_TELL, "starved"},
		{"nobody looked", WORK END, RULING_NOT_APPLICABLE},
		{"two looks, the second bad", DRAINED(true, 1, 0) DRAINED(false, 460, 1),
			RULING_BROKEN},
	};

	CHECK_TABLE("S7", rows);
}

CHECK_MAIN(CHECK_CASE(the_queue_empties_by_itself))
