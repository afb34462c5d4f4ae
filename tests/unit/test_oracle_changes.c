/* I7, I8, I11 and I14: what one session did is what others see, now, later, and coming back. */
#include "tests/unit/imap_rows.h"

#define TWO	OPENED(1, "a.1") OPENED(2, "b.1")
#define NOOP(t) SAY(t, 2, "r8", "NOOP")
#define DELETES(t)                                                 \
	SAY(t, 1, "r4", "UID STORE 2 +FLAGS.SILENT (\\\\Deleted)") \
	GOT(t, 1, "r4", "OK")
#define EXPUNGES(t) DELETES(t) SAY(t, 1, "r5", "EXPUNGE") TELL(t, 1, GONE(2)) GOT(t, 1, "r5", "OK")
#define FLAGS_IT(t) SAY(t, 1, "r4", "UID STORE 2 +FLAGS.SILENT (\\\\Flagged)") GOT(t, 1, "r4", "OK")
#define APPENDS(t)                           \
	SAY(t, 1, "r4", "APPEND INBOX {99}") \
	CONTENT(t, 1, "r4", "m4") GOT_CODE(t, 1, "r4", "OK", "APPENDUID 7 4")

static void a_noop_shows_what_others_did(void)
{
	static const struct row rows[] = {
		{"an expunge", TWO EXPUNGES(3) NOOP(10) TELL(10, 2, GONE(2)) GOT(10, 2, "r8", "OK"),
			RULING_HOLDS},
		{"no expunge", TWO EXPUNGES(3) NOOP(10) GOT(10, 2, "r8", "OK"), RULING_BROKEN,
			"UID 2, expunged, is still there", .role = "imap noop removed"},
		{"too early to say", TWO EXPUNGES(3) NOOP(5) GOT(5, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
		{"a refused NOOP says nothing", TWO EXPUNGES(3) NOOP(10) GOT(10, 2, "r8", "NO"),
			RULING_NOT_APPLICABLE},
		{"new flags",
			TWO FLAGS_IT(3) NOOP(10) TELL(10, 2, FETCH(2, 2, "\\\\Flagged"))
				GOT(10, 2, "r8", "OK"),
			RULING_HOLDS},
		{"no new flags", TWO FLAGS_IT(3) NOOP(10) GOT(10, 2, "r8", "OK"), RULING_BROKEN,
			"has the flags none, and \\Flagged were stored"},
		{"another session took the flag back",
			TWO FLAGS_IT(3) SAY(4, 1, "r5", "UID STORE 2 -FLAGS.SILENT (\\\\Flagged)")
				GOT(4, 1, "r5", "OK") NOOP(10) GOT(10, 2, "r8", "OK"),
			RULING_HOLDS},
		{"two sessions stored at the same time",
			TWO LOGIN(3, "c.1") SELECTED_BY(2, 3, "SELECT INBOX")
				SAY(3, 1, "r4", "UID STORE 2 +FLAGS.SILENT (\\\\Flagged)")
					SAY(3, 3, "r4", "UID STORE 2 -FLAGS.SILENT (\\\\Flagged)")
						GOT(3, 1, "r4", "OK") GOT(3, 3, "r4", "OK") NOOP(10)
							GOT(10, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
		{"a STORE that was refused",
			TWO SAY(3, 1, "r4", "UID STORE 2 +FLAGS (\\\\Flagged)")
				GOT(3, 1, "r4", "NO") NOOP(10) GOT(10, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
		{"a flag that is not permanent",
			LOGIN(1, "a.1") SAY(2, 1, "r2", "SELECT INBOX") TELL(2, 1,
				EXISTS(1) "," CODE("UIDVALIDITY 7") "," CODE(
					"PERMANENTFLAGS (\\\\Seen)")) GOT(2, 1, "r2", "OK")
				SAY(2, 1, "r3", "FETCH 1 (UID FLAGS)") TELL(2, 1, FETCH(1, 2, ""))
					GOT(2, 1, "r3", "OK") FLAGS_IT(3) OPENED(2, "b.1") NOOP(10)
						GOT(10, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
		{"a new message",
			TWO APPENDS(3) NOOP(10) TELL(10, 2, EXISTS(4)) GOT(10, 2, "r8", "OK"),
			RULING_HOLDS},
		{"no new message", TWO APPENDS(3) NOOP(10) GOT(10, 2, "r8", "OK"), RULING_BROKEN,
			"UID 4, acknowledged, is missing"},
		{"the host starved", TWO APPENDS(3) STARVED(6) NOOP(10) GOT(10, 2, "r8", "OK"),
			RULING_CANNOT_TELL, "starved"},
		{"a fault was in force",
			TWO APPENDS(3) FAULT(4, "freeze-fs", "in-force")
				FAULT(9, "freeze-fs", "healed") NOOP(10) GOT(10, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
		{"the rig removed it by other means",
			TWO APPENDS(3) "{\"t\":4,\"ev\":\"excused\",\"user\":\"u1\",\"count\":9,"
				       "\"why\":\"user-delete\"}\n" NOOP(10) GOT(10, 2, "r8", "OK"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I7", rows);
}

#define LISTS(t, s, list) \
	LOGIN(s, "fresh") SAY(t, s, "r2", "SELECT INBOX") TELL(t, s, list) GOT(t, s, "r2", "OK")
#define LISTED(t, s, list) \
	SAY(t, s, "r3", "UID FETCH 1:* (FLAGS)") TELL(t, s, list) GOT(t, s, "r3", "OK")
#define HAS(n) EXISTS(n) "," CODE("UIDVALIDITY 7")
#define ONE    OPENED(1, "a.1")

static void close_expunges_and_nothing_else_does(void)
{
	static const struct row rows[] = {
		{"gone after CLOSE",
			ONE DELETES(3) SAY(4, 1, "r5", "CLOSE") GOT(4, 1, "r5", "OK") LISTS(
				5, 9, HAS(2)) LISTED(5, 9, FETCH(1, 1, "") "," FETCH(2, 3, "")),
			RULING_HOLDS},
		{"still there after CLOSE",
			ONE DELETES(3) SAY(4, 1, "r5", "CLOSE") GOT(4, 1, "r5", "OK") LISTS(
				5, 9, HAS(3)) LISTED(5, 9,
				FETCH(1, 1, "") "," FETCH(2, 2, "\\\\Deleted") "," FETCH(3, 3, "")),
			RULING_BROKEN, "UID 2 had \\Deleted when CLOSE", .role = "imap close kept"},
		{"still there in the read-back",
			ONE DELETES(3) SAY(4, 1, "r5", "CLOSE") GOT(4, 1, "r5", "OK")
				LAST_BOX("INBOX", 7, 4) LAST(2, "\\\\Deleted", "m2", "aa") END,
			RULING_BROKEN},
		{"deleted by another session while CLOSE was on its way",
			TWO SAY(3, 1, "r5", "CLOSE") SAY(
				4, 2, "r4", "UID STORE 2 +FLAGS.SILENT (\\\\Deleted)")
				GOT(4, 2, "r4", "OK") GOT(5, 1, "r5", "OK") LAST_BOX("INBOX", 7, 4)
					LAST(2, "\\\\Deleted", "m2", "aa") END,
			RULING_HOLDS},
		{"undeleted by another session while CLOSE was on its way",
			TWO DELETES(3) SAY(4, 1, "r5", "CLOSE")
				SAY(4, 2, "r4", "UID STORE 2 -FLAGS.SILENT (\\\\Deleted)")
					GOT(4, 2, "r4", "OK") GOT(5, 1, "r5", "OK")
						LAST_BOX("INBOX", 7, 4) LAST(2, "", "m2", "aa") END,
			RULING_HOLDS},
		{"CLOSE was refused",
			ONE DELETES(3) SAY(4, 1, "r5", "CLOSE") GOT(4, 1, "r5", "NO")
				LAST_BOX("INBOX", 7, 4) LAST(2, "\\\\Deleted", "m2", "aa") END,
			RULING_NOT_APPLICABLE},
		{"told about it",
			ONE DELETES(3) SAY(4, 1, "r5", "CLOSE") TELL(4, 1, GONE(2))
				GOT(4, 1, "r5", "OK"),
			RULING_BROKEN, "EXPUNGE was sent while CLOSE"},
		{"CLOSE after EXAMINE leaves it",
			ONE DELETES(3) LOGIN(2, "b.1") SELECTED_BY(4, 2, "EXAMINE INBOX") SAY(
				4, 2, "r5", "CLOSE") GOT(4, 2, "r5", "OK") LAST_BOX("INBOX", 7, 4)
				LAST(2, "\\\\Deleted", "m2", "aa") END,
			RULING_HOLDS},
		{"CLOSE after EXAMINE takes it",
			ONE DELETES(3) LOGIN(2, "b.1") SELECTED_BY(4, 2, "EXAMINE INBOX")
				SAY(4, 2, "r5", "CLOSE") GOT(4, 2, "r5", "OK")
					LAST_BOX("INBOX", 7, 4) LAST(1, "", "m1", "aa") END,
			RULING_BROKEN, "left by CLOSE, and is gone"},
		{"LOGOUT takes it",
			ONE DELETES(3) SAY(4, 1, "r5", "LOGOUT") GOT(4, 1, "r5", "OK") CLOSED(
				4, 1, "client") LAST_BOX("INBOX", 7, 4) LAST(1, "", "m1", "aa") END,
			RULING_BROKEN, "left by LOGOUT"},
		{"LOGOUT leaves it",
			ONE DELETES(3) SAY(4, 1, "r5", "LOGOUT") GOT(4, 1, "r5", "OK")
				CLOSED(4, 1, "client") LAST_BOX("INBOX", 7, 4)
					LAST(2, "\\\\Deleted", "m2", "aa") END,
			RULING_HOLDS},
		{"expunged by another session later",
			ONE DELETES(3) SAY(4, 1, "r5", "LOGOUT") GOT(4, 1, "r5", "OK") LOGIN(
				2, "b.1") SELECTED_BY(5, 2, "SELECT INBOX")
				SAY(6, 2, "r5", "EXPUNGE") TELL(6, 2, GONE(2)) GOT(6, 2, "r5", "OK")
					LAST_BOX("INBOX", 7, 4) LAST(1, "", "m1", "aa") END,
			RULING_HOLDS},
		{"not read back",
			ONE DELETES(3) SAY(4, 1, "r5", "LOGOUT") GOT(4, 1, "r5", "OK") END,
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I8", rows);
}

static void a_fresh_session_sees_what_was_acknowledged(void)
{
	static const struct row rows[] = {
		{"an appended message is there",
			ONE APPENDS(3) LAST_BOX("INBOX", 7, 5) LAST(4, "", "m4", "aa"),
			RULING_HOLDS},
		{"an appended message is missing", ONE APPENDS(3) LAST_BOX("INBOX", 7, 5),
			RULING_BROKEN, "UID 4, acknowledged, is missing",
			.role = "imap read-back missing"},
		{"in a fresh session of the run",
			ONE APPENDS(3) LISTS(5, 9, HAS(1)) LISTED(5, 9, FETCH(1, 1, "")),
			RULING_BROKEN, "fresh session of 'INBOX'"},
		{"a session that began before says nothing",
			ONE LISTS(2, 9, HAS(1)) APPENDS(3) LISTED(5, 9, FETCH(1, 1, "")),
			RULING_NOT_APPLICABLE},
		{"an expunged message is back",
			ONE EXPUNGES(3) LAST_BOX("INBOX", 7, 4) LAST(2, "", "m2", "aa"),
			RULING_BROKEN, "expunged, is still there"},
		{"an expunged message stays away",
			ONE EXPUNGES(3) LAST_BOX("INBOX", 7, 4) LAST(1, "", "m1", "aa"),
			RULING_HOLDS},
		{"stored flags are lost",
			ONE FLAGS_IT(3) LAST_BOX("INBOX", 7, 4) LAST(2, "", "m2", "aa"),
			RULING_BROKEN, "has the flags none"},
		{"stored flags are there",
			ONE FLAGS_IT(3) LAST_BOX("INBOX", 7, 4)
				LAST(2, "\\\\Flagged \\\\Recent", "m2", "aa"),
			RULING_HOLDS},
		{"stored flags that another STORE, unanswered, may have changed",
			ONE FLAGS_IT(3) SAY(4, 1, "r5", "UID STORE 1:* -FLAGS (\\\\Flagged)")
				CLOSED(5, 1, "store") LAST_BOX("INBOX", 7, 4)
					LAST(2, "", "m2", "aa"),
			RULING_HOLDS},
		{"an appended message that an EXPUNGE, unanswered, may have removed",
			ONE SAY(3, 1, "r4", "APPEND INBOX (\\\\Deleted) {99}") CONTENT(
				3, 1, "r4", "m4") GOT_CODE(3, 1, "r4", "OK", "APPENDUID 7 4") SAY(4,
				1, "r5", "EXPUNGE") CLOSED(5, 1, "store") LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"expunged by a session that was shown no UIDs",
			ONE APPENDS(3) LOGIN(2, "b.1") SAY(4, 2, "r2", "SELECT INBOX") TELL(
				4, 2, HAS(4)) GOT(4, 2, "r2", "OK") SAY(4, 2, "r3",
				"UID STORE 4 +FLAGS.SILENT (\\\\Deleted)") GOT(4, 2, "r3", "OK")
				SAY(4, 2, "r4", "UID EXPUNGE 4") TELL(4, 2, GONE(4))
					GOT(4, 2, "r4", "OK") LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"moved away",
			ONE APPENDS(3) SAY(4, 1, "r5", "NOOP") TELL(4, 1,
				EXISTS(4) "," FETCH(4, 4, "")) GOT(4, 1, "r5", "OK") SAY(5, 1, "r6",
				"UID MOVE 4 Other") TELL(5, 1, CODE("COPYUID 9 4 1") "," GONE(4))
				GOT(5, 1, "r6", "OK") LAST_BOX("INBOX", 7, 5) LAST_BOX(
					"Other", 9, 2) LAST_IN("Other", 9, 1, "", "m4", "aa"),
			RULING_HOLDS},
		{"moved away and not arrived",
			ONE SAY(5, 1, "r6", "UID MOVE 2 Other")
				TELL(5, 1, CODE("COPYUID 9 2 1") "," GONE(2)) GOT(5, 1, "r6", "OK")
					LAST_BOX("Other", 9, 2),
			RULING_BROKEN, "of 'Other': UID 1"},
		{"after a power cut",
			ONE APPENDS(3) FAULT(4, "power-cut", "in-force") LAST_BOX("INBOX", 7, 4),
			RULING_NOT_APPLICABLE},
		{"unreadable",
			ONE APPENDS(3) LAST_BOX("INBOX", 7, 5) "{\"t\":1,\"ev\":\"unreadable\","
							       "\"user\":\"u1\"}\n",
			RULING_CANNOT_TELL},
		{"another UIDVALIDITY is for another law", ONE APPENDS(3) LAST_BOX("INBOX", 8, 1),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I11", rows);
}

static void what_was_added_may_be_gone_before_that_is_acknowledged(void)
{
	static const struct row rows[] = {
		{"another session removed something meanwhile, perhaps it",
			TWO SAY(3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m4") SAY(
				3, 2, "r4", "STORE 4 +FLAGS.SILENT (\\\\Deleted)") GOT(3, 2, "r4",
				"OK") SAY(3, 2, "r5", "EXPUNGE") TELL(3, 2, EXISTS(4) "," GONE(4))
				GOT(3, 2, "r5", "OK") GOT_CODE(3, 1, "r4", "OK", "APPENDUID 7 4")
					LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
		{"another session was told that it vanished before its own was acknowledged",
			TWO SAY(3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m4") SAY(
				3, 2, "r4", "NOOP") TELL(3, 2, EXISTS(4) "," VANISH("4"))
				GOT(3, 2, "r4", "OK") GOT_CODE(3, 1, "r4", "OK", "APPENDUID 7 4")
					LAST_BOX("INBOX", 7, 5),
			RULING_HOLDS},
	};

	CHECK_TABLE("I11", rows);
}

#define AWAY CLOSED(2, 1, "client")
#define BACK(t, list)                                    \
	LOGIN(5, "a.1")                                  \
	SAY(t, 5, "r2", "SELECT INBOX (QRESYNC (7 20))") \
	TELL(t, 5, list) GOT(t, 5, "r2", "OK")
#define OTHER OPENED(2, "b.1")
#define BY_B(t, tag, command, list, status) \
	SAY(t, 2, tag, command) TELL(t, 2, list) GOT(t, 2, tag, status)

static void coming_back_tells_all_that_changed(void)
{
	static const struct row rows[] = {
		{"nothing did", ONE AWAY BACK(5, HAS(3)), RULING_HOLDS},
		{"an expunge",
			ONE AWAY OTHER BY_B(3, "r5", "EXPUNGE", GONE(2), "OK")
				BACK(5, HAS(2) "," EARLIER("2")),
			RULING_HOLDS},
		{"an expunge is not told",
			ONE AWAY OTHER BY_B(3, "r5", "EXPUNGE", GONE(2), "OK") BACK(5, HAS(2)),
			RULING_BROKEN, "UID 2, expunged, is still there",
			.role = "imap qresync lingering"},
		{"flags",
			ONE AWAY OTHER BY_B(3, "r5", "UID STORE 1 +FLAGS (\\\\Seen)",
				FETCH(1, 1, "\\\\Seen"), "OK")
				BACK(5, HAS(3) "," MODSEQ(1, 1, "\\\\Seen", 25)),
			RULING_HOLDS},
		{"flags are not told",
			ONE AWAY OTHER BY_B(3, "r5", "UID STORE 1 +FLAGS (\\\\Seen)",
				FETCH(1, 1, "\\\\Seen"), "OK") BACK(5, HAS(3)),
			RULING_BROKEN, "flags none, and \\Seen"},
		{"a new message is not told", ONE AWAY BACK(5, HAS(4)), RULING_BROKEN,
			"has 3 messages, and EXISTS says 4"},
		{"a new message is told", ONE AWAY BACK(5, HAS(4) "," MODSEQ(4, 8, "", 25)),
			RULING_HOLDS},
		{"another UIDVALIDITY", ONE AWAY BACK(5, EXISTS(9) "," CODE("UIDVALIDITY 8")),
			RULING_NOT_APPLICABLE},
		{"refused",
			ONE AWAY LOGIN(5, "a.1") SAY(5, 5, "r2", "SELECT INBOX (QRESYNC (7 20))")
				GOT(5, 5, "r2", "NO"),
			RULING_NOT_APPLICABLE},
		{"nobody knows what the client knew", BACK(5, HAS(3)), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I14", rows);
}

CHECK_MAIN(CHECK_CASE(a_noop_shows_what_others_did),
	CHECK_CASE(close_expunges_and_nothing_else_does),
	CHECK_CASE(a_fresh_session_sees_what_was_acknowledged),
	CHECK_CASE(what_was_added_may_be_gone_before_that_is_acknowledged),
	CHECK_CASE(coming_back_tells_all_that_changed))
