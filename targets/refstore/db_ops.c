/* The operations: each checks, logs and applies its change, and waits until it is durable. */
#include "db_state.h"

#include "convert.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static _Thread_local uint64_t last_lsn; /* of this thread's changes */

/* Log, apply and give up the lock. */
static int change(struct record *record)
{
	int rc = wal_full() ? -ENOSPC : 0;

	if (!rc)
		last_lsn = db_change(record);
	bytes_free(&record->bytes);
	pthread_mutex_unlock(&db.lock);
	return rc;
}

void db_commit(void)
{
	wal_commit(last_lsn);
}

static int change_and_commit(struct record *record)
{
	int rc = change(record);

	if (!rc)
		db_commit();
	return rc;
}

static int give_up(struct record *record, int rc)
{
	bytes_free(&record->bytes);
	pthread_mutex_unlock(&db.lock);
	return rc;
}

/* ---- users and mailboxes ---- */

bool db_has_user(const char *user)
{
	bool found;

	pthread_mutex_lock(&db.lock);
	found = db_user(user) != NULL;
	pthread_mutex_unlock(&db.lock);
	return found;
}

int db_user_add(const char *user)
{
	struct record record = {0};
	int rc;

	record_u32(&record, 'U');
	record_text(&record, user);
	record_text(&record, "first");
	pthread_mutex_lock(&db.lock);
	if (db_user(user))
		return give_up(&record, -EEXIST);
	rc = change_and_commit(&record);
	return rc ? rc : db_mailbox_create(user, "INBOX");
}

int db_user_delete(const char *user)
{
	struct record record = {0};

	record_u32(&record, 'u');
	record_text(&record, user);
	pthread_mutex_lock(&db.lock);
	return db_user(user) ? change_and_commit(&record) : give_up(&record, -ENOENT);
}

int db_user_move(const char *name, const char *where)
{
	struct record record = {0};
	struct user *user;

	record_u32(&record, 'U');
	record_text(&record, name);
	record_text(&record, where);
	pthread_mutex_lock(&db.lock);
	user = db_user(name);
	return user ? change_and_commit(&record) : give_up(&record, -ENOENT);
}

int db_mailbox_create(const char *user, const char *mailbox)
{
	struct record record = {0};
	uint32_t now = (uint32_t)time(NULL);

	pthread_mutex_lock(&db.lock);
	if (!db_user(user))
		return give_up(&record, -ENOENT);
	if (db_mailbox(user, mailbox))
		return give_up(&record, -EEXIST);
	record_u32(&record, 'M');
	record_text(&record, user);
	record_text(&record, mailbox);
	record_u32(&record, now > db.last_uidvalidity ? now : db.last_uidvalidity + 1);
	record_u32(&record, 1);
	record_u32(&record, 1);
	return change_and_commit(&record);
}

int db_mailbox_delete(const char *user, const char *mailbox)
{
	struct record record = {0};

	record_u32(&record, 'm');
	record_text(&record, user);
	record_text(&record, mailbox);
	pthread_mutex_lock(&db.lock);
	if (!strcasecmp(mailbox, "INBOX") || !db_mailbox(user, mailbox))
		return give_up(&record, -ENOENT);
	return change_and_commit(&record);
}

void db_mailbox_list(const char *name, void (*each)(void *arg, const char *mailbox), void *arg)
{
	struct user *user;

	pthread_mutex_lock(&db.lock);
	user = db_user(name);
	for (struct mailbox *box = user ? user->mailboxes : NULL; box; box = box->next)
		each(arg, box->name);
	pthread_mutex_unlock(&db.lock);
}

/* ---- messages ---- */

void view_free(struct view *view)
{
	free(view->items);
	*view = (struct view){0};
}

int db_view(const char *user, const char *mailbox, struct view *ret)
{
	uint64_t durable = wal_durable();
	struct mailbox *box;

	*ret = (struct view){0};
	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	if (box) {
		ret->uidvalidity = box->uidvalidity;
		ret->uidnext = box->uidnext;
		ret->items = must_zero((box->count + 1) * sizeof(*ret->items));
	}
	for (size_t i = 0; box && i < box->count; i++) {
		const struct message *m = &box->messages[i];

		if (m->lsn > durable) {
			ret->uidnext = m->uid;
			break;
		}
		ret->items[ret->count++] =
			(struct view_item){m->uid, m->flags, m->modseq, m->date, m->content->size};
	}
	pthread_mutex_unlock(&db.lock);
	return box ? 0 : -ENOENT;
}

struct content *db_content(const char *user, const char *mailbox, uint32_t uid)
{
	struct message *message;
	struct mailbox *box;
	struct content *content = NULL;

	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	message = box ? db_message(box, uid) : NULL;
	if (message) {
		content = message->content;
		content->refs++;
	}
	pthread_mutex_unlock(&db.lock);
	return content;
}

int db_append(const char *user, const char *mailbox, uint32_t flags, uint32_t date,
	const char *mail, size_t len, uint32_t *ret_uidvalidity, uint32_t *ret_uid)
{
	struct record record = {0};
	struct bytes stored = {0};
	struct mailbox *box;

	convert_in(mail, len, &stored);
	record_u32(&record, 'A');
	record_text(&record, user);
	record_text(&record, mailbox);
	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	if (!box || db.bytes + stored.len > DB_BYTES_MAX) {
		bytes_free(&stored);
		return give_up(&record, box ? -ENOSPC : -ENOENT);
	}
	*ret_uidvalidity = box->uidvalidity;
	*ret_uid = box->uidnext;
	record_u32(&record, box->uidnext);
	record_u32(&record, flags);
	record_u32(&record, date);
	record_u32(&record, (uint32_t)len);
	record_blob(&record, stored.data, stored.len);
	bytes_free(&stored);
	return change_and_commit(&record);
}

static void copy_one(const char *user, struct mailbox *box, uint32_t uid, struct mailbox *to)
{
	struct record record = {0};

	record_u32(&record, 'C');
	record_text(&record, user);
	record_text(&record, box->name);
	record_u32(&record, uid);
	record_text(&record, user);
	record_text(&record, to->name);
	record_u32(&record, to->uidnext);
	last_lsn = db_change(&record);
}

int db_copy(
	const char *user, const char *mailbox, const uint32_t *uids, size_t count, const char *to)
{
	struct mailbox *box, *target;
	int rc = wal_full() ? -ENOSPC : 0;

	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	target = db_mailbox(user, to);
	if (!box || !target)
		rc = -ENOENT;
	for (size_t i = 0; !rc && i < count; i++)
		if (!db_message(box, uids[i]))
			rc = -ESTALE;
	for (size_t i = 0; !rc && i < count; i++)
		copy_one(user, box, uids[i], target);
	pthread_mutex_unlock(&db.lock);
	if (!rc)
		db_commit();
	return rc;
}

int db_flags(const char *user, const char *mailbox, uint32_t uid, int how, uint32_t flags)
{
	struct record record = {0};
	struct message *message;
	struct mailbox *box;

	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	message = box ? db_message(box, uid) : NULL;
	if (!message)
		return give_up(&record, -ENOENT);
	if (how == FLAGS_ADD)
		flags |= message->flags;
	else if (how == FLAGS_REMOVE)
		flags = message->flags & ~flags;
	if (flags == message->flags)
		return give_up(&record, 0);
	record_u32(&record, 'F');
	record_text(&record, user);
	record_text(&record, mailbox);
	record_u32(&record, uid);
	record_u32(&record, flags);
	return change(&record);
}

int db_expunge(const char *user, const char *mailbox, uint32_t uid)
{
	struct record record = {0};
	struct mailbox *box;

	record_u32(&record, 'X');
	record_text(&record, user);
	record_text(&record, mailbox);
	record_u32(&record, uid);
	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, mailbox);
	if (!box || !db_message(box, uid))
		return give_up(&record, -ENOENT);
	return change(&record);
}

/* ---- in transit ---- */

int db_submit(const char *from, char *const *rcpts, size_t count, const char *mail, size_t len,
	uint32_t *ret_id)
{
	struct record record = {0};
	struct bytes stored = {0};
	bool room;

	convert_in(mail, len, &stored);
	pthread_mutex_lock(&db.lock);
	room = db.bytes + stored.len <= DB_BYTES_MAX;
	*ret_id = db.next_id;
	record_u32(&record, 'Q');
	record_u32(&record, db.next_id);
	record_text(&record, from);
	record_u32(&record, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		record_text(&record, rcpts[i]);
	record_u32(&record, (uint32_t)len);
	record_blob(&record, stored.data, stored.len);
	bytes_free(&stored);
	return room ? change_and_commit(&record) : give_up(&record, -ENOSPC);
}

static bool has_rcpt(const struct transit *transit, const char *rcpt)
{
	for (size_t i = 0; transit && i < transit->count; i++)
		if (transit->rcpts[i] && !strcmp(transit->rcpts[i], rcpt))
			return true;
	return false;
}

int db_deliver(uint32_t id, const char *rcpt, const char *user)
{
	struct record record = {0};
	struct mailbox *box;

	record_u32(&record, 'D');
	record_u32(&record, id);
	record_text(&record, rcpt);
	record_text(&record, user);
	pthread_mutex_lock(&db.lock);
	box = db_mailbox(user, "INBOX");
	if (!box)
		return give_up(&record, -ENOENT);
	if (!has_rcpt(db_transit_find(id), rcpt))
		return give_up(&record, 0); /* it was delivered before the answer was lost */
	record_u32(&record, box->uidnext);
	record_u32(&record, (uint32_t)time(NULL));
	return change_and_commit(&record);
}

int db_transit_done(uint32_t id, const char *rcpt)
{
	struct record record = {0};

	record_u32(&record, 'R');
	record_u32(&record, id);
	record_text(&record, rcpt);
	pthread_mutex_lock(&db.lock);
	if (!has_rcpt(db_transit_find(id), rcpt))
		return give_up(&record, 0);
	return change_and_commit(&record);
}

struct content *db_transit(uint32_t id, char from[ADDRESS_MAX])
{
	struct content *content = NULL;
	struct transit *transit;

	pthread_mutex_lock(&db.lock);
	transit = db_transit_find(id);
	if (transit) {
		content = transit->content;
		content->refs++;
		from[0] = '\0';
		strncat(from, transit->from, ADDRESS_MAX - 1);
	}
	pthread_mutex_unlock(&db.lock);
	return content;
}

void db_transit_list(struct bytes *out)
{
	uint64_t durable = wal_durable();

	pthread_mutex_lock(&db.lock);
	for (struct transit *t = db.transit; t; t = t->next)
		for (size_t i = 0; t->lsn <= durable && i < t->count; i++)
			if (t->rcpts[i])
				bytes_addf(out, "%u %s <%s>\n", t->id, t->rcpts[i], t->from);
	pthread_mutex_unlock(&db.lock);
}

/* Names before '@' or '+' are compared. */
bool db_transit_for(const char *user)
{
	size_t len = strlen(user);
	bool found = false;

	pthread_mutex_lock(&db.lock);
	for (struct transit *t = db.transit; t && !found; t = t->next)
		for (size_t i = 0; i < t->count && !found; i++) {
			const char *rcpt = t->rcpts[i] ? plain_address(t->rcpts[i]) : "";

			found = !strncasecmp(rcpt, user, len) && strchr("@+", rcpt[len]);
		}
	pthread_mutex_unlock(&db.lock);
	return found;
}
