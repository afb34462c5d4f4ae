#include "tests/fake/store_private.h"

#include "mail/message.h"

#include <string.h>
#include <strings.h>

struct envelope {
	char *from;
	char **to;
	size_t to_count;
};

static void forget(struct envelope *envelope)
{
	for (size_t i = 0; i < envelope->to_count; i++)
		free(envelope->to[i]);
	free(envelope->to);
	free(envelope->from);
	*envelope = (struct envelope){0};
}

static int reply(struct fake_session *session, const char *text)
{
	fake_idle_deadline(session);
	return line_printf(&session->line, "%s\r\n", text);
}

static char *address_of(const char *text)
{
	const char *from = strchr(text, '<'), *to = from ? strchr(from, '>') : NULL;

	return to ? text_dup_n(from + 1, (size_t)(to - from) - 1) : NULL;
}

static int rcpt(struct fake_session *session, struct envelope *envelope, const char *text)
{
	auto_free char *to = address_of(text);
	auto_free char *user = to ? fake_user_of(session->fake, to) : NULL;
	bool relay = to && strchr(to, '@') && !strstr(to, "@store") &&
		     session->service == FAKE_SMTP && session->fake->opts.outbound;

	if (!envelope->from || !to)
		return reply(session, "503 5.5.1 MAIL first");
	if (!user && !relay)
		return reply(session, "550 5.1.1 No such user");
	if (envelope->to_count == FAKE_RCPTS_MAX)
		return reply(session, "452 4.5.3 Too many recipients");
	envelope->to = mem_grow(envelope->to, envelope->to_count + 1, sizeof(char *));
	envelope->to[envelope->to_count++] = to;
	to = NULL;
	return reply(session, "250 2.1.5 Ok");
}

static int read_content(struct fake_session *session, struct buf *content)
{
	for (;;) {
		struct buf line auto_buf = {0};
		size_t skip;
		int rc;

		fake_idle_deadline(session);
		rc = line_read_raw(&session->line, LINE_MAX_BYTES, &line);
		if (rc || !strcmp(line.data, ".\r\n"))
			return rc;
		skip = line.data[0] == '.';
		if (content->len + line.len > FAKE_MESSAGE_MAX)
			return -EMSGSIZE;
		buf_add(content, line.data + skip, line.len - skip);
	}
}

/* What the dot meets. The code to answer, or -EPIPE when the session is over. */
static int commit(struct fake_session *session, struct envelope *envelope,
	const struct buf *content, const char *token)
{
	struct fake *fake = session->fake;
	bool hurt = false;
	int rc = fake_write_gate(fake, &hurt);

	if (rc)
		return rc;
	if (fake_fires(fake, FAKE_DIES, hurt)) {
		fake_die(fake, "/usr/sbin/fake-smtpd");
		line_reset(&session->line);
		return -EPIPE;
	}
	if (hurt && fake_fires(fake, FAKE_BOUNCES, hurt))
		return 554;
	if (fake_fires(fake, FAKE_LOSES, hurt))
		return 250;
	if (fake_sync_fails(fake))
		return 451;
	if (fake_fires(fake, FAKE_ACKS_EARLY, hurt))
		fake_not_flushed(fake, token, false);
	fake_enqueue(fake, envelope->from, envelope->to, envelope->to_count, content, token);
	if (fake_fires(fake, FAKE_DUPLICATES, hurt))
		fake_enqueue(
			fake, envelope->from, envelope->to, envelope->to_count, content, token);
	if (fake_fires(fake, FAKE_KEEPS_REFUSED, hurt))
		return 451;
	if (fake_fires(fake, FAKE_NO_REPLY, hurt)) {
		fake_hang(fake);
		return -EPIPE;
	}
	return 250;
}

static void tell_attempts(struct fake_session *session, const struct envelope *envelope,
	const char *token, int code, int64_t dot_ns)
{
	for (size_t i = 0; i < envelope->to_count; i++)
		fake_tell_attempt(session->fake,
			&(struct fake_attempt){
				.hop = "edge",
				.token = token,
				.from = envelope->from,
				.to = envelope->to[i],
				.result = fake_result(code),
				.code = code > 0 ? code : 0,
				.dot_ns = dot_ns,
				.reply_ns = code > 0 ? fake_now(session->fake) : MAIL_NOT_REACHED,
			});
}

static const char *text_of(int code)
{
	return code == 250   ? "250 2.0.0 Ok: queued"
	       : code == 451 ? "451 4.3.0 Not now"
			     : "554 5.3.0 Failed";
}

static int deliver_each(
	struct fake_session *session, const struct envelope *envelope, const struct buf *content)
{
	for (size_t i = 0; i < envelope->to_count; i++) {
		auto_free char *user = fake_user_of(session->fake, envelope->to[i]);
		int code =
			user ? fake_deliver(session->fake, user, content->data, content->len) : 550;
		int rc = code < 0 ? code : reply(session, text_of(code));

		if (rc)
			return rc;
	}
	return 0;
}

static int data(struct fake_session *session, struct envelope *envelope)
{
	struct buf content auto_buf = {0};
	struct message_seen seen;
	int64_t dot_ns;
	int rc, code;

	if (!envelope->to_count)
		return reply(session, "503 5.5.1 RCPT first");
	rc = reply(session, "354 Go on");
	if (!rc)
		rc = read_content(session, &content);
	if (rc)
		return rc;
	if (session->service == FAKE_LMTP)
		return deliver_each(session, envelope, &content);
	dot_ns = fake_now(session->fake);
	message_look(buf_text(&content), content.len, &seen);
	code = commit(session, envelope, &content, seen.token);
	rc = code < 0 ? code : reply(session, text_of(code));
	tell_attempts(session, envelope, seen.token, code, dot_ns);
	return rc;
}

static int hello(struct fake_session *session, const char *word)
{
	bool lhlo = !strcasecmp(word, "LHLO");

	if (lhlo != (session->service == FAKE_LMTP))
		return reply(session, "500 5.5.1 Wrong protocol");
	return reply(session, "250-fake.store\r\n250-8BITMIME\r\n250 PIPELINING");
}

static int command(struct fake_session *session, struct envelope *envelope, const char *text)
{
	char word[8] = "";

	sscanf(text, "%7[A-Za-z]", word);
	if (!strcasecmp(word, "EHLO") || !strcasecmp(word, "HELO") || !strcasecmp(word, "LHLO"))
		return hello(session, word);
	if (!strcasecmp(word, "MAIL")) {
		forget(envelope);
		envelope->from = address_of(text);
		return reply(session, envelope->from ? "250 2.1.0 Ok" : "501 5.5.4 Syntax");
	}
	if (!strcasecmp(word, "RCPT"))
		return rcpt(session, envelope, text);
	if (!strcasecmp(word, "DATA")) {
		int rc = data(session, envelope);

		forget(envelope);
		return rc;
	}
	if (!strcasecmp(word, "RSET"))
		forget(envelope);
	if (!strcasecmp(word, "RSET") || !strcasecmp(word, "NOOP"))
		return reply(session, "250 2.0.0 Ok");
	if (!strcasecmp(word, "QUIT")) {
		reply(session, "221 2.0.0 Bye");
		return -EPIPE;
	}
	return reply(session, "502 5.5.2 Unknown command");
}

void fake_smtp(struct fake_session *session)
{
	struct envelope envelope cleanup(forget) = {0};
	int rc = reply(session,
		session->service == FAKE_LMTP ? "220 fake.store LMTP" : "220 fake.store ESMTP");

	while (!rc) {
		struct buf text auto_buf = {0};

		fake_idle_deadline(session);
		rc = line_read(&session->line, FAKE_LINE_MAX, &text);
		if (!rc)
			rc = command(session, &envelope, buf_text(&text));
	}
}
