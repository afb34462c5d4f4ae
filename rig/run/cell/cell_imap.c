/* The IMAP workload: a reader that follows its mailbox, or a script of commands from the scenario. */
#include "run/cell/cell_work.h"

#include "base/clock.h"

#include <ctype.h>
#include <string.h>

#define RETRY_MS    200
#define FETCHED_MAX 256 /* messages named in one `end` line */

const char *session_user(const struct session *session)
{
	const struct step *step = session->step;

	if (step->user)
		return step->user;
	if (step->users.count)
		return step->users.at[(session->number - 1) % step->users.count];
	return session->cell->target->users.at[0];
}

bool session_login(struct session *session, struct imap *imap, const char *user)
{
	struct mail_opts opts = session_opts(session);
	struct imap_reply reply = {0};
	enum mail_outcome outcome = MAIL_NO;
	uint64_t id;
	int fd;

	if (imap->alive)
		return true;
	imap_close(imap);
	id = op_begin(session->cell, session->who, "imap-login",
		json_pack("{ss ss}", "service", "imap", "user", user));
	fd = session_connect(session, PROTOCOL_IMAP);
	if (fd >= 0) {
		imap_open(imap, fd, &opts);
		outcome = imap_greet(imap, &reply);
		imap_reply_free(&reply);
		if (outcome == MAIL_OK)
			outcome = imap_login(imap, user, user, &reply);
		if (outcome == MAIL_OK)
			tracer_open(&session->tracer, session->cell, imap, session->who, user);
	}
	op_end(session->cell, id, session->who, "imap-login", outcome,
		json_pack("{so}", "text", json_text(*reply.text ? reply.text : imap->failure)));
	imap_reply_free(&reply);
	return outcome == MAIL_OK;
}

/* The messages an answer showed: what I12 and S9 are judged by. */
static json_t *fetched(const struct imap_reply *reply)
{
	json_t *list = json_array();

	for (size_t i = 0; i < reply->count && json_array_size(list) < FETCHED_MAX; i++) {
		const struct imap_event *event = &reply->events[i];

		if (event->kind == IMAP_FETCH && event->body)
			json_array_append_new(list,
				json_pack("{sI ss ss sb}", "uid", (json_int_t)event->uid, "token",
					event->body->token, "sha256", event->body->body_sha256,
					"whole", (int)event->body->whole));
	}
	return list;
}

static uint32_t expunged(const struct imap_reply *reply)
{
	uint32_t count = 0;

	for (size_t i = 0; i < reply->count; i++)
		count += reply->events[i].kind == IMAP_EXPUNGE ||
			 reply->events[i].kind == IMAP_VANISHED;
	return count;
}

static void note_selected(struct session *session, const char *text, enum mail_outcome outcome)
{
	const char *name = text + 7;

	if (outcome != MAIL_OK || strncasecmp(text, "SELECT ", 7))
		return;
	name += *name == '"';
	session->elsewhere = strncasecmp(name, "INBOX", 5) || !strchr("\" ", name[5]);
}

/* Copies that the rig itself removed, or perhaps removed, are excused from every law about copies. */
static void record_deletion(
	struct session *session, const char *user, const char *text, const struct imap_reply *reply)
{
	bool uid_form = !session->elsewhere && !strncasecmp(text, "UID EXPUNGE ", 12);
	/* A CLOSE does not say what it removed. */
	bool maybe = reply->outcome == MAIL_MAYBE || !strncasecmp(text, "CLOSE", 5);
	uint32_t count = expunged(reply);
	char *end = NULL;
	unsigned long uid = uid_form ? strtoul(text + 12, &end, 10) : 0;

	if (strncasecmp(text, "UID EXPUNGE ", 12) && strncasecmp(text, "EXPUNGE", 7) &&
		strncasecmp(text, "CLOSE", 5))
		return;
	if (reply->outcome == MAIL_NO || session->excuses)
		return;
	if (uid_form && end && !*end && uid)
		history_add(session->cell->recorder, "excused", "{ss ss sI ss}", "user", user,
			"mailbox", "INBOX", "uid", (json_int_t)uid, "why",
			maybe ? "perhaps expunged" : "expunged");
	else
		history_add(session->cell->recorder, "excused", "{ss ss sI ss}", "user", user,
			"mailbox", "INBOX", "count", (json_int_t)(maybe ? 0xffffffff : count),
			"why", maybe ? "perhaps expunged" : "expunged");
	if (reply->outcome == MAIL_OK) {
		pthread_mutex_lock(&session->cell->lock);
		session->run->deletions += count;
		pthread_mutex_unlock(&session->cell->lock);
	}
}

enum mail_outcome imap_do(struct session *session, struct imap *imap, const char *user,
	const char *text, struct imap_reply *reply)
{
	auto_free char *op = NULL;
	uint64_t id;
	enum mail_outcome outcome;
	json_t *end;
	size_t len;

	len = strncasecmp(text, "UID ", 4) ? strcspn(text, " ") : 4 + strcspn(text + 4, " ");
	op = text_fmt("imap-%.*s", (int)(len > 24 ? 24 : len), text);
	for (char *p = op; *p; p++)
		*p = *p == ' ' ? '-' : (char)tolower((unsigned char)*p);
	id = op_begin(session->cell, session->who, op,
		json_pack(
			"{ss ss so}", "service", "imap", "user", user, "command", json_text(text)));
	outcome = imap_send(imap, reply, text);
	end = json_pack("{so}", "text", json_text(*reply->failure ? reply->failure : reply->text));
	if (reply->count)
		json_object_set_new(end, "fetched", fetched(reply));
	op_end(session->cell, id, session->who, op, outcome, end);
	note_selected(session, text, outcome);
	record_deletion(session, user, text, reply);
	return outcome;
}

static enum mail_outcome do_command(
	struct session *session, struct imap *imap, const char *user, const char *text)
{
	struct imap_reply reply auto_imap_reply = {0};

	return imap_do(session, imap, user, text, &reply);
}

static void script(struct session *session, struct imap *imap, const char *user)
{
	const struct text_list *send = &session->step->send;

	if (!session_login(session, imap, user))
		return;
	for (size_t i = 0; i < send->count && imap->alive; i++) {
		if (i + 1 == send->count)
			order_gate(session->run);
		do_command(session, imap, user, send->at[i]);
	}
}

/* Follow the mailbox: what is new since the last round is fetched whole. */
static void follow(struct session *session, struct imap *imap, const char *user, uint32_t *next_uid)
{
	auto_free char *fetch = NULL;

	if (!imap->alive) {
		if (!session_login(session, imap, user) ||
			do_command(session, imap, user, "SELECT INBOX") != MAIL_OK)
			return;
	} else if (do_command(session, imap, user, "NOOP") != MAIL_OK) {
		return;
	}
	fetch = text_fmt("UID FETCH %u:* (BODY.PEEK[])", *next_uid);
	if (imap->uidnext)
		*next_uid = imap->uidnext;
	do_command(session, imap, user, fetch);
}

void imap_session(struct session *session)
{
	const char *user = session_user(session);
	struct imap imap = {.line.fd = -1};
	struct imap_reply reply = {0};
	uint32_t next_uid = 1;

	if (session->step->send.count) {
		script(session, &imap, user);
	} else {
		while (session_turn(session, NULL)) {
			follow(session, &imap, user, &next_uid);
			if (!imap.alive)
				session_pause(
					session, cell_now(session->cell) + RETRY_MS * NS_PER_MS);
			else if (session->step->pace_per_s <= 0)
				session_pause(session, cell_now(session->cell) + NS_PER_SEC);
		}
	}
	if (imap.alive)
		imap_logout(&imap, &reply);
	imap_reply_free(&reply);
	imap_close(&imap);
}
