#include "tests/unit/oracle_table.h"

#define SENT WORK SEND(1, "m1", "u1@store")
#define SHOWN(user, token)                                                             \
	OP(3, 2, "imap-uid-fetch", user)                                               \
	"{\"t\":4,\"ev\":\"end\",\"id\":2,\"outcome\":\"OK\",\"fetched\":[{\"uid\":7," \
	"\"token\":" Q(token) "}]}\n"

static void mail_is_found_with_its_recipients_alone(void)
{
	static const struct row rows[] = {
		{"in the recipient's mailbox", SENT COPY("m1", "u1") END, RULING_HOLDS},
		{"in another's", SENT COPY("m1", "u2") END, RULING_BROKEN, "'u2'"},
		{"in both", SENT COPY("m1", "u1") COPY("m1", "u2") END, RULING_BROKEN},
		{"half of it in another's", SENT PARTIAL("m1", "u2") END, RULING_BROKEN},
		{"sent out to a stranger", SENT SUNK("m1", "y@sink.rig") END, RULING_BROKEN,
			"y@sink.rig"},
		{"appended by its owner",
			WORK
			"{\"t\":1,\"ev\":\"begin\",\"id\":1,\"op\":\"imap-append\",\"user\":\"u1\","
			"\"token\":\"m1\"}\n" COPY("m1", "u1") END,
			RULING_HOLDS},
		{"appended by one, found with another",
			WORK
			"{\"t\":1,\"ev\":\"begin\",\"id\":1,\"op\":\"imap-append\",\"user\":\"u1\","
			"\"token\":\"m1\"}\n" COPY("m1", "u2") END,
			RULING_BROKEN},
		{"mail of the warm-up", SENT COPY("w0", "u1") END, RULING_NOT_APPLICABLE},
		{"a notification quotes it", SENT BOUNCE(810, "m1", "u2") END,
			RULING_NOT_APPLICABLE},
		{"no end needed", SENT COPY("m1", "u2"), RULING_BROKEN},
	};

	CHECK_TABLE("S9", rows);
}

static void a_session_is_shown_its_own_mail_alone(void)
{
	static const struct row rows[] = {
		{"its own", SENT SHOWN("u1", "m1"), RULING_HOLDS},
		{"another's", SENT SHOWN("u2", "m1"), RULING_BROKEN, "shown to a session of 'u2'"},
		{"mail of the warm-up", SENT SHOWN("u2", "w0"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("S9", rows);
}

CHECK_MAIN(CHECK_CASE(mail_is_found_with_its_recipients_alone),
	CHECK_CASE(a_session_is_shown_its_own_mail_alone))
