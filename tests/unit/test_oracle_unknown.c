/*
 * Attempts whose result a gap hides: they may have been anything, so no law blames the store for what they
 * may explain, and none is content with them. Each row has a twin without the hidden attempt, or with its
 * result seen, that is broken: so that the doubt is what makes the difference.
 */
#include "tests/unit/oracle_table.h"

#define SENT			      WORK SEND(1, "m1", "u1@store")
#define EDGE(result)		      TRY("edge", "m1", "u1@store", result)
#define INNER(result)		      TRY("inner", "m1", "u1@store", result)
#define HIDDEN(hop)		      TRY(hop, "", "u1@store", "unknown") /* not even the token was seen */
#define IN_TLS(hop)		      TRY(hop, "", "", "unknown") /* nor for whom: a whole connection */
#define MINE			      COPY("m1", "u1")
#define GOT(result, code, dot, reply) TRY_AT("inner", "m1", "u1@store", result, code, dot, reply)

static void a_hidden_acceptance_is_not_owed(void)
{
	static const struct row rows[] = {
		{"accepted and lost", SENT EDGE("2yz") READ("u1") END, RULING_BROKEN},
		{"hidden, and the client knows no more",
			SENT DONE(3, 1, "MAYBE") EDGE("unknown") READ("u1") END, RULING_CANNOT_TELL,
			"gap"},
		{"hidden, and there it is",
			SENT DONE(3, 1, "MAYBE") EDGE("unknown") READ("u1") MINE END,
			RULING_NOT_APPLICABLE},
		{"hidden without its token", SENT DONE(3, 1, "MAYBE") HIDDEN("edge") READ("u1") END,
			RULING_CANNOT_TELL, "gap"},
		{"TLS hides all, and the client knows no more",
			SENT DONE(3, 1, "MAYBE") IN_TLS("edge") READ("u1") END, RULING_CANNOT_TELL},
		{"TLS hides all, but the client read OK",
			SENT DONE(3, 1, "OK") IN_TLS("edge") READ("u1") END, RULING_BROKEN},
		{"hidden, but the client read OK",
			SENT DONE(3, 1, "OK") EDGE("unknown") READ("u1") END, RULING_BROKEN},
		{"refused once, hidden once, and the client read OK",
			SENT DONE(3, 1, "OK") EDGE("4yz") EDGE("unknown") READ("u1") END,
			RULING_BROKEN},
		{"hidden, and the client read NO",
			SENT DONE(3, 1, "NO") EDGE("unknown") READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"accepted by another attempt", SENT EDGE("unknown") EDGE("2yz") READ("u1") END,
			RULING_BROKEN},
		{"sent on, and hidden how that ended",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
				TRY("outbound", "m1", "x@sink.rig", "unknown") END,
			RULING_CANNOT_TELL, "gap hides"},
	};

	CHECK_TABLE("S1", rows);
}

static void a_hidden_answer_is_no_refusal(void)
{
	static const struct row rows[] = {
		{"refused and kept", SENT EDGE("4yz") READ("u1") MINE END, RULING_BROKEN},
		{"hidden and kept", SENT EDGE("unknown") READ("u1") MINE END,
			RULING_NOT_APPLICABLE},
		{"refused once, hidden once", SENT EDGE("4yz") EDGE("unknown") READ("u1") MINE END,
			RULING_NOT_APPLICABLE},
		{"refused, and some attempt is hidden",
			SENT EDGE("4yz") HIDDEN("edge") READ("u1") MINE END, RULING_NOT_APPLICABLE},
		{"refused, and TLS hides a connection",
			SENT EDGE("4yz") IN_TLS("edge") READ("u1") MINE END, RULING_NOT_APPLICABLE},
		{"TLS hides a connection of another hop",
			SENT EDGE("4yz") IN_TLS("inner") READ("u1") MINE END, RULING_BROKEN},
		{"another's attempt is hidden",
			SENT EDGE("4yz") TRY("edge", "", "u2@store", "unknown") READ("u1") MINE END,
			RULING_BROKEN},
	};

	CHECK_TABLE("S2", rows);
}

static void a_hidden_attempt_may_explain_a_copy(void)
{
	static const struct row rows[] = {
		{"two for one", SENT EDGE("2yz") INNER("2yz") MINE MINE END, RULING_BROKEN},
		{"one more is hidden at the edge",
			SENT EDGE("2yz") EDGE("unknown") INNER("2yz") MINE MINE END,
			RULING_NOT_APPLICABLE},
		{"one more is hidden behind the queue",
			SENT EDGE("2yz") INNER("2yz") INNER("unknown") MINE MINE END,
			RULING_NOT_APPLICABLE},
		{"whose it is is hidden too",
			SENT EDGE("2yz") INNER("2yz") HIDDEN("inner") MINE MINE END,
			RULING_NOT_APPLICABLE},
		{"TLS hides a connection",
			SENT EDGE("2yz") IN_TLS("edge") INNER("2yz") MINE MINE MINE END,
			RULING_NOT_APPLICABLE},
		{"more than hidden attempts explain",
			SENT EDGE("2yz") INNER("2yz") INNER("unknown") MINE MINE MINE END,
			RULING_CANNOT_TELL, "gap hides"},
		{"the hidden one is none too many",
			SENT EDGE("2yz") EDGE("unknown") INNER("2yz") MINE END, RULING_HOLDS},
	};

	CHECK_TABLE("S3", rows);
}

static void a_hidden_reply_has_no_class(void)
{
	static const struct row rows[] = {
		{"554",
			SENT FAULT(2, "freeze-fs", "in-force")
				TRY_AT("edge", "m1", "u1@store", "5yz", 554, 3, 4),
			RULING_BROKEN},
		{"hidden", SENT FAULT(2, "freeze-fs", "in-force") EDGE("unknown"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S4", rows);
}

static void a_hidden_reply_is_not_late(void)
{
	static const struct row rows[] = {
		{"none came",
			SENT "{\"t\":9,\"ev\":\"attempt\",\"hop\":\"edge\",\"token\":\"m1\",\"to\":"
			     "\"u1@store\",\"result\":\"none\",\"dot_t\":2}\n" DONE(50, 1, "MAYBE"),
			RULING_BROKEN},
		{"hidden",
			SENT
			"{\"t\":9,\"ev\":\"attempt\",\"hop\":\"edge\",\"token\":\"m1\",\"to\":"
			"\"u1@store\",\"result\":\"unknown\",\"dot_t\":2}\n" DONE(50, 1, "MAYBE"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S5", rows);
}

#define OUT(result) TRY("outbound", "m1", "x@sink.rig", result)
#define FAR	    WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
#define SINK	    "{\"t\":830,\"ev\":\"sink\",\"mails\":1}\n"
#define TOLD                                                                              \
	"{\"t\":820,\"ev\":\"sunk\",\"from\":\"\",\"to\":[\"w@sink.rig\"],\"bounce_of\":" \
	"\"m1\",\"failed\":\"x@sink.rig\"}\n"

static void a_hidden_end_is_no_failure(void)
{
	static const struct row rows[] = {
		{"given up, nobody told", FAR OUT("5yz") SINK END, RULING_BROKEN},
		{"tried again after that, and hidden how it ended",
			FAR OUT("5yz") OUT("unknown") SINK END, RULING_NOT_APPLICABLE},
		{"another was given up at RCPT, this one's end is hidden",
			FAR TRY("outbound", "", "x@sink.rig", "5yz") OUT("unknown") SINK END,
			RULING_NOT_APPLICABLE},
		{"the notification itself may be in the hidden attempt",
			FAR OUT("5yz") TRY("outbound", "", "w@sink.rig", "unknown") SINK END,
			RULING_CANNOT_TELL},
		{"told twice", FAR OUT("5yz") SINK TOLD TOLD END, RULING_BROKEN},
		{"told twice, of a mail that may have been accepted twice",
			FAR TRY("edge", "m1", "x@sink.rig", "unknown") OUT("5yz")
				SINK TOLD TOLD END,
			RULING_HOLDS},
	};

	CHECK_TABLE("S6", rows);
}

static void hidden_replies_are_not_left_out(void)
{
	static const struct row rows[] = {
		{"left out",
			WORK "{\"t\":9,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":1,\"token\":"
			     "\"m1\",\"to\":\"u1\",\"result\":\"none\",\"dot_t\":2}\n" TRY_AT(
				     "inner", "m1", "u2", "2yz", 250, 2, 4),
			RULING_BROKEN},
		{"hidden",
			WORK "{\"t\":9,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":1,\"token\":"
			     "\"m1\",\"to\":\"u1\",\"result\":\"unknown\",\"dot_t\":2}\n" TRY_AT(
				     "inner", "m1", "u2", "2yz", 250, 2, 4),
			RULING_HOLDS},
	};

	CHECK_TABLE("L1", rows);
}

#define HURT(user)                                                                             \
	"{\"t\":1,\"ev\":\"fault\",\"step\":\"f\",\"fault\":\"errno\",\"state\":\"in-force\"," \
	"\"user\":" Q(user) "}\n"

static void a_hidden_delivery_may_be_one(void)
{
	static const struct row rows[] = {
		{"refused and kept", SENT GOT("4yz", 451, 3, 4) READ("u1") MINE END, RULING_BROKEN},
		{"refused once, hidden once",
			SENT GOT("4yz", 451, 3, 4) INNER("unknown") READ("u1") MINE END,
			RULING_HOLDS},
		{"refused, and some delivery is hidden",
			SENT GOT("4yz", 451, 3, 4) HIDDEN("inner") READ("u1") MINE END,
			RULING_HOLDS},
		{"refused, and TLS hides a connection",
			SENT GOT("4yz", 451, 3, 4) IN_TLS("inner") READ("u1") MINE END,
			RULING_HOLDS},
		{"refused beside another's trouble",
			SENT HURT("u2") GOT("4yz", 451, 3, 4) READ("u1") END, RULING_BROKEN,
			.baseline = SENT GOT("2yz", 250, 3, 4) MINE END},
		{"hidden beside another's trouble",
			SENT HURT("u2") GOT("unknown", 0, 3, 4) READ("u1") END,
			RULING_NOT_APPLICABLE, .baseline = SENT GOT("2yz", 250, 3, 4) MINE END},
	};

	CHECK_TABLE("L2", rows);
}

#define ARMED(step, point)                                                             \
	"{\"t\":1,\"ev\":\"fault\",\"step\":" Q(                                       \
		step) ",\"fault\":\"errno\",\"state\":\"armed\",\"point\":\"posix/io/" \
		      "sync/" point "\",\"errno\":\"EIO\",\"calls\":1000}\n"
#define HEALING(step) FAULT(90, step, "healing")

static void a_hidden_answer_promises_nothing(void)
{
	static const struct row rows[] = {
		{"taken",
			SENT ARMED("a", "fsync") ARMED("b", "fdatasync") GOT("2yz", 250, 5, 6)
				HEALING("a") HEALING("b") END,
			RULING_BROKEN},
		{"hidden",
			SENT ARMED("a", "fsync") ARMED("b", "fdatasync") GOT("unknown", 0, 5, 6)
				HEALING("a") HEALING("b") END,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U2", rows);
}

CHECK_MAIN(CHECK_CASE(a_hidden_acceptance_is_not_owed), CHECK_CASE(a_hidden_answer_is_no_refusal),
	CHECK_CASE(a_hidden_attempt_may_explain_a_copy), CHECK_CASE(a_hidden_reply_has_no_class),
	CHECK_CASE(a_hidden_reply_is_not_late), CHECK_CASE(a_hidden_end_is_no_failure),
	CHECK_CASE(hidden_replies_are_not_left_out), CHECK_CASE(a_hidden_delivery_may_be_one),
	CHECK_CASE(a_hidden_answer_promises_nothing))
