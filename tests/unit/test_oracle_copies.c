/* I9, I10 and I12: what is added, moved, and fetched while it is removed. */
#include "tests/unit/imap_rows.h"

#define ONE   OPENED(1, "a.1")
#define SENDS SAY(3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m4")
#define KNOWN                                  \
	SAY(2, 1, "r3", "FETCH 2 BODY.PEEK[]") \
	TELL(2, 1, BODY(2, 2, "m2", "aa")) GOT(2, 1, "r3", "OK")
#define COPIES(outcome) SAY(3, 1, "r4", "UID COPY 2 Other") GOT(3, 1, "r4", outcome)

static void what_was_refused_is_not_there(void)
{
	static const struct row rows[] = {
		{"an APPEND refused, and nothing there", ONE SENDS GOT(3, 1, "r4", "NO") END,
			RULING_HOLDS},
		{"an APPEND refused, and there",
			ONE SENDS GOT(3, 1, "r4", "NO") LAST(4, "", "m4", "aa"), RULING_BROKEN,
			"refused, or broken off, is there", .role = "imap append refused"},
		{"an APPEND refused, and shown to a session",
			ONE SENDS GOT(3, 1, "r4", "NO") SAY(4, 1, "r5", "NOOP")
				TELL(4, 1, EXISTS(4) "," BODY(4, 4, "m4", "aa")),
			RULING_BROKEN},
		{"an APPEND that the client broke off",
			ONE SENDS CLOSED(3, 1, "broken-off") LAST(4, "", "m4", "bb"),
			RULING_BROKEN},
		{"an APPEND without reply, whole",
			ONE SENDS CLOSED(3, 1, "store") LAST(4, "", "m4", "aa"), RULING_HOLDS},
		{"an APPEND without reply, in part",
			ONE SENDS CLOSED(3, 1, "store") LAST(4, "", "m4", "bb"), RULING_BROKEN,
			"not whole"},
		{"an APPEND without reply, absent", ONE SENDS CLOSED(3, 1, "store") END,
			RULING_HOLDS},
		{"an APPEND acknowledged is for another law",
			ONE SENDS GOT(3, 1, "r4", "OK") LAST(4, "", "m4", "bb"), RULING_HOLDS},
		{"a COPY refused, and nothing there", ONE KNOWN COPIES("NO") END,
			RULING_NOT_APPLICABLE},
		{"a COPY refused, and there",
			ONE KNOWN COPIES("NO") LAST_IN("Other", 9, 1, "", "m2", "aa"),
			RULING_BROKEN, "the only COPY to it was refused"},
		{"a COPY refused, and another one done",
			ONE KNOWN COPIES("NO") COPIES("OK") LAST_IN("Other", 9, 1, "", "m2", "aa"),
			RULING_HOLDS},
		{"a COPY refused, and one by number that may be it",
			ONE KNOWN COPIES("NO") SAY(4, 1, "r5", "COPY 1:2 Other")
				GOT(4, 1, "r5", "OK") LAST_IN("Other", 9, 1, "", "m2", "aa"),
			RULING_HOLDS},
		{"a COPY without reply",
			ONE KNOWN SAY(3, 1, "r4", "UID COPY 2 Other") CLOSED(3, 1, "store")
				LAST_IN("Other", 9, 1, "", "m2", "aa"),
			RULING_NOT_APPLICABLE},
		{"mail of others", ONE LAST(4, "", "w1", "bb"), RULING_NOT_APPLICABLE},
		{"after a power cut",
			ONE SENDS FAULT(3, "power-cut", "in-force") GOT(3, 1, "r4", "NO")
				LAST(4, "", "m4", "aa"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I9", rows);
}

#define MOVES(outcome) \
	SAY(3, 1, "r4", "UID MOVE 2 Other") TELL(3, 1, GONE(2)) GOT(3, 1, "r4", outcome)
#define STAYS(outcome) SAY(3, 1, "r4", "UID MOVE 2 Other") GOT(3, 1, "r4", outcome)
#define STORED(op)                                                      \
	SAY(3, 1, "r9", "UID STORE 2 " op "FLAGS.SILENT (\\\\Deleted)") \
	GOT(3, 1, "r9", "OK")
#define THERE LAST_IN("Other", 9, 1, "", "m2", "aa")
#define HERE  LAST(2, "", "m2", "aa")
#define ENDED READ("u1") END

static void a_move_moves_or_leaves(void)
{
	static const struct row rows[] = {
		{"moved", ONE KNOWN MOVES("OK") THERE ENDED, RULING_HOLDS},
		{"lost", ONE KNOWN MOVES("OK") ENDED, RULING_BROKEN, "in no mailbox",
			.role = "imap move lost"},
		{"refused and lost", ONE KNOWN MOVES("NO") ENDED, RULING_BROKEN},
		{"refused and left", ONE KNOWN STAYS("NO") HERE ENDED, RULING_HOLDS},
		{"without reply, and lost",
			ONE KNOWN SAY(3, 1, "r4", "UID MOVE 2 Other") CLOSED(3, 1, "store") ENDED,
			RULING_BROKEN},
		{"copied and left", ONE KNOWN STAYS("OK") HERE THERE ENDED, RULING_BROKEN,
			"still where it was moved from"},
		{"without reply, copied and left: it may still come",
			ONE KNOWN SAY(3, 1, "r4", "UID MOVE 2 Other") CLOSED(3, 1, "store")
				HERE THERE ENDED,
			RULING_HOLDS},
		{"expunged there",
			ONE KNOWN MOVES("OK") LOGIN(2, "b.1") SAY(4, 2, "r2", "SELECT Other") TELL(
				4, 2,
				EXISTS(1) "," CODE("UIDVALIDITY 9") "," BODY(1, 1, "m2", "aa"))
				GOT(4, 2, "r2", "OK") SAY(4, 2, "r3", "EXPUNGE") TELL(4, 2, GONE(1))
					GOT(4, 2, "r3", "OK") ENDED,
			RULING_HOLDS},
		{"expunged before, by a session that had begun before it was deleted",
			ONE KNOWN LOGIN(2, "b.1") SELECTED_BY(2, 2, "SELECT INBOX") STORED("-")
				SAY(3, 2, "r4", "EXPUNGE") STORED("+") TELL(4, 2, GONE(2))
					GOT(4, 2, "r4", "OK") STORED("-") STAYS("OK") ENDED,
			RULING_HOLDS},
		{"expunged there, where nobody had been shown what it is",
			ONE KNOWN MOVES("OK") LOGIN(2, "b.1") SAY(4, 2, "r2", "SELECT Other")
				TELL(4, 2, EXISTS(1) "," CODE("UIDVALIDITY 9") "," FETCH(1, 1, ""))
					GOT(4, 2, "r2", "OK") SAY(4, 2, "r3", "EXPUNGE")
						TELL(4, 2, GONE(1)) GOT(4, 2, "r3", "OK") ENDED,
			RULING_HOLDS},
		{"another message of the mailbox it left was expunged",
			ONE KNOWN MOVES("OK") SAY(4, 1, "r5", "EXPUNGE") TELL(4, 1, GONE(1))
				GOT(4, 1, "r5", "OK") ENDED,
			RULING_BROKEN, "in no mailbox"},
		{"the other mailbox was deleted",
			ONE KNOWN MOVES("OK") SAY(4, 1, "r5", "DELETE Other") GOT(4, 1, "r5", "OK")
				ENDED,
			RULING_HOLDS},
		{"not read back", ONE KNOWN MOVES("OK") END, RULING_CANNOT_TELL, "not read back"},
		{"removed by the rig",
			ONE KNOWN MOVES(
				"OK") "{\"t\":4,\"ev\":\"excused\",\"user\":\"u1\",\"count\":"
				      "9,\"why\":\"user-delete\"}\n" ENDED,
			RULING_HOLDS},
		{"a message that is not known", ONE MOVES("OK") ENDED, RULING_NOT_APPLICABLE},
		{"no MOVE", ONE KNOWN ENDED, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I10", rows);
}

#define GONE_ELSEWHERE \
	OPENED(2, "b.1") SAY(3, 2, "r8", "EXPUNGE") TELL(3, 2, GONE(2)) GOT(3, 2, "r8", "OK")
#define ASKS(reply, status) \
	SAY(4, 1, "r5", "UID FETCH 2 BODY.PEEK[]") TELL(4, 1, reply) GOT(4, 1, "r5", status)

static void a_fetch_of_the_expunged_shows_its_own_bytes_or_none(void)
{
	static const struct row rows[] = {
		{"its own", ONE KNOWN GONE_ELSEWHERE ASKS(BODY(2, 2, "m2", "aa"), "OK"),
			RULING_HOLDS},
		{"another's", ONE KNOWN GONE_ELSEWHERE ASKS(BODY(2, 2, "m3", "cc"), "OK"),
			RULING_BROKEN, "shows another message", .role = "imap fetch another"},
		{"mangled", ONE KNOWN GONE_ELSEWHERE ASKS(BODY(2, 2, "m2", "cc"), "OK"),
			RULING_BROKEN, "other bytes"},
		{"NIL", ONE KNOWN GONE_ELSEWHERE ASKS(NIL_BODY(2, 2), "OK"), RULING_HOLDS},
		{"nothing, and OK", ONE KNOWN GONE_ELSEWHERE ASKS("", "OK"), RULING_HOLDS},
		{"nothing, and NO", ONE KNOWN GONE_ELSEWHERE ASKS("", "NO"), RULING_HOLDS},
		{"BYE",
			ONE KNOWN GONE_ELSEWHERE SAY(4, 1, "r5", "UID FETCH 2 BODY.PEEK[]")
				TELL(4, 1, "{\"bye\":\"it is gone\"}") CLOSED(4, 1, "store"),
			RULING_NOT_APPLICABLE},
		{"what it was is not known", ONE GONE_ELSEWHERE ASKS(BODY(2, 2, "m3", "cc"), "OK"),
			RULING_HOLDS},
		{"nobody expunges it", ONE KNOWN ASKS(BODY(2, 2, "m3", "cc"), "OK"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I12", rows);
}

CHECK_MAIN(CHECK_CASE(what_was_refused_is_not_there), CHECK_CASE(a_move_moves_or_leaves),
	CHECK_CASE(a_fetch_of_the_expunged_shows_its_own_bytes_or_none))
