/* STORE, COPY, EXPUNGE and APPEND. */
#include "imap.h"

#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static uint32_t set_max(const struct view *shown, bool by_uid)
{
	if (!by_uid)
		return (uint32_t)shown->count;
	return shown->count ? shown->items[shown->count - 1].uid : 0;
}

static bool is_in(const struct view *shown, const char *set, size_t i, bool by_uid)
{
	return imap_in_set(
		set, by_uid ? shown->items[i].uid : (uint32_t)i + 1, set_max(shown, by_uid));
}

const char *imap_store(struct imap_session *session, struct imap_args *args, size_t at, bool by_uid)
{
	struct view *shown = &session->shown;
	const char *word;
	struct bytes list = {0};
	uint32_t flags;
	int how;

	if (args->count < at + 3 || !imap_set_ok(args->at[at]))
		return IMAP_BAD;
	word = args->at[at + 1];
	how = *word == '+' ? FLAGS_ADD : *word == '-' ? FLAGS_REMOVE : FLAGS_SET;
	word += how != FLAGS_SET;
	if (strcasecmp(word, "FLAGS") && strcasecmp(word, "FLAGS.SILENT"))
		return IMAP_BAD;
	if (session->readonly)
		return "NO the mailbox is read-only";
	for (size_t i = at + 2; i < args->count; i++)
		bytes_addf(&list, " %s", args->at[i]);
	flags = imap_flags(list.data);
	bytes_free(&list);
	if (db_begin())
		return IMAP_UNAVAILABLE;
	for (size_t i = 0; i < shown->count; i++) {
		if (!is_in(shown, args->at[at], i, by_uid))
			continue;
		db_flags(session->user, session->mailbox, shown->items[i].uid, how, flags);
		shown->items[i].flags |= strchr(word, '.') ? IMAP_UNTOLD : 0;
	}
	db_commit();
	imap_sync(session, by_uid);
	db_end();
	notify_changed(session->user, session->mailbox);
	return "OK STORE completed";
}

const char *imap_copy(struct imap_session *session, struct imap_args *args, size_t at, bool by_uid)
{
	struct view *shown = &session->shown;
	uint32_t *uids;
	size_t count = 0;
	int rc;

	if (args->count != at + 2 || !imap_set_ok(args->at[at]))
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	uids = must_zero((shown->count + 1) * sizeof(*uids));
	for (size_t i = 0; i < shown->count; i++)
		if (is_in(shown, args->at[at], i, by_uid))
			uids[count++] = shown->items[i].uid;
	rc = db_copy(session->user, session->mailbox, uids, count, args->at[at + 1]);
	db_end();
	free(uids);
	if (rc == -ENOENT)
		return "NO [TRYCREATE] there is no such mailbox";
	if (rc)
		return "NO a message is gone, or the store is full";
	notify_changed(session->user, args->at[at + 1]);
	return "OK COPY completed";
}

/* `set`: UIDs, or NULL for all that are marked deleted. */
const char *imap_expunge(struct imap_session *session, const char *set)
{
	struct view now;

	if (session->readonly)
		return "NO the mailbox is read-only";
	if (set && !imap_set_ok(set))
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	if (!db_view(session->user, session->mailbox, &now)) {
		for (size_t i = 0; i < now.count; i++)
			if (now.items[i].flags & FLAG_DELETED &&
				(!set || imap_in_set(set, now.items[i].uid, now.uidnext - 1)))
				db_expunge(session->user, session->mailbox, now.items[i].uid);
		view_free(&now);
	}
	db_commit();
	imap_sync(session, true);
	db_end();
	notify_changed(session->user, session->mailbox);
	return "OK EXPUNGE completed";
}

/* APPEND mailbox [(flags)] ["date"] literal */
const char *imap_append(struct imap_session *session, struct imap_args *args, struct bytes *text)
{
	size_t last = args->count - 1;
	uint32_t flags, validity = 0, uid = 0;
	int rc;

	if (args->count < 4)
		return IMAP_BAD;
	flags = args->count > 4 && args->at[3][0] == '(' ? imap_flags(args->at[3]) : 0;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	rc = db_append(session->user, args->at[2], flags, (uint32_t)time(NULL), args->at[last],
		args->len[last], &validity, &uid);
	if (!rc && session->selected)
		imap_sync(session, true);
	db_end();
	if (rc == -ENOENT)
		return "NO [TRYCREATE] there is no such mailbox";
	if (rc)
		return "NO [LIMIT] the store is full";
	notify_changed(session->user, args->at[2]);
	bytes_addf(text, "OK [APPENDUID %u %u] APPEND completed", validity, uid);
	return text->data;
}
