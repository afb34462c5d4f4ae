#include "base/clock.h"
#include "base/io.h"
#include "mail/forwarder.h"
#include "mail/sink.h"
#include "mail/smtp.h"
#include "tests/check/check.h"

#include <string.h>
#include <sys/socket.h>

/* A forwarder in front of a listener that the test accepts from. */
struct rig {
	struct forwarder *forwarder;
	uint16_t port, upstream_port;
	int upstream_fd; /* listener; -1: closed */
	pthread_mutex_t lock;
	unsigned int fired[FORWARDER_MODES];
};

static int upstream(void *arg, int64_t deadline_ns, struct err *err)
{
	struct rig *rig = arg;

	return io_connect_tcp("127.0.0.1", rig->upstream_port, deadline_ns, err);
}

static void fired(void *arg, enum forwarder_mode mode)
{
	struct rig *rig = arg;

	pthread_mutex_lock(&rig->lock);
	rig->fired[mode]++;
	pthread_mutex_unlock(&rig->lock);
}

static void start(struct rig *rig)
{
	struct forwarder_opts opts = {.connect = upstream, .on_fired = fired, .arg = rig};

	*rig = (struct rig){.lock = PTHREAD_MUTEX_INITIALIZER};
	rig->upstream_fd = io_listen_tcp("127.0.0.1", 0, &rig->upstream_port, NULL);
	opts.listen_fd = io_listen_tcp("127.0.0.1", 0, &rig->port, NULL);
	rig->forwarder = forwarder_start(&opts, NULL);
	CHECK(rig->forwarder != NULL);
}

static void stop(struct rig *rig)
{
	forwarder_stop(rig->forwarder);
	cleanup_fd(&rig->upstream_fd);
}

static int client(struct rig *rig)
{
	return io_connect_tcp("127.0.0.1", rig->port, deadline_in_ms(20000), NULL);
}

/* The upstream's end of a connection that was forwarded. */
static int taken(struct rig *rig)
{
	int fd;

	if (io_readable(rig->upstream_fd, deadline_in_ms(20000)) != 1)
		return -1;
	fd = accept4(rig->upstream_fd, NULL, NULL, SOCK_CLOEXEC);
	io_prepare(fd);
	return fd;
}

static void say(int fd, const char *text)
{
	CHECK_INT(io_write_all(fd, text, strlen(text), deadline_in_ms(20000), NULL), 0);
}

static void hears(int fd, const char *text)
{
	char got[64] = "";
	size_t len = 0;

	while (len < strlen(text)) {
		ssize_t n = io_read(fd, got + len, strlen(text) - len, deadline_in_ms(20000));

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	CHECK_STR(got, text);
}

/* What a read gives within `ms`: 0 end, -ETIMEDOUT silence, -ECONNRESET. */
static ssize_t reads(int fd, int64_t ms)
{
	char byte;

	return io_read(fd, &byte, 1, deadline_in_ms(ms));
}

static struct forwarder_counts counts(struct rig *rig)
{
	struct forwarder_counts now;

	forwarder_get_counts(rig->forwarder, &now);
	return now;
}

/* Nothing but the counts tells that the forwarder's thread has taken a connection, or seen it end. */
static void wait_open(struct rig *rig, uint64_t open)
{
	int64_t until_ns = deadline_in_ms(20000);

	while (counts(rig).open != open && deadline_left_ms(until_ns))
		sched_yield();
	CHECK_INT(counts(rig).open, open);
}

static void bytes_pass_both_ways_and_half_close_too(void)
{
	struct rig rig;
	int a, b;

	start(&rig);
	a = client(&rig);
	b = taken(&rig);
	say(a, "hello");
	hears(b, "hello");
	shutdown(a, SHUT_WR);
	CHECK_INT(reads(b, 20000), 0);
	say(b, "still there");
	hears(a, "still there");
	cleanup_fd(&b);
	CHECK_INT(reads(a, 20000), 0);
	cleanup_fd(&a);
	CHECK_INT(counts(&rig).forwarded, 1);
	CHECK_INT(forwarder_fired(rig.forwarder), 0);
	stop(&rig);
}

static void a_reset_is_passed_on_and_what_was_said_before_it_arrives(void)
{
	struct linger now = {.l_onoff = 1};
	struct rig rig;
	int a, b;

	start(&rig);
	a = client(&rig);
	b = taken(&rig);
	say(a, "x");
	hears(b, "x");
	setsockopt(b, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	cleanup_fd(&b);
	CHECK_INT(reads(a, 20000), -ECONNRESET);
	cleanup_fd(&a);
	stop(&rig);
}

static void large_amounts_pass_unchanged_when_the_reader_is_slow(void)
{
	enum { TOTAL = 3 << 20 };
	auto_free char *sent = mem_zero(1, TOTAL);
	auto_free char *got = mem_zero(1, TOTAL);
	struct rng rng = rng_stream(1, "forwarder");
	size_t out = 0, in = 0;
	struct rig rig;
	int a, b;

	rng_bytes(&rng, sent, TOTAL);
	start(&rig);
	a = client(&rig);
	b = taken(&rig);
	while (in < TOTAL) {
		ssize_t n = out < TOTAL ? write(a, sent + out, TOTAL - out) : 0;

		out += n > 0 ? (size_t)n : 0;
		n = io_read(b, got + in, 70000 < TOTAL - in ? 70000 : TOTAL - in,
			deadline_in_ms(20000));
		if (n <= 0)
			break;
		in += (size_t)n;
	}
	CHECK_INT(in, TOTAL);
	CHECK_INT(memcmp(sent, got, TOTAL), 0);
	cleanup_fd(&a);
	cleanup_fd(&b);
	stop(&rig);
}

static void reset_refuses_at_once_and_counts(void)
{
	struct rig rig;

	start(&rig);
	forwarder_set_mode(rig.forwarder, FORWARDER_RESET, NULL);
	for (int i = 0; i < 3; i++) {
		int a = client(&rig); /* the reset may come while it still connects */

		CHECK_INT(a < 0 ? a : reads(a, 20000), -ECONNRESET);
		cleanup_fd(&a);
	}
	CHECK_INT(counts(&rig).refused, 3);
	CHECK_INT(forwarder_fired(rig.forwarder), 3);
	CHECK_INT(counts(&rig).forwarded, 0);
	stop(&rig);
	CHECK_INT(rig.fired[FORWARDER_RESET], 3);
}

static void closed_is_refused_by_the_kernel_and_opens_again_on_the_same_port(void)
{
	struct rig rig;

	start(&rig);
	for (int i = 0; i < 3; i++) {
		int a, b;

		CHECK_INT(forwarder_set_mode(rig.forwarder, FORWARDER_CLOSED, NULL), 0);
		CHECK_INT(client(&rig), -ECONNREFUSED);
		CHECK_INT(forwarder_set_mode(rig.forwarder, FORWARDER_PASS, NULL), 0);
		a = client(&rig);
		b = taken(&rig);
		say(a, "again");
		hears(b, "again");
		cleanup_fd(&a);
		cleanup_fd(&b);
	}
	stop(&rig);
}

static void silent_heals_in_three_ways(void)
{
	for (int held = 0; held < 3; held++) {
		struct rig rig;
		int a, b, c;

		start(&rig);
		forwarder_set_mode(rig.forwarder, FORWARDER_SILENT, NULL);
		a = client(&rig);
		say(a, "early");
		wait_open(&rig, 1);
		CHECK_INT(reads(a, 50), -ETIMEDOUT);
		CHECK_INT(counts(&rig).held, 1);
		CHECK_INT(forwarder_change(rig.forwarder,
				  &(struct forwarder_change){.held = (enum forwarder_held)held},
				  NULL),
			0);
		if (held == FORWARDER_HELD_LATE) {
			b = taken(&rig);
			hears(b, "early");
			cleanup_fd(&b);
			CHECK_INT(reads(a, 20000), 0);
		} else if (held == FORWARDER_HELD_RESET) {
			CHECK_INT(reads(a, 20000), -ECONNRESET);
			CHECK_INT(counts(&rig).cut, 1);
		} else {
			CHECK_INT(reads(a, 50), -ETIMEDOUT);
		}
		c = client(&rig); /* whoever comes after the heal passes */
		b = taken(&rig);
		say(c, "late");
		hears(b, "late");
		cleanup_fd(&a);
		cleanup_fd(&b);
		cleanup_fd(&c);
		stop(&rig);
		CHECK_INT(rig.fired[FORWARDER_SILENT], 1);
	}
}

static void a_held_client_that_goes_frees_its_place(void)
{
	struct rig rig;
	int a;

	start(&rig);
	forwarder_set_mode(rig.forwarder, FORWARDER_SILENT, NULL);
	a = client(&rig);
	wait_open(&rig, 1);
	CHECK_INT(reads(a, 50), -ETIMEDOUT);
	cleanup_fd(&a);
	wait_open(&rig, 0);
	CHECK_INT(counts(&rig).cut, 0);
	stop(&rig);
}

static void a_change_keeps_or_cuts_what_is_being_forwarded(void)
{
	for (int cut = 0; cut < 2; cut++) {
		struct rig rig;
		int a, b;

		start(&rig);
		a = client(&rig);
		b = taken(&rig);
		forwarder_change(rig.forwarder,
			&(struct forwarder_change){.mode = FORWARDER_RESET, .cut = cut}, NULL);
		if (cut) {
			CHECK_INT(reads(a, 20000), -ECONNRESET);
			CHECK_INT(reads(b, 20000), -ECONNRESET);
		} else {
			say(a, "on");
			hears(b, "on");
		}
		CHECK_INT(counts(&rig).cut, cut);
		cleanup_fd(&a);
		cleanup_fd(&b);
		stop(&rig);
	}
}

static void delay_holds_each_chunk_for_its_time(void)
{
	struct rig rig;
	int64_t before;
	int a, b;

	start(&rig);
	forwarder_change(rig.forwarder,
		&(struct forwarder_change){.mode = FORWARDER_DELAY, .delay_ms = 80}, NULL);
	a = client(&rig);
	b = taken(&rig);
	before = clock_mono_ns();
	say(a, "ping");
	hears(b, "ping");
	say(b, "pong");
	hears(a, "pong");
	CHECK(clock_mono_ns() - before >= 160 * NS_PER_MS);
	CHECK_INT(counts(&rig).delayed, 1);
	shutdown(a, SHUT_WR);
	CHECK_INT(reads(b, 20000), 0);
	cleanup_fd(&a);
	cleanup_fd(&b);
	stop(&rig);
}

static void an_upstream_that_is_gone_resets_the_client(void)
{
	struct rig rig;
	int a;

	start(&rig);
	cleanup_fd(&rig.upstream_fd);
	a = client(&rig); /* the reset may come while it still connects */
	CHECK_INT(a < 0 ? a : reads(a, 20000), -ECONNRESET);
	CHECK_INT(counts(&rig).failed, 1);
	cleanup_fd(&a);
	stop(&rig);
}

static void stopping_never_waits_for_a_peer(void)
{
	static const enum forwarder_mode modes[] = {
		FORWARDER_PASS, FORWARDER_SILENT, FORWARDER_DELAY};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct rig rig;
		int64_t before;
		int fds[30];

		start(&rig);
		forwarder_change(rig.forwarder,
			&(struct forwarder_change){.mode = modes[i], .delay_ms = 60000}, NULL);
		for (size_t k = 0; k < ARRAY_SIZE(fds); k++) {
			fds[k] = client(&rig);
			say(fds[k], "x");
		}
		before = clock_mono_ns();
		stop(&rig);
		CHECK(clock_mono_ns() - before < 20 * NS_PER_SEC); /* a peer may take a minute */
		for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
			cleanup_fd(&fds[k]);
	}
}

static void more_connections_than_it_serves_wait_in_the_backlog(void)
{
	int fds[FORWARDER_CONNECTIONS_MAX + 1];
	struct rig rig;
	int64_t until_ns = deadline_in_ms(10000);

	start(&rig);
	forwarder_set_mode(rig.forwarder, FORWARDER_SILENT, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client(&rig);
	wait_open(&rig, FORWARDER_CONNECTIONS_MAX);
	CHECK_INT(counts(&rig).accepted, FORWARDER_CONNECTIONS_MAX);
	cleanup_fd(&fds[0]);
	while (counts(&rig).accepted <= FORWARDER_CONNECTIONS_MAX && deadline_left_ms(until_ns))
		sched_yield();
	CHECK_INT(counts(&rig).accepted, FORWARDER_CONNECTIONS_MAX + 1);
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		cleanup_fd(&fds[i]);
	stop(&rig);
}

static void lmtp_goes_through_to_a_sink(void)
{
	struct rng rng = rng_stream(1, "forwarder");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = 200000};
	struct mail_opts opts = {.reply_ms = 5000};
	struct smtp_rcpt rcpt = {.address = "b@y"};
	struct message message;
	struct sink_opts sink_opts = {.lmtp = true};
	struct smtp_mail mail = {
		.from = "a@x", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};
	struct sink_mail kept;
	struct sink *sink;
	struct rig rig;

	message_make(&message, &rng, &spec);
	start(&rig);
	sink_opts.listen_fd = rig.upstream_fd;
	rig.upstream_fd = -1;
	sink = sink_start(&sink_opts, NULL);
	smtp_once(client(&rig), true, "client.rig", &opts, &mail);
	CHECK_INT(mail.outcome, MAIL_OK);
	CHECK(sink_mail_at(sink, 0, &kept));
	CHECK(message_is_copy(&kept.seen, message.token, message.body_sha256));
	stop(&rig);
	sink_stop(sink);
	message_free(&message);
}

CHECK_MAIN(CHECK_CASE(bytes_pass_both_ways_and_half_close_too),
	CHECK_CASE(a_reset_is_passed_on_and_what_was_said_before_it_arrives),
	CHECK_CASE(large_amounts_pass_unchanged_when_the_reader_is_slow),
	CHECK_CASE(reset_refuses_at_once_and_counts),
	CHECK_CASE(closed_is_refused_by_the_kernel_and_opens_again_on_the_same_port),
	CHECK_CASE(silent_heals_in_three_ways), CHECK_CASE(a_held_client_that_goes_frees_its_place),
	CHECK_CASE(a_change_keeps_or_cuts_what_is_being_forwarded),
	CHECK_CASE(delay_holds_each_chunk_for_its_time),
	CHECK_CASE(an_upstream_that_is_gone_resets_the_client),
	CHECK_CASE(stopping_never_waits_for_a_peer),
	CHECK_CASE(more_connections_than_it_serves_wait_in_the_backlog),
	CHECK_CASE(lmtp_goes_through_to_a_sink))
