#include "tests/unit/oracle_table.h"

static char *smtp_and_delivery[] = {(char *)"smtp", (char *)"delivery"};
static struct agent agents[] = {
	{.name = (char *)"mta", .needed_by = {smtp_and_delivery, 2}},
};
static struct service services[] = {
	{.name = (char *)"smtp", .protocol = PROTOCOL_SMTP, .port = 25},
	{.name = (char *)"imap", .protocol = PROTOCOL_IMAP, .port = 143},
};
static struct target target;

#define AWAY(t, state)                                                              \
	"{\"t\":" #t ",\"ev\":\"fault\",\"step\":\"s\",\"fault\":\"mta-disabled\"," \
	"\"agent\":\"mta\",\"state\":" Q(state) "}\n"
/* slowdown 5, slowdown_floor 2 s. */
#define READER(id, from, to) OP(from, id, "imap-noop", "u1") DONE(to, id, "OK")
#define USUAL		     WORK READER(1, 1, 1.01) READER(2, 2, 2.02) END
#define SLOW_USUAL	     WORK READER(1, 1, 2) END

static void who_does_not_need_it_goes_on(void)
{
	static const struct row rows[] = {
		{"three seconds while it was away",
			WORK AWAY(1, "in-force") READER(1, 2, 5) AWAY(9, "healed") END,
			RULING_BROKEN, "'mta'", .baseline = USUAL, .target = &target,
			.role = "imap-noop", .line = 3},
		{"it never came back",
			WORK AWAY(1, "in-force") OP(2, 1, "imap-noop", "u1") AWAY(9, "healed")
				PHASE(30, "drain") END,
			RULING_BROKEN, "had not ended after 28.0 s", .baseline = USUAL,
			.target = &target},
		{"it began before",
			WORK OP(1, 1, "imap-noop", "u1") AWAY(2, "in-force") DONE(5, 1, "OK")
				AWAY(9, "healed") END,
			RULING_BROKEN, "3.0 s", .baseline = USUAL, .target = &target},
		{"one second is never slow",
			WORK AWAY(1, "in-force") READER(1, 2, 3) AWAY(9, "healed") END,
			RULING_HOLDS, .baseline = USUAL, .target = &target},
		{"four seconds where one is usual",
			WORK AWAY(1, "in-force") READER(1, 2, 6) AWAY(9, "healed") END,
			RULING_HOLDS, .baseline = SLOW_USUAL, .target = &target},
		{"six seconds where one is usual",
			WORK AWAY(1, "in-force") READER(1, 2, 8) AWAY(9, "healed") END,
			RULING_BROKEN, "limit 5.0 s", .baseline = SLOW_USUAL, .target = &target},
		{"SMTP needs it",
			WORK AWAY(1, "in-force") SEND(1, "m1", "u1@store") DONE(8, 1, "OK")
				AWAY(9, "healed") END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"before and after it was away",
			WORK READER(1, 1, 5) AWAY(6, "in-force") AWAY(7, "healed") READER(2, 8, 12)
				END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"IDLE waits for work",
			WORK AWAY(1, "in-force") OP(2, 1, "imap-idle", "u1") DONE(8, 1, "OK")
				AWAY(9, "healed") END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"the administrator's own command",
			WORK AWAY(1, "in-force") OP(2, 1, "move-mailbox", "u1") DONE(8, 1, "OK")
				AWAY(9, "healed") END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"the mailbox that is being moved",
			WORK AWAY(1, "in-force") OP(2, 2, "move-mailbox", "u1") READER(1, 3, 7)
				DONE(8, 2, "OK") AWAY(9, "healed") END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"another fault too",
			WORK AWAY(1, "in-force") FAULT(1, "freeze-fs", "in-force") READER(1, 2, 7)
				AWAY(9, "healed") END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
		{"no agent is away", WORK FAULT(1, "freeze-fs", "in-force") READER(1, 2, 7) END,
			RULING_NOT_APPLICABLE, .baseline = USUAL, .target = &target},
	};

	CHECK_TABLE("H3", rows);
}

static void who_cannot_compare_does_not_blame(void)
{
	static const struct row rows[] = {
		{"no baseline", WORK AWAY(1, "in-force") READER(1, 2, 5) AWAY(9, "healed") END,
			RULING_CANNOT_TELL, "baseline", .target = &target},
		{"the host was busy",
			WORK AWAY(1, "in-force") READER(1, 2, 5) STARVED(4) AWAY(9, "healed") END,
			RULING_CANNOT_TELL, "starved", .baseline = USUAL, .target = &target},
		{"quick enough without a baseline",
			WORK AWAY(1, "in-force") READER(1, 2, 2.5) AWAY(9, "healed") END,
			RULING_HOLDS, .target = &target},
	};

	CHECK_TABLE("H3", rows);
}

static int set_up(void)
{
	target = table_target();
	target.agents = agents;
	target.agent_count = 1;
	target.services = services;
	target.service_count = 2;
	return 0;
}

static void the_tables_of_h3(void)
{
	set_up();
	who_does_not_need_it_goes_on();
	who_cannot_compare_does_not_blame();
}

CHECK_MAIN(CHECK_CASE(the_tables_of_h3))
