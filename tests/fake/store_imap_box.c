#include "tests/fake/store_imap_private.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define VIEW_MAX 10000

static const struct {
	const char *name;
	unsigned int flag;
} flag_names[] = {
	{"\\Seen", FLAG_SEEN},
	{"\\Answered", FLAG_ANSWERED},
	{"\\Flagged", FLAG_FLAGGED},
	{"\\Deleted", FLAG_DELETED},
	{"\\Draft", FLAG_DRAFT},
};

/* Under the store's lock. */
static struct fake_box *selected(struct imap_view *view)
{
	return view->box ? fake_box_find(view->fake, view->user, view->box) : NULL;
}

bool imap_view_sync(struct imap_view *view)
{
	struct fake_box *box;
	size_t before = view->out.len;
	size_t had, i = 0;

	pthread_mutex_lock(&view->fake->lock);
	box = selected(view);
	while (box && i < view->count) {
		if (fake_box_mail(box, view->uids[i])) {
			i++;
			continue;
		}
		buf_addf(&view->out, "* %zu EXPUNGE\r\n", i + 1);
		memmove(&view->uids[i], &view->uids[i + 1],
			(view->count - i - 1) * sizeof(*view->uids));
		view->count--;
	}
	had = view->count;
	for (i = 0; box && i < box->count && view->count < VIEW_MAX; i++) {
		if (view->count && box->mails[i]->uid <= view->uids[view->count - 1])
			continue;
		view->uids = mem_grow(view->uids, view->count + 1, sizeof(*view->uids));
		view->uids[view->count++] = box->mails[i]->uid;
	}
	if (view->count > had)
		buf_addf(&view->out, "* %zu EXISTS\r\n", view->count);
	pthread_mutex_unlock(&view->fake->lock);
	return view->out.len > before;
}

unsigned int imap_view_flags(const char *text)
{
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (strcasestr(text, flag_names[i].name))
			flags |= flag_names[i].flag;
	return flags;
}

static void add_flags(struct buf *out, unsigned int flags)
{
	const char *gap = "";

	buf_add_str(out, "FLAGS (");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		buf_addf(out, "%s%s", gap, flag_names[i].name);
		gap = " ";
	}
	buf_addc(out, ')');
}

static bool in_set(const char *set, uint32_t number, uint32_t last)
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
		uint32_t number = uid ? view->uids[i] : (uint32_t)i + 1;
		uint32_t last = uid ? view->uids[view->count - 1] : (uint32_t)view->count;

		if (in_set(set, number, last))
			return i + 1;
	}
	return 0;
}

static void fetch_one(struct imap_view *view, size_t number, const char *items, bool uid)
{
	struct fake_box *box;
	struct fake_mail *mail;
	bool whole = strcasestr(items, "BODY[]") || strcasestr(items, "BODY.PEEK[]") ||
		     (strcasestr(items, "RFC822") && !strcasestr(items, "RFC822.SIZE"));

	pthread_mutex_lock(&view->fake->lock);
	box = selected(view);
	mail = box ? fake_box_mail(box, view->uids[number - 1]) : NULL;
	if (mail) {
		if (whole && !strcasestr(items, ".PEEK") && !view->read_only)
			mail->flags |= FLAG_SEEN;
		buf_addf(&view->out, "* %zu FETCH (", number);
		if (uid || strcasestr(items, "UID"))
			buf_addf(&view->out, "UID %" PRIu32 " ", mail->uid);
		if (strcasestr(items, "RFC822.SIZE"))
			buf_addf(&view->out, "RFC822.SIZE %zu ", mail->text.len);
		add_flags(&view->out, mail->flags);
		if (whole) {
			buf_addf(&view->out, " BODY[] {%zu}\r\n", mail->text.len);
			buf_add(&view->out, mail->text.data, mail->text.len);
		}
		buf_add_str(&view->out, ")\r\n");
	}
	pthread_mutex_unlock(&view->fake->lock);
}

static int fetch(struct imap_view *view, const char *args, bool uid)
{
	struct buf set auto_buf = {0};

	imap_view_word(&args, &set);
	for (size_t i = 0; (i = next_in(view, buf_text(&set), uid, i));) {
		int rc;

		fetch_one(view, i, args, uid);
		rc = imap_view_flush(view);
		if (rc)
			return rc;
	}
	return imap_view_done(view, "OK done");
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
	for (size_t i = 0; (i = next_in(view, buf_text(&set), uid, i));) {
		struct fake_mail *mail;

		pthread_mutex_lock(&view->fake->lock);
		mail = selected(view) ? fake_box_mail(selected(view), view->uids[i - 1]) : NULL;
		if (mail && strcasestr(args, "+FLAGS"))
			mail->flags |= flags;
		else if (mail && strcasestr(args, "-FLAGS"))
			mail->flags &= ~flags;
		else if (mail)
			mail->flags = flags;
		pthread_mutex_unlock(&view->fake->lock);
		if (mail && !strcasestr(args, ".SILENT"))
			fetch_one(view, i, "UID", uid);
	}
	return imap_view_done(view, "OK done");
}

static int expunge(struct imap_view *view, const char *set)
{
	bool hurt = false;

	if (view->read_only)
		return imap_view_done(view, "NO [READ-ONLY] examined");
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	for (size_t i = 0; i < view->count; i++) {
		struct fake_box *box = selected(view);
		struct fake_mail *mail = box ? fake_box_mail(box, view->uids[i]) : NULL;

		if (mail && mail->flags & FLAG_DELETED &&
			(!set || in_set(set, mail->uid, view->uids[view->count - 1])))
			fake_box_drop(box, mail->uid);
	}
	pthread_mutex_unlock(&view->fake->lock);
	imap_view_sync(view);
	return imap_view_done(view, "OK done");
}

static int copy(struct imap_view *view, const char *args, bool uid, bool move)
{
	struct buf set auto_buf = {0};
	struct buf name auto_buf = {0};
	struct fake_box *to;
	bool hurt = false;

	imap_view_word(&args, &set);
	imap_view_word(&args, &name);
	if (fake_write_gate(view->fake, &hurt))
		return -EPIPE;
	pthread_mutex_lock(&view->fake->lock);
	to = fake_box_find(view->fake, view->user, buf_text(&name));
	for (size_t i = 0; to && (i = next_in(view, buf_text(&set), uid, i));) {
		struct fake_box *from = selected(view);
		struct fake_mail *mail = from ? fake_box_mail(from, view->uids[i - 1]) : NULL;

		if (!mail)
			continue;
		fake_box_add(to, mail->text.data, mail->text.len, mail->flags);
		if (move)
			fake_box_drop(from, mail->uid);
	}
	pthread_cond_broadcast(&view->fake->changed);
	pthread_mutex_unlock(&view->fake->lock);
	imap_view_sync(view);
	return imap_view_done(view, to ? "OK done" : "NO [TRYCREATE] no such mailbox");
}

static int search(struct imap_view *view, bool uid)
{
	buf_add_str(&view->out, "* SEARCH");
	for (size_t i = 0; i < view->count; i++)
		buf_addf(&view->out, " %" PRIu32, uid ? view->uids[i] : (uint32_t)i + 1);
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
	if (!strcasecmp(name, "CLOSE")) {
		free(view->box);
		view->box = NULL;
		view->count = 0;
		return imap_view_done(view, "OK closed");
	}
	return imap_view_done(view, "BAD unknown command");
}
