#include "mail/smtp.h"

#include "base/clock.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#define REPLY_LINE_MAX 4096 /* RFC 5321 says 512; real servers say more */
#define CONTENT_CHUNK  65536

const char *smtp_phase_name(enum smtp_phase phase)
{
	static const char *const names[SMTP_PHASES] = {
		"connected", "ehlo", "mail", "rcpt", "data", "dot", "reply", "quit"};

	return names[phase];
}

/* The session is over: no more bytes either way. */
static void dead(struct smtp *smtp, const char *doing, int rc)
{
	mail_failure(smtp->failure, doing, rc, &smtp->opts);
	smtp->alive = false;
	line_reset(&smtp->line);
}

static int moment(struct smtp *smtp, enum smtp_phase phase)
{
	const char *name = smtp_phase_name(phase);
	int rc = mail_moment(&smtp->opts, smtp->lmtp ? "lmtp" : "smtp", name, NULL);

	if (!rc)
		return 0;
	smtp->moment_rc = rc;
	dead(smtp, name, -ECANCELED);
	return -ECANCELED;
}

void smtp_open(struct smtp *smtp, int fd, bool lmtp, const struct mail_opts *opts)
{
	*smtp = (struct smtp){
		.opts = *opts,
		.lmtp = lmtp,
		.alive = true,
		.connected_ns = mail_now(opts),
		.banner_ns = MAIL_NOT_REACHED,
		.ehlo_ns = MAIL_NOT_REACHED,
	};
	line_open(&smtp->line, fd, opts->group);
}

void smtp_close(struct smtp *smtp)
{
	if (!smtp)
		return;
	smtp->alive = false;
	line_close(&smtp->line);
}

/* The code of one reply line (RFC 5321, 4.2) and whether more follow, or -EPROTO. */
static int reply_code(const struct buf *line, bool *ret_more)
{
	const char *text = buf_text(line);

	if (line->len < 3 || text[0] < '2' || text[0] > '5' || text[1] < '0' || text[1] > '9' ||
		text[2] < '0' || text[2] > '9')
		return -EPROTO;
	if (line->len > 3 && text[3] != ' ' && text[3] != '-')
		return -EPROTO;
	*ret_more = text[3] == '-';
	return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

/* One reply, all its lines: its code, or a negative errno after which the connection is useless. */
static int read_reply_lines(struct smtp *smtp, struct buf *text)
{
	int first = 0;

	for (size_t i = 0; i < SMTP_REPLY_LINES_MAX; i++) {
		struct buf line auto_buf = {0};
		bool more = false;
		int code, rc = line_read(&smtp->line, REPLY_LINE_MAX, &line);

		if (rc)
			return rc;
		code = reply_code(&line, &more);
		if (code < 0 || (first && code != first))
			return -EPROTO;
		first = code;
		if (text->len && line.len > 4)
			buf_addc(text, ' ');
		if (line.len > 4)
			buf_add(text, line.data + 4, line.len - 4);
		if (!more)
			return code;
	}
	return -EMSGSIZE;
}

static int read_reply(struct smtp *smtp, const char *doing)
{
	struct buf text auto_buf = {0};
	int code;

	smtp->code = 0;
	smtp->reply[0] = '\0';
	smtp->line.deadline_ns = mail_reply_deadline(&smtp->opts);
	code = read_reply_lines(smtp, &text);
	if (code < 0) {
		dead(smtp, doing, code);
		return code;
	}
	smtp->code = code;
	mail_text(smtp->reply, sizeof(smtp->reply), buf_text(&text), text.len);
	if (code == 421)
		smtp->alive = false;
	return code;
}

/* Send one command line and read its reply: the code, or a negative errno. */
static int command(struct smtp *smtp, const char *doing, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int command(struct smtp *smtp, const char *doing, const char *fmt, ...)
{
	struct buf text auto_buf = {0};
	va_list ap;
	int rc;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	buf_add_str(&text, "\r\n");
	smtp->code = 0;
	smtp->line.deadline_ns = mail_reply_deadline(&smtp->opts);
	rc = line_write(&smtp->line, text.data, text.len, NULL);
	/* A server that has ended the session may have said why. */
	if (rc && rc != -EPIPE && rc != -ECONNRESET) {
		dead(smtp, doing, rc);
		return rc;
	}
	return read_reply(smtp, doing);
}

static bool good(int code)
{
	return code >= 200 && code < 300;
}

/* STARTTLS, and EHLO once more (RFC 3207): the last code, or a negative errno at the session's end. */
static int go_on_in_tls(struct smtp *smtp, const char *name)
{
	int code = command(smtp, "starttls", "STARTTLS"), rc;

	if (!good(code))
		return code;
	smtp->line.deadline_ns = mail_reply_deadline(&smtp->opts);
	rc = line_start_tls(&smtp->line);
	if (rc) {
		dead(smtp, "the TLS handshake", rc);
		return rc;
	}
	return command(smtp, "ehlo", "%s %s", smtp->lmtp ? "LHLO" : "EHLO", name);
}

enum mail_outcome smtp_greet(struct smtp *smtp, const char *name)
{
	int code;

	if (moment(smtp, SMTP_CONNECTED))
		return MAIL_NO;
	code = read_reply(smtp, "banner");
	if (code < 0)
		return MAIL_MAYBE;
	smtp->banner_ns = mail_now(&smtp->opts);
	if (good(code))
		code = command(smtp, "ehlo", "%s %s", smtp->lmtp ? "LHLO" : "EHLO", name);
	if (good(code) && smtp->opts.starttls)
		code = go_on_in_tls(smtp, name);
	if (!smtp->lmtp && smtp->alive && (code == 500 || code == 502 || code == 504))
		code = command(smtp, "ehlo", "HELO %s", name);
	if (code < 0)
		return MAIL_MAYBE;
	if (!good(code)) {
		smtp->alive = false;
		return MAIL_NO;
	}
	smtp->ehlo_ns = mail_now(&smtp->opts);
	return moment(smtp, SMTP_EHLO) ? MAIL_NO : MAIL_OK;
}

static void reset_results(struct smtp *smtp, struct smtp_mail *mail)
{
	for (int i = 0; i < SMTP_PHASES; i++)
		mail->at_ns[i] = MAIL_NOT_REACHED;
	mail->at_ns[SMTP_CONNECTED] = smtp->connected_ns;
	mail->at_ns[SMTP_EHLO] = smtp->ehlo_ns;
	mail->reached = smtp->ehlo_ns == MAIL_NOT_REACHED ? SMTP_CONNECTED : SMTP_EHLO;
	mail->dot_sent = false;
	for (size_t i = 0; i < mail->rcpt_count; i++) {
		mail->rcpts[i].outcome = MAIL_NO;
		mail->rcpts[i].code = 0;
		mail->rcpts[i].reply[0] = '\0';
		mail->rcpts[i].reply_ns = MAIL_NOT_REACHED;
	}
}

static int reach(struct smtp *smtp, struct smtp_mail *mail, enum smtp_phase phase)
{
	mail->reached = phase;
	mail->at_ns[phase] = mail_now(&smtp->opts);
	return moment(smtp, phase);
}

static void rcpt_reply(struct smtp *smtp, struct smtp_rcpt *rcpt)
{
	rcpt->code = smtp->code;
	rcpt->reply_ns = mail_now(&smtp->opts);
	memcpy(rcpt->reply, smtp->reply, sizeof(rcpt->reply));
}

/* MAIL and RCPT: the number of accepted recipients, or a negative errno at the session's end. */
static int envelope(struct smtp *smtp, struct smtp_mail *mail)
{
	int accepted = 0, code = command(smtp, "mail", "MAIL FROM:<%s>", mail->from);

	if (code < 0 || !good(code))
		return code < 0 ? code : 0;
	if (reach(smtp, mail, SMTP_MAIL))
		return -ECANCELED;
	for (size_t i = 0; i < mail->rcpt_count && smtp->alive; i++) {
		code = command(smtp, "rcpt", "RCPT TO:<%s>%s%s", mail->rcpts[i].address,
			mail->notify ? " NOTIFY=" : "", mail->notify ? mail->notify : "");
		if (code < 0)
			return code;
		rcpt_reply(smtp, &mail->rcpts[i]);
		if (!good(code))
			continue;
		accepted++;
		if (reach(smtp, mail, SMTP_RCPT))
			return -ECANCELED;
	}
	return smtp->alive ? accepted : -EPIPE;
}

static int write_content(struct smtp *smtp, const struct smtp_mail *mail)
{
	const struct buf *text = &mail->message->text;
	size_t end = mail->cut == SMTP_CUT_IN_DATA ? text->len / 2 : text->len;
	bool at_start = true;

	for (size_t at = 0; at < end;) {
		struct buf chunk auto_buf = {0};
		size_t n = end - at < CONTENT_CHUNK ? end - at : CONTENT_CHUNK;
		int rc;

		message_stuff(&chunk, text->data + at, n, &at_start);
		smtp->line.deadline_ns = mail_reply_deadline(&smtp->opts);
		rc = line_write(&smtp->line, chunk.data, chunk.len, NULL);
		if (rc)
			return rc;
		at += n;
	}
	return 0;
}

/* The content and, after the moment, the final dot; dot_sent once the whole dot was written. */
static int content_and_dot(struct smtp *smtp, struct smtp_mail *mail)
{
	static const char dot[] = ".\r\n";
	size_t done = 0;
	int rc = write_content(smtp, mail);

	if (rc == -EPIPE || rc == -ECONNRESET) {
		if (read_reply(smtp, "content") >= 0) /* it said why */
			dead(smtp, "content", rc);
		return rc;
	}
	if (rc || mail->cut == SMTP_CUT_IN_DATA) {
		dead(smtp, "content", rc ? rc : -ECANCELED);
		return -ECANCELED;
	}
	if (moment(smtp, SMTP_DOT))
		return -ECANCELED;
	smtp->line.deadline_ns = mail_reply_deadline(&smtp->opts);
	rc = line_write(&smtp->line, dot, sizeof(dot) - 1, &done);
	mail->dot_sent = done == sizeof(dot) - 1;
	if (!mail->dot_sent) {
		dead(smtp, "dot", rc);
		return rc;
	}
	mail->reached = SMTP_DOT;
	mail->at_ns[SMTP_DOT] = mail_now(&smtp->opts);
	return 0;
}

/* What a reply to the dot says: 2yz, 4yz, 5yz; a 3yz says nothing. */
static enum mail_outcome verdict_of(int code)
{
	if (good(code))
		return MAIL_OK;
	return code >= 400 ? MAIL_NO : MAIL_MAYBE;
}

static bool awaits(const struct smtp_rcpt *rcpt)
{
	return good(rcpt->code);
}

static void no_reply(struct smtp_rcpt *rcpt)
{
	rcpt->outcome = MAIL_MAYBE;
	rcpt->code = 0;
	rcpt->reply[0] = '\0';
	rcpt->reply_ns = MAIL_NOT_REACHED;
}

/* SMTP: one reply for all; LMTP: one for each accepted recipient, in order. */
static void replies(struct smtp *smtp, struct smtp_mail *mail)
{
	int code = smtp->lmtp ? 0 : read_reply(smtp, "reply");

	for (size_t i = 0; i < mail->rcpt_count; i++) {
		struct smtp_rcpt *rcpt = &mail->rcpts[i];

		if (!awaits(rcpt))
			continue;
		if (smtp->lmtp && code >= 0)
			code = read_reply(smtp, "reply");
		if (code < 0) {
			no_reply(rcpt);
			continue;
		}
		rcpt->outcome = verdict_of(code);
		rcpt_reply(smtp, rcpt);
	}
	if (code >= 0)
		reach(smtp, mail, SMTP_REPLY);
}

/* DATA up to the replies, when at least one recipient was accepted. */
static void content(struct smtp *smtp, struct smtp_mail *mail)
{
	int code = command(smtp, "data", "DATA");

	if (code < 0)
		return;
	if (code != 354) {
		for (size_t i = 0; i < mail->rcpt_count; i++)
			if (awaits(&mail->rcpts[i]))
				rcpt_reply(smtp, &mail->rcpts[i]);
		return;
	}
	if (reach(smtp, mail, SMTP_DATA) || content_and_dot(smtp, mail))
		return;
	if (mail->cut != SMTP_CUT_AFTER_DOT) {
		replies(smtp, mail);
		return;
	}
	for (size_t i = 0; i < mail->rcpt_count; i++)
		if (awaits(&mail->rcpts[i]))
			no_reply(&mail->rcpts[i]);
	dead(smtp, "reply", -ECANCELED);
}

static void sum_up(struct smtp *smtp, struct smtp_mail *mail)
{
	bool no = false, maybe = false;

	for (size_t i = 0; i < mail->rcpt_count; i++) {
		struct smtp_rcpt *rcpt = &mail->rcpts[i];

		no |= rcpt->outcome == MAIL_NO;
		maybe |= rcpt->outcome == MAIL_MAYBE;
		if (rcpt->outcome == MAIL_NO && good(rcpt->code)) { /* only RCPT was answered */
			rcpt->code = 0;
			rcpt->reply[0] = '\0';
			rcpt->reply_ns = MAIL_NOT_REACHED;
		}
	}
	mail->outcome = maybe ? MAIL_MAYBE : no ? MAIL_NO : MAIL_OK;
	mail->code = smtp->code;
	memcpy(mail->reply, smtp->reply, sizeof(mail->reply));
	memcpy(mail->failure, smtp->failure, sizeof(mail->failure));
}

void smtp_send(struct smtp *smtp, struct smtp_mail *mail)
{
	int accepted;

	assert(mail->rcpt_count > 0 && mail->rcpt_count <= SMTP_RCPTS_MAX);
	reset_results(smtp, mail);
	if (smtp->alive) {
		accepted = envelope(smtp, mail);
		if (accepted > 0)
			content(smtp, mail);
	}
	sum_up(smtp, mail);
	if (smtp->alive && mail->reached < SMTP_DOT)
		command(smtp, "rset", "RSET");
}

void smtp_quit(struct smtp *smtp)
{
	if (smtp->alive && !moment(smtp, SMTP_QUIT))
		command(smtp, "quit", "QUIT");
	smtp_close(smtp);
}

void smtp_once(
	int fd, bool lmtp, const char *name, const struct mail_opts *opts, struct smtp_mail *mail)
{
	struct smtp smtp;

	smtp_open(&smtp, fd, lmtp, opts);
	smtp_greet(&smtp, name);
	smtp_send(&smtp, mail);
	if (smtp.alive) {
		mail->at_ns[SMTP_QUIT] = mail_now(opts);
		mail->reached = SMTP_QUIT;
	}
	smtp_quit(&smtp);
	smtp_close(&smtp);
}
