/* What the watch of an IMAP client is told: all that is said, in order; pipelines, and content broken off. */
#include "mail/imap.h"
#include "tests/check/check.h"
#include "tests/fake/peer.h"

#include <string.h>

#define LONG_MS 20000 /* a busy host must not end it */

static struct message make(uint64_t seed)
{
	struct rng rng = rng_stream(seed, "imap");
	struct message_spec spec = {.from = "a@x", .to = "<u1@store>", .body_bytes = 3000};
	struct message message;

	message_make(&message, &rng, &spec);
	return message;
}

static void watch_sent(
	void *arg, const char *tag, const char *command, const struct message *message)
{
	buf_addf(arg, "sent %s %.12s|", tag, message ? "content" : command);
}

static void watch_told(void *arg, const struct imap_event *event)
{
	buf_addf(arg, "told %s%s%s|", imap_event_name(event->kind),
		event->earlier ? " earlier" : "", event->set ? event->set : "");
}

static void watch_done(void *arg, const char *tag, const struct imap_reply *reply)
{
	buf_addf(arg, "done %s %s|", tag, mail_outcome_name(reply->outcome));
}

static void watch_over(void *arg, int rc)
{
	buf_addf(arg, "over %s|", rc ? "by its end" : "by us");
}

static void play_watched(
	const char *const *script, void (*act)(struct imap *imap), const char *want)
{
	struct mail_opts opts = {.reply_ms = LONG_MS};
	struct buf seen auto_buf = {0};
	struct imap_watch watch = {watch_sent, watch_told, watch_done, watch_over, &seen};
	struct imap_reply reply auto_imap_reply = {0};
	struct peer peer;
	struct imap imap;

	imap_open(&imap, peer_start(&peer, script), &opts);
	imap_greet(&imap, &reply);
	imap.watch = &watch;
	act(&imap);
	imap_close(&imap);
	peer_end(&peer);
	peer_free(&peer);
	CHECK_STR(buf_text(&seen), want);
}

static void act_pipeline(struct imap *imap)
{
	const char *const commands[] = {"NOOP", "FETCH 1 FLAGS", "NOOP"};
	enum mail_outcome outcomes[3];
	struct imap_reply reply auto_imap_reply = {0};

	imap_pipeline(imap, commands, 3, &reply, outcomes);
	CHECK_INT(outcomes[0], MAIL_OK);
	CHECK_INT(outcomes[1], MAIL_NO);
	CHECK_INT(outcomes[2], MAIL_OK);
}

static void act_append(struct imap *imap)
{
	struct imap_reply reply auto_imap_reply = {0};
	struct message message = make(1);

	CHECK_INT(imap_append(imap, "INBOX", NULL, &message, &reply), MAIL_NO);
	CHECK_INT(imap_append_cut(imap, "INBOX", &message, 9, &reply), MAIL_NO);
	CHECK(!imap->alive);
	message_free(&message);
}

static void act_noop(struct imap *imap)
{
	struct imap_reply reply auto_imap_reply = {0};

	imap_send(imap, &reply, "NOOP");
	imap_send(imap, &reply, "NOOP");
}

static void the_watch_sees_all_in_order(void)
{
	static const char *const pipeline[] = {"> * OK hi", "< r1 NOOP", "< r2 FETCH", "< r3 NOOP",
		"> * VANISHED 3,5:7", "> r2 NO gone", "> * VANISHED (EARLIER) 9", "> r1 OK",
		"> r3 OK done", NULL};
	static const char *const append[] = {"> * OK hi", "< r1 APPEND", "> r1 NO [OVERQUOTA] full",
		"< r2 APPEND", "> + go", "!hang", NULL};
	static const char *const twice[] = {
		"> * OK hi", "< r1 NOOP", "> r1 OK done", "> r1 OK done", "< r2", "!hang", NULL};

	play_watched(pipeline, act_pipeline,
		"sent r1 NOOP|sent r2 FETCH 1 FLAG|sent r3 NOOP|told vanished3,5:7|done r2 NO|"
		"told vanished earlier9|done r1 OK|done r3 OK|over by us|");
	play_watched(append, act_append,
		"sent r1 APPEND \"INBO|done r1 NO|sent r2 APPEND \"INBO|sent r2 content|"
		"over by its end|");
	play_watched(twice, act_noop,
		"sent r1 NOOP|done r1 OK|sent r2 NOOP|done r1 OK|over by its end|");
}

CHECK_MAIN(CHECK_CASE(the_watch_sees_all_in_order))
