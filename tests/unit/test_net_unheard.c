/* A reply that comes when its client has gone was heard by nobody: the mail may come again, and nobody is to blame. */
#include "tests/check/check.h"
#include "tests/unit/net_tell.h"

#include <pcap/dlt.h>

static const struct dialogue_port ports[] = {{24, DIALOGUE_PROTOCOL_LMTP, NULL}};

static void on_event(void *arg, const struct dialogue_event *event)
{
	if (event->kind == DIALOGUE_CLOSED && event->unheard_ns)
		buf_addf(arg, "unheard since %lld ms\n", (long long)(event->unheard_ns / 1000000));
	if (event->attempt)
		buf_addf(arg, "%s %s\n", event->attempt->to,
			dialogue_attempt_name(event->attempt->result));
}

/* LMTP (RFC 2033) with two recipients; the client closes its end before the reply `gone`, 0-based. */
static void tell(int gone, struct buf *out)
{
	static const char *const said[][2] = {
		{"LHLO a\r\n", "250 b\r\n"},
		{"MAIL FROM:<w@x>\r\n", "250 ok\r\n"},
		{"RCPT TO:<u1@s>\r\n", "250 ok\r\n"},
		{"RCPT TO:<u2@s>\r\n", "250 ok\r\n"},
		{"DATA\r\n", "354 go\r\n"},
	};
	struct gen_conn conn = gen_conn(1, 24, false);
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen.step_ns = 1000000;
	gen_open(&gen, &conn);
	gen_text(&gen, &conn, GEN_SERVER, "220 b\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(said); i++) {
		gen_text(&gen, &conn, GEN_CLIENT, said[i][0]);
		gen_text(&gen, &conn, GEN_SERVER, said[i][1]);
	}
	gen_text(&gen, &conn, GEN_CLIENT, "Subject: x\r\n\r\ny\r\n.\r\n");
	for (int i = 0; i < 2; i++) {
		if (i == gone)
			gen_fin(&gen, &conn, GEN_CLIENT);
		gen_text(&gen, &conn, GEN_SERVER, "250 saved\r\n");
	}
	if (gone >= 2)
		gen_fin(&gen, &conn, GEN_CLIENT);
	gen_fin(&gen, &conn, GEN_SERVER);
	tell_capture(&gen, ports, ARRAY_SIZE(ports), on_event, out);
	gen_free(&gen);
}

static void a_reply_behind_the_clients_end_is_none(void)
{
	static const struct {
		int gone;
		const char *want;
	} cases[] = {
		{2, "u1@s 2yz\nu2@s 2yz\n"},
		{1, "u1@s 2yz\nu2@s none\n"},
		{0, "u1@s none\nu2@s none\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf out = {0};

		tell(cases[i].gone, &out);
		CHECK_STR(buf_text(&out), cases[i].want);
	}
}

/* It is told and ends by a reset, after QUIT or without another word. */
static void tell_reset(bool quit, enum gen_side by, struct buf *out)
{
	struct gen_conn conn = gen_conn(1, 24, false);
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen.step_ns = 1000000;
	gen_open(&gen, &conn);
	gen_text(&gen, &conn, GEN_SERVER, "220 b\r\n");
	gen_text(&gen, &conn, GEN_CLIENT, "LHLO a\r\n");
	gen_text(&gen, &conn, GEN_SERVER, "250 b\r\n");
	if (quit)
		gen_text(&gen, &conn, GEN_CLIENT, "QUIT\r\n");
	gen_reset(&gen, &conn, by);
	tell_capture(&gen, ports, ARRAY_SIZE(ports), on_event, out);
	gen_free(&gen);
}

static void a_client_that_resets_never_read_what_came_after_its_last_word(void)
{
	auto_buf struct buf told = {0}, quit = {0}, server = {0};

	tell_reset(false, GEN_CLIENT, &told);
	CHECK_HAS(buf_text(&told), "unheard since ");
	tell_reset(true, GEN_CLIENT, &quit);
	CHECK_HAS(buf_text(&quit), "unheard since ");
	CHECK(strcmp(buf_text(&quit), buf_text(&told)) > 0); /* QUIT was the last word */
	tell_reset(false, GEN_SERVER, &server);
	CHECK_STR(buf_text(&server), "");
}

CHECK_MAIN(CHECK_CASE(a_client_that_resets_never_read_what_came_after_its_last_word),
	CHECK_CASE(a_reply_behind_the_clients_end_is_none))
