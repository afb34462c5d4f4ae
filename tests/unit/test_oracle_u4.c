#include "tests/unit/oracle_table.h"

/* A power cut at 50 s whose disks are of 49 s; the store is ready again at 60 s. */
#define CUT                                                                    \
	"{\"t\":50,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"in-force\",\"count\":1,\"at_t\":49}\n"                    \
	"{\"t\":55,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"healed\",\"count\":1}\n"
#define START(ready, status)                                                                 \
	"{\"t\":60,\"ev\":\"start\",\"ready\":" #ready ",\"took_s\":4.5,\"status\":" #status \
	",\"text\":\"journal replayed\"}\n"
#define UNREADABLE "{\"t\":70,\"ev\":\"unreadable\",\"user\":\"u1\",\"text\":\"NO [CORRUPTION]\"}\n"

static void the_stores_own_start_is_enough(void)
{
	static const struct row rows[] = {
		{"it is", WORK CUT START(true, 0) READ("u1") END, RULING_HOLDS},
		{"it stays down", WORK CUT START(false, 0), RULING_BROKEN, "not ready 4.5 s",
			.role = "start not ready", .line = 4},
		{"it stays down, and the host starved", WORK CUT STARVED(58) START(false, 0),
			RULING_CANNOT_TELL, "starved"},
		{"it stays down, and the host starved before", WORK STARVED(20) CUT START(false, 0),
			RULING_BROKEN, "not ready 4.5 s"},
		{"it says that it failed", WORK CUT START(true, 1) END, RULING_BROKEN,
			"ended with 1", .role = "start failed"},
		{"a mailbox cannot be read", WORK CUT START(true, 0) UNREADABLE END, RULING_BROKEN,
			"'u1'", .role = "mailbox unreadable"},
		{"an unreadable mailbox of before", WORK UNREADABLE CUT START(true, 0) END,
			RULING_HOLDS},
		{"down without a power cut", WORK START(false, 1), RULING_NOT_APPLICABLE},
		{"the power never came back", WORK CUT, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U4", rows);
}

CHECK_MAIN(CHECK_CASE(the_stores_own_start_is_enough))
