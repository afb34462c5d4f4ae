#include "tests/fake/store_imap_private.h"

#include "mail/message.h"

#include "base/clock.h"
#include "mail/imap.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define IDLE_LOOK_MS 20

int imap_view_flush(struct imap_view *view)
{
	int rc;

	fake_idle_deadline(view->session);
	rc = line_write(&view->session->line, buf_text(&view->out), view->out.len, NULL);
	buf_reset(&view->out);
	return rc;
}

int imap_view_done(struct imap_view *view, const char *text)
{
	buf_addf(&view->out, "%s %s\r\n", view->tag, text);
	return imap_view_flush(view);
}

void imap_view_word(const char **at, struct buf *out)
{
	const char *p = *at + strspn(*at, " ");
	char end = *p == '(' ? ')' : *p == '"' ? '"' : ' ';

	buf_reset(out);
	if (end != ' ')
		p++;
	for (; *p && *p != end; p++) {
		if (end == '"' && *p == '\\' && p[1])
			p++;
		buf_addc(out, *p);
	}
	*at = *p ? p + 1 : p;
}

static int append(struct imap_view *view, const char *args)
{
	struct buf name auto_buf = {0};
	struct buf text auto_buf = {0};
	const char *brace = strrchr(args, '{');
	size_t size = brace ? strtoul(brace + 1, NULL, 10) : 0;
	struct fake_box *box;
	uint32_t uid = 0, validity = 0;
	struct message_seen seen;
	bool hurt = false, refused;

	imap_view_word(&args, &name);
	if (!size || size > FAKE_MESSAGE_MAX)
		return imap_view_done(view, "NO [TOOBIG] not that");
	buf_add_str(&view->out, "+ go on\r\n");
	if (imap_view_flush(view))
		return -EPIPE;
	while (text.len < size) {
		ssize_t n = line_read_some(
			&view->session->line, buf_reserve(&text, size - text.len), size - text.len);

		if (n <= 0)
			return -EPIPE;
		text.len += (size_t)n;
	}
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	message_look(buf_text(&text), text.len, &seen);
	if (fake_fires(view->fake, FAKE_ACKS_EARLY, hurt))
		fake_not_flushed(view->fake, seen.token, false);
	pthread_mutex_lock(&view->fake->lock);
	refused = fake_lasts_locked(view->fake, FAKE_ADDS_REFUSED);
	box = fake_box_find(view->fake, view->user, buf_text(&name));
	if (box) {
		uid = fake_box_add(box, text.data, text.len, imap_view_flags(args));
		validity = box->uidvalidity;
	}
	pthread_cond_broadcast(&view->fake->changed);
	pthread_mutex_unlock(&view->fake->lock);
	buf_reset(&text);
	if (line_read(&view->session->line, FAKE_LINE_MAX, &text)) /* the command's own CRLF */
		return -EPIPE;
	imap_view_sync(view);
	buf_reset(&text);
	if (refused)
		buf_add_str(&text, "NO [UNAVAILABLE] not now");
	else
		buf_addf(&text, "OK [APPENDUID %" PRIu32 " %" PRIu32 "] done", validity, uid);
	return imap_view_done(view, box ? text.data : "NO [TRYCREATE] no such mailbox");
}

static int list(struct imap_view *view)
{
	pthread_mutex_lock(&view->fake->lock);
	for (size_t i = 0; i < view->fake->box_count; i++) {
		if (strcmp(view->fake->boxes[i]->user, view->user) != 0)
			continue;
		buf_add_str(&view->out, "* LIST (\\HasNoChildren) \"/\" ");
		imap_quote(&view->out, view->fake->boxes[i]->name);
		buf_add_str(&view->out, "\r\n");
	}
	pthread_mutex_unlock(&view->fake->lock);
	return imap_view_done(view, "OK done");
}

static int status(struct imap_view *view, const char *args)
{
	struct buf name auto_buf = {0};
	struct fake_box *box;

	imap_view_word(&args, &name);
	pthread_mutex_lock(&view->fake->lock);
	box = fake_box_find(view->fake, view->user, buf_text(&name));
	if (box) {
		buf_add_str(&view->out, "* STATUS ");
		imap_quote(&view->out, box->name);
		buf_addf(&view->out,
			" (MESSAGES %zu UIDNEXT %" PRIu32 " UIDVALIDITY %" PRIu32
			" HIGHESTMODSEQ %" PRIu64 ")\r\n",
			box->count, box->uidnext, box->uidvalidity, box->modseq);
	}
	pthread_mutex_unlock(&view->fake->lock);
	return imap_view_done(view, box ? "OK done" : "NO [NONEXISTENT] no such mailbox");
}

static int create(struct imap_view *view, const char *args)
{
	struct buf name auto_buf = {0};
	bool hurt = false, exists;

	imap_view_word(&args, &name);
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	exists = !name.len || fake_box_find(view->fake, view->user, name.data);
	if (!exists)
		fake_box_make(view->fake, view->user, name.data);
	pthread_mutex_unlock(&view->fake->lock);
	return imap_view_done(view, exists ? "NO [ALREADYEXISTS] it is there" : "OK done");
}

/* Push changes until DONE comes: looks for them every IDLE_LOOK_MS while no byte comes. */
static int idle(struct imap_view *view)
{
	struct buf text auto_buf = {0};
	int rc = 0, ready = 0;

	view->blind = view->blind || fake_fires(view->fake, FAKE_IDLE_DEAF, false);
	buf_add_str(&view->out, "+ idling\r\n");
	imap_view_sync(view);
	rc = imap_view_flush(view);
	while (!rc && !ready) {
		view->session->line.deadline_ns = deadline_in_ms(IDLE_LOOK_MS);
		ready = line_readable(&view->session->line);
		if (!ready && imap_view_sync(view))
			rc = imap_view_flush(view);
	}
	fake_idle_deadline(view->session);
	if (rc || ready < 0 || line_read(&view->session->line, FAKE_LINE_MAX, &text))
		return -EPIPE;
	return imap_view_done(
		view, strcasecmp(buf_text(&text), "DONE") ? "BAD not DONE" : "OK idled");
}

static int login(struct imap_view *view, const char *args)
{
	struct buf user auto_buf = {0};
	struct buf password auto_buf = {0};

	imap_view_word(&args, &user);
	imap_view_word(&args, &password);
	if (view->user || strcmp(buf_text(&user), buf_text(&password)) != 0 ||
		!fake_is_user(view->fake, buf_text(&user), user.len))
		return imap_view_done(view, "NO [AUTHENTICATIONFAILED] wrong user or password");
	view->user = text_dup(user.data);
	return imap_view_done(view, "OK logged in");
}

static int enable(struct imap_view *view, const char *args)
{
	view->vanishes = view->vanishes || strcasestr(args, "QRESYNC");
	view->modseqs = view->vanishes || strcasestr(args, "CONDSTORE");
	buf_addf(&view->out, "* ENABLED%s%s\r\n", view->modseqs ? " CONDSTORE" : "",
		view->vanishes ? " QRESYNC" : "");
	return imap_view_done(view, "OK done");
}

static int noop(struct imap_view *view)
{
	bool blind;

	pthread_mutex_lock(&view->fake->lock);
	blind = view->box && fake_lasts_locked(view->fake, FAKE_BLIND);
	pthread_mutex_unlock(&view->fake->lock);
	if (!blind)
		imap_view_sync(view);
	if (view->box && fake_fires(view->fake, FAKE_REPLIES_TWICE, false))
		imap_view_done(view, "OK done");
	return imap_view_done(view, "OK done");
}

static int logged_in(struct imap_view *view, const char *name, const char *args, bool uid)
{
	if (!strcasecmp(name, "SELECT") || !strcasecmp(name, "EXAMINE"))
		return imap_view_select(view, args, !strcasecmp(name, "EXAMINE"));
	if (!strcasecmp(name, "LIST"))
		return list(view);
	if (!strcasecmp(name, "ENABLE"))
		return enable(view, args);
	if (!strcasecmp(name, "STATUS"))
		return status(view, args);
	if (!strcasecmp(name, "CREATE"))
		return create(view, args);
	if (!strcasecmp(name, "APPEND"))
		return append(view, args);
	if (!strcasecmp(name, "IDLE"))
		return idle(view);
	return view->box ? imap_view_box(view, name, args, uid)
			 : imap_view_done(view, "BAD no mailbox selected");
}

static int command(struct imap_view *view, const char *args)
{
	struct buf tag auto_buf = {0};
	struct buf name auto_buf = {0};
	bool uid;

	imap_view_word(&args, &tag);
	imap_view_word(&args, &name);
	snprintf(view->tag, sizeof(view->tag), "%.31s", buf_text(&tag));
	fake_stall(view->fake);
	uid = !strcasecmp(buf_text(&name), "UID");
	if (uid)
		imap_view_word(&args, &name);
	if (!strcasecmp(buf_text(&name), "CAPABILITY")) {
		buf_add_str(&view->out,
			"* CAPABILITY IMAP4rev1 IDLE UIDPLUS MOVE UNSELECT ENABLE CONDSTORE "
			"QRESYNC\r\n");
		return imap_view_done(view, "OK done");
	}
	if (!strcasecmp(buf_text(&name), "NOOP"))
		return noop(view);
	if (!strcasecmp(buf_text(&name), "LOGOUT")) {
		buf_add_str(&view->out, "* BYE see you\r\n");
		imap_view_done(view, "OK done");
		return -EPIPE;
	}
	if (!strcasecmp(buf_text(&name), "LOGIN"))
		return login(view, args);
	if (!view->user)
		return imap_view_done(view, "BAD log in first");
	return logged_in(view, buf_text(&name), args, uid);
}

void fake_imap(struct fake_session *session)
{
	struct imap_view view = {.session = session, .fake = session->fake};
	int rc;

	buf_add_str(&view.out, "* OK fake.store IMAP4rev1\r\n");
	rc = imap_view_flush(&view);
	while (!rc) {
		struct buf text auto_buf = {0};

		fake_idle_deadline(session);
		rc = line_read(&session->line, FAKE_LINE_MAX, &text);
		if (!rc)
			rc = command(&view, buf_text(&text));
	}
	free(view.user);
	free(view.box);
	free(view.shown);
	buf_free(&view.out);
}
