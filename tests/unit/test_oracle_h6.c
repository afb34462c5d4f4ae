#include "tests/unit/oracle_table.h"

#define WAITS(cycles, held) \
	"{\"t\":5,\"ev\":\"waits\",\"name\":\"x\",\"cycles\":[" cycles "],\"held\":[" held "]}\n"
#define THREAD(role, what) "{\"role\":" Q(role) ",\"pid\":1,\"tid\":1,\"what\":" Q(what) "}"
#define HELD(role, waiters)                                                                    \
	"{\"role\":" Q(                                                                        \
		role) ",\"pid\":1,\"what\":\"FLOCK lock on mail/index\",\"waiters\":[" waiters \
		      "]}"

static void nobody_waits_in_a_circle(void)
{
	static const struct row rows[] = {
		{"two",
			WORK WAITS("[" THREAD("store", "FLOCK lock on a") "," THREAD(
					   "deliver", "FLOCK lock on b") "]", ),
			RULING_BROKEN, "'store' waits for FLOCK lock on a",
			.role = "cycle store deliver", .line = 2},
		{"one alone", WORK WAITS("[" THREAD("store", "mutex") "]", ), RULING_BROKEN,
			.role = "cycle store itself"},
		{"nobody", WORK WAITS(, ), RULING_HOLDS},
		{"no look at it", WORK, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("H6", rows);
}

static void nobody_keeps_others_waiting_for_a_client(void)
{
	static const struct row rows[] = {
		{"a reader", WORK WAITS(, HELD("read", "\"deliver\",\"deliver\"")), RULING_BROKEN,
			"2 others", .role = "held read deliver"},
		{"nobody waits", WORK WAITS(, HELD("read", )), RULING_HOLDS},
		{"the maildrop's lock is to be held", WORK WAITS(, HELD("pop", "\"pop\"")),
			RULING_HOLDS},
		{"another host is no client", WORK WAITS(, HELD("hand_over", "\"queue\"")),
			RULING_HOLDS},
	};

	CHECK_TABLE("H6", rows);
}

CHECK_MAIN(
	CHECK_CASE(nobody_waits_in_a_circle), CHECK_CASE(nobody_keeps_others_waiting_for_a_client))
