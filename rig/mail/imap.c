#include "mail/imap.h"

#include "base/clock.h"
#include "mail/imap_response.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#define TAG_SIZE 16

/* The session is over. */
static void dead(struct imap *imap, struct imap_reply *reply, const char *doing, int rc)
{
	mail_failure(imap->failure, doing, rc, &imap->opts);
	if (reply)
		memcpy(reply->failure, imap->failure, sizeof(reply->failure));
	imap->failure_rc = rc;
	imap->alive = false;
	imap->idle = false;
	line_reset(&imap->line);
}

static int moment(struct imap *imap, struct imap_reply *reply, const char *name, const char *suffix)
{
	char text[64];
	int rc;

	snprintf(text, sizeof(text), "%s%s", name, suffix);
	rc = mail_moment(&imap->opts, "imap", text);
	if (!rc)
		return 0;
	imap->moment_rc = rc;
	dead(imap, reply, text, -ECANCELED);
	return -ECANCELED;
}

void imap_open(struct imap *imap, int fd, const struct mail_opts *opts)
{
	*imap = (struct imap){.opts = *opts, .alive = true};
	line_open(&imap->line, fd, opts->group);
}

void imap_close(struct imap *imap)
{
	if (!imap)
		return;
	imap->alive = false;
	line_close(&imap->line);
}

void imap_reply_free(struct imap_reply *reply)
{
	if (!reply)
		return;
	for (size_t i = 0; i < reply->count; i++)
		imap_event_free(&reply->events[i]);
	free(reply->events);
	*reply = (struct imap_reply){0};
}

static void note_selected(struct imap *imap, const struct imap_event *event)
{
	if (event->kind == IMAP_EXISTS)
		imap->exists = event->number;
	if (event->kind == IMAP_EXPUNGE && imap->exists)
		imap->exists--;
	if (event->kind == IMAP_BYE)
		imap->bye = true;
	if (event->kind == IMAP_CODE && event->uidvalidity)
		imap->uidvalidity = event->uidvalidity;
	if (event->kind == IMAP_CODE && event->uidnext)
		imap->uidnext = event->uidnext;
}

static void add_event(
	struct imap *imap, struct imap_reply *reply, const struct imap_response *response)
{
	struct imap_event event;

	imap_response_parse(response, &event);
	event.at_ns = mail_now(&imap->opts);
	note_selected(imap, &event);
	if (reply->count == IMAP_EVENTS_MAX) {
		reply->lost++;
		imap_event_free(&event);
		return;
	}
	if (!(reply->count & (reply->count - 1))) /* grow at powers of two */
		reply->events =
			mem_grow(reply->events, reply->count ? reply->count * 2 : 1, sizeof(event));
	reply->events[reply->count++] = event;
}

/* The rest of a tagged response: "OK [code] text". -EPROTO if it is none. */
static int tagged(struct imap *imap, struct imap_reply *reply, const char *text)
{
	const char *end;

	reply->reply_ns = mail_now(&imap->opts);
	if (!strncasecmp(text, "OK", 2) && strchr(" ", text[2]))
		reply->outcome = MAIL_OK;
	else if (!strncasecmp(text, "NO", 2) && strchr(" ", text[2]))
		reply->outcome = MAIL_NO;
	else if (!strncasecmp(text, "BAD", 3) && strchr(" ", text[3]))
		reply->outcome = MAIL_NO, reply->bad = true;
	else
		return -EPROTO;
	mail_text(reply->text, sizeof(reply->text), text, strlen(text));
	text += strcspn(text, " ");
	text += strspn(text, " ");
	end = *text == '[' ? strchr(text, ']') : NULL;
	if (end)
		mail_text(reply->code, sizeof(reply->code), text + 1, (size_t)(end - text) - 1);
	return 0;
}

enum told {
	TOLD_EVENT,
	TOLD_PLUS,
	TOLD_TAGGED,
};

/* Read one response. What it was, or a negative errno. */
static int one_response(struct imap *imap, struct imap_reply *reply)
{
	struct imap_response response cleanup(imap_response_free) = {0};
	int rc = imap_response_read(&imap->line, &response);
	const char *text = buf_text(&response.text);
	char tag[TAG_SIZE];

	if (rc)
		return rc;
	if (!strncmp(text, "* ", 2)) {
		add_event(imap, reply, &response);
		return TOLD_EVENT;
	}
	if (text[0] == '+')
		return TOLD_PLUS;
	snprintf(tag, sizeof(tag), "r%u ", imap->tag);
	if (strncmp(text, tag, strlen(tag)) != 0)
		return -EPROTO;
	rc = tagged(imap, reply, text + strlen(tag));
	return rc ? rc : TOLD_TAGGED;
}

/* Collect until the tagged reply, or a "+" where one is expected; what came, or a negative errno
 * (the session is then over and the outcome is left as it is). */
static int collect(struct imap *imap, struct imap_reply *reply, bool plus)
{
	int told;

	do
		told = one_response(imap, reply);
	while (told == TOLD_EVENT || (told == TOLD_PLUS && !plus));
	if (told < 0)
		dead(imap, reply, reply->command, told);
	return told;
}

/* The word that names a command's moments. */
static void command_name(const char *text, char out[static 32])
{
	size_t n = 0;

	if (!strncasecmp(text, "UID ", 4))
		text += 4;
	for (; n < 31 && isalnum((unsigned char)text[n]); n++)
		out[n] = (char)tolower((unsigned char)text[n]);
	out[n] = '\0';
}

/* A fresh reply and the moment before the command; false when there is nothing to be sent. */
static bool begin(struct imap *imap, struct imap_reply *reply, const char *text)
{
	imap_reply_free(reply);
	reply->outcome = MAIL_NO;
	reply->sent_ns = reply->reply_ns = MAIL_NOT_REACHED;
	command_name(text, reply->command);
	if (!imap->alive)
		memcpy(reply->failure, imap->failure, sizeof(reply->failure));
	if (!imap->alive || moment(imap, reply, reply->command, ""))
		return false;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	return true;
}

/* Write bytes that complete something the store acts on: from now on the outcome is open. */
static int send_bytes(struct imap *imap, struct imap_reply *reply, const struct buf *bytes)
{
	size_t done = 0;
	int rc = line_write(&imap->line, bytes->data, bytes->len, &done);

	if (done == bytes->len) {
		reply->outcome = MAIL_MAYBE;
		reply->sent_ns = mail_now(&imap->opts);
		return 0;
	}
	if (rc == -EPIPE || rc == -ECONNRESET) /* a BYE may stand in front of the end */
		collect(imap, reply, false);
	if (imap->alive)
		dead(imap, reply, reply->command, rc);
	return rc;
}

static int send_line(struct imap *imap, struct imap_reply *reply, const char *text)
{
	struct buf bytes auto_buf = {0};

	buf_addf(&bytes, "r%u %s\r\n", ++imap->tag, text);
	return send_bytes(imap, reply, &bytes);
}

/* Wait for the tagged reply of what was sent. */
static enum mail_outcome finish(struct imap *imap, struct imap_reply *reply, const char *name)
{
	if (collect(imap, reply, false) == TOLD_TAGGED)
		moment(imap, reply, name, "/reply");
	return reply->outcome;
}

enum mail_outcome imap_send(struct imap *imap, struct imap_reply *reply, const char *text)
{
	if (!begin(imap, reply, text))
		return reply->outcome;
	if (strpbrk(text, "\r\n")) {
		snprintf(reply->failure, sizeof(reply->failure), "the command is not one line");
		return reply->outcome;
	}
	if (send_line(imap, reply, text))
		return reply->outcome;
	return finish(imap, reply, reply->command);
}

enum mail_outcome imap_command(struct imap *imap, struct imap_reply *reply, const char *fmt, ...)
{
	struct buf text auto_buf = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	return imap_send(imap, reply, buf_text(&text));
}

enum mail_outcome imap_greet(struct imap *imap, struct imap_reply *reply)
{
	int told;

	imap_reply_free(reply);
	reply->outcome = MAIL_NO;
	reply->sent_ns = reply->reply_ns = MAIL_NOT_REACHED;
	if (moment(imap, reply, "connected", ""))
		return reply->outcome;
	reply->outcome = MAIL_MAYBE;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	told = one_response(imap, reply);
	if (told != TOLD_EVENT) {
		dead(imap, reply, "greeting", told < 0 ? told : -EPROTO);
		return reply->outcome;
	}
	reply->reply_ns = mail_now(&imap->opts);
	memcpy(reply->text, reply->events[0].text, strlen(reply->events[0].text) + 1);
	reply->outcome =
		!strncasecmp(reply->text, "OK", 2) || !strncasecmp(reply->text, "PREAUTH", 7)
			? MAIL_OK
			: MAIL_NO;
	if (reply->outcome != MAIL_OK)
		imap->alive = false;
	return reply->outcome;
}

void imap_quote(struct buf *out, const char *text)
{
	buf_addc(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			buf_addc(out, '\\');
		buf_addc(out, c < 0x20 || c >= 0x7f ? '?' : (char)c);
	}
	buf_addc(out, '"');
}

enum mail_outcome imap_login(
	struct imap *imap, const char *user, const char *password, struct imap_reply *reply)
{
	struct buf text auto_buf = {0};

	buf_add_str(&text, "LOGIN ");
	imap_quote(&text, user);
	buf_addc(&text, ' ');
	imap_quote(&text, password);
	return imap_send(imap, reply, buf_text(&text));
}

enum mail_outcome imap_select(
	struct imap *imap, const char *mailbox, bool examine, struct imap_reply *reply)
{
	struct buf text auto_buf = {0};

	buf_add_str(&text, examine ? "EXAMINE " : "SELECT ");
	imap_quote(&text, mailbox);
	imap->exists = imap->uidvalidity = imap->uidnext = 0;
	return imap_send(imap, reply, buf_text(&text));
}

enum mail_outcome imap_append(struct imap *imap, const char *mailbox, const char *flags,
	const struct message *message, struct imap_reply *reply)
{
	struct buf text auto_buf = {0};
	struct buf content auto_buf = {0};
	int told;

	buf_add_str(&text, "APPEND ");
	imap_quote(&text, mailbox);
	if (flags)
		buf_addf(&text, " (%s)", flags);
	buf_addf(&text, " {%zu}", message->text.len);
	if (!begin(imap, reply, buf_text(&text)) || send_line(imap, reply, buf_text(&text)))
		return reply->outcome;
	reply->outcome = MAIL_NO; /* nothing is appended before the content is there */
	told = collect(imap, reply, true);
	if (told == TOLD_TAGGED)
		moment(imap, reply, reply->command, "/reply");
	if (told != TOLD_PLUS)
		return reply->outcome;
	buf_add(&content, message->text.data, message->text.len);
	buf_add(&content, "\r\n", 2);
	if (send_bytes(imap, reply, &content))
		return reply->outcome;
	return finish(imap, reply, reply->command);
}

enum mail_outcome imap_idle(struct imap *imap, struct imap_reply *reply)
{
	int told;

	if (!begin(imap, reply, "IDLE") || send_line(imap, reply, "IDLE"))
		return reply->outcome;
	told = collect(imap, reply, true);
	if (told == TOLD_PLUS) {
		imap->idle = true;
		reply->outcome = MAIL_OK;
	} else if (told == TOLD_TAGGED && reply->outcome == MAIL_OK) {
		reply->outcome = MAIL_NO; /* over before it began */
	}
	if (told >= 0)
		moment(imap, reply, reply->command, "/reply");
	return reply->outcome;
}

int imap_idle_wait(struct imap *imap, struct imap_reply *reply, int64_t deadline_ns)
{
	int rc;

	if (!imap->idle)
		return -EPIPE;
	imap->line.deadline_ns = deadline_ns;
	rc = line_readable(&imap->line);
	if (!rc)
		return 0;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	rc = rc < 0 ? rc : one_response(imap, reply);
	if (rc == TOLD_EVENT)
		return 1;
	if (rc == TOLD_TAGGED) { /* the server ended it of its own */
		imap->idle = false;
		return -EPIPE;
	}
	if (rc == TOLD_PLUS)
		return 0;
	dead(imap, reply, "idle", rc);
	return rc;
}

enum mail_outcome imap_idle_done(struct imap *imap, struct imap_reply *reply)
{
	struct buf done auto_buf = {0};

	if (!imap->idle)
		return reply->outcome;
	imap->idle = false;
	reply->outcome = MAIL_MAYBE;
	if (moment(imap, reply, "done", ""))
		return reply->outcome;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	buf_add_str(&done, "DONE\r\n");
	if (send_bytes(imap, reply, &done))
		return reply->outcome;
	return finish(imap, reply, "done");
}

enum mail_outcome imap_logout(struct imap *imap, struct imap_reply *reply)
{
	imap_send(imap, reply, "LOGOUT");
	imap_close(imap);
	return reply->outcome;
}
