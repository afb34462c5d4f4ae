#include "mail/imap.h"

#include "base/clock.h"
#include "mail/imap_private.h"
#include "mail/imap_response.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

void imap_dead(struct imap *imap, struct imap_reply *reply, const char *doing, int rc)
{
	bool was = imap->alive;

	mail_failure(imap->failure, doing, rc, &imap->opts);
	if (reply)
		memcpy(reply->failure, imap->failure, sizeof(reply->failure));
	imap->failure_rc = rc;
	imap->alive = false;
	imap->idle = false;
	line_reset(&imap->line);
	if (was && imap->watch)
		imap->watch->over(imap->watch->arg, rc);
}

int imap_moment(struct imap *imap, struct imap_reply *reply, unsigned int number, const char *name,
	const char *suffix)
{
	char text[64], tag[IMAP_TAG_SIZE];
	int rc;

	snprintf(text, sizeof(text), "%s%s", name, suffix);
	snprintf(tag, sizeof(tag), "r%u", number);
	rc = mail_moment(&imap->opts, "imap", text, number ? tag : NULL);
	if (!rc)
		return 0;
	imap->moment_rc = rc;
	imap_dead(imap, reply, text, -ECANCELED);
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
	if (imap->alive && imap->watch)
		imap->watch->over(imap->watch->arg, 0);
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
	if (event->kind == IMAP_CODE && event->modseq)
		imap->highestmodseq = event->modseq;
}

static void add_event(
	struct imap *imap, struct imap_reply *reply, const struct imap_response *response)
{
	struct imap_event event;

	imap_response_parse(response, &event);
	event.at_ns = mail_now(&imap->opts);
	note_selected(imap, &event);
	if (imap->watch)
		imap->watch->told(imap->watch->arg, &event);
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
	reply->bad = false;
	reply->code[0] = '\0';
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

int imap_one_response(struct imap *imap, struct imap_reply *reply, char tag[static IMAP_TAG_SIZE])
{
	struct imap_response response cleanup(imap_response_free) = {0};
	int rc = imap_response_read(&imap->line, &response);
	const char *text = buf_text(&response.text);
	size_t len = strcspn(text, " ");

	if (rc)
		return rc;
	if (!strncmp(text, "* ", 2)) {
		add_event(imap, reply, &response);
		return TOLD_EVENT;
	}
	if (text[0] == '+')
		return TOLD_PLUS;
	if (!text[len] || len >= IMAP_TAG_SIZE || tagged(imap, reply, text + len + 1))
		return -EPROTO;
	snprintf(tag, IMAP_TAG_SIZE, "%.*s", (int)len, text);
	if (imap->watch)
		imap->watch->done(imap->watch->arg, tag, reply);
	return TOLD_TAGGED;
}

/* The same where one command waits: a reply to anything else is none. */
static int one_reply(struct imap *imap, struct imap_reply *reply)
{
	enum mail_outcome before = reply->outcome;
	char tag[IMAP_TAG_SIZE], awaited[IMAP_TAG_SIZE];
	int told = imap_one_response(imap, reply, tag);

	snprintf(awaited, sizeof(awaited), "r%u", imap->tag);
	if (told != TOLD_TAGGED || !strcmp(tag, awaited))
		return told;
	reply->outcome = before;
	return -EPROTO;
}

int imap_collect(struct imap *imap, struct imap_reply *reply, bool plus)
{
	int told;

	do
		told = one_reply(imap, reply);
	while (told == TOLD_EVENT || (told == TOLD_PLUS && !plus));
	if (told < 0)
		imap_dead(imap, reply, reply->command, told);
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

bool imap_begin(struct imap *imap, struct imap_reply *reply, const char *text)
{
	imap_reply_free(reply);
	reply->outcome = MAIL_NO;
	reply->sent_ns = reply->reply_ns = MAIL_NOT_REACHED;
	command_name(text, reply->command);
	if (!imap->alive)
		memcpy(reply->failure, imap->failure, sizeof(reply->failure));
	if (!imap->alive || imap_moment(imap, reply, imap->tag + 1, reply->command, ""))
		return false;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	return true;
}

int imap_send_bytes(struct imap *imap, struct imap_reply *reply, const struct buf *bytes)
{
	size_t done = 0;
	int rc = line_write(&imap->line, bytes->data, bytes->len, &done);

	if (done == bytes->len) {
		reply->outcome = MAIL_MAYBE;
		reply->sent_ns = mail_now(&imap->opts);
		return 0;
	}
	if (rc == -EPIPE || rc == -ECONNRESET) /* a BYE may stand in front of the end */
		imap_collect(imap, reply, false);
	if (imap->alive)
		imap_dead(imap, reply, reply->command, rc);
	return rc;
}

void imap_tell_sent(struct imap *imap, const char *text, const struct message *message)
{
	char tag[IMAP_TAG_SIZE];

	if (!imap->watch)
		return;
	snprintf(tag, sizeof(tag), "r%u", imap->tag);
	imap->watch->sent(imap->watch->arg, tag, text, message);
}

int imap_send_line(struct imap *imap, struct imap_reply *reply, const char *text)
{
	struct buf bytes auto_buf = {0};

	buf_addf(&bytes, "r%u %s\r\n", ++imap->tag, text);
	imap_tell_sent(imap, text, NULL);
	return imap_send_bytes(imap, reply, &bytes);
}

enum mail_outcome imap_finish(struct imap *imap, struct imap_reply *reply, const char *name)
{
	if (imap_collect(imap, reply, false) == TOLD_TAGGED)
		imap_moment(imap, reply, imap->tag, name, "/reply");
	return reply->outcome;
}

enum mail_outcome imap_send(struct imap *imap, struct imap_reply *reply, const char *text)
{
	if (!imap_begin(imap, reply, text))
		return reply->outcome;
	if (strpbrk(text, "\r\n")) {
		snprintf(reply->failure, sizeof(reply->failure), "the command is not one line");
		return reply->outcome;
	}
	if (imap_send_line(imap, reply, text))
		return reply->outcome;
	return imap_finish(imap, reply, reply->command);
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

static void go_on_in_tls(struct imap *imap, struct imap_reply *reply)
{
	int rc;

	if (imap_send(imap, reply, "STARTTLS") != MAIL_OK)
		return;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	rc = line_start_tls(&imap->line);
	if (!rc)
		return;
	reply->outcome = MAIL_NO;
	imap_dead(imap, reply, "the TLS handshake", rc);
}

enum mail_outcome imap_greet(struct imap *imap, struct imap_reply *reply)
{
	int told;

	imap_reply_free(reply);
	reply->outcome = MAIL_NO;
	reply->sent_ns = reply->reply_ns = MAIL_NOT_REACHED;
	if (imap_moment(imap, reply, 0, "connected", ""))
		return reply->outcome;
	reply->outcome = MAIL_MAYBE;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	told = one_reply(imap, reply);
	if (told != TOLD_EVENT) {
		imap_dead(imap, reply, "greeting", told < 0 ? told : -EPROTO);
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
	if (reply->outcome == MAIL_OK && imap->opts.starttls)
		go_on_in_tls(imap, reply);
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
	imap->highestmodseq = 0;
	return imap_send(imap, reply, buf_text(&text));
}

enum mail_outcome imap_logout(struct imap *imap, struct imap_reply *reply)
{
	imap_send(imap, reply, "LOGOUT");
	imap_close(imap);
	return reply->outcome;
}
