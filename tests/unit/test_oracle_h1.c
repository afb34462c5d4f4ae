#include "tests/unit/oracle_table.h"

#define FROZEN		 FAULT(2, "freeze-fs", "in-force")
#define THAWED		 FAULT(10, "freeze-fs", "healed")
#define PENDING		 WORK OP(3, 1, "imap-fetch", "u1")
#define LAST(t)		 "{\"t\":" #t ",\"ev\":\"recovered\",\"all\":false}\n"
#define SILENT(t, state) FAULT(t, "mta-silent", state)
#define SILENCE		 SILENT(2, "in-force") PENDING SILENT(10, "healed")
#define STOPPED(n)	 "{\"t\":30,\"ev\":\"recovered\",\"all\":false,\"pending\":" #n "}\n"
#define ADJUDGED(name, json) \
	"{\"t\":30,\"ev\":\"adjudged\",\"name\":\"" name "\",\"event\":\"seen\"," json "}\n"
#define ANSWERED(s)   ADJUDGED("not-recovered", "\"recovery\":\"after_guest_s\",\"answer_s\":" #s)
#define SERVING(away) "{\"t\":30,\"ev\":\"serving\",\"away\":[" away "],\"took_s\":10}\n"
#define DIED	      "{\"t\":12,\"ev\":\"died\",\"program\":\"imap\",\"signal\":11}\n"
#define PERMANENT(n)  ADJUDGED(n, "\"recovery\":\"permanent\"")

static void what_was_pending_ends_after_the_heal(void)
{
	static const struct row rows[] = {
		{"answered", FROZEN PENDING THAWED DONE(12, 1, "OK"), RULING_HOLDS},
		{"refused", FROZEN PENDING THAWED DONE(12, 1, "NO"), RULING_HOLDS},
		{"the connection was closed", FROZEN PENDING THAWED DONE(12, 1, "MAYBE"),
			RULING_HOLDS},
		{"at the last moment", FROZEN PENDING THAWED DONE(20, 1, "OK"), RULING_HOLDS},
		{"nothing was pending", FROZEN THAWED WORK OP(11, 1, "imap-fetch", "u1") LAST(300),
			RULING_HOLDS},
		{"it had ended before", FROZEN PENDING DONE(9, 1, "OK") THAWED, RULING_HOLDS},
		{"IDLE waits for work", WORK FROZEN OP(3, 1, "imap-idle", "u1") THAWED LAST(300),
			RULING_HOLDS},
		{"another fault held it meanwhile",
			FROZEN PENDING THAWED FAULT(11, "disk-slow", "in-force")
				FAULT(60, "disk-slow", "healed") DONE(65, 1, "OK"),
			RULING_HOLDS},
	};

	CHECK_TABLE("H1", rows);
}

static void what_stays_pending_is_blamed(void)
{
	static const struct row rows[] = {
		{"it came too late", FROZEN PENDING THAWED DONE(21, 1, "OK"), RULING_BROKEN,
			"only after"},
		{"it never came", FROZEN PENDING THAWED LAST(20), RULING_BROKEN, "had not ended"},
		{"it never came, to the end", FROZEN PENDING THAWED END, RULING_BROKEN},
		{"the client gave up",
			FROZEN PENDING THAWED
			"{\"t\":25,\"ev\":\"end\",\"id\":1,\"outcome\":\"MAYBE\","
			"\"pending\":true}\n",
			RULING_BROKEN, "had not ended"},
		{"two faults, and it outlives both",
			FROZEN PENDING THAWED FAULT(15, "disk-slow", "in-force")
				FAULT(60, "disk-slow", "healed") DONE(66, 1, "OK"),
			RULING_BROKEN, "11.0 s"},
	};

	CHECK_TABLE("H1", rows);
}

static void a_silent_agent_may_use_its_own_time_out(void)
{
	static const struct target untold = {.timers = {.agent_silent_ms = TIME_UNSET}};
	static const struct row rows[] = {
		{"within it", SILENT(2, "in-force") PENDING SILENT(10, "healed") DONE(600, 1, "OK"),
			RULING_HOLDS},
		{"beyond it", SILENT(2, "in-force") PENDING SILENT(10, "healed") DONE(621, 1, "OK"),
			RULING_BROKEN},
		{"not waited for", SILENT(2, "in-force") PENDING SILENT(10, "healed") LAST(30),
			RULING_CANNOT_TELL, "still pending"},
		{"not known", SILENT(2, "in-force") PENDING SILENT(10, "healed") DONE(30, 1, "OK"),
			RULING_CANNOT_TELL, "agent_silent", .target = &untold},
	};

	CHECK_TABLE("H1", rows);
}

/* 20 s of the 610 had gone by when the rig stopped waiting. */
static void the_rest_of_a_long_time_out_is_seen_on_a_branch(void)
{
	static const struct row rows[] = {
		{"answered within it", SILENCE STOPPED(1) ANSWERED(589.5), RULING_HOLDS},
		{"answered beyond it", SILENCE STOPPED(1) ANSWERED(591), RULING_BROKEN,
			"did not end within"},
		{"never", SILENCE STOPPED(2) PERMANENT("not-recovered"), RULING_BROKEN, "seen"},
		{"another one may have been answered", SILENCE STOPPED(2) ANSWERED(500),
			RULING_CANNOT_TELL, "still pending"},
		{"another hang", SILENCE STOPPED(1) PERMANENT("not-stopped"), RULING_CANNOT_TELL},
		{"a thread moved and nobody was answered",
			SILENCE STOPPED(1)
				ADJUDGED("not-recovered", "\"recovery\":\"after_guest_s\""),
			RULING_CANNOT_TELL},
		{"not judged",
			SILENCE STOPPED(1) ADJUDGED("not-recovered", "\"recovery\":\"not-judged\""),
			RULING_CANNOT_TELL},
	};

	CHECK_TABLE("H1", rows);
}

static void whoever_was_there_is_there_again(void)
{
	static const struct row rows[] = {
		{"all", FROZEN THAWED SERVING(""), RULING_HOLDS},
		{"not the IMAP server", FROZEN THAWED SERVING("\"imap\""), RULING_BROKEN,
			"nobody serves 'imap' any more"},
		{"and there was no fault", WORK SERVING("\"imap\""), RULING_BROKEN},
		{"it died, which is told elsewhere", FROZEN THAWED DIED SERVING("\"imap\""),
			RULING_CANNOT_TELL, "not known"},
		{"the rig killed somebody",
			FAULT(2, "kill", "in-force") FAULT(10, "kill", "healed")
				SERVING("\"imap\""),
			RULING_CANNOT_TELL},
		{"the host starved the guest", FROZEN THAWED STARVED(25) SERVING("\"imap\""),
			RULING_CANNOT_TELL},
		{"nameless", FROZEN THAWED SERVING("7"), RULING_BROKEN, "'?'"},
	};

	CHECK_TABLE("H1", rows);
}

static void without_a_heal_there_is_nothing_to_judge(void)
{
	static const struct row rows[] = {
		{"no fault", PENDING LAST(300), RULING_NOT_APPLICABLE},
		{"never healed", FROZEN PENDING LAST(300), RULING_NOT_APPLICABLE},
		{"never in force", FAULT(2, "freeze-fs", "armed") PENDING THAWED LAST(300),
			RULING_NOT_APPLICABLE},
		{"the rig stopped waiting", FROZEN PENDING THAWED LAST(15), RULING_CANNOT_TELL},
		{"the host starved the guest", FROZEN PENDING THAWED STARVED(15) DONE(30, 1, "OK"),
			RULING_CANNOT_TELL, "starved"},
	};

	CHECK_TABLE("H1", rows);
}

CHECK_MAIN(CHECK_CASE(what_was_pending_ends_after_the_heal),
	CHECK_CASE(what_stays_pending_is_blamed), CHECK_CASE(whoever_was_there_is_there_again),
	CHECK_CASE(a_silent_agent_may_use_its_own_time_out),
	CHECK_CASE(the_rest_of_a_long_time_out_is_seen_on_a_branch),
	CHECK_CASE(without_a_heal_there_is_nothing_to_judge))
