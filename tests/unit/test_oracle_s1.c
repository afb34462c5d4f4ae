#include "tests/unit/oracle_table.h"

/* The store's reply to the dot named the entry of its queue. */
#define QUEUED_AS(token, id)                                                                       \
	"{\"t\":2,\"ev\":\"attempt\",\"hop\":\"edge\",\"conn\":1,\"token\":" Q(                    \
		token) ",\"to\":"                                                                  \
		       "\"u1@store\",\"result\":\"2yz\",\"code\":250,\"text\":\"2.0.0 Ok: queued " \
		       "as " id "\"}\n"
#define ACCEPTED \
	WORK SEND(1, "m1", "u1@store") DONE(3, 1, "OK") TRY("edge", "m1", "u1@store", "2yz")
#define ELSEWHERE WORK SEND(1, "m1", "x@sink.rig") TRY("edge", "m1", "x@sink.rig", "2yz")

static void what_is_accepted_is_somewhere(void)
{
	static const struct row rows[] = {
		{"a copy", ACCEPTED READ("u1") COPY("m1", "u1") END, RULING_HOLDS},
		{"the owner is written in another way",
			WORK SEND(1, "m1", "<U1+tag@Store>") TRY("edge", "m1", "u1@store", "2yz")
				READ("u1") COPY("m1", "u1") END,
			RULING_HOLDS},
		{"queued under its token", ACCEPTED READ("u1") QUEUED("m1", "u1@store") END,
			RULING_HOLDS},
		{"a notification arrived at home", ACCEPTED READ("u1") BOUNCE(810, "m1", "u2") END,
			RULING_HOLDS},
		{"a notification at the sink",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"sunk\",\"bounce_of\":\"m1\",\"to\":["
					    "]}\n" END,
			RULING_HOLDS},
		{"queued under the ID the reply named",
			WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store",
				"2yz") "{\"t\":3,\"ev\":\"end\",\"id\":1,\"op\":\"smtp-message\","
				       "\"outcome\":\"OK\","
				       "\"text\":\"2.0.0 Ok: queued as 4ABCdef\"}\n" READ(
					       "u1") "{\"t\":9,\"ev\":\"queued\",\"id\":"
						     "\"4ABCdef\",\"state\":\"active\","
						     "\"to\":[\"u1@store\"]}\n" END,
			RULING_HOLDS},
		{"handed to the next host",
			ELSEWHERE TRY("outbound", "m1", "x@sink.rig", "2yz") END, RULING_HOLDS},
		{"arrived at the sink", ELSEWHERE SUNK("m1", "x@sink.rig") END, RULING_HOLDS},
	};

	CHECK_TABLE("S1", rows);
}

/* Its content was never asked for, so no token says which mail it is about. */
#define NOTICE_REFUSED(from)                                                                      \
	"{\"t\":4,\"ev\":\"attempt\",\"hop\":\"outbound\",\"conn\":3,\"token\":\"\",\"from\":" Q( \
		from) ",\"to\":\"w@sink.rig\",\"result\":\"5yz\",\"code\":550}\n"
#define SINK		  "{\"t\":830,\"ev\":\"sink\",\"mails\":1}\n"
#define REFUSED_ELSEWHERE ELSEWHERE TRY("outbound", "", "x@sink.rig", "5yz")
#define REFUSED_TWICE \
	REFUSED_ELSEWHERE SEND(2, "m2", "x@sink.rig") TRY("edge", "m2", "x@sink.rig", "2yz")

/* RFC 5321 4.5.5: nobody is notified that a notification failed. */
static void whose_server_refuses_the_notification_cannot_be_told(void)
{
	static const struct row rows[] = {
		{"refused", REFUSED_ELSEWHERE NOTICE_REFUSED("") SINK END, RULING_HOLDS,
			.excused = 1},
		{"nobody tried", REFUSED_ELSEWHERE SINK END, RULING_BROKEN},
		{"other mail to the sender was refused",
			REFUSED_ELSEWHERE NOTICE_REFUSED("u2@store") SINK END, RULING_BROKEN},
		{"nobody refused the mail itself", ELSEWHERE NOTICE_REFUSED("") SINK END,
			RULING_BROKEN},
		{"one notification, two mails", REFUSED_TWICE NOTICE_REFUSED("") SINK END,
			RULING_BROKEN, .excused = 1},
		{"two notifications, two mails",
			REFUSED_TWICE NOTICE_REFUSED("") NOTICE_REFUSED("") SINK END, RULING_HOLDS,
			.excused = 2},
	};

	CHECK_TABLE("S1", rows);
}

static void what_is_accepted_and_nowhere_is_lost(void)
{
	static const struct row rows[] = {
		{"no copy", ACCEPTED READ("u1") END, RULING_BROKEN, "no copy"},
		{"accepted at the second attempt",
			WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "4yz")
				TRY("edge", "m1", "u1@store", "2yz") READ("u1") END,
			RULING_BROKEN},
		{"one of two recipients",
			WORK "{\"t\":1,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\",\"token\":"
			     "\"m1\","
			     "\"to\":[\"u1@store\",\"u2@store\"],\"sha256\":\"aa\"}\n" TRY("edge",
				     "m1", "u1@store", "2yz") TRY("edge", "m1", "u2@store", "2yz")
				     READ("u1") READ("u2") COPY("m1", "u1") END,
			RULING_BROKEN, "'u2'"},
		{"the line of the acceptance is named",
			WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "4yz")
				TRY("inner", "m1", "u1@store", "2yz")
					TRY("edge", "m1", "u1@store", "2yz") READ("u1") END,
			RULING_BROKEN, .line = 5, .role = "edge smtp-message 2yz"},
		{"another's copy is none", ACCEPTED READ("u1") COPY("m1", "u2") END, RULING_BROKEN},
		{"only its beginning is there", ACCEPTED READ("u1") PARTIAL("m1", "u1") END,
			RULING_BROKEN, "damaged"},
		{"another body, and this store changes none",
			ACCEPTED READ("u1") COPY_OF("m1", "u1", "bb") END, RULING_BROKEN, "damaged",
			.baseline = WORK SEND(1, "m9", "u1@store") COPY("m9", "u1") END},
		{"a quoted token is no copy but a notification of another mail",
			ACCEPTED READ("u1") BOUNCE(810, "m2", "u1") END, RULING_BROKEN},
		{"the client's OK, where the wire was not captured",
			WORK SEND(1, "m1", "u1@store") DONE(3, 1, "OK") READ("u1") END,
			RULING_BROKEN},
		{"remote, and the sink has others", ELSEWHERE SUNK("m2", "x@sink.rig") END,
			RULING_BROKEN},
		{"fewer were removed than are missing",
			ACCEPTED SEND(2, "m2", "u1@store") TRY("edge", "m2", "u1@store", "2yz")
				READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\","
					   "\"mailbox\":\"INBOX\",\"count\":1}\n" END,
			RULING_BROKEN, .excused = 1},
		{"a mailbox that it was not in was emptied",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\","
					    "\"mailbox\":\"Trash\"}\n" END,
			RULING_BROKEN},
		{"it came only after everything had been removed",
			"{\"t\":0,\"ev\":\"excused\",\"user\":\"u1\"}\n" ACCEPTED READ("u1") END,
			RULING_BROKEN},
		{"another entry of the queue was deleted",
			ACCEPTED QUEUED_AS("m1", "4Xa") READ(
				"u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u2\",\"queue_id\":"
				      "\"4Xb\"}\n" END,
			RULING_BROKEN},
	};

	CHECK_TABLE("S1", rows);
}

static void what_the_rig_removed_is_excused(void)
{
	static const struct row rows[] = {
		{"by token",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\",\"token\":"
					    "\"m1\",\"why\":\"\"}\n" END,
			RULING_HOLDS, .excused = 1},
		{"by number",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\",\"count\":"
					    "1,\"why\":\"\"}\n" END,
			RULING_HOLDS, .excused = 1},
		{"by UID, of a message that had been shown",
			ACCEPTED OP(3, 2, "imap-uid-fetch",
				"u1") "{\"t\":4,\"ev\":\"end\",\"id\":2,\"outcome\":\"OK\","
				      "\"fetched\":[{\"uid\":7,"
				      "\"token\":\"m1\"}]}\n{\"t\":5,\"ev\":\"excused\",\"user\":"
				      "\"u1\",\"uid\":7}\n" READ("u1") END,
			RULING_HOLDS, .excused = 1},
		{"the UID of another message is none",
			ACCEPTED OP(3, 2, "imap-uid-fetch",
				"u1") "{\"t\":4,\"ev\":\"end\",\"id\":2,\"outcome\":\"OK\","
				      "\"fetched\":[{\"uid\":7,"
				      "\"token\":\"m5\"}]}\n{\"t\":5,\"ev\":\"excused\",\"user\":"
				      "\"u1\",\"uid\":7}\n" READ("u1") END,
			RULING_BROKEN},
		{"an entry of the queue, by its ID",
			ACCEPTED QUEUED_AS("m1", "4Xa") READ(
				"u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\",\"queue_id\":"
				      "\"4Xa\"}\n" END,
			RULING_HOLDS, .excused = 1},
		{"the whole user",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\"}\n" END,
			RULING_HOLDS, .excused = 1},
		{"perhaps any number",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"excused\",\"user\":\"u1\",\"count\":"
					    "4294967295}\n" END,
			RULING_HOLDS, .excused = 1},
	};

	CHECK_TABLE("S1", rows);
}

static void what_cannot_be_known_is_not_blamed(void)
{
	static const struct target no_queue;
	static const struct row rows[] = {
		{"the mailbox was not read back", ACCEPTED END, RULING_CANNOT_TELL,
			"not read back"},
		{"it could not be read",
			ACCEPTED READ("u1") "{\"t\":5,\"ev\":\"unreadable\",\"user\":\"u1\"}\n" END,
			RULING_CANNOT_TELL, "not read back"},
		{"no queue_list", ACCEPTED READ("u1") END, RULING_CANNOT_TELL, "queue_list",
			.target = &no_queue},
		{"a nameless entry for the recipient",
			ACCEPTED READ("u1") QUEUED("", "u1@store") END, RULING_CANNOT_TELL,
			"names no token"},
		{"a nameless entry for the return path",
			ACCEPTED READ("u1") QUEUED("", "w@sink.rig") END, RULING_CANNOT_TELL,
			"names no token"},
		{"another body and no baseline", ACCEPTED READ("u1") COPY_OF("m1", "u1", "bb") END,
			RULING_CANNOT_TELL, "no baseline"},
		{"perhaps accepted, on a hop not captured",
			WORK SEND(1, "m1", "u1@store") DONE(3, 1, "MAYBE") READ("u1") END,
			RULING_CANNOT_TELL, "not captured"},
		{"remote, and no sink", ELSEWHERE END, RULING_CANNOT_TELL, "sent on"},
	};

	CHECK_TABLE("S1", rows);
}

static void what_was_not_accepted_is_not_owed(void)
{
	static const struct row rows[] = {
		{"refused",
			WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "4yz")
				READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"no reply",
			WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "none")
				READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"cut short", ACCEPTED READ("u1"), RULING_NOT_APPLICABLE, "cut short"},
		{"an APPEND",
			WORK
			"{\"t\":1,\"ev\":\"begin\",\"id\":1,\"op\":\"imap-append\",\"user\":\"u1\","
			"\"token\":\"m1\"}\n" DONE(2, 1, "OK") READ("u1") END,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S1", rows);
}

CHECK_MAIN(CHECK_CASE(what_is_accepted_is_somewhere),
	CHECK_CASE(whose_server_refuses_the_notification_cannot_be_told),
	CHECK_CASE(what_is_accepted_and_nowhere_is_lost),
	CHECK_CASE(what_the_rig_removed_is_excused), CHECK_CASE(what_cannot_be_known_is_not_blamed),
	CHECK_CASE(what_was_not_accepted_is_not_owed))
