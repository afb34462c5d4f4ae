#include "tests/unit/oracle_table.h"

#define STOP(ended, took, killed, left)                                          \
	WORK "{\"t\":500,\"ev\":\"stop\",\"ended\":" #ended ",\"took_s\":" #took \
	     ",\"killed\":[" killed "],\"left\":[" left "]}\n"

static void the_store_stops_cleanly(void)
{
	static const struct row rows[] = {
		{"it does", STOP(true, 3.1, "", ""), RULING_HOLDS},
		{"too late", STOP(true, 20.5, "", ""), RULING_BROKEN, "ended only after 20.5 s"},
		{"never", STOP(false, 35, "", ""), RULING_BROKEN, "had not ended"},
		{"by force", STOP(true, 6, "\"imap (pid 312)\"", ""), RULING_BROKEN,
			"imap (pid 312)"},
		{"with a process left", STOP(true, 6, "", "\"smtpd 317\""), RULING_BROKEN,
			"smtpd 317"},
		{"what is left need not be a text", STOP(true, 6, "", "317"), RULING_BROKEN,
			"1 processes"},
		{"who was killed need not be a text", STOP(true, 6, "312", ""), RULING_BROKEN,
			"force: 1 processes"},
		{"starved and late", STOP(true, 25, "", "") STARVED(490), RULING_CANNOT_TELL,
			"starved"},
		{"starved and forced", STOP(true, 25, "\"imap (pid 312)\"", "") STARVED(490),
			RULING_BROKEN},
		{"nobody stopped it", WORK END, RULING_NOT_APPLICABLE},
		{"the second stop hangs", STOP(true, 1, "", "") STOP(false, 35, "", ""),
			RULING_BROKEN},
	};

	CHECK_TABLE("H2", rows);
}

CHECK_MAIN(CHECK_CASE(the_store_stops_cleanly))
