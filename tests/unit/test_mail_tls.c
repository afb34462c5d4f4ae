/*
 * The rig's SMTP and IMAP clients in TLS: what they do in the clear they do behind STARTTLS, and a handshake that
 * is refused, garbled, stalled or cut ends the session with a sentence, in time.
 */
#include "base/clock.h"
#include "mail/imap.h"
#include "mail/smtp.h"
#include "tests/check/check.h"
#include "tests/fake/tls_gen.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_MS	  20000 /* a wait that is not to end by itself, however busy the host */
#define SHORT_MS  300
#define LINE_ROOM 512

/* A server on one end of a socket pair. Steps as in tests/fake/peer.h: "> text", "< word", "."; "!tls" is its
 * handshake; "!junk" sends what is none; "!hang" reads until the client is gone. */
struct server {
	int fd;
	const char *const *script;
	SSL_CTX *context;
	SSL *ssl; /* once in TLS */
	pthread_t thread;
	char wrong[LINE_ROOM];
};

static bool get(struct server *s, char *byte)
{
	return s->ssl ? SSL_read(s->ssl, byte, 1) == 1 : read(s->fd, byte, 1) == 1;
}

static bool put(struct server *s, const char *text, size_t len)
{
	if (s->ssl)
		return SSL_write(s->ssl, text, (int)len) == (int)len;
	return send(s->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool get_line(struct server *s, char line[LINE_ROOM])
{
	size_t len = 0;
	char byte = 0;

	while (byte != '\n' && get(s, &byte))
		if (len + 1 < LINE_ROOM)
			line[len++] = byte;
	line[len] = '\0';
	return byte == '\n';
}

static bool expect(struct server *s, const char *word)
{
	char line[LINE_ROOM];

	if (get_line(s, line) && !strncmp(line, word, strlen(word)))
		return true;
	snprintf(s->wrong, sizeof(s->wrong), "wanted '%s', got '%.200s'", word, line);
	return false;
}

static bool begin_tls(struct server *s)
{
	s->ssl = SSL_new(s->context);
	SSL_set_fd(s->ssl, s->fd);
	return SSL_accept(s->ssl) == 1;
}

static bool step(struct server *s, const char *what)
{
	char line[LINE_ROOM] = "";

	if (!strncmp(what, "> ", 2))
		return put(s, what + 2, strlen(what + 2)) && put(s, "\r\n", 2);
	if (!strncmp(what, "< ", 2))
		return expect(s, what + 2);
	if (!strcmp(what, "!tls"))
		return begin_tls(s);
	if (!strcmp(what, "!junk"))
		return put(s, "450 not today\r\n", 15);
	if (!strcmp(what, "!hang"))
		while (get(s, line))
			;
	while (!strcmp(what, ".") && strcmp(line, ".\r\n") != 0 && get_line(s, line))
		;
	return true;
}

static void *serve(void *arg)
{
	struct server *s = arg;

	for (const char *const *what = s->script; *what && step(s, *what); what++)
		;
	SSL_free(s->ssl);
	close(s->fd);
	return NULL;
}

static int server_start(struct server *s, const char *const *script)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN); /* of the server: OpenSSL writes by itself there */
	*s = (struct server){.script = script, .context = tls_server_context()};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	s->fd = fds[1];
	if (pthread_create(&s->thread, NULL, serve, s))
		abort();
	return fds[0];
}

static void server_end(struct server *s)
{
	pthread_join(s->thread, NULL);
	SSL_CTX_free(s->context);
	CHECK_STR(s->wrong, "");
}

/* ---- SMTP ---- */

#define TO_STARTTLS "> 220 hi", "< EHLO client.rig", "> 250 STARTTLS", "< STARTTLS"

static void deliver(
	const char *const *script, size_t bytes, int64_t reply_ms, struct smtp_mail *mail)
{
	static struct smtp_rcpt rcpt;
	struct mail_opts opts = {.reply_ms = reply_ms, .starttls = true};
	struct rng rng = rng_stream(1, "tls");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = bytes};
	struct message message;
	struct server server;

	message_make(&message, &rng, &spec);
	rcpt = (struct smtp_rcpt){.address = "b@y"};
	*mail = (struct smtp_mail){
		.from = "a@x", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};
	smtp_once(server_start(&server, script), false, "client.rig", &opts, mail);
	server_end(&server);
	message_free(&message);
}

static void a_mail_is_delivered_in_tls(void)
{
	static const char *const script[] = {TO_STARTTLS, "> 220 go", "!tls", "< EHLO client.rig",
		"> 250 x", "< MAIL FROM:<a@x>", "> 250 ok", "< RCPT TO:<b@y>", "> 250 ok", "< DATA",
		"> 354 go", ".", "> 250 taken", "< QUIT", "> 221 bye", NULL};
	static const size_t sizes[] = {10, 2000, 300000};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct smtp_mail mail;

		deliver(script, sizes[i], LONG_MS, &mail);
		CHECK_INT(mail.outcome, MAIL_OK);
		CHECK_STR(mail.rcpts[0].reply, "taken");
	}
}

static void a_session_that_does_not_get_into_tls_sends_nothing(void)
{
	static const char *const refused[] = {TO_STARTTLS, "> 454 not now", NULL};
	static const char *const garbled[] = {TO_STARTTLS, "> 220 go", "!junk", "!hang", NULL};
	static const char *const cut[] = {TO_STARTTLS, "> 220 go", NULL};
	static const char *const stalled[] = {TO_STARTTLS, "> 220 go", "!hang", NULL};
	struct smtp_mail mail;

	deliver(refused, 10, LONG_MS, &mail);
	CHECK_INT(mail.outcome, MAIL_NO);
	deliver(garbled, 10, LONG_MS, &mail);
	CHECK_INT(mail.outcome, MAIL_NO);
	CHECK_HAS(mail.failure, "the TLS handshake");
	deliver(cut, 10, LONG_MS, &mail);
	CHECK_INT(mail.outcome, MAIL_NO);
	deliver(stalled, 10, SHORT_MS, &mail);
	CHECK_INT(mail.outcome, MAIL_NO);
	CHECK_HAS(mail.failure, "the TLS handshake: no answer");
}

static void an_unanswered_dot_in_tls_is_a_maybe(void)
{
	static const char *const script[] = {TO_STARTTLS, "> 220 go", "!tls", "< EHLO", "> 250 x",
		"< MAIL", "> 250 ok", "< RCPT", "> 250 ok", "< DATA", "> 354 go", ".", NULL};
	struct smtp_mail mail;

	deliver(script, 10, LONG_MS, &mail);
	CHECK(mail.dot_sent);
	CHECK_INT(mail.outcome, MAIL_MAYBE);
}

/* ---- IMAP ---- */

static void a_mailbox_is_read_in_tls(void)
{
	static const char *const script[] = {"> * OK hi", "< r1 STARTTLS", "> r1 OK go", "!tls",
		"< r2 LOGIN", "> r2 OK in", "< r3 SELECT", "> * 2 EXISTS", "> r3 OK [READ-WRITE] x",
		"< r4 IDLE", "> + go", "> * 3 EXISTS", "< DONE", "> r4 OK x", "!hang", NULL};
	struct mail_opts opts = {.reply_ms = LONG_MS, .starttls = true};
	struct imap_reply reply auto_imap_reply = {0};
	struct server server;
	struct imap imap;

	imap_open(&imap, server_start(&server, script), &opts);
	CHECK_INT(imap_greet(&imap, &reply), MAIL_OK);
	CHECK_INT(imap_login(&imap, "u1", "u1", &reply), MAIL_OK);
	CHECK_INT(imap_select(&imap, "INBOX", false, &reply), MAIL_OK);
	CHECK_INT(imap.exists, 2);
	CHECK_INT(imap_idle(&imap, &reply), MAIL_OK);
	CHECK_INT(imap_idle_wait(&imap, &reply, deadline_in_ms(LONG_MS)), 1);
	CHECK_INT(imap.exists, 3);
	CHECK_INT(imap_idle_wait(&imap, &reply, deadline_in_ms(50)), 0); /* nothing more comes */
	CHECK_INT(imap_idle_done(&imap, &reply), MAIL_OK);
	imap_close(&imap);
	server_end(&server);
}

static void a_refused_handshake_ends_an_imap_session(void)
{
	static const char *const script[] = {
		"> * OK hi", "< r1 STARTTLS", "> r1 OK go", "!junk", "!hang", NULL};
	struct mail_opts opts = {.reply_ms = LONG_MS, .starttls = true};
	struct imap_reply reply auto_imap_reply = {0};
	struct server server;
	struct imap imap;

	imap_open(&imap, server_start(&server, script), &opts);
	CHECK_INT(imap_greet(&imap, &reply), MAIL_NO);
	CHECK(!imap.alive);
	CHECK_HAS(imap.failure, "the TLS handshake");
	imap_close(&imap);
	server_end(&server);
}

CHECK_MAIN(CHECK_CASE(a_mail_is_delivered_in_tls),
	CHECK_CASE(a_session_that_does_not_get_into_tls_sends_nothing),
	CHECK_CASE(an_unanswered_dot_in_tls_is_a_maybe), CHECK_CASE(a_mailbox_is_read_in_tls),
	CHECK_CASE(a_refused_handshake_ends_an_imap_session))
