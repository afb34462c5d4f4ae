#include "tests/unit/oracle_table.h"

#define ARMED(t, step, what)                          \
	"{\"t\":" #t ",\"ev\":\"fault\",\"step\":" Q( \
		step) ",\"fault\":\"errno\",\"state\":\"armed\"," what "}\n"
#define HEALING(t, step, count)                                                                   \
	"{\"t\":" #t ",\"ev\":\"fault\",\"step\":" Q(                                             \
		step) ",\"fault\":\"errno\",\"state\":\"healing\"}\n{\"t\":" #t                   \
		      ",\"ev\":\"fault\",\"step\":" Q(                                            \
			      step) ",\"fault\":\"errno\",\"state\":\"healed\",\"count\":" #count \
				    "}\n"
#define FSYNC	  "\"point\":\"posix/io/sync/fsync\",\"errno\":\"EIO\",\"calls\":1000"
#define FDATASYNC "\"point\":\"posix/io/sync/fdatasync\",\"errno\":\"EIO\",\"calls\":1000"
#define BOTH	  WORK ARMED(1, "a", FSYNC) ARMED(1, "b", FDATASYNC)
#define OVER	  HEALING(90, "a", 5) HEALING(90, "b", 0) END
#define ANSWER(hop, result, code, dot, reply) \
	TRY_AT(hop, "m1", "u1@store", result, code, dot, reply)

static void no_fsync_no_acknowledgement(void)
{
	static const struct row rows[] = {
		{"it is refused", BOTH ANSWER("edge", "4yz", 451, 5, 6) OVER, RULING_HOLDS},
		{"it is taken", BOTH ANSWER("edge", "2yz", 250, 5, 6) OVER, RULING_BROKEN,
			"m1 was answered 250", .role = "edge 2yz unflushed", .line = 4},
		{"the agent takes it", BOTH ANSWER("inner", "2yz", 250, 5, 6) OVER, RULING_BROKEN,
			.role = "inner 2yz unflushed"},
		{"it left the store", BOTH ANSWER("outbound", "2yz", 250, 5, 6) OVER,
			RULING_NOT_APPLICABLE},
		{"the dot came before",
			WORK ARMED(6, "a", FSYNC) ARMED(6, "b", FDATASYNC)
				ANSWER("edge", "2yz", 250, 5, 7) OVER,
			RULING_NOT_APPLICABLE},
		{"the answer came after", BOTH ANSWER("edge", "2yz", 250, 80, 91) OVER,
			RULING_NOT_APPLICABLE},
		{"another way to flush was open",
			WORK ARMED(1, "a", FSYNC) ANSWER("edge", "2yz", 250, 5, 6)
				HEALING(90, "a", 5) END,
			RULING_NOT_APPLICABLE},
		{"it failed only so often",
			BOTH ANSWER("edge", "2yz", 250, 5, 6) HEALING(90, "a", 1000)
				HEALING(90, "b", 0) END,
			RULING_NOT_APPLICABLE},
		{"only for one role",
			WORK ARMED(1, "a", FSYNC ",\"role\":\"deliver\"") ARMED(1, "b", FDATASYNC)
				ANSWER("inner", "2yz", 250, 5, 6) OVER,
			RULING_NOT_APPLICABLE},
		{"only on some path",
			WORK ARMED(1, "a", FSYNC ",\"path\":\"index\"") ARMED(1, "b", FDATASYNC)
				ANSWER("edge", "2yz", 250, 5, 6) OVER,
			RULING_NOT_APPLICABLE},
		{"from the second call on",
			WORK ARMED(1, "a", FSYNC ",\"hit\":2") ARMED(1, "b", FDATASYNC)
				ANSWER("edge", "2yz", 250, 5, 6) OVER,
			RULING_NOT_APPLICABLE},
		{"never healed", BOTH ANSWER("edge", "2yz", 250, 5, 6) END, RULING_NOT_APPLICABLE},
		{"no fault at all", WORK ANSWER("edge", "2yz", 250, 5, 6) END,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U2", rows);
}

#define APPEND(outcome, t)                                                                \
	"{\"t\":5,\"ev\":\"begin\",\"id\":9,\"who\":\"a.1\",\"op\":\"imap-append\","      \
	"\"user\":\"u1\",\"token\":\"m1\"}\n{\"t\":" #t                                   \
	",\"ev\":\"end\",\"id\":9,\"who\":\"a.1\",\"op\":\"imap-append\",\"outcome\":" Q( \
		outcome) "}\n"

static void no_fsync_no_append(void)
{
	static const struct row rows[] = {
		{"refused", BOTH APPEND("NO", 6) OVER, RULING_HOLDS},
		{"acknowledged", BOTH APPEND("OK", 6) OVER, RULING_BROKEN, "APPEND"},
		{"acknowledged later", BOTH APPEND("OK", 95) OVER, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U2", rows);
}

CHECK_MAIN(CHECK_CASE(no_fsync_no_acknowledgement), CHECK_CASE(no_fsync_no_append))
