#include "tests/unit/oracle_table.h"

#define ANSWER(token, to, dot, t) TRY_AT("inner", token, to, "2yz", 250, dot, t)
#define NONE(token, to, dot)                                                     \
	"{\"t\":9,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":1,\"token\":" Q( \
		token) ",\"to\":" Q(to) ",\"result\":\"none\",\"dot_t\":" #dot "}\n"

/* The data disks are those of the first time: the fault began at the second and was healed at the third. */
#define PUT_BACK(at, from, to)                                                                    \
	"{\"t\":" from                                                                            \
	",\"ev\":\"fault\",\"step\":\"s\",\"fault\":\"restore-snapshot\",\"state\":"              \
	"\"in-force\",\"is\":[\"cuts-power\"],\"at_t\":" at "}\n"                                 \
	"{\"t\":" to ",\"ev\":\"fault\",\"step\":\"s\",\"fault\":\"restore-snapshot\",\"state\":" \
	"\"healed\"}\n"

static void each_recipient_has_one_reply_in_order(void)
{
	static const struct row rows[] = {
		{"two for two", WORK ANSWER("m1", "u1", 2, 3) ANSWER("m1", "u2", 2, 4),
			RULING_HOLDS},
		{"then the connection ended", WORK ANSWER("m1", "u1", 2, 3) NONE("m1", "u2", 2),
			RULING_HOLDS},
		{"two transactions", WORK ANSWER("m1", "u1", 2, 3) ANSWER("m2", "u1", 5, 6),
			RULING_HOLDS},
		{"the connection went on without a reply",
			WORK ANSWER("m1", "u1", 2, 3) NONE("m1", "u2", 2) ANSWER("m2", "u1", 5, 6),
			RULING_BROKEN, "went on"},
		{"the same message again is another transaction",
			WORK ANSWER("m1", "u1", 2, 5) ANSWER("m1", "u1", 6, 7) NONE("m1", "u2", 6)
				ANSWER("m1", "u1", 8, 9),
			RULING_BROKEN, "went on", .line = 4},
		{"two connections do not mix",
			WORK NONE("m1", "u1",
				2) "{\"t\":9,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":2,"
				   "\"token\":\"m2\","
				   "\"to\":\"u1\",\"result\":\"2yz\",\"dot_t\":3,\"reply_t\":4}\n",
			RULING_HOLDS},
		{"the first was left out", WORK NONE("m1", "u1", 2) ANSWER("m1", "u2", 2, 4),
			RULING_BROKEN, "left out"},
		{"out of order", WORK ANSWER("m1", "u1", 2, 5) ANSWER("m1", "u2", 2, 4),
			RULING_BROKEN},
		{"one too many",
			WORK
			"{\"t\":4,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":1,\"token\":\"m1\","
			"\"to\":\"u1\",\"result\":\"2yz\",\"dot_t\":2,\"reply_t\":3,\"extra\":1}\n",
			RULING_BROKEN, "1 replies more"},
		{"a refused RCPT is owed none",
			WORK TRY("inner", "m1", "u1", "5yz") ANSWER("m1", "u2", 2, 4),
			RULING_HOLDS},
		{"an edge that speaks SMTP is not judged",
			WORK TRY_AT("edge", "m1", "u1", "2yz", 250, 2, 3), RULING_NOT_APPLICABLE},
		{"an edge that speaks LMTP is",
			WORK "{\"t\":4,\"ev\":\"attempt\",\"hop\":\"edge\",\"protocol\":\"lmtp\","
			     "\"conn\":\"c1\","
			     "\"token\":\"m1\",\"to\":\"u1\",\"result\":\"2yz\",\"dot_t\":2,"
			     "\"reply_t\":3}\n",
			RULING_HOLDS},
		{"what disks that are put back take back was answered",
			WORK ANSWER("m1", "u1", 2, 3) ANSWER("m2", "u1", 4, 5)
				PUT_BACK("2.5", "6", "8") ANSWER("m3", "u1", 9, 10),
			RULING_HOLDS},
		{"a power cut, and then another connection of that number",
			WORK NONE("m1", "u1", 2) PUT_BACK("9.5", "10", "11")
				ANSWER("m2", "u1", 12, 13),
			RULING_HOLDS},
		{"no dot", WORK TRY("inner", "m1", "u1", "not-sent"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("L1", rows);
}

CHECK_MAIN(CHECK_CASE(each_recipient_has_one_reply_in_order))
