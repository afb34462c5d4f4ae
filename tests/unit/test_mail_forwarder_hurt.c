/* What the forwarder does to a dialogue: the server has committed each time, its client hears otherwise. */
#include "base/clock.h"
#include "base/io.h"
#include "mail/forwarder.h"
#include "mail/sink.h"
#include "mail/smtp.h"
#include "tests/check/check.h"

#include <string.h>

#define SHORT_MS 300
#define LONG_MS	 20000
#define RCPTS	 3

/* A client, the forwarder, an LMTP server that keeps what it is given. */
struct rig {
	struct forwarder *forwarder;
	struct sink *sink;
	uint16_t port, sink_port;
	struct message message;
	struct smtp_rcpt rcpts[RCPTS];
	struct smtp_mail mail;
	int64_t reply_ms;
	pthread_t thread;
};

static int upstream(void *arg, int64_t deadline_ns, struct err *err)
{
	struct rig *rig = arg;

	return io_connect_tcp("127.0.0.1", rig->sink_port, deadline_ns, err);
}

static void start(struct rig *rig, const struct forwarder_change *change)
{
	struct forwarder_opts opts = {.connect = upstream, .arg = rig};
	struct sink_opts sink = {.lmtp = true};
	struct message_spec spec = {.from = "a@sink.rig", .to = "b@store", .body_bytes = 300};
	struct rng rng = rng_stream(1, "test");

	*rig = (struct rig){.reply_ms = LONG_MS};
	sink.listen_fd = io_listen_tcp("127.0.0.1", 0, &rig->sink_port, NULL);
	rig->sink = sink_start(&sink, NULL);
	opts.listen_fd = io_listen_tcp("127.0.0.1", 0, &rig->port, NULL);
	rig->forwarder = forwarder_start(&opts, NULL);
	CHECK_INT(forwarder_change(rig->forwarder, change, NULL), 0);
	message_make(&rig->message, &rng, &spec);
}

static void stop(struct rig *rig)
{
	forwarder_stop(rig->forwarder);
	sink_stop(rig->sink);
	message_free(&rig->message);
}

static void *send_it(void *arg)
{
	static const char *const to[RCPTS] = {"b@store", "c@store", "d@store"};
	struct rig *rig = arg;
	struct mail_opts opts = {.reply_ms = rig->reply_ms};
	int fd = io_connect_tcp("127.0.0.1", rig->port, deadline_in_ms(LONG_MS), NULL);

	for (size_t i = 0; i < RCPTS; i++)
		rig->rcpts[i] = (struct smtp_rcpt){.address = to[i]};
	rig->mail = (struct smtp_mail){.from = "a@sink.rig",
		.rcpts = rig->rcpts,
		.rcpt_count = RCPTS,
		.message = &rig->message};
	smtp_once(fd, true, "client.rig", &opts, &rig->mail);
	return NULL;
}

static uint64_t hurt(struct rig *rig)
{
	struct forwarder_counts counts;

	forwarder_get_counts(rig->forwarder, &counts);
	return counts.hurt;
}

/* How many of the recipients have an answer of their own. */
static size_t answered(const struct rig *rig)
{
	size_t count = 0;

	for (size_t i = 0; i < RCPTS; i++)
		count += rig->rcpts[i].outcome == MAIL_OK;
	return count;
}

static void each_mode_commits_and_answers_in_its_own_way(void)
{
	static const struct {
		struct forwarder_change change;
		size_t answered;
		const char *failure; /* NULL: all is well in the end */
		bool waits;
	} cases[] = {
		{{.mode = FORWARDER_PASS}, RCPTS, NULL, false},
		{{.mode = FORWARDER_BANNER_LATE, .delay_ms = 50}, RCPTS, NULL, false},
		{{.mode = FORWARDER_DRIP, .delay_ms = 1}, RCPTS, NULL, false},
		{{.mode = FORWARDER_PARTIAL, .replies = RCPTS}, RCPTS, NULL, false},
		{{.mode = FORWARDER_PARTIAL, .replies = 2}, 2, "no answer", true},
		{{.mode = FORWARDER_PARTIAL, .replies = 0}, 0, "no answer", true},
		{{.mode = FORWARDER_MUTE}, 0, "no answer", true},
		{{.mode = FORWARDER_DROP}, 0, "connection reset", false},
		{{.mode = FORWARDER_HALF_CLOSE}, 0, "connection closed", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool passes = cases[i].change.mode == FORWARDER_PASS ||
			      (cases[i].change.mode == FORWARDER_PARTIAL && !cases[i].waits);
		struct rig rig;
		bool ok;

		start(&rig, &cases[i].change);
		rig.reply_ms = cases[i].waits ? SHORT_MS : LONG_MS;
		send_it(&rig);
		ok = CHECK(sink_wait(rig.sink, 1, deadline_in_ms(LONG_MS)));
		ok &= CHECK_INT(answered(&rig), cases[i].answered);
		ok &= CHECK_INT(hurt(&rig), !passes);
		if (cases[i].failure)
			ok &= CHECK_HAS(rig.mail.failure, cases[i].failure);
		if (!ok)
			fprintf(stderr, "mode: %s %u: %s\n",
				forwarder_mode_name(cases[i].change.mode), cases[i].change.replies,
				rig.mail.failure);
		stop(&rig);
	}
}

static void replies_that_were_kept_back_come_late_or_never(void)
{
	static const struct {
		enum forwarder_mode mode;
		enum forwarder_held held;
		size_t answered;
		const char *failure;
	} cases[] = {
		{FORWARDER_MUTE, FORWARDER_HELD_LATE, RCPTS, NULL},
		{FORWARDER_MUTE, FORWARDER_HELD_RESET, 0, "connection reset"},
		{FORWARDER_MUTE, FORWARDER_HELD_BLACK_HOLE, 0, "no answer"},
		{FORWARDER_PARTIAL, FORWARDER_HELD_LATE, RCPTS, NULL},
		{FORWARDER_PARTIAL, FORWARDER_HELD_RESET, 1, "connection reset"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct forwarder_change change = {.mode = cases[i].mode, .replies = 1};
		int64_t limit = deadline_in_ms(LONG_MS);
		struct rig rig;

		start(&rig, &change);
		if (cases[i].held == FORWARDER_HELD_BLACK_HOLE)
			rig.reply_ms = 2 * SHORT_MS;
		if (pthread_create(&rig.thread, NULL, send_it, &rig))
			abort();
		while (!hurt(&rig) && deadline_left_ms(limit))
			sink_wait(rig.sink, 2, deadline_in_ms(5));
		change = (struct forwarder_change){.mode = FORWARDER_PASS, .held = cases[i].held};
		CHECK_INT(forwarder_change(rig.forwarder, &change, NULL), 0);
		pthread_join(rig.thread, NULL);
		if (!CHECK_INT(answered(&rig), cases[i].answered) ||
			(cases[i].failure && !CHECK_HAS(rig.mail.failure, cases[i].failure)))
			fprintf(stderr, "case %zu: %s\n", i, rig.mail.failure);
		stop(&rig);
	}
}

static void connections_left_in_the_backlog_are_counted_and_served_late(void)
{
	struct forwarder_change change = {.mode = FORWARDER_NOT_ACCEPTING};
	int64_t limit = deadline_in_ms(LONG_MS);
	struct forwarder_counts counts;
	struct rig rig;

	start(&rig, &change);
	if (pthread_create(&rig.thread, NULL, send_it, &rig))
		abort();
	do {
		sink_wait(rig.sink, 1, deadline_in_ms(5));
		forwarder_get_counts(rig.forwarder, &counts);
	} while (!counts.held && deadline_left_ms(limit));
	CHECK_INT(counts.held, 1);
	CHECK_INT(counts.accepted, 0);
	CHECK_INT(forwarder_set_mode(rig.forwarder, FORWARDER_PASS, NULL), 0);
	pthread_join(rig.thread, NULL);
	CHECK_INT(answered(&rig), RCPTS);
	CHECK_INT(forwarder_fired(rig.forwarder), 1);
	stop(&rig);
}

static void a_client_that_gives_up_ends_what_was_held_back_for_it(void)
{
	struct forwarder_change change = {.mode = FORWARDER_MUTE};
	int64_t limit = deadline_in_ms(LONG_MS);
	struct forwarder_counts counts;
	struct rig rig;

	start(&rig, &change);
	rig.reply_ms = SHORT_MS;
	send_it(&rig);
	do {
		sink_wait(rig.sink, 2, deadline_in_ms(5));
		forwarder_get_counts(rig.forwarder, &counts);
	} while (counts.open && deadline_left_ms(limit));
	CHECK_INT(counts.open, 0);
	stop(&rig);
}

CHECK_MAIN(CHECK_CASE(each_mode_commits_and_answers_in_its_own_way),
	CHECK_CASE(replies_that_were_kept_back_come_late_or_never),
	CHECK_CASE(a_client_that_gives_up_ends_what_was_held_back_for_it),
	CHECK_CASE(connections_left_in_the_backlog_are_counted_and_served_late))
