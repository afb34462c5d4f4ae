#include "tests/fake/store_private.h"

#include "base/clock.h"
#include "mail/message.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define DROP_MAX 10000
#define IDLE_MS	 50 /* of a session that a bug ends */

struct drop { /* what the session was shown at login */
	char *user;
	bool ready, quit;
	bool logged_out; /* planted: as soon as it stands idle */
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

/* False if another session has it. */
static bool fill(struct fake *fake, struct drop *drop)
{
	struct fake_box *box;
	bool free_to_use;

	pthread_mutex_lock(&fake->lock);
	box = fake_box_find(fake, drop->user, "INBOX");
	free_to_use = !box->locked;
	if (!free_to_use)
		goto out;
	box->locked = true;
	drop->count = box->count < DROP_MAX ? box->count : DROP_MAX;
	drop->uids = mem_zero(drop->count, sizeof(*drop->uids));
	drop->gone = mem_zero(drop->count, sizeof(*drop->gone));
	for (size_t i = 0; i < drop->count; i++)
		drop->uids[i] = box->mails[i]->uid;
	drop->ready = true;
out:
	pthread_mutex_unlock(&fake->lock);
	return free_to_use;
}

static int pass(struct fake_session *session, struct drop *drop, const char *password)
{
	if (!drop->user || drop->ready || strcmp(drop->user, password) != 0 ||
		!fake_is_user(session->fake, drop->user, strlen(drop->user)))
		return reply(session, "-ERR wrong user or password");
	if (!fill(session->fake, drop))
		return reply(session, "-ERR [IN-USE] another session has it");
	drop->logged_out = fake_fires(session->fake, FAKE_AUTOLOGOUT, false);
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

/* What the message is called; called under no lock. */
static uint32_t uidl_of(struct fake *fake, const struct drop *drop, size_t i)
{
	bool shared = i && fake_fires(fake, FAKE_UIDL_SHARED, false);
	struct fake_mail *mail;
	uint32_t uidl = drop->uids[shared ? i - 1 : i];

	pthread_mutex_lock(&fake->lock);
	mail = fake_box_mail(fake_box_find(fake, drop->user, "INBOX"), uidl);
	if (mail && mail->listed && fake_fires_locked(fake, FAKE_UIDL_CHANGES, false))
		mail->uidl = 1000000;
	if (mail) {
		mail->listed = true;
		uidl += mail->uidl;
	}
	pthread_mutex_unlock(&fake->lock);
	return uidl;
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
			buf_addf(&out, "%zu u%" PRIu32 "\r\n", i + 1,
				uidl_of(session->fake, drop, i));
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

/* Remove the marked ones; under the lock. */
static void remove_marked(struct fake *fake, const struct drop *drop)
{
	for (size_t i = 0; i < drop->count; i++)
		if (drop->gone[i])
			fake_box_drop(fake_box_find(fake, drop->user, "INBOX"), drop->uids[i]);
}

static size_t marked(const struct drop *drop)
{
	size_t count = 0;

	for (size_t i = 0; i < drop->count; i++)
		count += drop->gone[i];
	return count;
}

static int quit(struct fake_session *session, struct drop *drop)
{
	struct fake *fake = session->fake;
	size_t any = marked(drop);
	bool hurt = false, more;

	drop->quit = true;
	if (any && fake_write_gate(fake, &hurt))
		return -EPIPE;
	more = any < drop->count && fake_fires(fake, FAKE_OVERDELETES, hurt);
	for (size_t i = 0; more && i < drop->count; i++)
		if (!drop->gone[i]) {
			drop->gone[i] = true;
			break;
		}
	pthread_mutex_lock(&fake->lock);
	if (!any || !fake_lasts_locked(fake, FAKE_QUIT_KEEPS))
		remove_marked(fake, drop);
	pthread_mutex_unlock(&fake->lock);
	reply(session, "+OK bye");
	return -EPIPE;
}

static void drop_end(struct fake *fake, struct drop *drop)
{
	bool keeps, deletes;

	if (!drop->ready)
		return;
	keeps = !drop->quit && fake_fires(fake, FAKE_LOCK_STAYS, false);
	deletes = !drop->quit && marked(drop) && fake_fires(fake, FAKE_CUT_DELETES, false);
	pthread_mutex_lock(&fake->lock);
	if (deletes)
		remove_marked(fake, drop);
	fake_box_find(fake, drop->user, "INBOX")->locked = keeps;
	pthread_mutex_unlock(&fake->lock);
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
		if (drop.logged_out)
			session->line.deadline_ns = deadline_in_ms(IDLE_MS);
		rc = line_read(&session->line, FAKE_LINE_MAX, &text);
		if (!rc)
			rc = command(session, &drop, buf_text(&text));
	}
	drop_end(session->fake, &drop);
}
