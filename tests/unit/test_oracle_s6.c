#include "tests/unit/oracle_table.h"

#define SINK "{\"t\":830,\"ev\":\"sink\",\"mails\":1}\n"
#define FROM(id, token, from, to, more)                                                     \
	"{\"t\":1,\"ev\":\"begin\",\"id\":" #id ",\"who\":\"w.1\",\"op\":\"smtp-message\"," \
	"\"token\":" Q(token) ",\"from\":" Q(from) ",\"to\":[" Q(to) "]" more "}\n"
/* A message that the next hop, or the delivery agent, refused for good after it had been accepted. */
#define GIVEN_UP(hop, to) TRY("edge", "m1", to, "2yz") TRY(hop, "m1", to, "5yz")
#define FAILED		  WORK SEND(1, "m1", "x@sink.rig") GIVEN_UP("outbound", "x@sink.rig") SINK
#define TOLD(from, to, failed)                                                                     \
	"{\"t\":820,\"ev\":\"sunk\",\"from\":" Q(from) ",\"to\":[" Q(to) "],\"bounce_of\":\"m1\"," \
									 "\"failed\":" Q(          \
										 failed) "}\n"
#define BOXED(user, failed, action)                                                          \
	"{\"t\":820,\"ev\":\"copy\",\"user\":" Q(                                            \
		user) ",\"mailbox\":\"INBOX\",\"uid\":1,"                                    \
		      "\"sha256\":\"dd\",\"whole\":true,\"bounce_of\":\"m1\",\"failed\":" Q( \
			      failed) ",\"action\":" Q(action) "}\n"

static void a_failure_is_told(void)
{
	static const struct row rows[] = {
		{"nobody was told", FAILED END, RULING_BROKEN, "was not told",
			.role = "notification none", .line = 4},
		{"told at the sink", FAILED TOLD("", "w@sink.rig", "x@sink.rig") END, RULING_HOLDS},
		{"told, and it names nobody", FAILED TOLD("", "w@sink.rig", "") END, RULING_HOLDS},
		{"told, of another", FAILED TOLD("", "w@sink.rig", "y@sink.rig") END, RULING_BROKEN,
			"was not told"},
		{"only a warning of delay",
			FAILED "{\"t\":820,\"ev\":\"sunk\",\"from\":\"\",\"to\":[\"w@sink.rig\"],"
			       "\"bounce_of\":\"m1\",\"action\":\"delayed\"}\n" END,
			RULING_BROKEN, "was not told"},
		{"to a sender of the store",
			WORK FROM(1, "m1", "u2@store", "u1@store", ) GIVEN_UP("inner", "u1@store")
				READ("u2") BOXED("u2", "u1@store", "failed") END,
			RULING_HOLDS},
		{"to a sender of the store, never",
			WORK FROM(1, "m1", "u2@store", "u1@store", ) GIVEN_UP("inner", "u1@store")
				READ("u2") END,
			RULING_BROKEN, "was not told"},
		{"the notification is still queued",
			FAILED "{\"t\":820,\"ev\":\"queued\",\"id\":\"4Q\",\"state\":\"deferred\","
			       "\"to\":[\"w@sink.rig\"],\"bounce_of\":\"m1\"}\n" END,
			RULING_HOLDS},
		{"two failed, one notification for both",
			WORK FROM(1, "m1", "w@sink.rig", "x@sink.rig", ) GIVEN_UP(
				"outbound", "x@sink.rig") GIVEN_UP("outbound", "y@sink.rig")
				SINK TOLD("", "w@sink.rig", "x@sink.rig y@sink.rig") END,
			RULING_HOLDS},
		{"two failed, one was told of",
			WORK FROM(1, "m1", "w@sink.rig", "x@sink.rig", ) GIVEN_UP(
				"outbound", "x@sink.rig") GIVEN_UP("outbound", "y@sink.rig")
				SINK TOLD("", "w@sink.rig", "x@sink.rig") END,
			RULING_BROKEN, "'y@sink.rig'"},
		{"refused at RCPT, which names no mail",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
				TRY("outbound", "", "x@sink.rig", "5yz") SINK END,
			RULING_BROKEN, "was not told"},
		{"another was refused at RCPT, this one arrived",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")
				TRY("outbound", "", "x@sink.rig", "5yz")
					TRY("outbound", "m1", "x@sink.rig", "2yz") SINK END,
			RULING_NOT_APPLICABLE},
		{"refused at the edge: the client knows",
			WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "5yz")
				SINK END,
			RULING_NOT_APPLICABLE},
		{"refused once, taken later", FAILED TRY("outbound", "m1", "x@sink.rig", "2yz") END,
			RULING_NOT_APPLICABLE},
		{"cut short", FAILED, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S6", rows);
}

static void nobody_else_is_told_and_nobody_twice(void)
{
	static const struct row rows[] = {
		{"twice",
			FAILED TOLD("", "w@sink.rig", "x@sink.rig")
				TOLD("", "w@sink.rig", "x@sink.rig") END,
			RULING_BROKEN, "2 notifications", .role = "notification twice"},
		{"twice, and a process died meanwhile",
			FAILED
			"{\"t\":5,\"ev\":\"died\",\"program\":\"bounce\",\"signal\":9}\n" TOLD(
				"", "w@sink.rig", "x@sink.rig") TOLD("", "w@sink.rig", "x@sink.rig")
				END,
			RULING_HOLDS},
		{"twice, and a reply to the return path was lost",
			FAILED TRY("outbound", "", "w@sink.rig", "none") TOLD("", "w@sink.rig",
				"x@sink.rig") TOLD("", "w@sink.rig", "x@sink.rig") END,
			RULING_HOLDS},
		{"a sender in the envelope",
			FAILED TOLD("mailer@store", "w@sink.rig", "x@sink.rig") END, RULING_BROKEN,
			"must be null", .role = "notification sender"},
		{"to somebody else", FAILED TOLD("", "z@sink.rig", "x@sink.rig") END, RULING_BROKEN,
			"instead of its return path", .role = "notification astray"},
		{"to postmaster too",
			FAILED TOLD("", "w@sink.rig", "x@sink.rig")
				BOXED("postmaster", "x@sink.rig", "failed") END,
			RULING_HOLDS},
		{"no return path, and told all the same",
			WORK FROM(1, "m1", "", "x@sink.rig", ) GIVEN_UP("outbound", "x@sink.rig")
				SINK TOLD("", "daemon@client.rig", "x@sink.rig") END,
			RULING_BROKEN, "no return path", .role = "notification null-path"},
		{"no return path, nobody told",
			WORK FROM(1, "m1", "", "x@sink.rig", ) GIVEN_UP("outbound", "x@sink.rig")
				SINK END,
			RULING_HOLDS},
		{"NOTIFY=NEVER, and told",
			WORK FROM(1, "m1", "w@sink.rig", "x@sink.rig", ",\"notify\":\"never\"")
				GIVEN_UP("outbound", "x@sink.rig")
					SINK TOLD("", "w@sink.rig", "x@sink.rig") END,
			RULING_BROKEN, "no notification", .role = "notification never"},
		{"NOTIFY=NEVER, nobody told",
			WORK FROM(1, "m1", "w@sink.rig", "x@sink.rig", ",\"notify\":\"never\"")
				GIVEN_UP("outbound", "x@sink.rig") SINK END,
			RULING_HOLDS},
	};

	CHECK_TABLE("S6", rows);
}

static void who_cannot_see_the_return_path_does_not_blame(void)
{
	static const struct row rows[] = {
		{"the sink was not asked",
			WORK SEND(1, "m1", "x@sink.rig") GIVEN_UP("outbound", "x@sink.rig") END,
			RULING_CANNOT_TELL, "not captured"},
		{"the sender's mailbox was not read",
			WORK FROM(1, "m1", "u2@store", "u1@store", ) GIVEN_UP("inner", "u1@store")
				END,
			RULING_CANNOT_TELL, "not read back"},
		{"a nameless message to the sender was refused",
			FAILED TRY("outbound", "", "w@sink.rig", "5yz") END, RULING_CANNOT_TELL,
			"refused on its way"},
		{"something nameless is queued for the sender",
			FAILED "{\"t\":820,\"ev\":\"queued\",\"id\":\"4Q\",\"state\":\"deferred\","
			       "\"to\":[\"w@sink.rig\"]}\n" END,
			RULING_CANNOT_TELL, "queue"},
	};

	CHECK_TABLE("S6", rows);
}

CHECK_MAIN(CHECK_CASE(a_failure_is_told), CHECK_CASE(nobody_else_is_told_and_nobody_twice),
	CHECK_CASE(who_cannot_see_the_return_path_does_not_blame))
