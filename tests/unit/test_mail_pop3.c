#include "mail/http.h"
#include "mail/pop3.h"
#include "tests/check/check.h"
#include "tests/fake/peer.h"

#include <string.h>

#define SHORT_MS 1000  /* a wait that is meant to end in a time-out */
#define LONG_MS	 20000 /* one that is not: a busy host must not end it */

static int note(void *arg, const char *moment, const char *tag)
{
	(void)tag;
	strcat(arg, strchr(moment, '/') + 1);
	strcat(arg, " ");
	return 0;
}

static void outcomes_are_what_the_wire_implies(void)
{
	static const struct {
		const char *what;
		const char *script[8];
		enum mail_outcome outcome;
		const char *moments, *failure;
	} cases[] = {
		{"ok", {"> +OK hi", "< RETR 1", "> +OK", "> A: b", ">>\r\n..x\r\n.\r\n"}, MAIL_OK,
			"connected retr retr/reply ", ""},
		{"refused", {"> +OK hi", "< RETR 1", "> -ERR no"}, MAIL_NO,
			"connected retr retr/reply ", ""},
		{"closed", {"> +OK hi", "< RETR 1", "!close"}, MAIL_MAYBE, "connected retr ",
			"retr: connection"},
		{"closed inside", {"> +OK hi", "< RETR 1", "> +OK", "> A: b"}, MAIL_MAYBE,
			"connected retr ", "retr: connection"},
		{"silence inside", {"> +OK hi", "< RETR 1", "> +OK", "> A: b", "!hang"}, MAIL_MAYBE,
			"connected retr ", "no answer for 1000 ms"},
		{"garbage", {"> +OK hi", "< RETR 1", "> 250 ok", "!hang"}, MAIL_MAYBE,
			"connected retr ", "no answer"},
		{"refused at once", {"> -ERR busy"}, MAIL_NO, "connected ", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char moments[256] = "";
		struct mail_opts opts = {
			.reply_ms = strstr(cases[i].failure, "1000 ms") ? SHORT_MS : LONG_MS,
			.moment = note,
			.arg = moments};
		struct message_seen seen;
		struct peer peer;
		struct pop3 pop3;

		pop3_open(&pop3, peer_start(&peer, cases[i].script), &opts);
		pop3_greet(&pop3);
		if (!CHECK_INT(pop3_retr(&pop3, 1, &seen), cases[i].outcome) ||
			!CHECK_STR(moments, cases[i].moments) ||
			!CHECK_HAS(pop3.failure, cases[i].failure))
			fprintf(stderr, "case: %s\n", cases[i].what);
		if (!i)
			CHECK_INT(seen.body_bytes, 4); /* ".x" CRLF: unstuffed */
		pop3_close(&pop3);
		peer_end(&peer);
		peer_free(&peer);
	}
}

static void odd_numbers_are_no_answer(void)
{
	static const char *const script[] = {"> +OK hi", "< STAT", "> +OK many", "!hang", NULL};
	struct mail_opts opts = {.reply_ms = LONG_MS};
	struct peer peer;
	struct pop3 pop3;
	uint32_t count;
	uint64_t bytes;

	pop3_open(&pop3, peer_start(&peer, script), &opts);
	CHECK_INT(pop3_greet(&pop3), MAIL_OK);
	CHECK_INT(pop3_stat(&pop3, &count, &bytes), MAIL_MAYBE);
	CHECK(!pop3.alive);
	CHECK_INT(pop3_dele(&pop3, 1), MAIL_NO);
	pop3_close(&pop3);
	peer_end(&peer);
	peer_free(&peer);
}

static void a_web_page_is_got_or_not(void)
{
	static const struct {
		const char *what;
		const char *script[8];
		enum mail_outcome outcome;
		int status;
		uint64_t bytes;
		const char *moments;
	} cases[] = {
		{"with a length",
			{"< GET /x HTTP/1.1", "< Host: store", "< Connection: close", "< \r",
				"> HTTP/1.1 200 OK", "> content-length: 2", ">>\r\nhi", "!hang"},
			MAIL_OK, 200, 2, "get get/reply "},
		{"until the end",
			{"< GET", "< Host", "< Conn", "< \r", "> HTTP/1.0 302 Found", ">>\r\nabc"},
			MAIL_OK, 302, 3, "get get/reply "},
		{"refused", {"< GET", "< Host", "< Conn", "< \r", ">>HTTP/1.1 503 Busy\r\n\r\n"},
			MAIL_NO, 503, 0, "get get/reply "},
		{"cut short",
			{"< GET", "< Host", "< Conn", "< \r",
				">>HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"},
			MAIL_MAYBE, 200, 3, "get get/reply "},
		{"silence", {"< GET", "!hang"}, MAIL_MAYBE, 0, 0, "get "},
		{"no HTTP", {"< GET", "> 220 smtp", "!hang"}, MAIL_MAYBE, 0, 0, "get "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char moments[256] = "";
		struct mail_opts opts = {
			.reply_ms = strcmp(cases[i].what, "silence") ? LONG_MS : SHORT_MS,
			.moment = note,
			.arg = moments};
		struct http_result result;
		const char *script[9] = {0};
		struct peer peer;

		memcpy(script, cases[i].script, sizeof(cases[i].script));
		http_get(peer_start(&peer, script), "store", "/x", &opts, &result);
		peer_end(&peer);
		if (!CHECK_INT(result.outcome, cases[i].outcome) ||
			!CHECK_INT(result.status, cases[i].status) ||
			!CHECK_INT(result.body_bytes, cases[i].bytes) ||
			!CHECK_STR(moments, cases[i].moments) || !CHECK_STR(peer.wrong, ""))
			fprintf(stderr, "case: %s\n", cases[i].what);
		peer_free(&peer);
	}
}

CHECK_MAIN(CHECK_CASE(outcomes_are_what_the_wire_implies), CHECK_CASE(odd_numbers_are_no_answer),
	CHECK_CASE(a_web_page_is_got_or_not))
