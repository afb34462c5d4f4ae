#include "tests/unit/oracle_table.h"

#define FROZEN WORK SEND(1, "m1", "u1@store") FAULT(2, "freeze-fs", "in-force")
#define THAWED FAULT(8, "freeze-fs", "healed")
#define JUMP(t, s)                                                                             \
	"{\"t\":" #t ",\"ev\":\"fault\",\"step\":\"jump\",\"fault\":\"jump-clock\",\"state\":" \
	"\"in-force\",\"ahead_s\":" #s "}\n"
#define ANSWER(hop, code, class, t) TRY_AT(hop, "m1", "u1@store", class, code, 3, t)

static void passing_trouble_is_not_answered_for_good(void)
{
	static const struct row rows[] = {
		{"451", FROZEN ANSWER("edge", 451, "4yz", 4) THAWED, RULING_HOLDS},
		{"421 and close", FROZEN ANSWER("edge", 421, "4yz", 4) THAWED, RULING_HOLDS},
		{"accepted", FROZEN ANSWER("edge", 250, "2yz", 4) THAWED, RULING_HOLDS},
		{"552: the user's own quota", FROZEN ANSWER("edge", 552, "5yz", 4) THAWED,
			RULING_HOLDS},
		{"554", FROZEN ANSWER("edge", 554, "5yz", 4) THAWED, RULING_BROKEN, "554"},
		{"554 between queue and agent", FROZEN ANSWER("inner", 554, "5yz", 4) THAWED,
			RULING_BROKEN, "inner"},
		{"554 soon after the heal", FROZEN THAWED ANSWER("edge", 554, "5yz", 12),
			RULING_BROKEN},
		{"never healed", FROZEN ANSWER("edge", 554, "5yz", 700), RULING_BROKEN},
	};

	CHECK_TABLE("S4", rows);
}

static void what_no_fault_caused_is_not_judged(void)
{
	static const struct row rows[] = {
		{"long after the heal", FROZEN THAWED ANSWER("edge", 554, "5yz", 60),
			RULING_NOT_APPLICABLE},
		{"before the fault", FROZEN ANSWER("edge", 554, "5yz", 1), RULING_NOT_APPLICABLE},
		{"no fault at all",
			WORK SEND(1, "m1", "u1@store") ANSWER("edge", 554, "5yz", 4) END,
			RULING_NOT_APPLICABLE},
		{"as in the baseline", FROZEN ANSWER("edge", 554, "5yz", 4) THAWED, RULING_HOLDS,
			.baseline =
				WORK SEND(1, "m1", "u1@store") ANSWER("edge", 554, "5yz", 4) END,
			.excused = 1},
		{"another recipient in the baseline", FROZEN ANSWER("edge", 554, "5yz", 4) THAWED,
			RULING_BROKEN, .role = "edge smtp-message 5yz",
			.baseline = WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store",
				"2yz") TRY("edge", "m1", "u2@store", "5yz") END},
		{"not sent at all", FROZEN TRY("edge", "m1", "u1@store", "not-sent") THAWED,
			RULING_NOT_APPLICABLE},
		{"the rig took the user away",
			FROZEN "{\"t\":3,\"ev\":\"excused\",\"user\":\"u1\"}\n" ANSWER(
				"edge", 550, "5yz", 4) THAWED,
			RULING_HOLDS, .excused = 1},
		{"the next host refused", FROZEN ANSWER("outbound", 554, "5yz", 4) THAWED,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S4", rows);
}

static void accepted_mail_does_not_come_back_early(void)
{
	static const struct target forgetful = {.timers = {.give_up_ms = TIME_UNSET}};
	static const struct row rows[] = {
		{"after seconds",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED BOUNCE(60, "m1", "u2") END,
			RULING_BROKEN, "bounce"},
		{"after its lifetime",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED BOUNCE(432010, "m1", "u2") END,
			RULING_HOLDS},
		{"after its lifetime by the clock on the wall",
			FROZEN ANSWER("edge", 250, "2yz", 4) JUMP(5, 518400) BOUNCE(60, "m1", "u2")
				END,
			RULING_HOLDS},
		{"an hour is no lifetime",
			FROZEN ANSWER("edge", 250, "2yz", 4) JUMP(5, 3600) BOUNCE(60, "m1", "u2")
				END,
			RULING_BROKEN, "bounce"},
		{"the clock was put back",
			FROZEN ANSWER("edge", 250, "2yz", 4) JUMP(5, -518400) BOUNCE(60, "m1", "u2")
				END,
			RULING_BROKEN, "bounce"},
		{"it jumped only afterwards",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED BOUNCE(60, "m1", "u2")
				JUMP(70, 518400) END,
			RULING_BROKEN, "bounce"},
		{"lifetime unknown",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED BOUNCE(60, "m1", "u2") END,
			RULING_CANNOT_TELL, "give_up", .target = &forgetful},
		{"also in the baseline",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED BOUNCE(60, "m1", "u2") END,
			RULING_HOLDS,
			.baseline = WORK SEND(1, "m1", "u1@store") BOUNCE(60, "m1", "u2") END},
		{"the next host refused",
			FROZEN ANSWER("edge", 250, "2yz", 4) THAWED ANSWER(
				"outbound", 554, "5yz", 30) BOUNCE(60, "m1", "u2") END,
			RULING_HOLDS},
		{"the agent refused, as the quota was used up",
			WORK SEND(1, "m1", "u1@store") FAULT(2, "quota-full", "in-force")
				ANSWER("edge", 250, "2yz", 4) ANSWER("inner", 552, "5yz", 5)
					FAULT(8, "quota-full", "healed") BOUNCE(60, "m1", "u2") END,
			RULING_HOLDS},
		{"it refused by another reply",
			WORK SEND(1, "m1", "u1@store") FAULT(2, "quota-full", "in-force")
				ANSWER("edge", 250, "2yz", 4) ANSWER("inner", 451, "4yz", 5)
					FAULT(8, "quota-full", "healed") BOUNCE(60, "m1", "u2") END,
			RULING_BROKEN, "bounce"},
		{"it spoke of a quota that nobody had used up",
			FROZEN ANSWER("edge", 250, "2yz", 4) ANSWER("inner", 552, "5yz", 5)
				THAWED BOUNCE(60, "m1", "u2") END,
			RULING_BROKEN, "bounce"},
		{"the rig took a recipient away",
			FROZEN "{\"t\":3,\"ev\":\"excused\",\"user\":\"u1\"}\n" ANSWER(
				"edge", 250, "2yz", 4) THAWED BOUNCE(60, "m1", "u2") END,
			RULING_HOLDS},
		{"it was never accepted",
			FROZEN ANSWER("edge", 451, "4yz", 4) THAWED BOUNCE(60, "m1", "u2") END,
			RULING_HOLDS},
	};

	CHECK_TABLE("S4", rows);
}

CHECK_MAIN(CHECK_CASE(passing_trouble_is_not_answered_for_good),
	CHECK_CASE(what_no_fault_caused_is_not_judged),
	CHECK_CASE(accepted_mail_does_not_come_back_early))
