#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"
#include "mail/imap.h"
#include "mail/pop3.h"
#include "mail/smtp.h"
#include "tests/check/check.h"
#include "tests/fake/store.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const users[] = {"u1", "u2", NULL};
static const struct mail_opts quick = {.reply_ms = 20000};

static struct fake *start(const struct fake_opts *more)
{
	struct fake_opts opts = more ? *more : (struct fake_opts){.retry_ms = 20};
	struct fake *fake;

	opts.users = users;
	fake = fake_new(&opts);
	CHECK_INT(fake_start(fake, NULL), 0);
	return fake;
}

static int reach(struct fake *fake, enum fake_service service)
{
	int fd = fake_connect(fake, service, deadline_in_ms(20000), NULL);

	if (fd < 0)
		abort();
	return fd;
}

static struct message make(uint64_t seed)
{
	struct rng rng = rng_stream(seed, "fake");
	struct message_spec spec = {.from = "a@x", .to = "<u1@store>", .body_bytes = 800};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

static struct smtp_mail send_with(struct fake *fake, const struct message *message,
	const struct mail_opts *opts, struct smtp_rcpt *rcpt)
{
	struct smtp_mail mail = {.from = "a@x", .rcpts = rcpt, .rcpt_count = 1, .message = message};

	*rcpt = (struct smtp_rcpt){.address = "u1@store"};
	smtp_once(reach(fake, FAKE_SMTP), false, "client.rig", opts, &mail);
	return mail;
}

static enum mail_outcome send_one(struct fake *fake, const struct message *message)
{
	struct smtp_rcpt rcpt;

	return send_with(fake, message, &quick, &rcpt).outcome;
}

static bool drained(struct fake *fake)
{
	return fake_wait_drained(fake, deadline_in_ms(20000));
}

static size_t copies(struct fake *fake, const char *user, const struct message *message)
{
	struct imap_copies found;
	struct err err;
	size_t n = 0;

	if (!CHECK_INT(
		    imap_read_back_user(reach(fake, FAKE_IMAP), &quick, user, user, &found, &err),
		    0))
		fprintf(stderr, "%s\n", err.text);
	for (size_t i = 0; i < found.count; i++)
		n += message_is_copy(&found.copies[i].seen, message->token, message->body_sha256);
	imap_copies_free(&found);
	return n;
}

static void a_mail_goes_in_by_smtp_and_out_by_imap_and_pop3(void)
{
	struct fake *fake = start(NULL);
	struct message message = make(1);
	struct message_seen seen;
	struct pop3_items items;
	struct pop3 pop3;
	uint32_t count = 0;
	uint64_t bytes;

	CHECK_INT(send_one(fake, &message), MAIL_OK);
	CHECK(drained(fake));
	CHECK_INT(copies(fake, "u1", &message), 1);
	CHECK_INT(copies(fake, "u2", &message), 0);

	pop3_open(&pop3, reach(fake, FAKE_POP3), &quick);
	CHECK_INT(pop3_greet(&pop3), MAIL_OK);
	CHECK_INT(pop3_login(&pop3, "u1", "u1"), MAIL_OK);
	CHECK_INT(pop3_stat(&pop3, &count, &bytes), MAIL_OK);
	CHECK_INT(count, 1);
	CHECK_INT(pop3_uidl(&pop3, &items), MAIL_OK);
	CHECK_INT(items.count, 1);
	CHECK_STR(items.items[0].uidl, "u1");
	pop3_items_free(&items);
	CHECK_INT(pop3_list(&pop3, &items), MAIL_OK);
	CHECK_INT(items.items[0].size_bytes, bytes);
	pop3_items_free(&items);
	CHECK_INT(pop3_retr(&pop3, 1, &seen), MAIL_OK);
	CHECK(message_is_copy(&seen, message.token, message.body_sha256));
	CHECK_INT(pop3_retr(&pop3, 2, &seen), MAIL_NO);
	CHECK_INT(pop3_dele(&pop3, 1), MAIL_OK);
	CHECK_INT(fake_copies(fake, "u1"), 1);
	CHECK_INT(pop3_quit(&pop3), MAIL_OK);
	CHECK_INT(fake_copies(fake, "u1"), 0);
	fake_free(fake);
	message_free(&message);
}

static void mail_survives_stop_and_start(void)
{
	struct fake *fake = start(NULL);
	struct message message = make(1);

	fake_hold_queue(fake, true);
	CHECK_INT(send_one(fake, &message), MAIL_OK);
	CHECK_INT(fake_queue_depth(fake), 1);
	CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
	CHECK(fake_connect(fake, FAKE_SMTP, deadline_in_ms(1000), NULL) < 0);
	CHECK_INT(fake_start(fake, NULL), 0);
	fake_hold_queue(fake, false);
	CHECK(drained(fake));
	CHECK_INT(copies(fake, "u1", &message), 1);
	fake_free(fake);
	message_free(&message);
}

static bool is_anybodys(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = !bind(fd, (struct sockaddr *)&addr, sizeof(addr));

	close(fd);
	return bound;
}

static void a_stopped_stores_ports_are_given_to_nobody(void)
{
	struct fake *fake = start(NULL);
	uint16_t port = fake_port(fake, FAKE_SMTP);

	CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
	CHECK(!is_anybodys(port));
	CHECK_INT(fake_start(fake, NULL), 0);
	CHECK_INT(fake_port(fake, FAKE_SMTP), port);
	close(reach(fake, FAKE_SMTP));
	fake_free(fake);
}

struct frozen {
	struct fake *fake;
	pthread_t thread;
	struct message message;
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
};

static int freeze_at_data(void *arg, const char *moment, const char *tag)
{
	struct frozen *frozen = arg;

	(void)tag;
	if (!strcmp(moment, "smtp/data"))
		fake_freeze(frozen->fake);
	return 0;
}

static void *send_frozen(void *arg)
{
	struct frozen *frozen = arg;
	struct mail_opts opts = {.reply_ms = 20000, .moment = freeze_at_data, .arg = frozen};

	frozen->mail = send_with(frozen->fake, &frozen->message, &opts, &frozen->rcpt);
	return NULL;
}

/* A mail whose dot falls into a freeze; thawed as soon as it waits there. */
static void through_a_freeze(struct frozen *frozen, struct fake *fake)
{
	*frozen = (struct frozen){.fake = fake, .message = make(7)};
	if (pthread_create(&frozen->thread, NULL, send_frozen, frozen))
		abort();
	CHECK(fake_wait_frozen(fake, 1, deadline_in_ms(20000)));
	fake_thaw(fake);
}

static void a_dot_in_a_freeze_is_answered_after_the_thaw(void)
{
	struct fake *fake = start(NULL);
	struct frozen frozen;

	through_a_freeze(&frozen, fake);
	pthread_join(frozen.thread, NULL);
	CHECK_INT(frozen.mail.outcome, MAIL_OK);
	CHECK(drained(fake));
	CHECK_INT(copies(fake, "u1", &frozen.message), 1);
	fake_free(fake);
	message_free(&frozen.message);
}

static void bug_hangs_at_thaw_leaves_an_operation_waiting(void)
{
	struct fake *fake = start(NULL);
	struct frozen frozen;

	fake_plant(fake, FAKE_HANGS_AT_THAW, 1, false);
	through_a_freeze(&frozen, fake);
	CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
	pthread_join(frozen.thread, NULL);
	CHECK_INT(frozen.mail.outcome, MAIL_MAYBE);
	CHECK(fake_bug_fired(fake, FAKE_HANGS_AT_THAW));
	CHECK_INT(fake_queue_depth(fake), 0);
	fake_free(fake);
	message_free(&frozen.message);
}

static void bug_bounces_on_a_freeze(void)
{
	struct fake *fake = start(NULL);
	struct frozen frozen;

	fake_plant(fake, FAKE_BOUNCES, 1, true);
	through_a_freeze(&frozen, fake);
	pthread_join(frozen.thread, NULL);
	CHECK_INT(frozen.mail.outcome, MAIL_NO);
	CHECK_INT(frozen.mail.code, 554);
	fake_free(fake);
	message_free(&frozen.message);
}

static void each_bug_at_the_dot_breaks_its_law(void)
{
	static const struct {
		enum fake_bug bug;
		enum mail_outcome outcome;
		size_t u1, u2; /* copies */
		size_t deaths;
	} cases[] = {
		{FAKE_BUGS, MAIL_OK, 1, 0, 0},
		{FAKE_LOSES, MAIL_OK, 0, 0, 0},
		{FAKE_KEEPS_REFUSED, MAIL_NO, 1, 0, 0},
		{FAKE_DUPLICATES, MAIL_OK, 2, 0, 0},
		{FAKE_NO_REPLY, MAIL_MAYBE, 1, 0, 0},
		{FAKE_DIES, MAIL_MAYBE, 0, 0, 1},
		{FAKE_CORRUPTS, MAIL_OK, 0, 0, 0},
		{FAKE_MIXES_USERS, MAIL_OK, 0, 1, 0},
	};
	static const struct mail_opts hasty = {.reply_ms = 1000};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fake *fake = start(NULL);
		struct message message = make(i);
		struct smtp_rcpt rcpt;

		if (cases[i].bug < FAKE_BUGS)
			fake_plant(fake, cases[i].bug, 1, false);
		CHECK_INT(send_with(fake, &message, cases[i].bug == FAKE_NO_REPLY ? &hasty : &quick,
				  &rcpt)
				  .outcome,
			cases[i].outcome);
		CHECK(drained(fake));
		if (!CHECK_INT(copies(fake, "u1", &message), cases[i].u1) ||
			!CHECK_INT(copies(fake, "u2", &message), cases[i].u2) ||
			!CHECK_INT(fake_deaths(fake, NULL, 0), cases[i].deaths))
			fprintf(stderr, "bug: %s\n", fake_bug_name(cases[i].bug));
		CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
		fake_free(fake);
		message_free(&message);
	}
}

static void a_disabled_agent_defers_and_the_queue_drains_when_it_is_back(void)
{
	struct fake *fake = start(NULL);
	struct message message = make(1);
	struct buf list auto_buf = {0};

	fake_disable_delivery(fake, true);
	CHECK_INT(send_one(fake, &message), MAIL_OK);
	CHECK(!fake_wait_drained(fake, deadline_in_ms(100)));
	fake_queue_list(fake, &list);
	CHECK_HAS(list.data, "Q000001 ");
	CHECK_HAS(list.data, " u1@store\n");
	fake_disable_delivery(fake, false);
	CHECK(drained(fake));
	CHECK_INT(copies(fake, "u1", &message), 1);
	fake_free(fake);
	message_free(&message);
}

static void bug_queue_stuck_never_drains(void)
{
	struct fake *fake = start(NULL);
	struct message message = make(1);

	fake_plant(fake, FAKE_QUEUE_STUCK, 1, false);
	fake_disable_delivery(fake, true);
	CHECK_INT(send_one(fake, &message), MAIL_OK);
	CHECK(!fake_wait_drained(fake, deadline_in_ms(100)));
	fake_disable_delivery(fake, false);
	CHECK(!fake_wait_drained(fake, deadline_in_ms(300)));
	CHECK(fake_bug_fired(fake, FAKE_QUEUE_STUCK));
	fake_free(fake);
	message_free(&message);
}

static void bug_stop_hangs_until_it_is_killed(void)
{
	struct fake *fake = start(NULL);
	struct err err;

	fake_plant(fake, FAKE_STOP_HANGS, 1, false);
	CHECK_INT(fake_stop(fake, deadline_in_ms(100), &err), -ETIMEDOUT);
	CHECK(fake_running(fake));
	fake_kill(fake);
	CHECK(!fake_running(fake));
	fake_plant(fake, FAKE_STOP_HANGS, 0, false);
	CHECK_INT(fake_start(fake, NULL), 0);
	CHECK_INT(fake_stop(fake, deadline_in_ms(20000), NULL), 0);
	fake_free(fake);
}

static void a_store_stopped_while_frozen_ends_only_by_force(void)
{
	struct fake *fake = start(NULL);
	struct frozen frozen = {.fake = fake, .message = make(7)};

	if (pthread_create(&frozen.thread, NULL, send_frozen, &frozen))
		abort();
	CHECK(fake_wait_frozen(fake, 1, deadline_in_ms(20000)));
	CHECK_INT(fake_stop(fake, deadline_in_ms(50), NULL), -ETIMEDOUT);
	fake_kill(fake);
	pthread_join(frozen.thread, NULL);
	CHECK_INT(frozen.mail.outcome, MAIL_MAYBE);
	fake_free(fake);
	message_free(&frozen.message);
}

/* ---- the inner hop over TCP ---- */

struct hop {
	struct fake *fake;
	pthread_mutex_t lock;
	bool down;
	char attempts[256]; /* "edge:2yz inner:2yz " */
};

static int hop_connect(void *arg, int64_t deadline_ns, struct err *err)
{
	struct hop *hop = arg;
	bool down;

	pthread_mutex_lock(&hop->lock);
	down = hop->down;
	pthread_mutex_unlock(&hop->lock);
	return down ? -ECONNREFUSED : fake_connect(hop->fake, FAKE_LMTP, deadline_ns, err);
}

static void on_attempt(void *arg, const struct fake_attempt *attempt)
{
	struct hop *hop = arg;
	size_t at;

	pthread_mutex_lock(&hop->lock);
	at = strlen(hop->attempts);
	snprintf(hop->attempts + at, sizeof(hop->attempts) - at, "%s:%s ", attempt->hop,
		attempt->result);
	pthread_mutex_unlock(&hop->lock);
}

static void the_inner_hop_can_run_over_tcp(void)
{
	struct hop hop = {.lock = PTHREAD_MUTEX_INITIALIZER, .down = true};
	struct fake_opts opts = {
		.retry_ms = 20, .hop_connect = hop_connect, .on_attempt = on_attempt, .arg = &hop};
	struct message message = make(1);

	hop.fake = start(&opts);
	CHECK_INT(send_one(hop.fake, &message), MAIL_OK);
	CHECK(!fake_wait_drained(hop.fake, deadline_in_ms(60)));
	pthread_mutex_lock(&hop.lock);
	hop.down = false;
	pthread_mutex_unlock(&hop.lock);
	CHECK(drained(hop.fake));
	CHECK_INT(copies(hop.fake, "u1", &message), 1);
	CHECK_STR(hop.attempts, "edge:2yz inner:2yz ");
	fake_free(hop.fake);
	message_free(&message);
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

static void swaks_delivers_and_curl_reads_the_same_message(void)
{
	auto_free char *file = path_join(check_dir(), "mail");
	struct fake *fake = start(NULL);
	struct message message = make(9);
	auto_free char *server = text_fmt("127.0.0.1:%u", fake_port(fake, FAKE_SMTP));
	char *urls[3] = {
		text_fmt("imap://127.0.0.1:%u/INBOX;UID=1", fake_port(fake, FAKE_IMAP)),
		text_fmt("pop3://127.0.0.1:%u/1", fake_port(fake, FAKE_POP3)),
		text_fmt("imap://127.0.0.1:%u/", fake_port(fake, FAKE_IMAP)),
	};
	struct buf out auto_buf = {0};

	if (access("/usr/bin/swaks", X_OK) || access("/usr/bin/curl", X_OK)) {
		check_skip("swaks or curl is not installed");
		goto out;
	}
	CHECK_INT(fs_write_atomic(file, message.text.data, message.text.len, NULL), 0);
	CHECK_INT(run((char *[]){"swaks", "--server", server, "--from", "a@x", "--to", "u1@store",
			      "--data", file, NULL},
			  &out),
		0);
	CHECK(drained(fake));
	for (size_t i = 0; i < 2; i++) {
		struct message_seen seen;

		buf_reset(&out);
		CHECK_INT(run((char *[]){"curl", "-sS", "-u", "u1:u1", urls[i], NULL}, &out), 0);
		message_look(buf_text(&out), out.len, &seen);
		CHECK_STR(seen.token, message.token);
	}
	buf_reset(&out);
	CHECK_INT(run((char *[]){"curl", "-sS", "-u", "u1:u1", urls[2], NULL}, &out), 0);
	CHECK_HAS(buf_text(&out), "INBOX");
out:
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
		free(urls[i]);
	fake_free(fake);
	message_free(&message);
}

CHECK_MAIN(CHECK_CASE(a_mail_goes_in_by_smtp_and_out_by_imap_and_pop3),
	CHECK_CASE(a_stopped_stores_ports_are_given_to_nobody),
	CHECK_CASE(mail_survives_stop_and_start),
	CHECK_CASE(a_dot_in_a_freeze_is_answered_after_the_thaw),
	CHECK_CASE(bug_hangs_at_thaw_leaves_an_operation_waiting),
	CHECK_CASE(bug_bounces_on_a_freeze), CHECK_CASE(each_bug_at_the_dot_breaks_its_law),
	CHECK_CASE(a_disabled_agent_defers_and_the_queue_drains_when_it_is_back),
	CHECK_CASE(bug_queue_stuck_never_drains), CHECK_CASE(bug_stop_hangs_until_it_is_killed),
	CHECK_CASE(a_store_stopped_while_frozen_ends_only_by_force),
	CHECK_CASE(the_inner_hop_can_run_over_tcp),
	CHECK_CASE(swaks_delivers_and_curl_reads_the_same_message))
