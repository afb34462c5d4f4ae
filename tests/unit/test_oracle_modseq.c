/* I13 and I15: mod-sequences, and VANISHED. */
#include "tests/unit/imap_rows.h"

#define ONE OPENED(1, "a.1")
#define STORES(t, tag, command, reply) \
	SAY(t, 1, tag, command) TELL(t, 1, reply) GOT(t, 1, tag, "OK")
/* Now it is certain that UID 1 and 2 have no \Seen. */
#define CLEARED                                            \
	STORES(3, "r4", "UID STORE 1:2 -FLAGS (\\\\Seen)", \
		MODSEQ(1, 1, "", 10) "," MODSEQ(2, 2, "", 11))
#define SEEN_1(modseq) \
	STORES(4, "r5", "UID STORE 1 +FLAGS (\\\\Seen)", MODSEQ(1, 1, "\\\\Seen", modseq))
#define SEEN_2(modseq) \
	STORES(5, "r6", "UID STORE 2 +FLAGS (\\\\Seen)", MODSEQ(2, 2, "\\\\Seen", modseq))
#define HIGHEST(modseq)                                                                    \
	LOGIN(9, "f.1")                                                                    \
	SAY(6, 9, "r2", "EXAMINE INBOX")                                                   \
	TELL(6, 9, EXISTS(3) "," CODE("UIDVALIDITY 7") "," CODE("HIGHESTMODSEQ " #modseq)) \
	GOT(6, 9, "r2", "OK")

static void mod_sequences_grow(void)
{
	static const struct row rows[] = {
		{"one for each", ONE CLEARED SEEN_1(21) SEEN_2(22), RULING_HOLDS},
		{"the same for both", ONE CLEARED SEEN_1(21) SEEN_2(21), RULING_BROKEN,
			"got mod-sequence 21, and an earlier one of the session 21"},
		{"a lower one", ONE CLEARED SEEN_1(22) SEEN_2(21), RULING_BROKEN, "an earlier one",
			.role = "imap store modseq order"},
		{"flags changed and it did not", ONE CLEARED SEEN_1(10), RULING_BROKEN,
			"went from 10 to 10"},
		{"a STORE that changes nothing may repeat it",
			ONE CLEARED SEEN_1(21) STORES(6, "r7", "UID STORE 1 +FLAGS (\\\\Seen)",
				MODSEQ(1, 1, "\\\\Seen", 21)),
			RULING_HOLDS},
		{"two sessions share one",
			ONE CLEARED OPENED(2, "b.1") SEEN_1(21) SAY(
				6, 2, "r4", "UID STORE 3 -FLAGS (\\\\Seen)") GOT(6, 2, "r4", "OK")
				SAY(6, 2, "r5", "UID STORE 3 +FLAGS (\\\\Seen)") TELL(
					6, 2, MODSEQ(3, 3, "\\\\Seen", 21)) GOT(6, 2, "r5", "OK"),
			RULING_BROKEN, "two STOREs got the same mod-sequence 21"},
		{"overlapping, one may be told the other's",
			ONE CLEARED OPENED(2, "b.1") SAY(
				4, 1, "r5", "UID STORE 1 +FLAGS (\\\\Seen)") SAY(4, 2, "r5",
				"UID STORE 1 +FLAGS (\\\\Flagged)") TELL(4, 2,
				MODSEQ(1, 1, "\\\\Seen \\\\Flagged", 22)) GOT(4, 2, "r5", "OK")
				TELL(4, 1, MODSEQ(1, 1, "\\\\Seen \\\\Flagged", 22))
					GOT(4, 1, "r5", "OK"),
			RULING_HOLDS},
		{"HIGHESTMODSEQ is what was told", ONE HIGHEST(20), RULING_HOLDS},
		{"HIGHESTMODSEQ falls", ONE HIGHEST(19), RULING_BROKEN,
			"HIGHESTMODSEQ is 19, and mod-sequence 20",
			.role = "imap highestmodseq falls"},
		{"HIGHESTMODSEQ is below a message's", ONE CLEARED SEEN_1(31) HIGHEST(30),
			RULING_BROKEN},
		{"after a power cut", ONE FAULT(5, "power-cut", "in-force") HIGHEST(19),
			RULING_HOLDS},
		{"none was told", LOGIN(1, "a.1"), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I13", rows);
}

#define ENABLED                                  \
	LOGIN(1, "a.1")                          \
	SAY(1, 1, "r1", "ENABLE QRESYNC")        \
	TELL(1, 1, "{\"enabled\":\" QRESYNC\"}") \
	GOT(1, 1, "r1", "OK") SELECTED_BY(2, 1, "SELECT INBOX")

static void vanished_names_what_was_shown(void)
{
	static const struct row rows[] = {
		{"shown, in NOOP", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, VANISH("2:3")),
			RULING_HOLDS},
		{"never shown", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, VANISH("3:4")),
			RULING_BROKEN, "UID 4, which the session was not shown"},
		{"twice", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, VANISH("2") "," VANISH("2")),
			RULING_BROKEN, "UID 2"},
		{"a huge set", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, VANISH("1:4294967295")),
			RULING_BROKEN, "UID 4,"},
		{"new messages whose UIDs were not asked for yet",
			ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, EXISTS(4) "," VANISH("9")),
			RULING_HOLDS},
		{"while FETCH is answered",
			ENABLED SAY(3, 1, "r4", "FETCH 1 FLAGS") TELL(3, 1, VANISH("2")),
			RULING_BROKEN, "while FETCH was in progress"},
		{"while UID FETCH is answered",
			ENABLED SAY(3, 1, "r4", "UID FETCH 1 FLAGS") TELL(3, 1, VANISH("2")),
			RULING_HOLDS},
		{"not enabled", ONE SAY(3, 1, "r4", "NOOP") TELL(3, 1, VANISH("2")), RULING_BROKEN,
			"never enabled"},
		{"EXPUNGE instead", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, GONE(2)),
			RULING_BROKEN, "enabled QRESYNC", .role = "imap expunge enabled"},
		{"EARLIER in NOOP", ENABLED SAY(3, 1, "r4", "NOOP") TELL(3, 1, EARLIER("2")),
			RULING_BROKEN, "EARLIER"},
		{"EARLIER in UID FETCH",
			ENABLED SAY(3, 1, "r4", "UID FETCH 1:9 (FLAGS) (CHANGEDSINCE 9 VANISHED)")
				TELL(3, 1, EARLIER("7:9")),
			RULING_HOLDS},
		{"EARLIER in SELECT",
			LOGIN(1, "a.1") SAY(3, 1, "r4", "SELECT INBOX (QRESYNC (7 9))")
				TELL(3, 1, EARLIER("7:9")),
			RULING_HOLDS},
		{"EARLIER in a plain SELECT",
			LOGIN(1, "a.1") SAY(3, 1, "r4", "SELECT INBOX") TELL(3, 1, EARLIER("7:9")),
			RULING_BROKEN},
		{"none", ENABLED, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("I15", rows);
}

CHECK_MAIN(CHECK_CASE(mod_sequences_grow), CHECK_CASE(vanished_names_what_was_shown))
