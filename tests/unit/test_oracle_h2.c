#include "tests/unit/oracle_table.h"

#define STOP(ended, took, forced, left)                                          \
	WORK "{\"t\":500,\"ev\":\"stop\",\"ended\":" #ended ",\"took_s\":" #took \
	     ",\"forced\":" #forced ",\"left\":[" left "]}\n"

static void the_store_stops_cleanly(void)
{
	static const struct row rows[] = {
		{"it does", STOP(true, 3.1, false, ""), RULING_HOLDS},
		{"too late", STOP(true, 20.5, false, ""), RULING_BROKEN, "ended only after 20.5 s"},
		{"never", STOP(false, 35, false, ""), RULING_BROKEN, "had not ended"},
		{"by force", STOP(true, 6, true, ""), RULING_BROKEN, "force"},
		{"with a process left", STOP(true, 6, false, "\"smtpd 317\""), RULING_BROKEN,
			"smtpd 317"},
		{"what is left need not be a text", STOP(true, 6, false, "317"), RULING_BROKEN,
			"1 processes"},
		{"starved and late", STOP(true, 25, false, "") STARVED(490), RULING_CANNOT_TELL,
			"starved"},
		{"starved and forced", STOP(true, 25, true, "") STARVED(490), RULING_BROKEN},
		{"nobody stopped it", WORK END, RULING_NOT_APPLICABLE},
		{"the second stop hangs", STOP(true, 1, false, "") STOP(false, 35, false, ""),
			RULING_BROKEN},
	};

	CHECK_TABLE("H2", rows);
}

CHECK_MAIN(CHECK_CASE(the_store_stops_cleanly))
