#include "run/cell/mixed.h"

#include <string.h>

/* ---- commands ---- */

/* By number. */
void mixed_learn(struct mixed *m)
{
	struct imap_reply reply auto_imap_reply = {0};
	size_t from, to;

	while (m->imap.alive && imap_shadow_gap(&m->shadow, &from, &to)) {
		auto_free char *text = text_fmt("FETCH %zu:%zu (UID FLAGS)", from, to);
		size_t had = m->shadow.count, was = to - from;

		if (imap_do(m->session, &m->imap, m->user, text, &reply) != MAIL_OK)
			return;
		imap_shadow_follow(&m->shadow, &reply);
		if (imap_shadow_gap(&m->shadow, &from, &to) && m->shadow.count == had &&
			to - from == was)
			return; /* it does not answer for them: they may be gone */
	}
}

bool mixed_say(struct mixed *m, const char *fmt, ...)
{
	struct imap_reply reply auto_imap_reply = {0};
	struct buf text auto_buf = {0};
	enum mail_outcome outcome;
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	outcome = imap_do(m->session, &m->imap, m->user, buf_text(&text), &reply);
	imap_shadow_follow(&m->shadow, &reply);
	if (m->shadow.count)
		mixed_learn(m);
	return outcome == MAIL_OK;
}

/* ---- coming and going ---- */

/* There is nothing to learn of the mailbox any more. */
bool mixed_say_last(struct mixed *m, const char *command)
{
	imap_shadow_free(&m->shadow);
	return mixed_say(m, "%s", command);
}

static void note_capability(struct mixed *m, const struct imap_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++) {
		const char *text = reply->events[i].text;

		if (reply->events[i].kind != IMAP_CAPABILITY)
			continue;
		m->can_enable = strcasestr(text, " ENABLE");
		m->can_condstore = strcasestr(text, " CONDSTORE");
		m->can_resync = strcasestr(text, " QRESYNC");
		m->can_move = strcasestr(text, " MOVE");
		m->can_unselect = strcasestr(text, " UNSELECT");
		m->can_idle = strcasestr(text, " IDLE");
	}
}

static bool connect_session(struct mixed *m)
{
	struct imap_reply reply auto_imap_reply = {0};

	imap_shadow_free(&m->shadow);
	if (!session_login(m->session, &m->imap, m->user))
		return false;
	if (!m->asked && imap_do(m->session, &m->imap, m->user, "CAPABILITY", &reply) == MAIL_OK) {
		note_capability(m, &reply);
		m->asked = true;
		m->resyncs = m->can_enable && m->can_resync && m->session->number % 2 == 0;
		mixed_say(m, "CREATE " MIXED_SHELF); /* one of the sessions is the first */
	}
	if (m->resyncs)
		mixed_say(m, "ENABLE QRESYNC");
	return m->imap.alive;
}

bool mixed_select(struct mixed *m, const char *verb, const char *box, const char *more)
{
	imap_shadow_free(&m->shadow);
	m->imap.highestmodseq = 0;
	m->imap.uidvalidity = 0;
	if (!mixed_say(m, "%s %s%s", verb, box, more))
		return false;
	if (!strcmp(box, "INBOX")) {
		m->uidvalidity = m->imap.uidvalidity;
		m->modseq = m->imap.highestmodseq;
	}
	return mixed_say(m, "UID FETCH 1:* (FLAGS%s)", m->can_condstore ? " MODSEQ" : "");
}

bool mixed_open_inbox(struct mixed *m)
{
	return connect_session(m) && mixed_select(m, "SELECT", "INBOX",
					     m->can_condstore && !m->resyncs ? " (CONDSTORE)" : "");
}

bool mixed_resync_inbox(struct mixed *m)
{
	auto_free char *more =
		text_fmt(" (QRESYNC (%u %llu))", m->uidvalidity, (unsigned long long)m->modseq);

	if (!m->resyncs || !m->modseq)
		return mixed_open_inbox(m);
	return connect_session(m) && mixed_select(m, "SELECT", "INBOX", more);
}

void mixed_leave(struct mixed *m, bool politely)
{
	if (politely && m->imap.alive)
		mixed_say_last(m, "LOGOUT");
	imap_close(&m->imap);
	imap_shadow_free(&m->shadow);
}
