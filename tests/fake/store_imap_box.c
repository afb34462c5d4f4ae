#include "tests/fake/store_imap_private.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

bool imap_view_in_set(const char *set, uint32_t number, uint32_t last)
{
	for (const char *p = set; *p; p += strcspn(p, ","), p += *p == ',') {
		char *end;
		uint32_t a = *p == '*' ? last : (uint32_t)strtoul(p, &end, 10), b = a;
		const char *colon = memchr(p, ':', strcspn(p, ","));

		if (colon)
			b = colon[1] == '*' ? last : (uint32_t)strtoul(colon + 1, &end, 10);
		if ((number >= a && number <= b) || (number >= b && number <= a))
			return true;
	}
	return false;
}

/* The sequence number (from 1) after `from` that is in the set, or 0. */
static size_t next_in(const struct imap_view *view, const char *set, bool uid, size_t from)
{
	for (size_t i = from; i < view->count; i++) {
		uint32_t number = uid ? view->shown[i].uid : (uint32_t)i + 1;
		uint32_t last = uid ? view->shown[view->count - 1].uid : (uint32_t)view->count;

		if (imap_view_in_set(set, number, last))
			return i + 1;
	}
	return 0;
}

/* ---- FETCH ---- */

/* Where the message stands in its mailbox before the session may be held. */
static size_t place_of(struct imap_view *view, size_t number)
{
	struct fake_box *box;
	size_t place = 0;

	pthread_mutex_lock(&view->fake->lock);
	box = imap_view_selected(view);
	while (box && place < box->count && box->mails[place]->uid != view->shown[number - 1].uid)
		place++;
	pthread_mutex_unlock(&view->fake->lock);
	fake_point(view->fake, "fake/imap/fetch");
	return place;
}

/* Under the lock. A message that is gone is left out, as RFC 2180, 4.1.3 has it. */
static struct fake_mail *fetched_mail(
	struct imap_view *view, size_t number, size_t place, bool whole)
{
	struct fake_box *box = imap_view_selected(view);
	struct fake_mail *mail = box ? fake_box_mail(box, view->shown[number - 1].uid) : NULL;

	if (whole && box && place < box->count && box->mails[place] != mail &&
		fake_lasts_locked(view->fake, FAKE_STALE_FETCH))
		return box->mails[place];
	if (!mail && whole && box && box->count && fake_lasts_locked(view->fake, FAKE_MIXES_FETCH))
		return box->mails[0];
	return mail;
}

static void tell_body(struct imap_view *view, struct fake_mail *mail)
{
	buf_addf(&view->out, " BODY[] {%zu}\r\n", mail->text.len);
	buf_add(&view->out, mail->text.data, mail->text.len);
	if (mail->text.len > 3 && fake_lasts_locked(view->fake, FAKE_REWRITES))
		mail->text.data[mail->text.len - 3] ^= 1;
}

static void fetch_one(struct imap_view *view, size_t number, const char *items)
{
	size_t place = place_of(view, number);
	struct fake_mail *mail, shown;
	bool whole = strcasestr(items, "BODY[]") || strcasestr(items, "BODY.PEEK[]") ||
		     (strcasestr(items, "RFC822") && !strcasestr(items, "RFC822.SIZE"));

	pthread_mutex_lock(&view->fake->lock);
	mail = fetched_mail(view, number, place, whole);
	if (mail) {
		shown = *mail;
		shown.uid = view->shown[number - 1].uid;
		if (whole && !strcasestr(items, ".PEEK") && !view->read_only)
			mail->flags |= FLAG_SEEN;
		if (whole && fake_fires_locked(view->fake, FAKE_CHANGES_UID, false))
			shown.uid += 1000;
		imap_view_tell_flags(view, number, &shown);
		if (strcasestr(items, "RFC822.SIZE"))
			buf_addf(&view->out, " RFC822.SIZE %zu", mail->text.len);
		if (whole)
			tell_body(view, mail);
		buf_add_str(&view->out, ")\r\n");
	}
	pthread_mutex_unlock(&view->fake->lock);
}

static bool tells_early(struct imap_view *view)
{
	struct fake_box *box;
	bool gone = false, fires;

	pthread_mutex_lock(&view->fake->lock);
	box = imap_view_selected(view);
	for (size_t i = 0; i < view->count && box && !gone; i++)
		gone = !fake_box_mail(box, view->shown[i].uid);
	fires = gone && !view->vanishes &&
		fake_fires_locked(view->fake, FAKE_EXPUNGES_EARLY, false);
	pthread_mutex_unlock(&view->fake->lock);
	return fires;
}

static int fetch(struct imap_view *view, const char *args, bool uid)
{
	struct buf set auto_buf = {0};

	imap_view_word(&args, &set);
	for (size_t i = 0; (i = next_in(view, buf_text(&set), uid, i));) {
		int rc;

		fetch_one(view, i, args);
		rc = imap_view_flush(view);
		if (rc)
			return rc;
	}
	if (!uid && tells_early(view))
		imap_view_sync(view);
	return imap_view_done(view, "OK done");
}

/* ---- STORE ---- */

static unsigned int changed(unsigned int old, unsigned int flags, const char *args)
{
	if (strcasestr(args, "+FLAGS"))
		return old | flags;
	return strcasestr(args, "-FLAGS") ? old & ~flags : flags;
}

/* Under the lock. */
static void store_one(struct imap_view *view, size_t number, unsigned int flags, const char *args)
{
	struct fake_box *box = imap_view_selected(view);
	struct fake_mail *mail = box ? fake_box_mail(box, view->shown[number - 1].uid) : NULL;
	struct imap_shown *told = &view->shown[number - 1];
	struct fake_mail shown;
	bool knew_all;
	unsigned int now;

	if (!mail)
		return;
	knew_all = told->modseq == mail->modseq;
	mail->doubled |= fake_fires_locked(view->fake, FAKE_FLAGS_DOUBLE, false);
	mail->hidden |= fake_fires_locked(view->fake, FAKE_FLAGS_LOSE, false);
	mail->renamed |= fake_fires_locked(view->fake, FAKE_NAME_REUSED, false);
	now = changed(mail->flags, flags, args);
	shown = *mail;
	shown.flags = now;
	if (now != mail->flags && !fake_lasts_locked(view->fake, FAKE_FORGETS_FLAGS)) {
		if (!fake_lasts_locked(view->fake, FAKE_REPEATS_MODSEQ))
			mail->modseq = ++box->modseq;
		mail->flags = now;
		shown.modseq = mail->modseq;
	}
	/* What another session changed before is told later (RFC 3501, 6.4.6). */
	if (strcasestr(args, ".SILENT")) {
		if (knew_all)
			told->modseq = mail->modseq;
		return;
	}
	imap_view_tell_flags(view, number, &shown);
	buf_add_str(&view->out, ")\r\n");
}

static int store(struct imap_view *view, const char *args, bool uid)
{
	struct buf set auto_buf = {0};
	unsigned int flags = imap_view_flags(args);
	bool hurt = false;

	imap_view_word(&args, &set);
	if (view->read_only)
		return imap_view_done(view, "NO [READ-ONLY] examined");
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	for (size_t i = 0; (i = next_in(view, buf_text(&set), uid, i));)
		store_one(view, i, flags, args);
	pthread_cond_broadcast(&view->fake->changed);
	pthread_mutex_unlock(&view->fake->lock);
	return imap_view_done(view, "OK done");
}

/* ---- EXPUNGE and CLOSE ---- */

/* Under the lock; `set` of UIDs, NULL: all. */
static void drop_deleted(struct imap_view *view, const char *set)
{
	struct fake_box *box = imap_view_selected(view);
	uint32_t last = view->count ? view->shown[view->count - 1].uid : 0;

	for (size_t i = 0; i < view->count && box; i++) {
		struct fake_mail *mail = fake_box_mail(box, view->shown[i].uid);

		if (mail && mail->flags & FLAG_DELETED &&
			(!set || imap_view_in_set(set, mail->uid, last)))
			fake_box_drop(box, mail->uid);
	}
	pthread_cond_broadcast(&view->fake->changed);
}

static int expunge(struct imap_view *view, const char *set)
{
	bool hurt = false;

	if (view->read_only)
		return imap_view_done(view, "NO [READ-ONLY] examined");
	fake_point(view->fake, "fake/imap/expunge");
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	drop_deleted(view, set);
	pthread_mutex_unlock(&view->fake->lock);
	imap_view_sync(view);
	return imap_view_done(view, "OK done");
}

static int close_box(struct imap_view *view, bool expunges)
{
	bool hurt = false;

	if (expunges && fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	if (expunges && !view->read_only && !fake_lasts_locked(view->fake, FAKE_CLOSE_KEEPS))
		drop_deleted(view, NULL);
	pthread_mutex_unlock(&view->fake->lock);
	imap_view_leave(view);
	return imap_view_done(view, "OK closed");
}

/* ---- COPY and MOVE ---- */

struct copied {
	struct buf from, to; /* UIDs, as COPYUID lists them */
	uint32_t validity;
};

/* Under the lock. */
static void copy_one(struct imap_view *view, size_t number, struct fake_box *to, bool move,
	struct copied *copied)
{
	struct fake_box *from = imap_view_selected(view);
	struct fake_mail *mail = from ? fake_box_mail(from, view->shown[number - 1].uid) : NULL;
	uint32_t uid = 0, source = mail ? mail->uid : 0;

	if (!mail)
		return;
	if (!move || !fake_lasts_locked(view->fake, FAKE_MOVE_LOSES))
		uid = fake_box_add(to, mail->text.data, mail->text.len, mail->flags);
	if (move)
		fake_box_drop(from, source);
	if (!uid)
		return;
	buf_addf(&copied->from, "%s%" PRIu32, copied->from.len ? "," : "", source);
	buf_addf(&copied->to, "%s%" PRIu32, copied->to.len ? "," : "", uid);
	copied->validity = to->uidvalidity;
}

static int copy(struct imap_view *view, const char *args, bool uid, bool move)
{
	struct buf set auto_buf = {0}, name auto_buf = {0}, text auto_buf = {0};
	struct copied copied = {0};
	struct fake_box *to;
	bool hurt = false;

	imap_view_word(&args, &set);
	imap_view_word(&args, &name);
	if (move && view->read_only)
		return imap_view_done(view, "NO [READ-ONLY] examined");
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	to = fake_box_find(view->fake, view->user, buf_text(&name));
	for (size_t i = 0; to && (i = next_in(view, buf_text(&set), uid, i));)
		copy_one(view, i, to, move, &copied);
	pthread_cond_broadcast(&view->fake->changed);
	pthread_mutex_unlock(&view->fake->lock);
	buf_addf(&text, "OK done");
	if (copied.from.len && move)
		buf_addf(&view->out, "* OK [COPYUID %" PRIu32 " %s %s] moved\r\n", copied.validity,
			copied.from.data, copied.to.data);
	else if (copied.from.len)
		buf_reset(&text), buf_addf(&text, "OK [COPYUID %" PRIu32 " %s %s] done",
					  copied.validity, copied.from.data, copied.to.data);
	buf_free(&copied.from);
	buf_free(&copied.to);
	if (move)
		imap_view_sync(view);
	return imap_view_done(view, to ? text.data : "NO [TRYCREATE] no such mailbox");
}

static int search(struct imap_view *view, bool uid)
{
	buf_add_str(&view->out, "* SEARCH");
	for (size_t i = 0; i < view->count; i++)
		buf_addf(&view->out, " %" PRIu32, uid ? view->shown[i].uid : (uint32_t)i + 1);
	buf_add_str(&view->out, "\r\n");
	return imap_view_done(view, "OK done");
}

int imap_view_box(struct imap_view *view, const char *name, const char *args, bool uid)
{
	struct buf set auto_buf = {0};

	if (!strcasecmp(name, "FETCH"))
		return fetch(view, args, uid);
	if (!strcasecmp(name, "STORE"))
		return store(view, args, uid);
	if (!strcasecmp(name, "SEARCH"))
		return search(view, uid);
	if (!strcasecmp(name, "COPY") || !strcasecmp(name, "MOVE"))
		return copy(view, args, uid, !strcasecmp(name, "MOVE"));
	if (!strcasecmp(name, "EXPUNGE")) {
		imap_view_word(&args, &set);
		return expunge(view, uid ? buf_text(&set) : NULL);
	}
	if (!strcasecmp(name, "CLOSE") || !strcasecmp(name, "UNSELECT"))
		return close_box(view, !strcasecmp(name, "CLOSE"));
	return imap_view_done(view, "BAD unknown command");
}
