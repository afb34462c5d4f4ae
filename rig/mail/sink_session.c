#include "mail/sink_private.h"

#include "base/clock.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define COMMAND_MAX 4096
#define ADDRESS_MAX 512

static void forget(struct sink_session *session)
{
	for (size_t i = 0; i < session->rcpt_count; i++)
		free(session->rcpts[i]);
	free(session->rcpts);
	free(session->from);
	session->rcpts = NULL;
	session->rcpt_count = 0;
	session->from = NULL;
}

static void idle_deadline(struct sink_session *session)
{
	session->line.deadline_ns = deadline_in_ms(session->sink->opts.idle_ms);
}

/* A reply, held back while the sink is silent. */
static int reply(struct sink_session *session, const char *text)
{
	if (sink_meet(session->sink, SINK_BIT(SINK_SILENT)) == SINK_SILENT &&
		!sink_hold(session, SINK_SILENT, CLOCK_NEVER))
		return -EPIPE;
	idle_deadline(session);
	return line_printf(&session->line, "%s\r\n", text);
}

static int banner(struct sink_session *session)
{
	struct sink *sink = session->sink;
	auto_free char *text = text_fmt(
		"220 %s %s mailrig sink", sink->opts.name, sink->opts.lmtp ? "LMTP" : "ESMTP");

	switch (sink_meet(sink, SINK_BIT(SINK_BANNER_LATE) | SINK_BIT(SINK_BUSY))) {
	case SINK_BUSY:
		reply(session, "421 4.3.2 Service not available, closing");
		return -EPIPE;
	case SINK_BANNER_LATE:
		if (!sink_hold(session, SINK_BANNER_LATE, sink_late_ns(sink)))
			return -EPIPE;
		break;
	default:
		break;
	}
	return reply(session, text);
}

static int hello(struct sink_session *session, const char *word)
{
	bool lhlo = !strcasecmp(word, "LHLO"), tls;
	auto_free char *text = NULL;

	if (lhlo != session->sink->opts.lmtp)
		return reply(session, "500 5.5.1 Wrong protocol");
	forget(session);
	session->greeted = true;
	tls = sink_get_mode(session->sink) == SINK_TLS_STALLS;
	text = !strcasecmp(word, "HELO") ? text_fmt("250 %s", session->sink->opts.name)
					 : text_fmt("250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n%s"
						    "250-ENHANCEDSTATUSCODES\r\n250 SIZE %u",
						   session->sink->opts.name,
						   tls ? "250-STARTTLS\r\n" : "", MESSAGE_READ_MAX);
	return reply(session, text);
}

/* There is no TLS here: whoever was told 220 and waits for a handshake is left when the mode ends (RFC 3207). */
static int start_tls(struct sink_session *session)
{
	if (sink_meet(session->sink, SINK_BIT(SINK_TLS_STALLS)) != SINK_TLS_STALLS)
		return reply(session, "502 5.5.2 Command not recognized");
	if (!reply(session, "220 2.0.0 Ready to start TLS"))
		sink_hold(session, SINK_TLS_STALLS, CLOCK_NEVER);
	return -EPIPE;
}

/* What stands in <>, or NULL. Caller frees. */
static char *address_of(const char *text)
{
	const char *from = strchr(text, '<'), *to = from ? strchr(from, '>') : NULL;
	char out[ADDRESS_MAX];

	if (!to)
		return NULL;
	mail_text(out, sizeof(out), from + 1, (size_t)(to - from) - 1);
	return text_dup(out);
}

static int mail_from(struct sink_session *session, const char *text)
{
	char *from = strncasecmp(text, "FROM:", 5) ? NULL : address_of(text);

	if (!from)
		return reply(session, "501 5.5.4 MAIL FROM:<address>");
	if (session->from || !session->greeted) {
		free(from);
		return reply(session, "503 5.5.1 Bad sequence of commands");
	}
	if (sink_meet(session->sink, SINK_BIT(SINK_FULL)) == SINK_FULL) {
		free(from);
		return reply(session, "452 4.3.1 Insufficient system storage");
	}
	session->from = from;
	return reply(session, "250 2.1.0 Ok");
}

static int rcpt_to(struct sink_session *session, const char *text)
{
	auto_free char *to = strncasecmp(text, "TO:", 3) ? NULL : address_of(text);

	if (!to)
		return reply(session, "501 5.5.4 RCPT TO:<address>");
	if (!session->from)
		return reply(session, "503 5.5.1 Bad sequence of commands");
	if (session->rcpt_count == SINK_RCPTS_MAX)
		return reply(session, "452 4.5.3 Too many recipients");
	switch (sink_meet(session->sink, SINK_BIT(SINK_RCPT_4YZ) | SINK_BIT(SINK_RCPT_5YZ))) {
	case SINK_RCPT_4YZ:
		return reply(session, "451 4.3.0 Recipient refused for now");
	case SINK_RCPT_5YZ:
		return reply(session, "550 5.1.1 Recipient refused");
	default:
		break;
	}
	session->rcpts = mem_grow(session->rcpts, session->rcpt_count + 1, sizeof(char *));
	session->rcpts[session->rcpt_count++] = to;
	to = NULL;
	return reply(session, "250 2.1.5 Ok");
}

/* Content up to CRLF . CRLF (RFC 5321, 4.1.1.4: no other end counts). */
static int read_content(struct sink_session *session, struct message_seen *ret)
{
	struct message_scan *scan = message_scan_new();
	bool after_crlf = true;
	size_t bytes = 0;
	int rc;

	for (;;) {
		struct buf line auto_buf = {0};
		size_t skip;

		idle_deadline(session);
		rc = line_read_raw(&session->line, LINE_MAX_BYTES, &line);
		if (rc || (after_crlf && line.len == 3 && !memcmp(line.data, ".\r\n", 3)))
			break;
		bytes += line.len;
		if (bytes > MESSAGE_READ_MAX) {
			rc = -EMSGSIZE;
			break;
		}
		skip = after_crlf && line.data[0] == '.';
		message_scan_add(scan, line.data + skip, line.len - skip);
		after_crlf = line.len > 1 && line.data[line.len - 2] == '\r';
	}
	message_scan_end(scan, ret);
	message_scan_free(scan);
	return rc;
}

static bool drip(struct sink_session *session, const char *text)
{
	for (; *text; text++) {
		int64_t until_ns = sink_late_ns(session->sink);

		if (!sink_hold(session, SINK_DRIP, until_ns))
			return false;
		idle_deadline(session);
		if (line_write(&session->line, text, 1, NULL))
			return false;
	}
	return true;
}

/* Read on until the peer has closed; nothing is said any more. */
static void half_close(struct sink_session *session)
{
	char bytes[512];

	shutdown(session->line.fd, SHUT_WR);
	idle_deadline(session);
	while (line_read_some(&session->line, bytes, sizeof(bytes)) > 0)
		;
}

/* The replies to the dot in `mode`: the code, or 0 when they did not go out whole. */
static int answer(struct sink_session *session, enum sink_mode mode, size_t replies)
{
	struct buf text auto_buf = {0};
	int code = mode == SINK_DATA_4YZ ? 451 : mode == SINK_DATA_5YZ ? 554 : 250;

	for (size_t i = 0; i < replies; i++)
		buf_add_str(&text, mode == SINK_DATA_4YZ   ? "451 4.3.0 Not now\r\n"
				   : mode == SINK_DATA_5YZ ? "554 5.6.0 Not this\r\n"
							   : "250 2.0.0 Ok: on record\r\n");
	if (mode == SINK_DROP) {
		line_reset(&session->line);
		return 0;
	}
	if (mode == SINK_HALF_CLOSE) {
		half_close(session);
		return 0;
	}
	if (mode == SINK_DRIP)
		return drip(session, text.data) ? code : 0;
	if (mode == SINK_MUTE && !sink_hold(session, SINK_MUTE, CLOCK_NEVER))
		return 0;
	text.data[text.len - 2] = '\0'; /* reply() ends the line */
	return reply(session, text.data) ? 0 : code;
}

static int data(struct sink_session *session)
{
	static const unsigned int met = SINK_BIT(SINK_DATA_4YZ) | SINK_BIT(SINK_DATA_5YZ) |
					SINK_BIT(SINK_DROP) | SINK_BIT(SINK_MUTE) |
					SINK_BIT(SINK_DRIP) | SINK_BIT(SINK_HALF_CLOSE);
	struct sink *sink = session->sink;
	struct sink_mail *mail;
	enum sink_mode mode;
	size_t replies = sink->opts.lmtp ? session->rcpt_count : 1;
	int code, rc;

	if (!session->rcpt_count)
		return reply(session, "503 5.5.1 Bad sequence of commands");
	rc = reply(session, "354 End data with <CR><LF>.<CR><LF>");
	if (rc)
		return rc;
	mail = mem_zero(1, sizeof(*mail));
	rc = read_content(session, &mail->seen);
	if (rc) { /* no dot came: there is no mail */
		free(mail);
		return rc;
	}
	mail->dot_ns = sink_now(sink);
	mail->reply_ns = MAIL_NOT_REACHED;
	mail->session = session->number;
	mail->from = session->from;
	mail->rcpts = session->rcpts;
	mail->rcpt_count = session->rcpt_count;
	session->from = NULL;
	session->rcpts = NULL;
	session->rcpt_count = 0;
	mode = sink_meet(sink, met);
	mail->kept = mode != SINK_DATA_4YZ && mode != SINK_DATA_5YZ;
	sink_record(sink, mail);
	code = answer(session, mode, replies);
	sink_settle(sink, mail, code, code ? sink_now(sink) : MAIL_NOT_REACHED);
	return code ? 0 : -EPIPE;
}

static int command(struct sink_session *session, const char *text)
{
	char word[16];
	size_t len = strcspn(text, " ");
	const char *rest = text + len + strspn(text + len, " ");

	mail_text(word, sizeof(word), text, len);
	if (!strcasecmp(word, "EHLO") || !strcasecmp(word, "HELO") || !strcasecmp(word, "LHLO"))
		return hello(session, word);
	if (!strcasecmp(word, "STARTTLS"))
		return start_tls(session);
	if (!strcasecmp(word, "MAIL"))
		return mail_from(session, rest);
	if (!strcasecmp(word, "RCPT"))
		return rcpt_to(session, rest);
	if (!strcasecmp(word, "DATA"))
		return data(session);
	if (!strcasecmp(word, "RSET")) {
		forget(session);
		return reply(session, "250 2.0.0 Ok");
	}
	if (!strcasecmp(word, "NOOP"))
		return reply(session, "250 2.0.0 Ok");
	if (!strcasecmp(word, "QUIT")) {
		reply(session, "221 2.0.0 Bye");
		return -EPIPE;
	}
	return reply(session, "502 5.5.2 Command not recognized");
}

void *sink_session_run(void *arg)
{
	struct sink_session *session = arg;
	int rc = banner(session);

	while (!rc) {
		struct buf text auto_buf = {0};

		idle_deadline(session);
		rc = line_read(&session->line, COMMAND_MAX, &text);
		if (!rc)
			rc = command(session, buf_text(&text));
	}
	forget(session);
	line_close(&session->line);
	sink_session_done(session);
	return NULL;
}
