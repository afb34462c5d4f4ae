/* SMTP sessions (RFC 5321), one thread each. */
#include "smtp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define COMMAND_MS 300000 /* RFC 5321, 4.5.3.2.7 */

struct session {
	struct conn conn;
	char hello[ADDRESS_MAX], from[ADDRESS_MAX];
	bool mail, over;
	char rcpts[RCPTS_MAX][ADDRESS_MAX];
	size_t count;
};

static void reply(struct session *session, const char *text)
{
	if (conn_printf(&session->conn, "%s\r\n", text))
		session->over = true;
}

/* "FROM:<a@b> SIZE=1": the address; false: none. */
static bool address_of(const char *arg, const char *word, char address[ADDRESS_MAX])
{
	const char *open = strchr(arg, '<'), *close = strchr(arg, '>');
	size_t len = open && close > open ? (size_t)(close - open - 1) : ADDRESS_MAX;

	if (strncasecmp(arg, word, strlen(word)) || len >= ADDRESS_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)open[1 + i]) || open[1 + i] == '<')
			return false;
	memcpy(address, open + 1, len);
	address[len] = '\0';
	return true;
}

static void mail_from(struct session *session, const char *arg)
{
	if (session->mail) {
		reply(session, "503 5.5.1 a transaction is open");
	} else if (!address_of(arg, "FROM:", session->from)) {
		reply(session, "501 5.1.7 bad address");
	} else {
		session->mail = true;
		reply(session, "250 2.1.0 OK");
	}
}

/* NOTIFY (RFC 3461, 4.1): never is kept, a failure is told anyway, and a success would have to be told too. */
static bool notify_ok(const char *arg, bool *ret_never)
{
	const char *value = strcasestr(arg, " NOTIFY=");
	size_t len;

	*ret_never = false;
	if (!value)
		return true;
	value += strlen(" NOTIFY=");
	len = strcspn(value, " ");
	*ret_never = len == strlen("NEVER") && !strncasecmp(value, "NEVER", len);
	return *ret_never || (len == strlen("FAILURE") && !strncasecmp(value, "FAILURE", len));
}

static void rcpt_to(struct session *session, const char *arg)
{
	char user[ADDRESS_MAX], answer[LINE_MAX_BYTES], line[ADDRESS_MAX + 8];
	char *rcpt = session->rcpts[session->count < RCPTS_MAX ? session->count : 0];
	bool never;
	int code = 250;

	if (!session->mail) {
		reply(session, "503 5.5.1 MAIL first");
		return;
	}
	if (session->count == RCPTS_MAX) {
		reply(session, "452 4.5.3 too many recipients");
		return;
	}
	if (!address_of(arg, "TO:", rcpt) || !*rcpt) {
		reply(session, "501 5.1.3 bad address");
		return;
	}
	if (!notify_ok(strchr(arg, '>'), &never) || (never && strlen(rcpt) + 1 == ADDRESS_MAX)) {
		reply(session, "504 5.5.4 no such notification");
		return;
	}
	if (local_user(rcpt, user)) {
		snprintf(line, sizeof(line), "USER %s", user);
		code = store_ask(line, NULL, answer, NULL);
	}
	if (code == 250 && never) {
		memmove(rcpt + 1, rcpt, strlen(rcpt) + 1);
		rcpt[0] = NEVER;
	}
	if (code == 250)
		session->count++;
	reply(session, code == 250	 ? "250 2.1.5 OK"
		       : code / 100 == 5 ? "550 5.1.1 no such user"
					 : "451 4.3.0 the store does not answer, try again");
}

/* ---- the message ---- */

static void add_received(struct session *session, struct bytes *mail)
{
	time_t now = time(NULL);
	char date[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	bytes_addf(mail, "Received: from %s by store with ESMTP; %s\r\n", session->hello, date);
}

/* Until the dot: 0, -E2BIG when it was too much (all of it is read), or negative: the end. */
static int read_mail(struct session *session, struct bytes *mail)
{
	char line[LINE_MAX_BYTES];
	bool large = false;

	for (;;) {
		int len = conn_line(&session->conn, line, sizeof(line), COMMAND_MS);
		bool dot = len > 0 && line[0] == '.';

		if (len < 0)
			return len == -E2BIG ? -ECONNRESET : len;
		if (dot && len == 1)
			return large ? -E2BIG : 0;
		large |= mail->len + (size_t)len > MAIL_MAX_BYTES;
		if (large)
			continue;
		bytes_add(mail, line + dot, (size_t)len - dot);
		bytes_add(mail, "\r\n", 2);
	}
}

static int submit(struct session *session, const struct bytes *mail, uint32_t *ret_id,
	char answer[LINE_MAX_BYTES])
{
	struct bytes line = {0}, more = {0};
	int code;

	bytes_addf(&line, "SUBMIT <%s> %zu %zu", session->from, session->count, mail->len);
	for (size_t i = 0; i < session->count; i++)
		bytes_addf(&more, "%s\n", session->rcpts[i]);
	bytes_add(&more, mail->data, mail->len);
	code = store_ask(line.data, &more, answer, NULL);
	*ret_id = code == 250 ? (uint32_t)strtoul(answer + 3, NULL, 10) : 0;
	bytes_free(&line);
	bytes_free(&more);
	return code;
}

/* The store has it, durably, before the 250. No word from the store: no word from here either. */
static void hand_over(struct session *session, const struct bytes *mail)
{
	char answer[LINE_MAX_BYTES];
	uint32_t id;
	int code = submit(session, mail, &id, answer);

	if (code == STORE_LOST) {
		session->over = true;
		queue_resync();
	} else if (code == STORE_DOWN) {
		reply(session, "451 4.3.0 the store does not answer, try again");
	} else if (code != 250) {
		reply(session, answer + 3);
	} else {
		for (size_t i = 0; i < session->count; i++)
			queue_add(id, session->rcpts[i], session->from);
		snprintf(answer, sizeof(answer), "250 2.0.0 OK queued as %u", id);
		reply(session, answer);
	}
}

static void reset(struct session *session)
{
	session->mail = false;
	session->count = 0;
}

static void data(struct session *session)
{
	struct bytes mail = {0};
	int rc;

	if (!session->count) {
		reply(session, "503 5.5.1 RCPT first");
		return;
	}
	reply(session, "354 end with a dot");
	add_received(session, &mail);
	rc = read_mail(session, &mail);
	if (rc == -E2BIG) {
		reply(session, "552 5.3.4 too large");
	} else if (rc) {
		session->over = true;
	} else {
		handling_begin();
		hand_over(session, &mail);
		handling_end();
	}
	bytes_free(&mail);
	reset(session);
}

static void hello(struct session *session, const char *arg, bool extended)
{
	size_t len = 0;

	for (; *arg && len + 1 < sizeof(session->hello); arg++)
		session->hello[len++] = isgraph((unsigned char)*arg) ? *arg : '?';
	session->hello[len] = '\0';
	reset(session);
	reply(session, extended ? "250-store\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-DSN\r\n250 "
				  "SIZE 16777216"
				: "250 store");
}

static void command(struct session *session, char *line)
{
	char *arg = line + strcspn(line, " ");

	if (*arg)
		*arg++ = '\0';
	if (!strcasecmp(line, "EHLO") || !strcasecmp(line, "HELO"))
		hello(session, arg, !strcasecmp(line, "EHLO"));
	else if (!strcasecmp(line, "MAIL"))
		mail_from(session, arg);
	else if (!strcasecmp(line, "RCPT"))
		rcpt_to(session, arg);
	else if (!strcasecmp(line, "DATA"))
		data(session);
	else if (!strcasecmp(line, "RSET")) {
		reset(session);
		reply(session, "250 2.0.0 OK");
	} else if (!strcasecmp(line, "NOOP"))
		reply(session, "250 2.0.0 OK");
	else if (!strcasecmp(line, "QUIT")) {
		reply(session, "221 2.0.0 bye");
		session->over = true;
	} else
		reply(session, "502 5.5.2 no such command");
}

void smtp_serve(int fd)
{
	struct session *session = must_zero(sizeof(*session));
	char line[LINE_MAX_BYTES];

	conn_open(&session->conn, fd);
	reply(session, "220 store ESMTP refstore");
	while (!session->over && conn_line(&session->conn, line, sizeof(line), COMMAND_MS) >= 0)
		command(session, line);
	conn_close(&session->conn);
	free(session);
}
