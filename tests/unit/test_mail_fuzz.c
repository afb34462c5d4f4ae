/* Servers that answer with random bytes: no client crashes, hangs or believes them. */
#include "base/clock.h"
#include "base/io.h"
#include "mail/http.h"
#include "mail/imap.h"
#include "mail/pop3.h"
#include "mail/sink.h"
#include "mail/smtp.h"
#include "tests/check/check.h"

#include <string.h>
#include <sys/socket.h>

#define ROUNDS 150

/* Bytes that are nearly right more often than chance would have it. */
static const char *const words[] = {"220 hi\r\n", "250 ok\r\n", "250-more\r\n", "354 go\r\n",
	"451 no\r\n", "999 x\r\n", "25", "\r\n", "\n", ".\r\n", "* OK hi\r\n", "* ",
	"r1 OK done\r\n", "r2 OK done\r\n", "r3 OK\r\n", "+ go\r\n", "* 1 FETCH (UID 1 FLAGS (",
	"BODY[] {10}\r\n", "{5}\r\n", "~{3}\r\n", "{99999999999}\r\n", "NIL", "(", ")", "((((((((",
	"\"", "\\", "\"a\\\"", "* LIST (\\Noselect) \"/\" x\r\n", "* LIST () NIL \"INBOX\"\r\n",
	"* 3 EXISTS\r\n", "* 1 EXPUNGE\r\n", "* STATUS a (UIDNEXT ", "7)\r\n",
	"* OK [UIDVALIDITY 3] x\r\n", "* OK [", "* VANISHED 1:9\r\n", "+OK 2 300\r\n", "+OK\r\n",
	"-ERR\r\n", "1 120\r\n", "2 abc\r\n", "HTTP/1.1 200 OK\r\n", "Content-Length: 5\r\n",
	"Content-Length: -5\r\n", "X-Mailrig-Token: 0123456789abcdef0123456789abcdef\r\n",
	"* 4294967296 EXISTS\r\n", "[", "]", " "};

/* What each kind of client wants to hear first, so that the noise also meets its later states. */
static const char *const openings[] = {
	"220 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n",
	"220 hi\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
	"* OK hi\r\nr1 OK in\r\n* LIST () \"/\" INBOX\r\nr2 OK\r\n* 2 EXISTS\r\nr3 OK\r\n* 1 FETCH "
	"(UID 7)\r\n"
	"r4 OK\r\n* 1 FETCH (UID 7 ",
	"* OK hi\r\nr1 OK done\r\n+ idling\r\n",
	"+OK hi\r\n+OK\r\n+OK\r\n+OK 1 9\r\n+OK\r\n1 a\r\n.\r\n+OK\r\n1 9\r\n.\r\n+OK\r\n",
	"HTTP/1.1 200 OK\r\n"};

struct noise {
	int fd;
	const char *opening;
	struct rng rng;
	pthread_t thread;
};

static void *make_noise(void *arg)
{
	struct noise *noise = arg;
	size_t pieces = rng_below(&noise->rng, 60);
	char bytes[64];

	io_write_all(noise->fd, noise->opening, strlen(noise->opening), deadline_in_ms(1000), NULL);
	for (size_t i = 0; i < pieces; i++) {
		const char *word = words[rng_below(&noise->rng, ARRAY_SIZE(words))];
		size_t len = strlen(word);

		if (rng_below(&noise->rng, 6) == 0) {
			word = bytes;
			len = rng_below(&noise->rng, sizeof(bytes));
			rng_bytes(&noise->rng, bytes, len);
		}
		if (io_write_all(noise->fd, word, len, deadline_in_ms(1000), NULL))
			break;
	}
	shutdown(noise->fd, SHUT_WR);
	while (io_read(noise->fd, bytes, sizeof(bytes), deadline_in_ms(5000)) > 0)
		;
	cleanup_fd(&noise->fd);
	return NULL;
}

static int start_noise(struct noise *noise, int kind, uint64_t seed)
{
	struct rng rng = rng_stream(seed, "opening");

	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	io_prepare(fds[1]);
	*noise = (struct noise){.fd = fds[1],
		.opening = rng_below(&rng, 3) ? openings[kind] : "",
		.rng = rng_stream(seed, "noise")};
	if (pthread_create(&noise->thread, NULL, make_noise, noise))
		abort();
	return fds[0];
}

static const struct mail_opts opts = {.reply_ms = 2000};

static void smtp_client(int fd, bool lmtp)
{
	struct rng rng = rng_stream(1, "fuzz");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = 500};
	struct smtp_rcpt rcpts[2] = {{.address = "b@y"}, {.address = "c@y"}};
	struct message message;
	struct smtp_mail mail = {
		.from = "a@x", .rcpts = rcpts, .rcpt_count = 2, .message = &message};

	message_make(&message, &rng, &spec);
	smtp_once(fd, lmtp, "client.rig", &opts, &mail);
	CHECK(mail.outcome != MAIL_OK || mail.dot_sent);
	message_free(&message);
}

static void imap_client(int fd)
{
	struct imap_copies copies;

	imap_read_back_user(fd, &opts, "u1", "u1", &copies, NULL);
	imap_copies_free(&copies);
}

static void imap_idler(int fd)
{
	struct imap_reply reply auto_imap_reply = {0};
	struct imap imap;

	imap_open(&imap, fd, &opts);
	imap_greet(&imap, &reply);
	imap_send(&imap, &reply, "NOOP");
	imap_idle(&imap, &reply);
	while (imap_idle_wait(&imap, &reply, deadline_in_ms(1000)) > 0)
		;
	imap_idle_done(&imap, &reply);
	imap_close(&imap);
}

static void pop3_client(int fd)
{
	struct message_seen seen;
	struct pop3_items items;
	struct pop3 pop3;
	uint32_t count;
	uint64_t bytes;

	pop3_open(&pop3, fd, &opts);
	pop3_greet(&pop3);
	pop3_login(&pop3, "u1", "u1");
	pop3_stat(&pop3, &count, &bytes);
	pop3_uidl(&pop3, &items);
	pop3_items_free(&items);
	pop3_list(&pop3, &items);
	pop3_items_free(&items);
	pop3_retr(&pop3, 1, &seen);
	pop3_quit(&pop3);
	pop3_close(&pop3);
}

static void web_client(int fd)
{
	struct http_result result;

	http_get(fd, "store", "/", &opts, &result);
}

static void noise_never_hangs_or_crashes_a_client(void)
{
	int64_t before = clock_mono_ns();

	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		for (int kind = 0; kind < 6; kind++) {
			struct noise noise;
			int fd = start_noise(&noise, kind, seed * 6 + (uint64_t)kind);

			if (kind < 2)
				smtp_client(fd, kind);
			else if (kind == 2)
				imap_client(fd);
			else if (kind == 3)
				imap_idler(fd);
			else if (kind == 4)
				pop3_client(fd);
			else
				web_client(fd);
			pthread_join(noise.thread, NULL);
		}
	}
	CHECK(clock_mono_ns() - before < 60 * NS_PER_SEC);
}

/* The sink listens to a guest: the same holds for it. */
static void noise_never_hangs_or_crashes_the_sink(void)
{
	static const char *const says[] = {"EHLO x\r\n", "LHLO x\r\n", "MAIL FROM:<a@x>\r\n",
		"MAIL FROM:<\r\n", "RCPT TO:<b@y>\r\n", "RCPT TO:>b<\r\n", "DATA\r\n", "A: b\r\n",
		"\r\n", ".\r\n", "\n.\n", "..\r\n", "RSET\r\n", "\r", "MAIL", " ", "QUIT\r\n"};
	uint16_t port;
	struct sink_opts sink_opts = {
		.listen_fd = io_listen_tcp("127.0.0.1", 0, &port, NULL), .delay_ms = 1};
	struct sink *sink = sink_start(&sink_opts, NULL);
	struct rng rng = rng_stream(1, "sink noise");

	for (int i = 0; i < ROUNDS; i++) {
		int fd = io_connect_tcp("127.0.0.1", port, deadline_in_ms(5000), NULL);

		sink_set_mode(sink, (enum sink_mode)rng_below(&rng, SINK_MODES));
		for (size_t k = rng_below(&rng, 40); k; k--) {
			const char *word = says[rng_below(&rng, ARRAY_SIZE(says))];

			if (io_write_all(fd, word, strlen(word), deadline_in_ms(1000), NULL))
				break;
		}
		cleanup_fd(&fd);
	}
	sink_stop(sink);
}

CHECK_MAIN(CHECK_CASE(noise_never_hangs_or_crashes_a_client),
	CHECK_CASE(noise_never_hangs_or_crashes_the_sink))
