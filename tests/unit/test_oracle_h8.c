#include "tests/unit/oracle_table.h"

#define LEVEL(t, round, processes, descriptors, memory, more)                                     \
	"{\"t\":" #t ",\"ev\":\"level\",\"round\":" #round ",\"of\":12,\"processes\":" #processes \
	",\"threads\":" #processes ",\"descriptors\":" #descriptors ",\"locks\":2,"               \
	"\"memory_kib\":" #memory more "}\n"
#define FIRST	 LEVEL(1, 1, 20, 300, 40000, ",\"queue\":0")
#define MIDDLE	 LEVEL(6, 6, 30, 500, 90000, )
#define END_SAME LEVEL(12, 12, 20, 300, 40000, ",\"queue\":0")

static void rounds_leave_nothing_behind(void)
{
	static const struct row rows[] = {
		{"the same level", WORK FIRST MIDDLE END_SAME, RULING_HOLDS},
		{"within the slack", WORK FIRST LEVEL(12, 12, 24, 316, 52192, ), RULING_HOLDS},
		{"five processes more", WORK FIRST LEVEL(12, 12, 25, 300, 40000, ), RULING_BROKEN,
			"processes grew from 20", .role = "rounds processes", .line = 3},
		{"seventeen descriptors more", WORK FIRST LEVEL(12, 12, 20, 317, 40000, ),
			RULING_BROKEN, "descriptors grew", .role = "rounds descriptors"},
		{"memory", WORK FIRST LEVEL(12, 12, 20, 300, 52193, ), RULING_BROKEN,
			"memory_kib grew", .role = "rounds memory_kib"},
		{"one entry of the queue", WORK FIRST LEVEL(12, 12, 20, 300, 40000, ",\"queue\":1"),
			RULING_BROKEN, "queue grew"},
		{"on its way out: gone when looked at again",
			WORK FIRST LEVEL(12, 12, 40, 300, 40000, ) LEVEL(17, 12, 20, 300, 40000, ),
			RULING_HOLDS},
		{"still there when looked at again",
			WORK FIRST LEVEL(12, 12, 40, 300, 40000, ) LEVEL(17, 12, 40, 300, 40000, ),
			RULING_BROKEN, .line = 4},
		{"the store's own figure",
			WORK LEVEL(1, 1, 20, 300, 40000, ",\"figures\":{\"registrations\":1}")
				LEVEL(12, 12, 20, 300, 40000,
					",\"figures\":{\"registrations\":12}"),
			RULING_BROKEN, "registrations grew from 1", .role = "rounds registrations"},
		{"the store's own figure stays",
			WORK LEVEL(1, 1, 20, 300, 40000, ",\"figures\":{\"registrations\":1}")
				LEVEL(12, 12, 20, 300, 40000, ",\"figures\":{\"registrations\":3}"),
			RULING_HOLDS},
		{"less than before", WORK FIRST LEVEL(12, 12, 10, 100, 1000, ), RULING_HOLDS},
	};

	CHECK_TABLE("H8", rows);
}

static void what_is_no_comparison(void)
{
	static const struct row rows[] = {
		{"two rounds only", WORK FIRST LEVEL(2, 2, 90, 900, 900000, ),
			RULING_NOT_APPLICABLE},
		{"the first is missing", WORK MIDDLE END_SAME, RULING_NOT_APPLICABLE},
		{"no rounds", WORK SEND(1, "m1", "u1"), RULING_NOT_APPLICABLE},
		{"a fault is in force at the end",
			WORK FIRST FAULT(2, "f", "in-force") LEVEL(12, 12, 90, 300, 40000, ),
			RULING_NOT_APPLICABLE},
		{"a fault that is over counts",
			WORK FIRST FAULT(2, "f", "in-force") FAULT(3, "f", "healed")
				LEVEL(12, 12, 90, 300, 40000, ),
			RULING_BROKEN},
		{"the host was busy", WORK FIRST LEVEL(12, 12, 90, 300, 40000, ) STARVED(13),
			RULING_CANNOT_TELL, "starved"},
	};

	CHECK_TABLE("H8", rows);
}

CHECK_MAIN(CHECK_CASE(rounds_leave_nothing_behind), CHECK_CASE(what_is_no_comparison))
