#include "tests/unit/oracle_table.h"

#define SENT WORK SEND(1, "m1", "u1@store")

#define REAL                                                                                       \
	WORK "{\"t\":1,\"ev\":\"begin\",\"id\":1,\"who\":\"w.1\",\"op\":\"smtp-message\","         \
	     "\"service\":\"smtp\",\"token\":\"m1\",\"from\":\"w@sink.rig\",\"to\":[\"u1@store\"]" \
	     ","                                                                                   \
	     "\"sha256\":\"aa\",\"bytes\":9,\"source\":\"list/1.eml\"}\n"

static void a_copy_is_what_was_sent(void)
{
	static const struct row rows[] = {
		{"the sent body", SENT COPY("m1", "u1") END, RULING_HOLDS},
		{"changed as in the baseline", SENT COPY_OF("m1", "u1", "bb") END, RULING_HOLDS,
			.baseline = SENT COPY_OF("m1", "u1", "bb") END},
		{"changed otherwise than in the baseline", SENT COPY_OF("m1", "u1", "bb") END,
			RULING_BROKEN, "another body",
			.baseline = SENT COPY_OF("m1", "u1", "cc") END},
		{"changed, though not in the baseline", SENT COPY_OF("m1", "u1", "bb") END,
			RULING_BROKEN, .baseline = SENT COPY("m1", "u1") END},
		{"the baseline sent other messages and changed none",
			SENT COPY_OF("m1", "u1", "bb") END, RULING_BROKEN,
			.baseline = WORK SEND(1, "m9", "u1@store") COPY("m9", "u1") END},
		{"the baseline sent other messages and changed some",
			SENT COPY_OF("m1", "u1", "bb") END, RULING_CANNOT_TELL,
			.baseline = WORK SEND(1, "m9", "u1@store") COPY_OF("m9", "u1", "cc") END},
		{"no baseline", SENT COPY_OF("m1", "u1", "bb") END, RULING_CANNOT_TELL, "compared"},
		{"real mail, changed, and no baseline", REAL COPY_OF("m1", "u1", "bb") END,
			RULING_HOLDS},
		{"real mail, changed otherwise than in the baseline",
			REAL COPY_OF("m1", "u1", "bb") END, RULING_BROKEN, "another body",
			.baseline = REAL COPY_OF("m1", "u1", "cc") END},
		{"real mail without its header's end", REAL PARTIAL("m1", "u1") END, RULING_BROKEN,
			"header"},
		{"half a header needs none", SENT PARTIAL("m1", "u1") END, RULING_BROKEN, "header"},
		{"one good, one bad", SENT COPY("m1", "u1") PARTIAL("m1", "u1") END, RULING_BROKEN},
		{"at the sink", WORK SEND(1, "m1", "x@sink.rig") SUNK("m1", "x@sink.rig") END,
			RULING_HOLDS},
		{"mail of the warm-up was sent by nobody", SENT COPY_OF("w0", "u1", "bb") END,
			RULING_NOT_APPLICABLE},
		{"no copy", SENT END, RULING_NOT_APPLICABLE},
		{"a notification is no copy", SENT BOUNCE(810, "m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"cut short", SENT PARTIAL("m1", "u1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S8", rows);
}

CHECK_MAIN(CHECK_CASE(a_copy_is_what_was_sent))
