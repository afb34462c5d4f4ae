#include "tests/unit/oracle_table.h"

#define SENT	      WORK SEND(1, "m1", "u1@store")
#define EDGE(result)  TRY("edge", "m1", "u1@store", result)
#define INNER(result) TRY("inner", "m1", "u1@store", result)
#define TWO	      COPY("m1", "u1") COPY("m1", "u1")

static const struct exception exceptions[] = {
	{(char *)"S3", (char *)"inner", (char *)"table", NULL},
};
static const struct target excepting = {
	.exceptions = (struct exception *)exceptions, .exception_count = 1};
static const struct exception whole[] = {{(char *)"S3", NULL, (char *)"table", NULL}};
static const struct target switched_off = {
	.exceptions = (struct exception *)whole, .exception_count = 1};

static void every_copy_has_its_cause(void)
{
	static const struct row rows[] = {
		{"one", SENT EDGE("2yz") INNER("2yz") COPY("m1", "u1") END, RULING_HOLDS},
		{"accepted twice", SENT EDGE("2yz") EDGE("2yz") INNER("2yz") TWO END, RULING_HOLDS},
		{"a reply lost at the edge", SENT EDGE("none") EDGE("2yz") INNER("2yz") TWO END,
			RULING_HOLDS},
		{"a reply lost behind the queue",
			SENT EDGE("2yz") INNER("none") INNER("2yz") TWO END, RULING_HOLDS},
		{"a reply lost on the way out",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
				TRY("outbound", "m1", "x@sink.rig", "none") SUNK("m1", "x@sink.rig")
					SUNK("m1", "x@sink.rig") END,
			RULING_HOLDS},
		{"appended too",
			SENT EDGE("2yz") INNER("2yz") "{\"t\":5,\"ev\":\"begin\",\"id\":2,"
						      "\"op\":\"imap-append\",\"user\":\"u1\","
						      "\"token\":\"m1\"}\n" TWO END,
			RULING_HOLDS},
		{"one for each of two recipients",
			SENT EDGE("2yz") TRY("edge", "m1", "u2@store", "2yz") INNER("2yz")
				COPY("m1", "u1") COPY("m1", "u2") END,
			RULING_HOLDS},
		{"no copy at all", SENT EDGE("2yz") INNER("2yz") END, RULING_NOT_APPLICABLE},
		{"cut short", SENT EDGE("2yz") INNER("2yz") TWO, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S3", rows);
}

static void a_copy_without_a_cause_is_blamed(void)
{
	static const struct row rows[] = {
		{"two for one", SENT EDGE("2yz") INNER("2yz") TWO END, RULING_BROKEN, "2 copies"},
		{"the last copy is named, then the others", SENT EDGE("2yz") INNER("2yz") TWO END,
			RULING_BROKEN, .line = 6, .role = "inner smtp-message 2yz"},
		{"and what the agent had answered",
			SENT EDGE("2yz") INNER("4yz") INNER("2yz") TWO END, RULING_BROKEN,
			.role = "inner smtp-message 4yz"},
		{"for good, too", SENT EDGE("2yz") INNER("5yz") INNER("2yz") TWO END, RULING_BROKEN,
			.role = "inner smtp-message 4yz"},
		{"on the way out",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
				TRY("outbound", "m1", "x@sink.rig", "2yz") SUNK("m1", "x@sink.rig")
					SUNK("m1", "x@sink.rig") END,
			RULING_BROKEN, .role = "outbound smtp-message 2yz"},
		{"three for a lost reply", SENT EDGE("2yz") INNER("none") TWO COPY("m1", "u1") END,
			RULING_BROKEN, "3 copies"},
		{"delivered though answered 4yz",
			SENT EDGE("2yz") INNER("4yz") INNER("2yz") TWO END, RULING_BROKEN},
		{"a dot that never came explains nothing",
			SENT EDGE("not-sent") EDGE("2yz") INNER("2yz") TWO END, RULING_BROKEN},
		{"one of a refused message", SENT EDGE("4yz") COPY("m1", "u1") END, RULING_BROKEN},
		{"a copy with another body counts",
			SENT EDGE("2yz") INNER("2yz") COPY("m1", "u1") COPY_OF("m1", "u1", "bb")
				END,
			RULING_BROKEN},
		{"an APPEND that was refused explains nothing",
			SENT EDGE("2yz") INNER("2yz") "{\"t\":5,\"ev\":\"begin\",\"id\":2,"
						      "\"op\":\"imap-append\",\"user\":\"u1\","
						      "\"token\":\"m1\"}\n" DONE(6, 2, "NO")
							      TWO END,
			RULING_BROKEN},
		{"an exception with its scope is counted", SENT EDGE("2yz") INNER("2yz") TWO END,
			RULING_HOLDS, .target = &excepting, .excused = 1},
		{"an exception without one switches nothing off",
			SENT EDGE("2yz") INNER("2yz") TWO END, RULING_BROKEN,
			.target = &switched_off},
	};

	CHECK_TABLE("S3", rows);
}

static void an_unseen_hop_is_an_excuse(void)
{
	static struct service hidden[] = {
		{.name = (char *)"lmtp", .protocol = PROTOCOL_LMTP, .seen = SEEN_HIDDEN}};
	static const struct target target = {.services = hidden, .service_count = 1};
	static const struct row rows[] = {
		{"the inner hop", SENT EDGE("2yz") TWO END, RULING_CANNOT_TELL, "behind the queue",
			.target = &target},
		{"the inner hop, with one copy of a refused message",
			SENT EDGE("4yz") COPY("m1", "u1") END, RULING_BROKEN, .target = &target},
		{"the edge, with one copy", SENT DONE(2, 1, "OK") COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"the inner hop, with one copy", SENT EDGE("2yz") COPY("m1", "u1") END,
			RULING_HOLDS, .target = &target},
		{"seen after all", SENT EDGE("2yz") INNER("2yz") TWO END, RULING_BROKEN,
			.target = &target},
		{"a relay that was never asked is seen too", SENT EDGE("2yz") TWO END,
			RULING_BROKEN},
		{"the edge", SENT DONE(2, 1, "OK") TWO END, RULING_CANNOT_TELL, "to the store"},
		{"the rig copied messages itself",
			SENT EDGE("2yz") INNER("2yz") OP(4, 5, "imap-uid-copy", "u1")
				DONE(5, 5, "OK") TWO END,
			RULING_CANNOT_TELL, "itself copied"},
	};

	CHECK_TABLE("S3", rows);
}

CHECK_MAIN(CHECK_CASE(every_copy_has_its_cause), CHECK_CASE(a_copy_without_a_cause_is_blamed),
	CHECK_CASE(an_unseen_hop_is_an_excuse))
