/* I1 to I4: UIDs, UIDVALIDITY and UIDNEXT. */
#include "tests/unit/imap_rows.h"

#define IN	   OPENED(1, "a.1")
#define NEW(reply) SAY(3, 1, "r4", "NOOP") TELL(3, 1, EXISTS(4) "," reply) GOT(3, 1, "r4", "OK")
#define APPEND_AS(t, tag, token, code)      \
	SAY(t, 1, tag, "APPEND INBOX {99}") \
	CONTENT(t, 1, tag, token) GOT_CODE(t, 1, tag, "OK", code)

static void new_messages_get_higher_uids(void)
{
	static const struct row rows[] = {
		{"above all", IN NEW(FETCH(4, 9, "")), RULING_HOLDS},
		{"one that was shown", IN NEW(FETCH(4, 3, "")), RULING_BROKEN, "UID 3 was shown"},
		{"one below",
			IN SAY(3, 1, "r4", "NOOP")
				TELL(3, 1, GONE(2) "," EXISTS(3) "," FETCH(3, 2, "")),
			RULING_BROKEN, "new and has UID 2", .role = "imap uid not-above"},
		{"two, asked for in any order",
			IN SAY(3, 1, "r4", "NOOP")
				TELL(3, 1, EXISTS(5) "," FETCH(5, 9, "") "," FETCH(4, 8, "")),
			RULING_HOLDS},
		{"two, in the wrong order",
			IN SAY(3, 1, "r4", "NOOP")
				TELL(3, 1, EXISTS(5) "," FETCH(5, 8, "") "," FETCH(4, 9, "")),
			RULING_BROKEN, "out of order"},
		{"a UID that changed",
			IN SAY(3, 1, "r4", "FETCH 2 (UID)") TELL(3, 1, FETCH(2, 8, "")),
			RULING_BROKEN, "had UID 2 and has UID 8"},
		{"after a response that is not known",
			IN SAY(3, 1, "r4", "FETCH 2 (UID)")
				TELL(3, 1, "{\"lost\":true}," FETCH(2, 8, "")),
			RULING_HOLDS},
		{"appended below UIDNEXT", IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 3"),
			RULING_BROKEN, "UIDNEXT was told as 4"},
		{"appended at UIDNEXT", IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4"), RULING_HOLDS},
		{"appended under another UIDVALIDITY", IN APPEND_AS(3, "r4", "m1", "APPENDUID 8 1"),
			RULING_HOLDS},
		{"UIDNEXT told after the APPEND began",
			IN SAY(3, 1, "r4", "APPEND INBOX {99}") LOGIN(2, "b.1")
				SAY(3, 2, "r9", "STATUS INBOX (UIDNEXT)") TELL(3, 2, STATUS(9))
					CONTENT(3, 1, "r4", "m1")
						GOT_CODE(3, 1, "r4", "OK", "APPENDUID 7 8"),
			RULING_HOLDS},
		{"nothing was shown", LOGIN(1, "a.1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I1", rows);
}

static void a_uid_is_one_message(void)
{
	static const struct row rows[] = {
		{"seen twice",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1, BODY(2, 2, "m2", "aa"))
				GOT(3, 1, "r4", "OK") LAST(2, "", "m2", "aa"),
			RULING_HOLDS},
		{"another body",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1, BODY(2, 2, "m2", "aa"))
				GOT(3, 1, "r4", "OK") LAST(2, "", "m2", "bb"),
			RULING_BROKEN, "another content", .role = "imap read-back"},
		{"another message",
			IN SAY(3, 1, "r4", "FETCH")
				TELL(3, 1, BODY(2, 2, "m2", "aa") "," BODY(2, 2, "m3", "aa")),
			RULING_BROKEN, "was one message and is another"},
		{"another message than was appended",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST(4, "", "m9", "cc"),
			RULING_BROKEN},
		{"another mailbox",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1, BODY(2, 2, "m2", "aa"))
				LAST_IN("Other", 7, 2, "", "m3", "bb"),
			RULING_HOLDS},
		{"another UIDVALIDITY",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1, BODY(2, 2, "m2", "aa"))
				LAST_IN("INBOX", 8, 2, "", "m3", "bb"),
			RULING_HOLDS},
		{"one that is being expunged is for another law",
			IN SAY(3, 1, "r4", "NOOP") TELL(3, 1, BODY(2, 2, "m2", "aa") "," GONE(2))
				GOT(3, 1, "r4", "OK") LOGIN(2, "b.1")
					SELECTED_BY(3, 2, "SELECT INBOX") SAY(3, 2, "r9", "FETCH")
						TELL(3, 2, BODY(2, 2, "m3", "bb")),
			RULING_HOLDS},
		{"across a power cut",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1, BODY(2, 2, "m2", "aa"))
				FAULT(4, "power-cut", "in-force") LAST(2, "", "m2", "bb"),
			RULING_BROKEN},
		{"a section is not the message",
			IN SAY(3, 1, "r4", "FETCH") TELL(3, 1,
				BODY(2, 2, "m2", "aa") ",{\"fetch\":2,\"uid\":2,\"section\":"
						       "\"BODY[1]\",\"sha256\":\"zz\"}"),
			RULING_HOLDS},
		{"no body was shown", IN, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I2", rows);
}

static void uidvalidity_grows_where_uids_are_lost(void)
{
	static const struct row rows[] = {
		{"it stays", IN LAST_BOX("INBOX", 7, 4), RULING_HOLDS},
		{"it grows", IN LAST_BOX("INBOX", 8, 1), RULING_HOLDS},
		{"it falls", IN LAST_BOX("INBOX", 6, 1), RULING_BROKEN, "is 6 and was 7"},
		{"it falls across a power cut",
			IN FAULT(4, "power-cut", "in-force") LAST_BOX("INBOX", 6, 1),
			RULING_BROKEN},
		{"another mailbox", IN LAST_BOX("Other", 6, 1), RULING_HOLDS},
		{"UIDs are lost and it stays",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST_BOX("INBOX", 7, 9)
				LAST(8, "", "m1", "aa"),
			RULING_BROKEN, "had UID 4 and has UID 8"},
		{"UIDs are lost and it grows",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST_BOX("INBOX", 9, 2)
				LAST_IN("INBOX", 9, 1, "", "m1", "aa"),
			RULING_HOLDS},
		{"the first one is still there too",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST_BOX("INBOX", 7, 9)
				LAST(4, "", "m1", "aa") LAST(8, "", "m1", "aa"),
			RULING_HOLDS},
		{"copied within the mailbox and expunged",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4")
				SAY(4, 1, "r5", "UID COPY 4 INBOX") GOT(4, 1, "r5", "OK")
					LAST_BOX("INBOX", 7, 9) LAST(8, "", "m1", "aa"),
			RULING_HOLDS},
		{"nothing selected", LOGIN(1, "a.1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I3", rows);
}

#define MAIL_FOR_U1 SEND(9, "m9", "u1@store") TRY("inner", "m9", "u1@store", "2yz")

static void uidnext_tells_whether_something_was_added(void)
{
	static const struct row rows[] = {
		{"nothing was", IN LAST_BOX("INBOX", 7, 4), RULING_HOLDS},
		{"nothing was, and it moved", IN LAST_BOX("INBOX", 7, 5), RULING_BROKEN,
			"from 4 to 5, and nothing was added"},
		{"nothing was, but mail may have come", IN MAIL_FOR_U1 LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"it fell", IN LAST_BOX("INBOX", 7, 3), RULING_BROKEN, "is 3 and was 4"},
		{"one was added",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"one was added and it stays",
			IN APPEND_AS(3, "r4", "m1", "APPENDUID 7 4") LAST_BOX("INBOX", 7, 4),
			RULING_BROKEN, "UID 4 was given before"},
		{"an APPEND failed and it moved",
			IN SAY(3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m1")
				GOT(3, 1, "r4", "NO") LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"an APPEND that never was answered",
			IN SAY(3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m1")
				CLOSED(3, 1, "rig") LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"after a power cut", IN FAULT(4, "power-cut", "in-force") LAST_BOX("INBOX", 7, 3),
			RULING_HOLDS},
		{"another UIDVALIDITY", IN LAST_BOX("INBOX", 8, 2), RULING_HOLDS},
		{"not told", LOGIN(1, "a.1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I4", rows);
}

CHECK_MAIN(CHECK_CASE(new_messages_get_higher_uids), CHECK_CASE(a_uid_is_one_message),
	CHECK_CASE(uidvalidity_grows_where_uids_are_lost),
	CHECK_CASE(uidnext_tells_whether_something_was_added))
