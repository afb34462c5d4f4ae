#include "tests/fake/store_private.h"

#include "mail/message.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define DROP_MAX 10000

struct drop { /* what the session was shown at login */
	char *user;
	bool ready;
	uint32_t *uids;
	bool *gone;
	size_t count;
};

static void drop_free(struct drop *drop)
{
	free(drop->user);
	free(drop->uids);
	free(drop->gone);
}

static int reply(struct fake_session *session, const char *text)
{
	fake_idle_deadline(session);
	return line_printf(&session->line, "%s\r\n", text);
}

static void fill(struct fake *fake, struct drop *drop)
{
	struct fake_box *box;

	pthread_mutex_lock(&fake->lock);
	box = fake_box_find(fake, drop->user, "INBOX");
	drop->count = box->count < DROP_MAX ? box->count : DROP_MAX;
	drop->uids = mem_zero(drop->count, sizeof(*drop->uids));
	drop->gone = mem_zero(drop->count, sizeof(*drop->gone));
	for (size_t i = 0; i < drop->count; i++)
		drop->uids[i] = box->mails[i]->uid;
	drop->ready = true;
	pthread_mutex_unlock(&fake->lock);
}

static int pass(struct fake_session *session, struct drop *drop, const char *password)
{
	if (!drop->user || drop->ready || strcmp(drop->user, password) != 0 ||
		!fake_is_user(session->fake, drop->user, strlen(drop->user)))
		return reply(session, "-ERR wrong user or password");
	fill(session->fake, drop);
	return reply(session, "+OK logged in");
}

/* A copy of the text of message `i` of the drop; empty if somebody removed it. */
static void text_of(struct fake *fake, const struct drop *drop, size_t i, struct buf *out)
{
	struct fake_mail *mail;

	pthread_mutex_lock(&fake->lock);
	mail = fake_box_mail(fake_box_find(fake, drop->user, "INBOX"), drop->uids[i]);
	if (mail)
		buf_add(out, mail->text.data, mail->text.len);
	pthread_mutex_unlock(&fake->lock);
}

static int list(struct fake_session *session, const struct drop *drop, bool uidl)
{
	struct buf out auto_buf = {0};

	buf_add_str(&out, "+OK\r\n");
	for (size_t i = 0; i < drop->count; i++) {
		struct buf text auto_buf = {0};

		if (drop->gone[i])
			continue;
		text_of(session->fake, drop, i, &text);
		if (uidl)
			buf_addf(&out, "%zu u%" PRIu32 "\r\n", i + 1, drop->uids[i]);
		else
			buf_addf(&out, "%zu %zu\r\n", i + 1, text.len);
	}
	buf_addc(&out, '.');
	return reply(session, out.data);
}

static int stat_drop(struct fake_session *session, const struct drop *drop)
{
	size_t count = 0, bytes = 0;
	char line[64];

	for (size_t i = 0; i < drop->count; i++) {
		struct buf text auto_buf = {0};

		if (drop->gone[i])
			continue;
		text_of(session->fake, drop, i, &text);
		count++;
		bytes += text.len;
	}
	snprintf(line, sizeof(line), "+OK %zu %zu", count, bytes);
	return reply(session, line);
}

static int retr(struct fake_session *session, const struct drop *drop, size_t i)
{
	struct buf text auto_buf = {0};
	struct buf out auto_buf = {0};
	bool at_start = true;

	text_of(session->fake, drop, i, &text);
	if (!text.len)
		return reply(session, "-ERR it is gone");
	buf_add_str(&out, "+OK\r\n");
	message_stuff(&out, text.data, text.len, &at_start);
	buf_add_str(&out, at_start ? ".\r\n" : "\r\n.\r\n");
	fake_idle_deadline(session);
	return line_write(&session->line, out.data, out.len, NULL);
}

static int quit(struct fake_session *session, const struct drop *drop)
{
	struct fake *fake = session->fake;
	bool hurt = false, any = false;

	for (size_t i = 0; i < drop->count; i++)
		any |= drop->gone[i];
	if (any && fake_write_gate(fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < drop->count; i++)
		if (drop->gone[i])
			fake_box_drop(fake_box_find(fake, drop->user, "INBOX"), drop->uids[i]);
	pthread_mutex_unlock(&fake->lock);
	reply(session, "+OK bye");
	return -EPIPE;
}

static int numbered(
	struct fake_session *session, struct drop *drop, const char *word, size_t number)
{
	if (!number || number > drop->count || drop->gone[number - 1])
		return reply(session, "-ERR no such message");
	if (!strcasecmp(word, "RETR"))
		return retr(session, drop, number - 1);
	drop->gone[number - 1] = true;
	return reply(session, "+OK marked");
}

static int command(struct fake_session *session, struct drop *drop, const char *text)
{
	char word[8] = "", arg[256] = "";

	sscanf(text, "%7s %255s", word, arg);
	if (!strcasecmp(word, "QUIT"))
		return quit(session, drop);
	if (!strcasecmp(word, "CAPA"))
		return reply(session, "+OK\r\nUSER\r\nUIDL\r\n.");
	if (!strcasecmp(word, "PASS"))
		return pass(session, drop, arg);
	if (!strcasecmp(word, "USER") && !drop->ready) {
		free(drop->user);
		drop->user = text_dup(arg);
		return reply(session, "+OK");
	}
	if (!drop->ready)
		return reply(session, "-ERR log in first");
	if (!strcasecmp(word, "STAT"))
		return stat_drop(session, drop);
	if (!strcasecmp(word, "LIST") || !strcasecmp(word, "UIDL"))
		return list(session, drop, !strcasecmp(word, "UIDL"));
	if (!strcasecmp(word, "RETR") || !strcasecmp(word, "DELE"))
		return numbered(session, drop, word, strtoul(arg, NULL, 10));
	if (!strcasecmp(word, "RSET"))
		memset(drop->gone, 0, drop->count * sizeof(*drop->gone));
	if (!strcasecmp(word, "RSET") || !strcasecmp(word, "NOOP"))
		return reply(session, "+OK");
	return reply(session, "-ERR unknown command");
}

void fake_pop3(struct fake_session *session)
{
	struct drop drop cleanup(drop_free) = {0};
	int rc = reply(session, "+OK fake.store POP3");

	while (!rc) {
		struct buf text auto_buf = {0};

		fake_idle_deadline(session);
		rc = line_read(&session->line, FAKE_LINE_MAX, &text);
		if (!rc)
			rc = command(session, &drop, buf_text(&text));
	}
}
