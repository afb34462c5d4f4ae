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

const char *fake_imap_bug_name(enum fake_bug bug)
{
	static const char *const names[FAKE_LOSES] = {"changes-uid", "rewrites", "lowers-validity",
		"keeps-uidnext", "miscounts", "expunges-early", "blind", "close-keeps",
		"adds-refused", "move-loses", "forgets-flags", "mixes-fetch", "repeats-modseq",
		"resync-forgets", "vanishes-more", "idle-deaf", "replies-twice", "stale-fetch"};

	return names[bug];
}

struct fake_box *imap_view_selected(struct imap_view *view)
{
	return view->box ? fake_box_find(view->fake, view->user, view->box) : NULL;
}

unsigned int imap_view_flags(const char *text)
{
	unsigned int flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (strcasestr(text, flag_names[i].name))
			flags |= flag_names[i].flag;
	return flags;
}

void imap_view_tell_flags(struct imap_view *view, size_t number, const struct fake_mail *mail)
{
	const char *gap = "";

	buf_addf(&view->out, "* %zu FETCH (UID %" PRIu32 " FLAGS (", number, mail->uid);
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++) {
		if (!(mail->flags & flag_names[i].flag))
			continue;
		buf_addf(&view->out, "%s%s", gap, flag_names[i].name);
		gap = " ";
	}
	buf_addc(&view->out, ')');
	if (view->modseqs)
		buf_addf(&view->out, " MODSEQ (%" PRIu64 ")", mail->modseq);
	view->shown[number - 1].modseq = mail->modseq;
}

/* ---- what changed ---- */

static void tell_gone(struct imap_view *view, struct fake_box *box)
{
	for (size_t i = 0; i < view->count;) {
		if (fake_box_mail(box, view->shown[i].uid)) {
			i++;
			continue;
		}
		if (view->vanishes)
			buf_addf(&view->out, "* VANISHED %" PRIu32 "\r\n",
				fake_lasts_locked(view->fake, FAKE_VANISHES_MORE)
					? box->uidnext + 100
					: view->shown[i].uid);
		else
			buf_addf(&view->out, "* %zu EXPUNGE\r\n",
				fake_fires_locked(view->fake, FAKE_MISCOUNTS, false)
					? view->count + 1
					: i + 1);
		view->count--;
		memmove(&view->shown[i], &view->shown[i + 1],
			(view->count - i) * sizeof(*view->shown));
	}
}

static void tell_new(struct imap_view *view, struct fake_box *box)
{
	size_t had = view->count;

	for (size_t i = 0; i < box->count && view->count < VIEW_MAX; i++) {
		const struct fake_mail *mail = box->mails[i];

		if (view->count && mail->uid <= view->shown[view->count - 1].uid)
			continue;
		view->shown = mem_grow(view->shown, view->count + 1, sizeof(*view->shown));
		view->shown[view->count++] = (struct imap_shown){mail->uid, mail->modseq};
	}
	if (view->count > had)
		buf_addf(&view->out, "* %zu EXISTS\r\n", view->count);
}

static void tell_flags(struct imap_view *view, struct fake_box *box)
{
	for (size_t i = 0; i < view->count; i++) {
		const struct fake_mail *mail = fake_box_mail(box, view->shown[i].uid);

		if (!mail || mail->modseq <= view->shown[i].modseq)
			continue;
		imap_view_tell_flags(view, i + 1, mail);
		buf_add_str(&view->out, ")\r\n");
	}
}

/* Under the store's lock. */
static void sync_locked(struct imap_view *view)
{
	struct fake_box *box = view->blind ? NULL : imap_view_selected(view);

	if (!box)
		return;
	tell_gone(view, box);
	tell_new(view, box);
	tell_flags(view, box);
}

bool imap_view_sync(struct imap_view *view)
{
	size_t before = view->out.len;

	pthread_mutex_lock(&view->fake->lock);
	sync_locked(view);
	pthread_mutex_unlock(&view->fake->lock);
	return view->out.len > before;
}

/* ---- SELECT ---- */

/* "(QRESYNC (7 20))": the mod-sequence, if the UIDVALIDITY is this one, else 0. */
static uint64_t resync_from(const char *args, uint32_t uidvalidity)
{
	const char *at = strcasestr(args, "QRESYNC");
	uint32_t validity;
	uint64_t modseq;

	at = at ? strchr(at, '(') : NULL;
	if (!at || sscanf(at, "(%" SCNu32 " %" SCNu64, &validity, &modseq) != 2 ||
		validity != uidvalidity)
		return 0;
	return modseq;
}

/* Under the store's lock: what went and what changed since `modseq` (RFC 7162, 3.2.5). */
static void tell_since(struct imap_view *view, struct fake_box *box, uint64_t modseq)
{
	bool forgets = fake_lasts_locked(view->fake, FAKE_RESYNC_FORGETS);

	for (size_t i = 0; i < box->gone_count && !forgets; i++)
		if (box->gone[i].modseq > modseq)
			buf_addf(&view->out, "* VANISHED (EARLIER) %" PRIu32 "\r\n",
				box->gone[i].uid);
	for (size_t i = 0; i < view->count; i++) {
		const struct fake_mail *mail = fake_box_mail(box, view->shown[i].uid);

		if (mail && mail->modseq > modseq) {
			imap_view_tell_flags(view, i + 1, mail);
			buf_add_str(&view->out, ")\r\n");
		}
	}
}

void imap_view_leave(struct imap_view *view)
{
	free(view->box);
	view->box = NULL;
	view->count = 0;
	view->read_only = false;
}

/* Under the store's lock: the count, what stands beside it, and what changed since are of one instant. */
static void tell_selected(struct imap_view *view, struct fake_box *box, const char *args)
{
	bool stale;
	uint64_t since;

	buf_add_str(&view->out, "* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft)\r\n"
				"* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted "
				"\\Draft)] ok\r\n");
	sync_locked(view);
	if (!view->count)
		buf_add_str(&view->out, "* 0 EXISTS\r\n");
	stale = box->uidnext > 1 && fake_lasts_locked(view->fake, FAKE_KEEPS_UIDNEXT);
	buf_addf(&view->out,
		"* OK [UIDVALIDITY %" PRIu32 "] ok\r\n* OK [UIDNEXT %" PRIu32
		"] ok\r\n* OK [HIGHESTMODSEQ %" PRIu64 "] ok\r\n",
		box->uidvalidity, box->uidnext - stale, box->modseq);
	since = view->vanishes ? resync_from(args, box->uidvalidity) : 0;
	if (since)
		tell_since(view, box, since);
}

int imap_view_select(struct imap_view *view, const char *args, bool read_only)
{
	struct buf name auto_buf = {0};
	struct fake_box *box;

	imap_view_word(&args, &name);
	imap_view_leave(view);
	view->blind = false;
	view->read_only = read_only;
	pthread_mutex_lock(&view->fake->lock);
	box = fake_box_find(view->fake, view->user, buf_text(&name));
	view->box = box ? text_dup(box->name) : NULL;
	if (box)
		tell_selected(view, box, args);
	pthread_mutex_unlock(&view->fake->lock);
	if (!box)
		return imap_view_done(view, "NO [NONEXISTENT] no such mailbox");
	return imap_view_done(view, read_only ? "OK [READ-ONLY] done" : "OK [READ-WRITE] done");
}
