/* The reference store's real programs, run on loopback in a folder of their own. */
#include "base/rng.h"
#include "mail/imap.h"
#include "mail/smtp.h"
#include "tests/unit/refstore_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STILL_MS 300 /* what has not ended by then is taken to wait */

static enum mail_outcome send_notified(const char *notify)
{
	struct smtp_rcpt rcpt = {.address = "u1@store"};
	struct mail_opts opts = {.reply_ms = SOON_MS};
	struct rng rng = rng_stream((uint64_t)clock_mono_ns(), "mail");
	struct message_spec spec = {.from = "a@sink.rig", .to = "u1@store", .body_bytes = 3000};
	struct message message = {0};
	struct smtp_mail mail = {
		.from = "a@sink.rig",
		.rcpts = &rcpt,
		.rcpt_count = 1,
		.notify = notify,
		.message = &message,
	};

	message_make(&message, &rng, &spec);
	smtp_once(connect_to(25), false, "client.rig", &opts, &mail);
	message_free(&message);
	return mail.outcome;
}

static enum mail_outcome send_one(void)
{
	return send_notified(NULL);
}

static size_t read_back(size_t want)
{
	int64_t deadline = deadline_in_ms(SOON_MS);
	struct mail_opts opts = {.reply_ms = SOON_MS};
	struct imap_copies copies = {0};
	size_t count;

	do {
		imap_copies_free(&copies);
		CHECK_INT(
			imap_read_back_user(connect_to(143), &opts, "u1", "u1", &copies, NULL), 0);
		count = copies.count;
	} while (count < want && deadline_left_ms(deadline));
	for (size_t i = 0; i < count; i++)
		CHECK(copies.copies[i].seen.whole);
	imap_copies_free(&copies);
	return count;
}

static pid_t store_pid(void)
{
	auto_buf struct buf out = {0};
	int pid = 0;

	CHECK_INT(refctl(&out, "services", NULL, NULL), 0);
	CHECK_INT(sscanf(buf_text(&out), "store pid %d", &pid), 1);
	return pid;
}

static void accepted_mail_outlives_a_killed_store_and_a_restart(void)
{
	fresh_store();
	for (int i = 0; i < 5; i++)
		CHECK_INT(send_one(), MAIL_OK);
	CHECK_INT(read_back(5), 5);
	CHECK_INT(kill(store_pid(), SIGKILL), 0);
	while (store_pid())
		poll(NULL, 0, 10);
	CHECK_INT(send_one(), MAIL_NO);
	CHECK_INT(refctl(NULL, "start", "store", NULL), 0);
	wait_ready();
	CHECK_INT(read_back(5), 5);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
	start();
	CHECK_INT(read_back(5), 5);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

static void who_wants_no_notification_gets_mail_and_others_than_of_failure_are_refused(void)
{
	fresh_store();
	CHECK_INT(send_notified("NEVER"), MAIL_OK);
	CHECK_INT(send_notified("FAILURE"), MAIL_OK);
	CHECK_INT(send_notified("SUCCESS"), MAIL_NO);
	CHECK_INT(send_notified("SUCCESS,FAILURE"), MAIL_NO);
	CHECK_INT(read_back(2), 2);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

static void a_dismounted_store_refuses_and_comes_back(void)
{
	fresh_store();
	CHECK_INT(send_one(), MAIL_OK);
	CHECK_INT(read_back(1), 1);
	CHECK_INT(refctl(NULL, "dismount", NULL, NULL), 0);
	CHECK_INT(send_one(), MAIL_NO);
	CHECK_INT(refctl(NULL, "mount", NULL, NULL), 0);
	CHECK_INT(send_one(), MAIL_OK);
	CHECK_INT(read_back(2), 2);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

struct sender {
	pthread_t thread;
	enum mail_outcome outcome;
	int ended[2]; /* a pipe that ends with the thread */
};

static void *send_in_background(void *arg)
{
	struct sender *sender = arg;

	sender->outcome = send_one();
	close(sender->ended[1]);
	return NULL;
}

static bool ends_within(struct sender *sender, int ms)
{
	struct pollfd wait = {.fd = sender->ended[0], .events = POLLIN};

	return poll(&wait, 1, ms) == 1;
}

/* The log buffer holds something: the commit is in the freeze. */
static void wait_log_waiting(void)
{
	int64_t deadline = deadline_in_ms(SOON_MS);
	bool waiting = false;

	while (!waiting && deadline_left_ms(deadline)) {
		auto_buf struct buf out = {0};

		CHECK_INT(refctl(&out, "status", NULL, NULL), 0);
		waiting = !strstr(buf_text(&out), "log_waiting 0 ");
	}
	CHECK(waiting);
}

static void commit_in_a_freeze(struct sender *sender)
{
	CHECK_INT(pipe(sender->ended), 0);
	CHECK_INT(refctl(NULL, "freeze", NULL, NULL), 0);
	pthread_create(&sender->thread, NULL, send_in_background, sender);
	wait_log_waiting();
	CHECK(!ends_within(sender, STILL_MS));
	CHECK_INT(refctl(NULL, "thaw", NULL, NULL), 0);
}

static void sender_join(struct sender *sender)
{
	pthread_join(sender->thread, NULL);
	close(sender->ended[0]);
	CHECK_INT(sender->outcome, MAIL_OK);
}

static void hotfixed_a_commit_in_a_freeze_ends_with_the_thaw(void)
{
	struct sender sender = {0};

	fresh_store();
	commit_in_a_freeze(&sender);
	CHECK(ends_within(&sender, SOON_MS));
	sender_join(&sender);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

static void shipped_a_commit_in_a_freeze_waits_for_the_next_commit(void)
{
	struct sender sender = {0};

	fresh_store();
	CHECK_INT(refctl(NULL, "set", "f1", "shipped"), 0);
	commit_in_a_freeze(&sender);
	CHECK(!ends_within(&sender, STILL_MS));
	CHECK_INT(refctl(NULL, "useradd", "u2", NULL), 0);
	CHECK(ends_within(&sender, SOON_MS));
	sender_join(&sender);
	CHECK_INT(refctl(NULL, "set", "f1", "hotfixed"), 0);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

static void move_all(void)
{
	char user[8];

	for (int i = 1; i <= 8; i++) {
		snprintf(user, sizeof(user), "m%d", i);
		CHECK_INT(refctl(NULL, "useradd", user, NULL), 0);
		CHECK_INT(refctl(NULL, "move", user, NULL), 0);
	}
}

static void moves_without_the_mta_spend_the_pool_unless_the_sign_is_set(void)
{
	struct sender sender = {0};

	fresh_store();
	CHECK_INT(refctl(NULL, "halt", "mta", NULL), 0);
	CHECK_INT(refctl(NULL, "set", "gateway_out_threads", "0"), 0);
	move_all();
	CHECK_INT(send_one(), MAIL_OK);
	CHECK_INT(refctl(NULL, "set", "f4", "shipped"), 0);
	for (int i = 1; i <= 8; i++)
		CHECK_INT(refctl(NULL, "move", "u1", NULL), 0);
	CHECK_INT(pipe(sender.ended), 0);
	pthread_create(&sender.thread, NULL, send_in_background, &sender);
	CHECK(!ends_within(&sender, STILL_MS));
	CHECK_INT(refctl(NULL, "start", "mta", NULL), 0);
	CHECK(ends_within(&sender, SOON_MS));
	sender_join(&sender);
	CHECK_INT(refctl(NULL, "set", "f4", "hotfixed"), 0);
	CHECK_INT(refctl(NULL, "stop", NULL, NULL), 0);
}

CHECK_MAIN(CHECK_CASE(accepted_mail_outlives_a_killed_store_and_a_restart),
	CHECK_CASE(who_wants_no_notification_gets_mail_and_others_than_of_failure_are_refused),
	CHECK_CASE(a_dismounted_store_refuses_and_comes_back),
	CHECK_CASE(hotfixed_a_commit_in_a_freeze_ends_with_the_thaw),
	CHECK_CASE(shipped_a_commit_in_a_freeze_waits_for_the_next_commit),
	CHECK_CASE(moves_without_the_mta_spend_the_pool_unless_the_sign_is_set))
