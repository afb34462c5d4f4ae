#include "tests/unit/oracle_table.h"

/* A power cut at 50 s whose disks are of 49 s; the store is ready again at 60 s. */
#define CUT                                                                    \
	"{\"t\":50,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"in-force\",\"count\":1,\"at_t\":49}\n"                    \
	"{\"t\":55,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"healed\",\"count\":1}\n"
#define USUAL	      WORK SEND(1, "m1", "u1@store") TRY_AT("edge", "m1", "u1@store", "2yz", 250, 2, 3)
#define HANDED(reply) TRY_AT("inner", "m1", "u1@store", "2yz", 250, 4, reply)

static void what_was_handed_over_is_in_the_queue_or_the_store(void)
{
	static const struct row rows[] = {
		{"in the store", USUAL HANDED(5) CUT READ("u1") COPY("m1", "u1") END, RULING_HOLDS},
		{"still queued", USUAL HANDED(5) CUT READ("u1") QUEUED("m1", "u1@store") END,
			RULING_HOLDS},
		{"in neither", USUAL HANDED(5) CUT READ("u1") END, RULING_BROKEN,
			"neither the queue nor the store", .role = "inner hand-over 2yz",
			.line = 4},
		{"handed over after the instant", USUAL HANDED(50) CUT READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"never handed over: another law's", USUAL CUT READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"refused by the agent",
			USUAL TRY_AT("inner", "m1", "u1@store", "4yz", 451, 4, 5) CUT READ("u1")
				END,
			RULING_NOT_APPLICABLE},
		{"the mailbox was not read", USUAL HANDED(5) CUT END, RULING_CANNOT_TELL,
			"not read back"},
		{"no power cut", USUAL HANDED(5) READ("u1") END, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U3", rows);
}

CHECK_MAIN(CHECK_CASE(what_was_handed_over_is_in_the_queue_or_the_store))
