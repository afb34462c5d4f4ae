#include "tests/unit/oracle_table.h"

/* A power cut at 50 s whose disks are of 49 s; the store is ready again at 60 s. */
#define CUT                                                                    \
	"{\"t\":50,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"in-force\",\"count\":1,\"at_t\":49}\n"                    \
	"{\"t\":55,\"ev\":\"fault\",\"step\":\"cut\",\"fault\":\"power-cut\"," \
	"\"state\":\"healed\",\"count\":1}\n"
#define APPEND(id, token, outcome, t)                                                  \
	"{\"t\":1,\"ev\":\"begin\",\"id\":" #id                                        \
	",\"who\":\"a.1\",\"op\":\"imap-append\",\"user\":\"u1\",\"token\":" Q(        \
		token) ",\"sha256\":\"aa\"}\n{\"t\":" #t ",\"ev\":\"end\",\"id\":" #id \
		       ",\"who\":\"a.1\",\"op\":\"imap-append\",\"outcome\":" Q(outcome) "}\n"
#define SHOW                                                                             \
	"{\"t\":3,\"ev\":\"begin\",\"id\":70,\"who\":\"r.1\",\"op\":\"imap-uid-fetch\"," \
	"\"user\":\"u1\"}\n{\"t\":4,\"ev\":\"end\",\"id\":70,\"who\":\"r.1\","           \
	"\"op\":\"imap-uid-fetch\",\"outcome\":\"OK\",\"fetched\":[{\"uid\":7,"          \
	"\"token\":\"m1\",\"sha256\":\"aa\",\"whole\":true}]}\n"
#define MOVED(verb, command, t)                                                                \
	"{\"t\":5,\"ev\":\"begin\",\"id\":71,\"who\":\"r.1\",\"op\":" Q(                       \
		verb) ",\"user\":\"u1\",\"command\":" Q(command) "}\n{\"t\":" #t               \
								 ",\"ev\":\"end\",\"id\":71,"  \
								 "\"who\":\"r.1\",\"op\":" Q(  \
									 verb) ",\"outcome\":" \
									       "\"OK\"}\n"
#define COPY_IN(token, box)                                                             \
	"{\"t\":810,\"ev\":\"copy\",\"user\":\"u1\",\"mailbox\":" Q(                    \
		box) ",\"uid\":9,\"token\":" Q(token) ",\"sha256\":\"aa\",\"bytes\":9," \
						      "\"whole\":true}\n"
#define TAKEN(token, reply) TRY_AT("edge", token, "u1@store", "2yz", 250, 2, reply)
#define USUAL		    WORK SEND(1, "m1", "u1@store")

static void accepted_mail_survives(void)
{
	static const struct row rows[] = {
		{"it does", USUAL TAKEN("m1", 3) CUT READ("u1") COPY("m1", "u1") END, RULING_HOLDS},
		{"it is queued", USUAL TAKEN("m1", 3) CUT READ("u1") QUEUED("m1", "u1@store") END,
			RULING_HOLDS},
		{"the sender was told",
			USUAL TAKEN("m1", 3) CUT READ("u1") BOUNCE(70, "m1", "u2") END,
			RULING_HOLDS},
		{"it is gone", USUAL TAKEN("m1", 3) CUT READ("u1") END, RULING_BROKEN,
			"'m1' was accepted for 'u1'", .role = "edge smtp-message 2yz", .line = 3},
		{"answered at the very instant", USUAL TAKEN("m1", 49) CUT READ("u1") END,
			RULING_BROKEN},
		{"answered after the instant, before the cut came",
			USUAL TAKEN("m1", 49.5) CUT READ("u1") END, RULING_NOT_APPLICABLE},
		{"accepted after the power came back",
			WORK CUT SEND(1, "m1", "u1@store") TAKEN("m1", 70) READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"never answered", USUAL TRY("edge", "m1", "u1@store", "none") CUT READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"the mailbox was not read", USUAL TAKEN("m1", 3) CUT END, RULING_CANNOT_TELL,
			"not read back"},
		{"the rig removed it",
			USUAL TAKEN("m1", 3) CUT READ("u1") "{\"t\":60,\"ev\":\"excused\",\"user\":"
							    "\"u1\",\"token\":\"m1\","
							    "\"why\":\"expunged\"}\n" END,
			RULING_HOLDS, .excused = 1},
		{"lost without a power cut", USUAL TAKEN("m1", 3) READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"the cell was cut short", USUAL TAKEN("m1", 3) CUT READ("u1"),
			RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U1", rows);
}

static void an_acknowledged_append_survives(void)
{
	static const struct row rows[] = {
		{"it does", WORK APPEND(1, "m1", "OK", 3) CUT READ("u1") COPY("m1", "u1") END,
			RULING_HOLDS},
		{"it is gone", WORK APPEND(1, "m1", "OK", 3) CUT READ("u1") END, RULING_BROKEN,
			"appended", .role = "imap-append OK", .line = 3},
		{"it was refused", WORK APPEND(1, "m1", "NO", 3) CUT READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"nobody heard the answer", WORK APPEND(1, "m1", "MAYBE", 3) CUT READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"acknowledged after the instant",
			WORK APPEND(1, "m1", "OK", 50) CUT READ("u1") END, RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("U1", rows);
}

static void what_the_target_promises_survives(void)
{
	static char *words[] = {(char *)"mail", (char *)"copy", (char *)"move"};
	struct target promising = table_target();
	const struct row rows[] = {
		{"the copy is there",
			WORK SHOW MOVED("imap-uid-copy", "UID COPY 7 Kept", 6) CUT READ("u1")
				COPY("m1", "u1") COPY_IN("m1", "Kept") END,
			RULING_HOLDS, .target = &promising},
		{"the copy is gone",
			WORK SHOW MOVED("imap-uid-copy", "UID COPY 7 Kept", 6) CUT READ("u1")
				COPY("m1", "u1") END,
			RULING_BROKEN, "to 'Kept'", .target = &promising, .role = "imap-uid-copy"},
		{"the move is undone",
			WORK SHOW MOVED("imap-uid-move", "UID MOVE 7 Kept", 6) CUT READ("u1")
				COPY("m1", "u1") END,
			RULING_BROKEN, "the move", .target = &promising},
		{"nothing of it was promised",
			WORK SHOW MOVED("imap-uid-copy", "UID COPY 7 Kept", 6) CUT READ("u1")
				COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE},
		{"which message it was is not known",
			WORK MOVED("imap-uid-copy", "UID COPY 7 Kept", 6) CUT READ("u1") END,
			RULING_NOT_APPLICABLE, .target = &promising},
		{"acknowledged after the instant",
			WORK SHOW MOVED("imap-uid-copy", "UID COPY 7 Kept", 50) CUT READ("u1")
				COPY("m1", "u1") END,
			RULING_NOT_APPLICABLE, .target = &promising},
	};

	promising.survives_power_cut = (struct text_list){words, 3};
	CHECK_TABLE("U1", rows);
}

CHECK_MAIN(CHECK_CASE(accepted_mail_survives), CHECK_CASE(an_acknowledged_append_survives),
	CHECK_CASE(what_the_target_promises_survives))
