#include "base/clock.h"
#include "mail/imap.h"
#include "tests/check/check.h"
#include "tests/fake/peer.h"
#include "tests/fake/store.h"

#include <string.h>

#define SHORT_MS 1000  /* a wait that is meant to end in a time-out */
#define LONG_MS	 20000 /* one that is not: a busy host must not end it */

static const char *const users[] = {"u1", "u2", NULL};

static int note(void *arg, const char *moment, const char *tag)
{
	(void)tag;
	strcat(arg, moment + strlen("imap/"));
	strcat(arg, " ");
	return 0;
}

static struct message make(uint64_t seed)
{
	struct rng rng = rng_stream(seed, "imap");
	struct message_spec spec = {.from = "a@x", .to = "<u1@store>", .body_bytes = 3000};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

/* One command against a scripted server, after its greeting. */
static struct imap_reply play(
	struct imap *imap, const char *const *script, const char *command, int64_t reply_ms)
{
	struct mail_opts opts = {.reply_ms = reply_ms};
	struct imap_reply reply = {0};
	struct peer peer;

	imap_open(imap, peer_start(&peer, script), &opts);
	if (imap_greet(imap, &reply) == MAIL_OK)
		imap_send(imap, &reply, command);
	imap_close(imap);
	peer_end(&peer);
	CHECK_STR(peer.wrong, "");
	peer_free(&peer);
	return reply;
}

static void outcomes_are_what_the_wire_implies(void)
{
	static const struct {
		const char *what;
		const char *script[12];
		enum mail_outcome outcome;
		bool bad;
		const char *code, *failure;
	} cases[] = {
		{"ok", {"> * OK hi", "< r1 NOOP", "> r1 OK done"}, MAIL_OK, false, "", ""},
		{"ok with a code", {"> * OK hi", "< r1 NOOP", "> r1 OK [APPENDUID 7 12] done"},
			MAIL_OK, false, "APPENDUID 7 12", ""},
		{"no", {"> * OK hi", "< r1", "> r1 NO [INUSE] try later"}, MAIL_NO, false, "INUSE",
			""},
		{"bad", {"> * PREAUTH hi", "< r1", "> r1 BAD what"}, MAIL_NO, true, "", ""},
		{"bye at once", {"> * BYE full"}, MAIL_NO, false, "", ""},
		{"closed before the greeting", {"!close"}, MAIL_MAYBE, false, "",
			"greeting: connection"},
		{"garbage as greeting", {"> hello"}, MAIL_MAYBE, false, "", "no answer"},
		{"closed", {"> * OK hi", "< r1", "!close"}, MAIL_MAYBE, false, "",
			"noop: connection"},
		{"bye, then closed", {"> * OK hi", "< r1", "> * BYE so long"}, MAIL_MAYBE, false,
			"", "noop: connection"},
		{"silence", {"> * OK hi", "< r1", "!hang"}, MAIL_MAYBE, false, "",
			"no answer for 1000 ms"},
		{"another's tag", {"> * OK hi", "< r1", "> r2 OK done", "!hang"}, MAIL_MAYBE, false,
			"", "no answer"},
		{"no status word", {"> * OK hi", "< r1", "> r1 OKAY", "!hang"}, MAIL_MAYBE, false,
			"", "no answer"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct imap imap;
		struct imap_reply reply = play(&imap, cases[i].script, "NOOP",
			strstr(cases[i].failure, "1000 ms") ? SHORT_MS : LONG_MS);

		if (!CHECK_INT(reply.outcome, cases[i].outcome) ||
			!CHECK_INT(reply.bad, cases[i].bad) ||
			!CHECK_STR(reply.code, cases[i].code) ||
			!CHECK_HAS(reply.failure, cases[i].failure))
			fprintf(stderr, "case: %s\n", cases[i].what);
		imap_reply_free(&reply);
	}
}

static void untagged_responses_are_parsed(void)
{
	static const char *const script[] = {"> * OK hi", "< r1 SELECT x", "> * 17 EXISTS",
		"> * 2 RECENT", "> * FLAGS (\\Seen \\Deleted)",
		"> * OK [UIDVALIDITY 3857529045] ok", "> * OK [UIDNEXT 4392] ok",
		"> * OK [HIGHESTMODSEQ 715194045007] ok", "> * 5 EXPUNGE",
		"> * VANISHED (EARLIER) 41,43:116",
		"> * LIST (\\HasNoChildren) \"/\" \"a \\\"b\\\" c\"",
		"> * STATUS INBOX (MESSAGES 231 UIDNEXT 44292 UNSEEN 7 UIDVALIDITY 9)",
		"> * 3 FETCH (UID 8 FLAGS (\\Seen $x) MODSEQ (624140003) RFC822.SIZE 44)",
		"> * SEARCH 2 84 882", "> * CAPABILITY IMAP4rev1 IDLE", "> * X-ODD what {5}",
		"> r1 OK [READ-WRITE] done", NULL};
	static const enum imap_event_kind kinds[] = {IMAP_EXISTS, IMAP_RECENT, IMAP_FLAGS,
		IMAP_CODE, IMAP_CODE, IMAP_CODE, IMAP_EXPUNGE, IMAP_VANISHED, IMAP_LIST,
		IMAP_STATUS, IMAP_FETCH, IMAP_SEARCH, IMAP_CAPABILITY};
	struct imap imap;
	struct imap_reply reply = play(&imap, script, "SELECT x", LONG_MS);
	const struct imap_event *events = reply.events;

	/* "{5}" announces a literal, which swallows the first bytes of the tagged reply. */
	CHECK_INT(reply.outcome, MAIL_MAYBE);
	if (!CHECK(reply.count >= ARRAY_SIZE(kinds)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		CHECK_INT(events[i].kind, kinds[i]);
	CHECK_INT(events[0].number, 17);
	CHECK_STR(events[2].flags, "\\Seen \\Deleted");
	CHECK_INT(events[3].uidvalidity, 3857529045);
	CHECK_INT(events[4].uidnext, 4392);
	CHECK_INT(events[5].modseq, 715194045007);
	CHECK_INT(events[6].number, 5);
	CHECK_STR(events[8].name, "a \"b\" c");
	CHECK_INT(events[9].messages, 231);
	CHECK_INT(events[9].uidnext, 44292);
	CHECK_INT(events[9].unseen, 7);
	CHECK_INT(events[9].uidvalidity, 9);
	CHECK_INT(events[10].uid, 8);
	CHECK_INT(events[10].number, 3);
	CHECK_STR(events[10].flags, "\\Seen $x");
	CHECK_INT(events[10].modseq, 624140003);
	CHECK_INT(events[10].size, 44);
	CHECK_INT(imap.exists, 16);
	CHECK_INT(imap.uidvalidity, 3857529045);
	CHECK_INT(imap.uidnext, 4392);
	imap_reply_free(&reply);
}

static void bodies_come_as_literals_quoted_strings_or_nil(void)
{
	static const char token[] = "0123456789abcdef0123456789abcdef";
	static const char *const script[] = {"> * OK hi", "< r1 UID FETCH",
		">>* 1 FETCH (BODY[] {60}\r\nX-Mailrig-Token: "
		"0123456789abcdef0123456789abcdef\r\n\r\nbody)\r\n UID 4)\r\n",
		"> * 2 FETCH (UID 5 BODY[] NIL)",
		"> * 3 FETCH (BODY[HEADER.FIELDS (DATE \"FROM\")] \"Date: x\" UID 6 BODY[] \"A: "
		"b\")",
		"> * 4 FETCH (BODY[TEXT]<0> ~{0}", ">> FLAGS (\\Seen))\r\n",
		"> * 5 FETCH (BODYSTRUCTURE ((\"text\" \"(\" NIL) \"mixed\") UID 7 RFC822 {2}",
		">>hi)\r\n", "> r1 OK done", NULL};
	struct imap imap;
	struct imap_reply reply = play(&imap, script, "UID FETCH 1:* (BODY.PEEK[])", LONG_MS);
	const struct imap_event *events = reply.events;

	CHECK_INT(reply.outcome, MAIL_OK);
	CHECK_STR(reply.command, "fetch");
	if (!CHECK_INT(reply.count, 5))
		return;
	CHECK_INT(events[0].uid, 4);
	CHECK_STR(events[0].body->token, token);
	CHECK_INT(events[0].body->size_bytes, 60);
	CHECK(events[0].body->whole);
	CHECK(events[1].nil_body && !events[1].body);
	CHECK_STR(events[2].section, "BODY[]");
	CHECK_INT(events[2].body->size_bytes, 4);
	CHECK_INT(events[2].uid, 6);
	CHECK_STR(events[3].section, "BODY[TEXT]<0>");
	CHECK_STR(events[3].flags, "\\Seen");
	CHECK_INT(events[4].uid, 7);
	CHECK_STR(events[4].section, "RFC822");
	CHECK_INT(events[4].body->size_bytes, 2);
	imap_reply_free(&reply);
}

static void hostile_sizes_end_the_session(void)
{
	static const char *const scripts[][4] = {
		{"> * OK hi", "< r1", "> * 1 FETCH (BODY[] {9999999999}", "!hang"},
		{"> * OK hi", "< r1", "> * 1 FETCH (BODY[] {83886081}", "!hang"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		const char *script[] = {
			scripts[i][0], scripts[i][1], scripts[i][2], scripts[i][3], NULL};
		struct imap imap;
		struct imap_reply reply = play(&imap, script, "FETCH 1 BODY[]", LONG_MS);

		CHECK_INT(reply.outcome, MAIL_MAYBE);
		CHECK_HAS(reply.failure, "too long");
		imap_reply_free(&reply);
	}
}

static void numbers_out_of_range_are_not_taken(void)
{
	static const char *const script[] = {"> * OK hi", "< r1", "> * 99999999999 EXISTS",
		"> * 1 FETCH (UID 4294967296)", "> * 2 FETCH (UID -1)",
		"> * 3 FETCH (UID 4294967295)", "> r1 OK done", NULL};
	struct imap imap;
	struct imap_reply reply = play(&imap, script, "NOOP", LONG_MS);

	CHECK_INT(reply.events[0].number, 0);
	CHECK_INT(reply.events[1].uid, 0);
	CHECK_INT(reply.events[2].uid, 0);
	CHECK_INT(reply.events[3].uid, 4294967295);
	imap_reply_free(&reply);
}

static void a_command_of_two_lines_is_not_sent(void)
{
	static const char *const script[] = {"> * OK hi", "!hang", NULL};
	struct imap imap;
	struct imap_reply reply = play(&imap, script, "NOOP\r\nr2 NOOP", LONG_MS);

	CHECK_INT(reply.outcome, MAIL_NO);
	CHECK_HAS(reply.failure, "not one line");
	imap_reply_free(&reply);
}

static void an_append_is_open_only_once_its_content_is_out(void)
{
	static const struct {
		const char *script[12];
		enum mail_outcome outcome;
	} cases[] = {
		{{"> * OK hi", "< r1 APPEND", "> r1 NO [TRYCREATE] no"}, MAIL_NO},
		{{"> * OK hi", "< r1 APPEND", "!close"}, MAIL_NO},
		{{"> * OK hi", "< r1 APPEND", "> + go", "< Date", "!hang"}, MAIL_MAYBE},
		{{"> * OK hi", "< r1 APPEND", "> + go", "< Date", "> r1 NO [OVERQUOTA] full",
			 "!hang"},
			MAIL_NO},
	};
	struct message message = make(1);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mail_opts opts = {
			.reply_ms = cases[i].outcome == MAIL_MAYBE ? SHORT_MS : LONG_MS};
		struct imap_reply reply auto_imap_reply = {0};
		struct peer peer;
		struct imap imap;

		imap_open(&imap, peer_start(&peer, cases[i].script), &opts);
		imap_greet(&imap, &reply);
		CHECK_INT(
			imap_append(&imap, "INBOX", "\\Seen", &message, &reply), cases[i].outcome);
		imap_close(&imap);
		peer_end(&peer);
		CHECK_STR(peer.wrong, "");
		peer_free(&peer);
	}
	message_free(&message);
}

/* ---- against the fake store ---- */

static struct fake *start(void)
{
	struct fake_opts opts = {.users = users};
	struct fake *fake = fake_new(&opts);

	CHECK_INT(fake_start(fake, NULL), 0);
	return fake;
}

static void log_in(struct imap *imap, struct fake *fake, const struct mail_opts *opts)
{
	struct imap_reply reply auto_imap_reply = {0};

	imap_open(imap, fake_connect(fake, FAKE_IMAP, deadline_in_ms(20000), NULL), opts);
	CHECK_INT(imap_greet(imap, &reply), MAIL_OK);
	CHECK_INT(imap_login(imap, "u1", "u1", &reply), MAIL_OK);
	CHECK_INT(imap_select(imap, "INBOX", false, &reply), MAIL_OK);
}

static void a_session_appends_stores_expunges_copies_and_moves(void)
{
	struct fake *fake = start();
	struct imap_reply reply auto_imap_reply = {0};
	struct message message = make(1);
	char moments[1024] = "";
	struct mail_opts opts = {.reply_ms = LONG_MS, .moment = note, .arg = moments};
	struct imap imap;

	log_in(&imap, fake, &opts);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(imap_append(&imap, "INBOX", "\\Seen", &message, &reply), MAIL_OK);
		CHECK_HAS(reply.code, "APPENDUID ");
	}
	CHECK_INT(imap_send(&imap, &reply, "CREATE other"), MAIL_OK);
	CHECK_INT(imap_send(&imap, &reply, "UID COPY 1 other"), MAIL_OK);
	CHECK_INT(imap_send(&imap, &reply, "UID MOVE 2 other"), MAIL_OK);
	CHECK_INT(imap.exists, 2);
	CHECK_INT(imap_send(&imap, &reply, "UID STORE 3 +FLAGS.SILENT (\\Deleted)"), MAIL_OK);
	CHECK_INT(imap_send(&imap, &reply, "UID EXPUNGE 3"), MAIL_OK);
	CHECK_INT(reply.events[0].kind, IMAP_EXPUNGE);
	CHECK_INT(reply.events[0].number, 2);
	CHECK_INT(imap_command(&imap, &reply, "STATUS %s (MESSAGES)", "other"), MAIL_OK);
	CHECK_INT(reply.events[0].messages, 2);
	CHECK_INT(imap_send(&imap, &reply, "COPY 1 nowhere"), MAIL_NO);
	CHECK_STR(reply.code, "TRYCREATE");
	CHECK_INT(imap_logout(&imap, &reply), MAIL_OK);
	CHECK_HAS(moments, "connected login login/reply select select/reply append append/reply ");
	CHECK_HAS(moments,
		" copy copy/reply move move/reply store store/reply expunge expunge/reply ");
	fake_free(fake);
	message_free(&message);
}

static int note_tag(void *arg, const char *moment, const char *tag)
{
	size_t len = strlen(arg);

	snprintf(
		(char *)arg + len, 1024 - len, "%s:%s ", moment + strlen("imap/"), tag ? tag : "-");
	return 0;
}

/* RFC 3501 section 2.2.1: each command has a new tag, its reply the same; DONE ends the command of IDLE. */
static void a_moment_has_the_tag_of_its_command(void)
{
	static const char *const commands[] = {"NOOP", "CHECK"};
	enum mail_outcome outcomes[2];
	struct fake *fake = start();
	struct imap_reply reply auto_imap_reply = {0};
	struct message message = make(1);
	char moments[1024] = "";
	struct mail_opts opts = {.reply_ms = LONG_MS, .moment = note_tag, .arg = moments};
	struct imap imap;

	log_in(&imap, fake, &opts);
	CHECK_INT(imap_append(&imap, "INBOX", NULL, &message, &reply), MAIL_OK);
	CHECK_INT(imap_idle(&imap, &reply), MAIL_OK);
	CHECK_INT(imap_idle_done(&imap, &reply), MAIL_OK);
	imap_pipeline(&imap, commands, 2, &reply, outcomes);
	CHECK_INT(imap_logout(&imap, &reply), MAIL_OK);
	CHECK_STR(moments,
		"connected:- login:r1 login/reply:r1 select:r2 select/reply:r2 append:r3 "
		"append/reply:r3 idle:r4 idle/reply:r4 done:r4 done/reply:r4 noop:r5 "
		"noop/reply:r5 logout:r7 logout/reply:r7 ");
	fake_free(fake);
	message_free(&message);
}

static void idle_shows_what_arrives(void)
{
	struct fake *fake = start();
	struct imap_reply idle auto_imap_reply = {0};
	struct imap_reply reply auto_imap_reply = {0};
	struct message message = make(1);
	char moments[1024] = "";
	struct mail_opts opts = {.reply_ms = LONG_MS};
	struct mail_opts noting = {.reply_ms = LONG_MS, .moment = note, .arg = moments};
	struct imap watcher, writer;

	log_in(&watcher, fake, &noting);
	log_in(&writer, fake, &opts);
	CHECK_INT(imap_idle(&watcher, &idle), MAIL_OK);
	CHECK_INT(imap_idle_wait(&watcher, &idle, deadline_in_ms(50)), 0);
	CHECK_INT(imap_append(&writer, "INBOX", NULL, &message, &reply), MAIL_OK);
	CHECK_INT(imap_idle_wait(&watcher, &idle, deadline_in_ms(20000)), 1);
	CHECK_INT(idle.events[0].kind, IMAP_EXISTS);
	CHECK_INT(imap_idle_done(&watcher, &idle), MAIL_OK);
	CHECK_HAS(moments, "idle idle/reply done done/reply ");
	CHECK_INT(imap_send(&watcher, &reply, "NOOP"), MAIL_OK);
	CHECK_INT(imap_idle(&watcher, &idle), MAIL_OK);
	CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
	CHECK(imap_idle_wait(&watcher, &idle, deadline_in_ms(20000)) < 0);
	CHECK(!watcher.alive);
	imap_close(&watcher);
	imap_close(&writer);
	fake_free(fake);
	message_free(&message);
}

static void everything_is_read_back(void)
{
	struct fake *fake = start();
	struct imap_reply reply auto_imap_reply = {0};
	struct mail_opts opts = {.reply_ms = LONG_MS};
	struct message messages[120];
	struct imap_copies found;
	struct imap imap;
	size_t right = 0;

	log_in(&imap, fake, &opts);
	CHECK_INT(imap_send(&imap, &reply, "CREATE \"other box\""), MAIL_OK);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		messages[i] = make(i);
		CHECK_INT(imap_append(
				  &imap, i % 3 ? "INBOX" : "other box", NULL, &messages[i], &reply),
			MAIL_OK);
	}
	imap_close(&imap);
	CHECK_INT(imap_read_back_user(fake_connect(fake, FAKE_IMAP, deadline_in_ms(20000), NULL),
			  &opts, "u1", "u1", &found, NULL),
		0);
	CHECK_INT(found.mailboxes, 2);
	CHECK_INT(found.count, ARRAY_SIZE(messages));
	for (size_t i = 0; i < found.count; i++)
		for (size_t k = 0; k < ARRAY_SIZE(messages); k++)
			right += message_is_copy(
				&found.copies[i].seen, messages[k].token, messages[k].body_sha256);
	CHECK_INT(right, ARRAY_SIZE(messages));
	CHECK(found.copies[0].uidvalidity > 0);
	imap_copies_free(&found);
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		message_free(&messages[i]);
	fake_free(fake);
}

static void a_read_back_that_cannot_be_completed_says_why(void)
{
	static const char *const no_login[] = {"> * OK hi", "< r1", "> r1 NO who", "!hang", NULL};
	static const char *const no_list[] = {
		"> * OK hi", "< r1", "> r1 OK", "< r2 LIST", "> * LIST () \"/\" a", "!hang", NULL};
	struct mail_opts opts = {.reply_ms = SHORT_MS};
	struct imap_copies found;
	struct peer peer;
	struct err err;

	CHECK_INT(imap_read_back_user(peer_start(&peer, no_login), &opts, "u1", "u1", &found, &err),
		-EPROTO);
	CHECK_HAS(err.text, "cannot read back user 'u1': login: NO who");
	imap_copies_free(&found);
	peer_end(&peer);
	peer_free(&peer);
	CHECK_INT(imap_read_back_user(peer_start(&peer, no_list), &opts, "u1", "u1", &found, &err),
		-ETIMEDOUT);
	CHECK_HAS(err.text, "no answer for 1000 ms");
	imap_copies_free(&found);
	peer_end(&peer);
	peer_free(&peer);
}

CHECK_MAIN(CHECK_CASE(outcomes_are_what_the_wire_implies),
	CHECK_CASE(untagged_responses_are_parsed),
	CHECK_CASE(bodies_come_as_literals_quoted_strings_or_nil),
	CHECK_CASE(hostile_sizes_end_the_session), CHECK_CASE(numbers_out_of_range_are_not_taken),
	CHECK_CASE(a_command_of_two_lines_is_not_sent),
	CHECK_CASE(an_append_is_open_only_once_its_content_is_out),
	CHECK_CASE(a_session_appends_stores_expunges_copies_and_moves),
	CHECK_CASE(a_moment_has_the_tag_of_its_command), CHECK_CASE(idle_shows_what_arrives),
	CHECK_CASE(everything_is_read_back),
	CHECK_CASE(a_read_back_that_cannot_be_completed_says_why))
