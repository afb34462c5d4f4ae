#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/proc.h"
#include "mail/sink.h"
#include "mail/smtp.h"
#include "tests/check/check.h"

#include <string.h>
#include <sys/socket.h>

#define SHORT_MS 1000  /* a wait that is meant to end in a time-out */
#define LONG_MS	 20000 /* one that is not: a busy host must not end it */

static uint16_t port;

static struct sink *start(bool lmtp)
{
	struct sink_opts opts = {.listen_fd = io_listen_tcp("127.0.0.1", 0, &port, NULL),
		.lmtp = lmtp,
		.delay_ms = 60};
	struct sink *sink = sink_start(&opts, NULL);

	CHECK(sink != NULL);
	return sink;
}

static struct message make(uint64_t seed)
{
	struct rng rng = rng_stream(seed, "sink");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = 1000};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

static struct smtp_mail send_mail(
	bool lmtp, const struct message *message, struct smtp_rcpt rcpts[2], int64_t reply_ms)
{
	struct mail_opts opts = {.reply_ms = reply_ms};
	struct smtp_mail mail = {
		.from = "a@x", .rcpts = rcpts, .rcpt_count = 2, .message = message};
	int fd = io_connect_tcp("127.0.0.1", port, deadline_in_ms(20000), NULL);

	rcpts[0] = (struct smtp_rcpt){.address = "b@y"};
	rcpts[1] = (struct smtp_rcpt){.address = "c@y"};
	if (fd < 0) { /* a reset may come while it still connects */
		CHECK_INT(fd, -ECONNRESET);
		return mail;
	}
	smtp_once(fd, lmtp, "client.rig", &opts, &mail);
	return mail;
}

static void a_mail_is_recorded_with_envelope_token_hash_and_time(void)
{
	for (int lmtp = 0; lmtp < 2; lmtp++) {
		struct sink *sink = start(lmtp);
		struct message message = make(1);
		struct smtp_rcpt rcpts[2];
		struct sink_mail mail;

		CHECK_INT(send_mail(lmtp, &message, rcpts, LONG_MS).outcome, MAIL_OK);
		CHECK(sink_wait(sink, 1, deadline_in_ms(20000)));
		CHECK(sink_mail_at(sink, 0, &mail));
		CHECK(!sink_mail_at(sink, 1, &mail));
		CHECK_STR(mail.from, "a@x");
		CHECK_INT(mail.rcpt_count, 2);
		CHECK_STR(mail.rcpts[1], "c@y");
		CHECK(message_is_copy(&mail.seen, message.token, message.body_sha256));
		CHECK(mail.kept && mail.dot_ns > 0);
		CHECK_INT(sink_sessions(sink), 1);
		sink_stop(sink);
		message_free(&message);
	}
}

/* The client gets no answer in time, and nothing else ends the session. */
static bool waits(enum sink_mode mode)
{
	return mode == SINK_NOT_ACCEPTING || mode == SINK_SILENT || mode == SINK_MUTE ||
	       mode == SINK_DRIP;
}

static void each_mode_misbehaves_in_its_way(void)
{
	static const struct {
		enum sink_mode mode;
		enum mail_outcome outcome;
		int code;
		enum smtp_phase reached;
		size_t records;
		bool kept;
	} cases[] = {
		{SINK_OK, MAIL_OK, 250, SMTP_QUIT, 1, true},
		{SINK_REFUSE, MAIL_NO, 0, SMTP_CONNECTED, 0, false},
		{SINK_NOT_ACCEPTING, MAIL_NO, 0, SMTP_CONNECTED, 0, false},
		{SINK_SILENT, MAIL_NO, 0, SMTP_CONNECTED, 0, false},
		{SINK_BANNER_LATE, MAIL_OK, 250, SMTP_QUIT, 1, true},
		{SINK_BUSY, MAIL_NO, 421, SMTP_CONNECTED, 0, false},
		{SINK_FULL, MAIL_NO, 452, SMTP_QUIT, 0, false},
		{SINK_TLS_STALLS, MAIL_OK, 250, SMTP_QUIT, 1,
			true}, /* this client asks for no TLS */
		{SINK_RCPT_4YZ, MAIL_NO, 451, SMTP_QUIT, 0, false},
		{SINK_RCPT_5YZ, MAIL_NO, 550, SMTP_QUIT, 0, false},
		{SINK_DATA_4YZ, MAIL_NO, 451, SMTP_QUIT, 1, false},
		{SINK_DATA_5YZ, MAIL_NO, 554, SMTP_QUIT, 1, false},
		{SINK_DROP, MAIL_MAYBE, 0, SMTP_DOT, 1, true},
		{SINK_MUTE, MAIL_MAYBE, 0, SMTP_DOT, 1, true},
		{SINK_DRIP, MAIL_MAYBE, 0, SMTP_DOT, 1, true},
		{SINK_HALF_CLOSE, MAIL_MAYBE, 0, SMTP_DOT, 1, true},
	};
	struct message message = make(1);

	CHECK_INT(ARRAY_SIZE(cases), SINK_MODES);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sink *sink = start(false);
		struct smtp_rcpt rcpts[2];
		struct sink_mail kept = {0};
		struct smtp_mail mail;
		enum sink_mode parsed;

		sink_set_mode(sink, cases[i].mode);
		CHECK_INT(sink_get_mode(sink), cases[i].mode);
		CHECK_INT(sink_mode_parse(sink_mode_name(cases[i].mode), &parsed), 0);
		CHECK_INT(parsed, cases[i].mode);
		mail = send_mail(false, &message, rcpts, waits(cases[i].mode) ? SHORT_MS : LONG_MS);
		if (!CHECK_INT(mail.outcome, cases[i].outcome) ||
			!CHECK_INT(rcpts[1].code | mail.code, cases[i].code) ||
			!CHECK_INT(mail.reached, cases[i].reached) ||
			!CHECK_INT(sink_mail_count(sink), cases[i].records) ||
			!CHECK_INT(sink_mail_at(sink, 0, &kept) && kept.kept, cases[i].kept))
			fprintf(stderr, "mode: %s\n", sink_mode_name(cases[i].mode));
		if (cases[i].mode == SINK_DROP)
			CHECK_HAS(mail.failure, "reply: connection reset");
		if (cases[i].mode == SINK_HALF_CLOSE)
			CHECK_HAS(mail.failure, "reply: connection closed");
		CHECK_INT(sink_fired(sink, cases[i].mode) > 0,
			cases[i].mode != SINK_OK && cases[i].mode != SINK_TLS_STALLS);
		sink_stop(sink);
	}
	message_free(&message);
}

/* The reply drips with 60 ms a byte, some two seconds; without a delay to speak of it comes in time. */
static void how_late_a_reply_is_can_be_said(void)
{
	static const struct {
		int64_t delay_ms;
		enum mail_outcome outcome;
	} cases[] = {{60, MAIL_MAYBE}, {1, MAIL_OK}, {0, MAIL_MAYBE}}; /* 0: a second */
	struct message message = make(1);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sink *sink = start(false);
		struct smtp_rcpt rcpts[2];

		sink_set_delay(sink, cases[i].delay_ms);
		sink_set_mode(sink, SINK_DRIP);
		CHECK_INT(send_mail(false, &message, rcpts,
				  cases[i].outcome == MAIL_OK ? LONG_MS : SHORT_MS)
				  .outcome,
			cases[i].outcome);
		sink_stop(sink);
	}
	message_free(&message);
}

struct late {
	struct sink *sink;
	struct message message;
	struct smtp_rcpt rcpts[2];
	struct smtp_mail mail;
	pthread_t thread;
};

static void *send_late(void *arg)
{
	struct late *late = arg;

	late->mail = send_mail(false, &late->message, late->rcpts, LONG_MS);
	return NULL;
}

static void what_waits_is_served_once_the_mode_is_healed(void)
{
	static const enum sink_mode modes[] = {
		SINK_NOT_ACCEPTING, SINK_SILENT, SINK_MUTE, SINK_DRIP};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct late late = {.sink = start(false), .message = make(i)};
		struct sink_mail mail;

		sink_set_mode(late.sink, modes[i]);
		if (pthread_create(&late.thread, NULL, send_late, &late))
			abort();
		if (modes[i] == SINK_MUTE || modes[i] == SINK_DRIP)
			CHECK(sink_wait(late.sink, 1, deadline_in_ms(20000)));
		else
			CHECK(!sink_wait(late.sink, 1, deadline_in_ms(100)));
		sink_set_mode(late.sink, SINK_OK);
		pthread_join(late.thread, NULL);
		if (!CHECK_INT(late.mail.outcome, MAIL_OK))
			fprintf(stderr, "mode: %s\n", sink_mode_name(modes[i]));
		CHECK(sink_wait(late.sink, 1, deadline_in_ms(20000)));
		CHECK(sink_mail_at(late.sink, 0, &mail));
		sink_stop(late.sink);
		message_free(&late.message);
	}
}

static void stopping_never_waits_for_a_peer(void)
{
	static const enum sink_mode modes[] = {SINK_OK, SINK_SILENT, SINK_NOT_ACCEPTING};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct sink *sink = start(false);
		int64_t before;
		int fds[20];

		sink_set_mode(sink, modes[i]);
		for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
			fds[k] = io_connect_tcp("127.0.0.1", port, deadline_in_ms(20000), NULL);
		before = clock_mono_ns();
		sink_stop(sink);
		CHECK(clock_mono_ns() - before < 20 * NS_PER_SEC); /* a peer, for ever */
		for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
			cleanup_fd(&fds[k]);
	}
}

static void more_sessions_than_it_serves_wait_in_the_backlog(void)
{
	struct sink *sink = start(false);
	int fds[SINK_SESSIONS_MAX + 1];
	char byte;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = io_connect_tcp("127.0.0.1", port, deadline_in_ms(20000), NULL);
	for (size_t i = 0; i < SINK_SESSIONS_MAX; i++)
		CHECK_INT(io_read(fds[i], &byte, 1, deadline_in_ms(20000)), 1);
	CHECK_INT(io_readable(fds[SINK_SESSIONS_MAX], deadline_in_ms(50)), 0);
	cleanup_fd(&fds[0]);
	CHECK_INT(io_read(fds[SINK_SESSIONS_MAX], &byte, 1, deadline_in_ms(20000)), 1);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		cleanup_fd(&fds[i]);
	sink_stop(sink);
}

/* Only CRLF . CRLF ends the content: a bare LF before the dot does not (request smuggling). */
static void a_dot_after_a_bare_lf_is_content(void)
{
	static const char talk[] = "EHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
				   "A: b\r\n\r\none\n.\r\nMAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n";
	struct sink *sink = start(false);
	int fd = io_connect_tcp("127.0.0.1", port, deadline_in_ms(20000), NULL);
	struct sink_mail mail;

	CHECK_INT(io_write_all(fd, talk, strlen(talk), deadline_in_ms(20000), NULL), 0);
	CHECK(sink_wait(sink, 1, deadline_in_ms(20000)));
	CHECK(!sink_wait(sink, 2, deadline_in_ms(100)));
	CHECK(sink_mail_at(sink, 0, &mail));
	CHECK_STR(mail.from, "a@x");
	CHECK(mail.seen.body_bytes > 20);
	cleanup_fd(&fd);
	sink_stop(sink);
}

/* ---- independent witnesses ---- */

static int run(char *const *argv, struct buf *out)
{
	struct err err = {0};
	int code = proc_run(argv, deadline_in_ms(20000), out, 1 << 20, &err);

	if (code)
		fprintf(stderr, "%s: %d %s\n%s\n", argv[0], code, err.text, buf_text(out));
	return code;
}

static void swaks_and_curl_are_served(void)
{
	auto_free char *file = path_join(check_dir(), "mail");
	auto_free char *server = NULL;
	auto_free char *url = NULL;
	struct buf out auto_buf = {0};
	struct message message = make(5);
	struct sink *sink = start(false);
	struct sink_mail mail = {0};

	if (access("/usr/bin/swaks", X_OK) || access("/usr/bin/curl", X_OK)) {
		check_skip("swaks or curl is not installed");
		sink_stop(sink);
		message_free(&message);
		return;
	}
	CHECK_INT(fs_write_atomic(file, message.text.data, message.text.len, NULL), 0);
	server = text_fmt("127.0.0.1:%u", port);
	url = text_fmt("smtp://127.0.0.1:%u", port);
	CHECK_INT(run((char *[]){"swaks", "--server", server, "--from", "a@x", "--to", "b@y,c@y",
			      "--data", file, NULL},
			  &out),
		0);
	CHECK_INT(run((char *[]){"curl", "-sS", url, "--mail-from", "a@x", "--mail-rcpt", "b@y",
			      "-T", file, NULL},
			  &out),
		0);
	for (size_t i = 0; i < 2; i++) {
		CHECK(sink_mail_at(sink, i, &mail));
		CHECK_STR(mail.from, "a@x");
		CHECK_INT(mail.rcpt_count, i ? 1 : 2);
		CHECK_STR(mail.seen.token, message.token);
	}
	CHECK_STR(mail.seen.body_sha256, message.body_sha256);
	sink_stop(sink);
	message_free(&message);
}

static void swaks_is_served_over_lmtp(void)
{
	auto_free char *server = NULL;
	struct buf out auto_buf = {0};
	struct sink *sink = start(true);

	if (access("/usr/bin/swaks", X_OK)) {
		check_skip("swaks is not installed");
		sink_stop(sink);
		return;
	}
	server = text_fmt("127.0.0.1:%u", port);
	CHECK_INT(run((char *[]){"swaks", "--protocol", "LMTP", "--server", server, "--from", "a@x",
			      "--to", "b@y", NULL},
			  &out),
		0);
	CHECK_INT(sink_mail_count(sink), 1);
	sink_stop(sink);
}

CHECK_MAIN(CHECK_CASE(a_mail_is_recorded_with_envelope_token_hash_and_time),
	CHECK_CASE(how_late_a_reply_is_can_be_said), CHECK_CASE(each_mode_misbehaves_in_its_way),
	CHECK_CASE(what_waits_is_served_once_the_mode_is_healed),
	CHECK_CASE(stopping_never_waits_for_a_peer),
	CHECK_CASE(more_sessions_than_it_serves_wait_in_the_backlog),
	CHECK_CASE(a_dot_after_a_bare_lf_is_content), CHECK_CASE(swaks_and_curl_are_served),
	CHECK_CASE(swaks_is_served_over_lmtp))
