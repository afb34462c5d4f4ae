#include "base/clock.h"
#include "mail/smtp.h"
#include "tests/check/check.h"
#include "tests/fake/peer.h"

#include <string.h>
#include <sys/socket.h>

#define SHORT_MS 1000  /* a wait that is meant to end in a time-out */
#define LONG_MS	 20000 /* one that is not: a busy host must not end it */

struct moments {
	char seen[512];
	const char *stop_at; /* the moment whose hook ends the session */
};

static int note(void *arg, const char *moment, const char *tag)
{
	struct moments *moments = arg;
	size_t at = strlen(moments->seen);

	(void)tag;
	snprintf(moments->seen + at, sizeof(moments->seen) - at, "%s ", strchr(moment, '/') + 1);
	return moments->stop_at && !strcmp(moment, moments->stop_at) ? -ECANCELED : 0;
}

static struct message make(void)
{
	struct rng rng = rng_stream(1, "smtp");
	struct message_spec spec = {.from = "a@x", .to = "<b@y>", .body_bytes = 2000};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

struct trial {
	struct smtp_rcpt rcpts[3];
	struct smtp_mail mail;
	struct moments moments;
	struct message message;
	struct peer peer;
};

/* Play one mail to `rcpts` recipients against the script. */
static void play(struct trial *trial, const char *const *script, size_t rcpts, bool lmtp,
	const char *stop_at, enum smtp_cut cut, int64_t reply_ms)
{
	struct mail_opts opts = {.reply_ms = reply_ms, .moment = note, .arg = &trial->moments};
	int fd;

	*trial = (struct trial){.message = make()};
	trial->moments.stop_at = stop_at;
	trial->rcpts[0].address = "u1@store";
	trial->rcpts[1].address = "u2@store";
	trial->rcpts[2].address = "u3@store";
	trial->mail = (struct smtp_mail){.from = "a@x",
		.rcpts = trial->rcpts,
		.rcpt_count = rcpts,
		.message = &trial->message,
		.cut = cut};
	fd = peer_start(&trial->peer, script);
	smtp_once(fd, lmtp, "client.rig", &opts, &trial->mail);
	peer_end(&trial->peer);
}

static void end(struct trial *trial)
{
	message_free(&trial->message);
	peer_free(&trial->peer);
}

#define HELLO	 "> 220 hi", "< EHLO client.rig", ">>250-a\r\n250 b\r\n"
#define ENVELOPE HELLO, "< MAIL FROM:<a@x>", "> 250 ok", "< RCPT TO:<u1@store>", "> 250 ok"
#define TO_DOT	 ENVELOPE, "< DATA", "> 354 go", "."

static const struct outcome_case {
	const char *what;
	const char *script[24];
	enum mail_outcome outcome;
	int code;
	bool dot;
	const char *moments;
	const char *failure;
} outcome_cases[] = {
	{"accepted", {TO_DOT, "> 250 queued", "< QUIT", "> 221 bye", NULL}, MAIL_OK, 250, true,
		"connected ehlo mail rcpt data dot reply quit ", ""},
	{"4yz after the dot", {TO_DOT, "> 451 later", "< QUIT", "> 221 bye", NULL}, MAIL_NO, 451,
		true, "connected ehlo mail rcpt data dot reply quit ", ""},
	{"5yz after the dot", {TO_DOT, ">>554-no\r\n554 never\r\n", "< QUIT", "> 221 bye", NULL},
		MAIL_NO, 554, true, "connected ehlo mail rcpt data dot reply quit ", ""},
	{"421 after the dot", {TO_DOT, "> 421 bye", NULL}, MAIL_NO, 421, true,
		"connected ehlo mail rcpt data dot reply ", ""},
	{"closed after the dot", {TO_DOT, "!close", NULL}, MAIL_MAYBE, 0, true,
		"connected ehlo mail rcpt data dot ", "reply: connection closed by the store"},
	{"half a reply after the dot", {TO_DOT, ">>25", NULL}, MAIL_MAYBE, 0, true,
		"connected ehlo mail rcpt data dot ", "closed"},
	{"an unfinished multi-line reply", {TO_DOT, "> 250-a", NULL}, MAIL_MAYBE, 0, true,
		"connected ehlo mail rcpt data dot ", "closed"},
	{"codes that differ", {TO_DOT, ">>250-a\r\n550 b\r\n", NULL}, MAIL_MAYBE, 0, true,
		"connected ehlo mail rcpt data dot ", "no answer"},
	{"garbage after the dot", {TO_DOT, "> hello", NULL}, MAIL_MAYBE, 0, true,
		"connected ehlo mail rcpt data dot ", "no answer"},
	{"a 3yz after the dot", {TO_DOT, "> 354 again", "< QUIT", "> 221 bye", NULL}, MAIL_MAYBE,
		354, true, "connected ehlo mail rcpt data dot reply quit ", ""},
	{"closed before the banner", {"!close", NULL}, MAIL_NO, 0, false, "connected ",
		"banner: connection closed by the store"},
	{"refused by the banner", {"> 554 no", NULL}, MAIL_NO, 554, false, "connected ", ""},
	{"421 as the banner", {"> 421 busy", NULL}, MAIL_NO, 421, false, "connected ", ""},
	{"HELO where EHLO is unknown",
		{"> 220 hi", "< EHLO", "> 502 what", "< HELO client.rig", "> 250 ok",
			"< MAIL FROM:<a@x>", "> 250 ok", "< RCPT TO:<u1@store>", "> 250 ok",
			"< DATA", "> 354 go", ".", "> 250 ok", "< QUIT", "> 221 bye", NULL},
		MAIL_OK, 250, true, "connected ehlo mail rcpt data dot reply quit ", ""},
	{"MAIL refused",
		{HELLO, "< MAIL", "> 452 full", "< RSET", "> 250 ok", "< QUIT", "> 221 bye", NULL},
		MAIL_NO, 452, false, "connected ehlo quit ", ""},
	{"RCPT refused",
		{HELLO, "< MAIL", "> 250 ok", "< RCPT", "> 550 who", "< RSET", "> 250 ok", "< QUIT",
			"> 221 bye", NULL},
		MAIL_NO, 550, false, "connected ehlo mail quit ", ""},
	{"DATA refused",
		{ENVELOPE, "< DATA", "> 451 not now", "< RSET", "> 250 ok", "< QUIT", "> 221 bye",
			NULL},
		MAIL_NO, 451, false, "connected ehlo mail rcpt quit ", ""},
	{"closed after RCPT", {ENVELOPE, "!close", NULL}, MAIL_NO, 0, false,
		"connected ehlo mail rcpt ", "data: connection"},
	{"silence inside the content", {ENVELOPE, "< DATA", "> 354 go", "< Date:", "!hang", NULL},
		MAIL_MAYBE, 0, true, "connected ehlo mail rcpt data dot ", "no answer for"},
};

static void outcomes_are_what_the_wire_implies(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(outcome_cases); i++) {
		struct trial trial;

		play(&trial, outcome_cases[i].script, 1, false, NULL, SMTP_CUT_NONE,
			strstr(outcome_cases[i].failure, "no answer for") ? SHORT_MS : LONG_MS);
		if (!CHECK_INT(trial.mail.outcome, outcome_cases[i].outcome) ||
			!CHECK_INT(trial.mail.code, outcome_cases[i].code) ||
			!CHECK_INT(trial.mail.dot_sent, outcome_cases[i].dot) ||
			!CHECK_STR(trial.moments.seen, outcome_cases[i].moments) ||
			!CHECK_HAS(trial.mail.failure, outcome_cases[i].failure) ||
			!CHECK_STR(trial.peer.wrong, ""))
			fprintf(stderr, "case: %s\n", outcome_cases[i].what);
		end(&trial);
	}
}

static void the_moment_dot_comes_when_the_content_is_out_and_the_dot_is_not(void)
{
	static const char *const script[] = {ENVELOPE, "< DATA", "> 354 go", "!hang", NULL};
	struct trial trial;

	play(&trial, script, 1, false, "smtp/dot", SMTP_CUT_NONE, LONG_MS);
	CHECK_INT(trial.mail.outcome, MAIL_NO);
	CHECK(!trial.mail.dot_sent);
	CHECK_STR(trial.moments.seen, "connected ehlo mail rcpt data dot ");
	CHECK_INT(trial.mail.at_ns[SMTP_DOT], MAIL_NOT_REACHED);
	CHECK(trial.mail.at_ns[SMTP_DATA] > 0);
	end(&trial);
}

static int shut_at_dot(void *arg, const char *moment, const char *tag)
{
	(void)tag;
	if (!strcmp(moment, "smtp/dot"))
		shutdown(*(int *)arg, SHUT_RDWR);
	return 0;
}

static void a_dot_that_could_not_be_written_is_no(void)
{
	static const char *const script[] = {ENVELOPE, "< DATA", "> 354 go", "!hang", NULL};
	struct message message = make();
	struct smtp_rcpt rcpt = {.address = "u1@store"};
	struct smtp_mail mail = {
		.from = "a@x", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};
	struct peer peer;
	int fd = peer_start(&peer, script);
	struct mail_opts opts = {.reply_ms = LONG_MS, .moment = shut_at_dot, .arg = &fd};

	smtp_once(fd, false, "client.rig", &opts, &mail);
	CHECK_INT(mail.outcome, MAIL_NO);
	CHECK(!mail.dot_sent);
	CHECK_INT(mail.reached, SMTP_DATA);
	peer_end(&peer);
	peer_free(&peer);
	message_free(&message);
}

static void a_hook_can_end_the_session_at_every_moment(void)
{
	static const char *const names[] = {"smtp/connected", "smtp/ehlo", "smtp/mail", "smtp/rcpt",
		"smtp/data", "smtp/dot", "smtp/reply", "smtp/quit"};
	static const char *const script[] = {TO_DOT, "> 250 ok", "!hang", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct trial trial;

		play(&trial, script, 1, false, names[i], SMTP_CUT_NONE, LONG_MS);
		CHECK_INT(trial.mail.outcome, i < 6 ? MAIL_NO : MAIL_OK);
		CHECK_HAS(trial.moments.seen, strchr(names[i], '/') + 1);
		end(&trial);
	}
}

static void the_client_itself_can_cut(void)
{
	static const char *const in_data[] = {ENVELOPE, "< DATA", "> 354 go", ".", NULL};
	static const char *const after_dot[] = {TO_DOT, "!hang", NULL};
	struct trial trial;

	play(&trial, in_data, 1, false, NULL, SMTP_CUT_IN_DATA, LONG_MS);
	CHECK_INT(trial.mail.outcome, MAIL_NO);
	CHECK(trial.peer.got.len > 500);
	end(&trial);
	play(&trial, after_dot, 1, false, NULL, SMTP_CUT_AFTER_DOT, LONG_MS);
	CHECK_INT(trial.mail.outcome, MAIL_MAYBE);
	CHECK_STR(trial.peer.wrong, "");
	end(&trial);
}

static void the_content_arrives_stuffed_and_whole(void)
{
	static const char *const script[] = {TO_DOT, "> 250 ok", "< QUIT", "> 221 bye", NULL};
	struct buf content auto_buf = {0};
	struct message_seen seen;
	struct trial trial;
	const char *at;

	play(&trial, script, 1, false, NULL, SMTP_CUT_NONE, LONG_MS);
	at = strstr(trial.peer.got.data, "DATA\r\n") + 6;
	while (strncmp(at, ".\r\n", 3) != 0) {
		size_t len = strcspn(at, "\n") + 1;

		buf_add(&content, at + (*at == '.'), len - (*at == '.'));
		at += len;
	}
	message_look(content.data, content.len, &seen);
	CHECK(message_is_copy(&seen, trial.message.token, trial.message.body_sha256));
	end(&trial);
}

#define LMTP3                                                                                    \
	"> 220 hi", "< LHLO", "> 250 ok", "< MAIL", "> 250 ok", "< RCPT TO:<u1", "> 250 ok",     \
		"< RCPT TO:<u2", "> 550 who", "< RCPT TO:<u3", "> 250 ok", "< DATA", "> 354 go", \
		"."

static void lmtp_has_one_reply_per_accepted_recipient(void)
{
	static const char *const all[] = {
		LMTP3, "> 250 one", "> 452 three", "< QUIT", "> 221 bye", NULL};
	static const char *const cut[] = {LMTP3, "> 250 one", "!close", NULL};
	struct trial trial;

	play(&trial, all, 3, true, NULL, SMTP_CUT_NONE, LONG_MS);
	CHECK_INT(trial.rcpts[0].outcome, MAIL_OK);
	CHECK_INT(trial.rcpts[1].outcome, MAIL_NO);
	CHECK_INT(trial.rcpts[1].code, 550);
	CHECK_INT(trial.rcpts[2].outcome, MAIL_NO);
	CHECK_INT(trial.rcpts[2].code, 452);
	CHECK_STR(trial.rcpts[2].reply, "three");
	CHECK_STR(trial.peer.wrong, "");
	end(&trial);

	play(&trial, cut, 3, true, NULL, SMTP_CUT_NONE, LONG_MS);
	CHECK_INT(trial.rcpts[0].outcome, MAIL_OK);
	CHECK_INT(trial.rcpts[1].outcome, MAIL_NO);
	CHECK_INT(trial.rcpts[2].outcome, MAIL_MAYBE);
	CHECK_INT(trial.rcpts[2].code, 0);
	CHECK_INT(trial.mail.outcome, MAIL_MAYBE);
	end(&trial);
}

static void one_session_carries_many_mails(void)
{
	static const char *const script[] = {TO_DOT, "> 250 ok", "< MAIL FROM:<>", "> 250 ok",
		"< RCPT", "> 550 who", "< RSET", "> 250 ok", "< MAIL", "> 250 ok", "< RCPT",
		"> 250 ok", "< DATA", "> 354 go", ".", "> 250 ok", "< QUIT", "> 221 bye", NULL};
	static const enum mail_outcome want[] = {MAIL_OK, MAIL_NO, MAIL_OK};
	struct message message = make();
	struct mail_opts opts = {.reply_ms = LONG_MS};
	struct peer peer;
	struct smtp smtp;

	smtp_open(&smtp, peer_start(&peer, script), false, &opts);
	CHECK_INT(smtp_greet(&smtp, "client.rig"), MAIL_OK);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		struct smtp_rcpt rcpt = {.address = "u1@store"};
		struct smtp_mail mail = {.from = i == 1 ? "" : "a@x",
			.rcpts = &rcpt,
			.rcpt_count = 1,
			.message = &message};

		smtp_send(&smtp, &mail);
		CHECK_INT(mail.outcome, want[i]);
		CHECK(smtp.alive);
	}
	smtp_quit(&smtp);
	peer_end(&peer);
	CHECK_STR(peer.wrong, "");
	peer_free(&peer);
	message_free(&message);
}

static void an_endless_reply_ends_the_session(void)
{
	struct buf many auto_buf = {0};
	const char *script[] = {NULL, NULL};
	struct trial trial;

	buf_add_str(&many, ">>");
	for (int i = 0; i < 1000; i++)
		buf_add_str(&many, "220-more\r\n");
	script[0] = many.data;
	play(&trial, script, 1, false, NULL, SMTP_CUT_NONE, LONG_MS);
	CHECK_INT(trial.mail.outcome, MAIL_NO);
	CHECK_HAS(trial.mail.failure, "too long");
	end(&trial);
}

static void *cancel(void *arg)
{
	line_group_cancel(arg);
	return NULL;
}

static int start_cancel(void *arg, const char *moment, const char *tag)
{
	pthread_t thread;

	(void)tag;
	if (!strcmp(moment, "smtp/dot") && !pthread_create(&thread, NULL, cancel, arg))
		pthread_detach(thread);
	return 0;
}

static void another_thread_can_end_a_session_that_waits(void)
{
	static const char *const script[] = {ENVELOPE, "< DATA", "> 354 go", "!hang", NULL};
	struct line_group group;
	struct mail_opts opts = {.moment = start_cancel, .arg = &group, .group = &group};
	struct message message = make();
	struct smtp_rcpt rcpt = {.address = "u1@store"};
	struct smtp_mail mail = {
		.from = "a@x", .rcpts = &rcpt, .rcpt_count = 1, .message = &message};
	struct peer peer;

	line_group_init(&group);
	smtp_once(peer_start(&peer, script), false, "client.rig", &opts, &mail);
	CHECK(mail.outcome != MAIL_OK);
	CHECK_HAS(mail.failure, "ended by the rig");
	peer_end(&peer);
	peer_free(&peer);
	pthread_mutex_lock(&group.lock); /* the cancelling thread is through with it */
	pthread_mutex_unlock(&group.lock);
	line_group_fini(&group);
	message_free(&message);
}

CHECK_MAIN(CHECK_CASE(outcomes_are_what_the_wire_implies),
	CHECK_CASE(the_moment_dot_comes_when_the_content_is_out_and_the_dot_is_not),
	CHECK_CASE(a_dot_that_could_not_be_written_is_no),
	CHECK_CASE(a_hook_can_end_the_session_at_every_moment),
	CHECK_CASE(the_client_itself_can_cut), CHECK_CASE(the_content_arrives_stuffed_and_whole),
	CHECK_CASE(lmtp_has_one_reply_per_accepted_recipient),
	CHECK_CASE(one_session_carries_many_mails), CHECK_CASE(an_endless_reply_ends_the_session),
	CHECK_CASE(another_thread_can_end_a_session_that_waits))
