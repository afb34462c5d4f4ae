#include "tests/unit/oracle_table.h"

#define SENT		WORK SEND(1, "m1", "u1@store")
#define REFUSED(result) SENT TRY("edge", "m1", "u1@store", result) READ("u1")

static void a_refused_message_leaves_no_copy(void)
{
	static const struct row rows[] = {
		{"4yz", REFUSED("4yz") COPY("m1", "u1") END, RULING_BROKEN, "refused"},
		{"5yz", REFUSED("5yz") COPY("m1", "u1") END, RULING_BROKEN, "refused"},
		{"the dot never came", REFUSED("not-sent") COPY("m1", "u1") END, RULING_BROKEN,
			"never sent whole"},
		{"twice refused",
			REFUSED("4yz") TRY("edge", "m1", "u1@store", "5yz") COPY("m1", "u1") END,
			RULING_BROKEN},
		{"cut short and delivered cut short", REFUSED("not-sent") PARTIAL("m1", "u1") END,
			RULING_BROKEN},
		{"at the sink",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "4yz")
				SUNK("m1", "x@sink.rig") END,
			RULING_BROKEN},
		{"the client's NO, where the wire was not captured",
			SENT DONE(3, 1, "NO") READ("u1") COPY("m1", "u1") END, RULING_BROKEN},
		{"no copy", REFUSED("4yz") END, RULING_HOLDS},
		{"a notification is no copy", REFUSED("5yz") BOUNCE(810, "m1", "u1") END,
			RULING_HOLDS},
		{"another's copy", REFUSED("4yz") COPY("m2", "u1") END, RULING_HOLDS},
	};

	CHECK_TABLE("S2", rows);
}

static void one_chance_of_acceptance_is_enough(void)
{
	static const struct row rows[] = {
		{"accepted later",
			REFUSED("4yz") TRY("edge", "m1", "u1@store", "2yz") COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"a reply was lost",
			REFUSED("4yz") TRY("edge", "m1", "u1@store", "none") COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"the client's MAYBE", SENT DONE(3, 1, "MAYBE") READ("u1") COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"the rig appended it itself",
			REFUSED("4yz") "{\"t\":5,\"ev\":\"begin\",\"id\":2,\"op\":\"imap-append\","
				       "\"user\":\"u1\",\"token\":\"m1\"}\n" DONE(6, 2, "OK")
					       COPY("m1", "u1") END,
			RULING_HOLDS},
		{"the mailbox was not read back", SENT TRY("edge", "m1", "u1@store", "4yz") END,
			RULING_CANNOT_TELL, "not read back"},
		{"nobody of that name has a mailbox",
			WORK SEND(1, "m1", "nobody@store") TRY("edge", "m1", "nobody@store", "5yz")
				READ("u1") END,
			RULING_HOLDS},
		{"the mailbox could not be read",
			REFUSED("4yz") "{\"t\":5,\"ev\":\"unreadable\",\"user\":\"u1\"}\n" END,
			RULING_CANNOT_TELL},
		{"cut short", REFUSED("4yz") COPY("m1", "u1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S2", rows);
}

CHECK_MAIN(CHECK_CASE(a_refused_message_leaves_no_copy),
	CHECK_CASE(one_chance_of_acceptance_is_enough))
