/* What is read out of the lines of IMAP sessions: sets, commands, views; and that no line is too strange. */
#include "tests/unit/imap_rows.h"

#include "api/imap_walk.h"
#include "base/rng.h"

#define ROUNDS 600

static void sets_are_parsed_sorted_and_bounded(void)
{
	static const struct {
		const char *text;
		uint32_t last;
		int rc;
		uint64_t size;
		uint32_t in, out;
	} cases[] = {
		{"1", 0, 0, 1, 1, 2},
		{"3,5:7,1", 0, 0, 5, 6, 4},
		{"7:5", 0, 0, 3, 5, 8},
		{"2:*", 9, 0, 8, 9, 1},
		{"*:2", 9, 0, 8, 9, 1},
		{"*", 0, 0, 0, 0, 1},
		{"9:*", 4, 0, 6, 4, 3},
		{"1:4,2:6", 0, 0, 6, 6, 7},
		{"1:4294967295", 0, 0, 4294967295, 4294967295, 0},
		{"", 0, -EINVAL, 0, 0, 1},
		{"0", 0, -EINVAL, 0, 0, 1},
		{"4294967296", 0, -EINVAL, 0, 0, 1},
		{"1,", 0, -EINVAL, 0, 0, 1},
		{"1:", 0, -EINVAL, 0, 0, 1},
		{"1 2", 0, -EINVAL, 0, 0, 1},
		{"a", 0, -EINVAL, 0, 0, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct uid_set set;
		bool ok = CHECK_INT(uid_set_parse(&set, cases[i].text, cases[i].last), cases[i].rc);

		ok = CHECK_INT(uid_set_size(&set), cases[i].size) && ok;
		ok = CHECK(!cases[i].in || uid_set_has(&set, cases[i].in)) && ok;
		ok = CHECK(!uid_set_has(&set, cases[i].out)) && ok;
		if (!ok)
			fprintf(stderr, "set '%s'\n", cases[i].text);
		uid_set_free(&set);
	}
}

static void lists_keep_their_order(void)
{
	uint32_t out[8];

	CHECK_INT(uid_list_parse("4,2:3,9:8", out, ARRAY_SIZE(out)), 5);
	CHECK_INT(out[0], 4);
	CHECK_INT(out[2], 3);
	CHECK_INT(out[3], 9);
	CHECK_INT(out[4], 8);
	CHECK_INT(uid_list_parse("1:9", out, ARRAY_SIZE(out)), -EINVAL);
	CHECK_INT(uid_list_parse("1:*", out, ARRAY_SIZE(out)), -EINVAL);
	CHECK_INT(uid_list_parse("1:4294967295", out, ARRAY_SIZE(out)), -EINVAL);
}

static void commands_say_what_they_do(void)
{
	static const struct {
		const char *line;
		enum trace_verb verb;
		bool uid, flag; /* flag: what is special about it */
	} cases[] = {
		{"noop", VERB_NOOP, false, false},
		{"UID STORE 1 +FLAGS.SILENT (\\Deleted)", VERB_STORE, true, true},
		{"store 1 -flags (\\Seen)", VERB_STORE, false, false},
		{"UID FETCH 1:* (FLAGS)", VERB_FETCH, true, true},
		{"UID FETCH 2:* (FLAGS)", VERB_FETCH, true, false},
		{"X", VERB_OTHER, false, false},
		{"UID", VERB_OTHER, true, false},
		{"", VERB_OTHER, false, false},
		{"SELECT \"in\\\"box\" (QRESYNC (7 9223372036854775807 1:9))", VERB_SELECT, false,
			true},
	};
	struct ledger *ledger = ledger_new();
	struct imap_trace *trace = imap_trace_new(ledger);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct trace_command got = trace_command_parse(trace, cases[i].line);

		CHECK_STR(
			trace_verb_name((enum trace_verb)got.verb), trace_verb_name(cases[i].verb));
		CHECK_INT(got.uid, cases[i].uid);
		CHECK_INT(got.silent || got.lists || got.qresync, cases[i].flag);
	}
	CHECK_INT(trace_command_parse(trace, "UID FETCH 1 BODY[]").sets_seen, true);
	CHECK_INT(trace_command_parse(trace, "UID FETCH 1 BODY.PEEK[]").sets_seen, false);
	CHECK_INT(trace_command_parse(trace, "FETCH 1 (UID RFC822.SIZE)").sets_seen, false);
	CHECK_INT(trace_command_parse(trace, "FETCH 1 RFC822").sets_seen, true);
	CHECK_INT(trace_command_parse(trace, "SELECT x (QRESYNC (7 9))").known_validity, 7);
	CHECK_STR(trace_text(trace, trace_command_parse(trace, "SELECT inBOX").mailbox), "INBOX");
	CHECK_INT(trace_command_parse(trace, "APPEND x (\\Seen $a) {3}").flags,
		FLAG_KNOWN | FLAG_SEEN | 32);
	CHECK_INT(trace_flags(trace, "$B \\Recent $A"), FLAG_KNOWN | 32 | 64);
	imap_trace_free(trace);
	ledger_free(ledger);
}

static void a_view_follows_what_its_client_was_told(void)
{
	struct history *history = history_from_lines(
		OPENED(1, "a.1") SAY(3, 1, "r4", "NOOP") TELL(3, 1,
			GONE(1) "," EXISTS(4) "," FETCH(2, 3, "\\\\Seen")) GOT(3, 1, "r4", "OK"),
		NULL);
	struct imap_walk walk;
	const struct view *view;

	imap_walk_begin(&walk, history);
	while (imap_walk_next(&walk))
		;
	view = &walk.views[0];
	CHECK(view->sure);
	CHECK_INT(view->count, 4);
	CHECK_INT(view->unknown, 2);
	CHECK_INT(view->slots[0].uid, 2);
	CHECK_INT(view->slots[1].flags, FLAG_KNOWN | FLAG_SEEN);
	CHECK_INT(view->slots[1].modseq, 12);
	CHECK_INT(view->slots[3].floor, 3);
	CHECK_INT(view->modseq, 20);
	CHECK_INT(view->uidnext, 4);
	CHECK(walk_mail_find(&walk, view->box, 1)->told_gone);
	CHECK_STR(trace_text(walk.trace, view->mailbox), "INBOX");
	imap_walk_end(&walk);
	history_free(history);
}

/* ---- hostile lines ---- */

static const char whole[] = OPENED(1, "a.1") OPENED(2, "b.1") SAY(
	3, 1, "r4", "APPEND INBOX {99}") CONTENT(3, 1, "r4", "m4") GOT_CODE(3, 1, "r4", "OK",
	"APPENDUID 7 4") SAY(4, 2, "r4", "IDLE") TELL(5, 2, EXISTS(4)) SAY(6, 2, "r4",
	"DONE") GOT(6, 2, "r4", "OK") SAY(7, 1, "r5", "UID MOVE 2:3 Other") TELL(7, 1,
	CODE("COPYUID 9 2:3 1:2") "," GONE(2) "," GONE(2)) GOT(7, 1, "r5", "OK") SAY(8, 2, "r5",
	"UID STORE 1:* +FLAGS.SILENT (\\\\Deleted $x)") TELL(8, 2, BODY(1, 1, "m1", "aa")) GOT(8, 2,
	"r5", "OK") SAY(8, 2, "r6", "CLOSE") GOT(8, 2, "r6", "OK") CLOSED(9, 1, "store")
	LOGIN(3, "a.1") SAY(9, 3, "r2", "SELECT INBOX (QRESYNC (7 20))") TELL(9, 3,
		EXISTS(1) "," CODE("UIDVALIDITY 7") "," EARLIER("2:3") "," MODSEQ(1, 1, "", 30))
		GOT(9, 3, "r2", "OK") LAST_BOX("INBOX", 7, 5) LAST(4, "\\\\Seen", "m4", "aa")
			READ("u1") END;

static void judge_all(const char *lines)
{
	struct target target = table_target();
	struct oracle_context context = {
		.target = &target, .objectives = objectives_resolve(NULL, NULL)};
	struct history *history = history_from_lines(lines, NULL);

	for (const struct oracle *const *oracle = oracles; history && *oracle; oracle++) {
		struct judgement got;

		oracle_judge(*oracle, history, &context, &got);
	}
	history_free(history);
}

static void any_byte_may_be_wrong(void)
{
	struct rng rng = rng_stream(3, "imap bytes");
	size_t len = strlen(whole);

	for (int i = 0; i < ROUNDS; i++) {
		auto_free char *lines = text_dup(whole);

		for (uint64_t n = 1 + rng_below(&rng, 3); n; n--)
			lines[rng_below(&rng, len)] =
				(char)(rng_below(&rng, 2) ? '0' + rng_below(&rng, 10)
							  : 1 + rng_below(&rng, 255));
		judge_all(lines);
	}
}

/* Lines dropped, doubled, in another order: whatever is ruled, it is ruled without harm. */
static void lines_may_come_in_any_order(void)
{
	struct rng rng = rng_stream(4, "imap lines");
	const char *starts[200];
	size_t count = 0;

	for (const char *at = whole; *at; at = strchr(at, '\n') + 1)
		starts[count++] = at;
	for (int i = 0; i < ROUNDS; i++) {
		struct buf lines auto_buf = {0};

		for (size_t n = 0; n < count; n++) {
			const char *line = starts[rng_below(&rng, 4) ? n : rng_below(&rng, count)];

			buf_add(&lines, line, (size_t)(strchr(line, '\n') - line) + 1);
		}
		judge_all(buf_text(&lines));
	}
}

CHECK_MAIN(CHECK_CASE(sets_are_parsed_sorted_and_bounded), CHECK_CASE(lists_keep_their_order),
	CHECK_CASE(commands_say_what_they_do), CHECK_CASE(a_view_follows_what_its_client_was_told),
	CHECK_CASE(any_byte_may_be_wrong), CHECK_CASE(lines_may_come_in_any_order))
