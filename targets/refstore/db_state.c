#include "db_state.h"

#include "convert.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct db db = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	/* Who wants to dismount is not overtaken by new operations. */
	.gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
	.transit_last = &db.transit,
	.next_id = 1,
};

/* ---- find ---- */

struct user *db_user(const char *name)
{
	for (struct user *user = db.users; user; user = user->next)
		if (!strcasecmp(user->name, name))
			return user;
	return NULL;
}

static bool same_mailbox(const char *a, const char *b)
{
	return !strcmp(a, b) || (!strcasecmp(a, "INBOX") && !strcasecmp(b, "INBOX"));
}

struct mailbox *db_mailbox(const char *owner, const char *name)
{
	struct user *user = db_user(owner);

	for (struct mailbox *box = user ? user->mailboxes : NULL; box; box = box->next)
		if (same_mailbox(box->name, name))
			return box;
	return NULL;
}

struct message *db_message(struct mailbox *mailbox, uint32_t uid)
{
	for (size_t low = 0, high = mailbox->count; low < high;) {
		size_t middle = (low + high) / 2;
		struct message *message = &mailbox->messages[middle];

		if (message->uid == uid)
			return message;
		if (message->uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct transit *db_transit_find(uint32_t id)
{
	for (struct transit *transit = db.transit; transit; transit = transit->next)
		if (transit->id == id)
			return transit;
	return NULL;
}

/* ---- release ---- */

void content_unref(struct content *content)
{
	if (content && --content->refs == 0)
		free(content);
}

static void drop_content(struct content *content)
{
	if (content && content->refs == 1)
		db.bytes -= content->len;
	content_unref(content);
}

static void mailbox_free(struct mailbox *box)
{
	for (size_t i = 0; i < box->count; i++)
		drop_content(box->messages[i].content);
	free(box->messages);
	free(box->name);
	free(box);
}

static void user_free(struct user *user)
{
	while (user->mailboxes) {
		struct mailbox *box = user->mailboxes;

		user->mailboxes = box->next;
		mailbox_free(box);
	}
	free(user->name);
	free(user->where);
	free(user);
}

static void transit_free(struct transit *transit)
{
	for (size_t i = 0; i < transit->count; i++)
		free(transit->rcpts[i]);
	free(transit->from);
	drop_content(transit->content);
	free(transit);
}

void db_clear(void)
{
	while (db.users) {
		struct user *user = db.users;

		db.users = user->next;
		user_free(user);
	}
	while (db.transit) {
		struct transit *transit = db.transit;

		db.transit = transit->next;
		transit_free(transit);
	}
	db.transit_last = &db.transit;
	db.bytes = 0;
}

/* ---- apply records ---- */

static void apply_user(struct fields *f)
{
	const char *name = field_text(f), *where = field_text(f);
	struct user *user = db_user(name);

	if (f->bad)
		return;
	if (!user) {
		user = must_zero(sizeof(*user));
		user->name = must_copy(name);
		user->next = db.users;
		db.users = user;
	}
	free(user->where);
	user->where = must_copy(where);
}

static void apply_user_delete(struct fields *f)
{
	struct user *user = db_user(field_text(f)), **link = &db.users;

	if (f->bad || !user)
		return;
	while (*link != user)
		link = &(*link)->next;
	*link = user->next;
	user_free(user);
}

static void apply_mailbox(struct fields *f)
{
	struct user *user = db_user(field_text(f));
	const char *name = field_text(f);
	struct mailbox *box;

	if (f->bad || !user || db_mailbox(user->name, name))
		return;
	box = must_zero(sizeof(*box));
	box->name = must_copy(name);
	box->uidvalidity = field_u32(f);
	box->uidnext = field_u32(f);
	box->modseq = field_u32(f);
	box->next = user->mailboxes;
	user->mailboxes = box;
	if (box->uidvalidity > db.last_uidvalidity)
		db.last_uidvalidity = box->uidvalidity;
}

static void apply_mailbox_delete(struct fields *f)
{
	struct user *user = db_user(field_text(f));
	const char *name = field_text(f);

	if (f->bad || !user)
		return;
	for (struct mailbox **link = &user->mailboxes; *link; link = &(*link)->next) {
		struct mailbox *box = *link;

		if (!same_mailbox(box->name, name))
			continue;
		*link = box->next;
		mailbox_free(box);
		return;
	}
}

static struct content *content_new(const void *data, size_t len, size_t size)
{
	struct content *content = must_zero(sizeof(*content) + len);

	content->refs = 1;
	content->size = size;
	content->len = len;
	memcpy(content->data, data, len);
	db.bytes += len;
	return content;
}

/* Takes the reference. UIDs only grow, so the array stays in order. */
static void add(
	struct mailbox *box, uint32_t uid, uint32_t flags, uint32_t date, struct content *content)
{
	if (uid < box->uidnext && box->count && box->messages[box->count - 1].uid >= uid) {
		drop_content(content);
		return;
	}
	if (box->count == box->cap) {
		box->cap = box->cap ? 2 * box->cap : 16;
		box->messages = realloc(box->messages, box->cap * sizeof(*box->messages));
		if (!box->messages)
			abort();
	}
	box->messages[box->count++] =
		(struct message){uid, flags, ++box->modseq, date, db.lsn, content};
	if (uid >= box->uidnext)
		box->uidnext = uid + 1;
}

static struct mailbox *field_mailbox(struct fields *f)
{
	const char *user = field_text(f), *name = field_text(f);

	return f->bad ? NULL : db_mailbox(user, name);
}

static void apply_add(struct fields *f)
{
	struct mailbox *box = field_mailbox(f);
	uint32_t uid = field_u32(f), flags = field_u32(f), date = field_u32(f), size = field_u32(f);
	size_t len;
	const void *data = field_blob(f, &len);

	if (!f->bad && box)
		add(box, uid, flags, date, content_new(data, len, size));
}

static void apply_copy(struct fields *f)
{
	struct mailbox *box = field_mailbox(f);
	struct message *from = box ? db_message(box, field_u32(f)) : NULL;
	struct mailbox *to = field_mailbox(f);
	uint32_t uid = field_u32(f);

	if (f->bad || !from || !to)
		return;
	from->content->refs++;
	add(to, uid, from->flags, from->date, from->content);
}

static void apply_flags(struct fields *f)
{
	struct mailbox *box = field_mailbox(f);
	struct message *message = box ? db_message(box, field_u32(f)) : NULL;
	uint32_t flags = field_u32(f);

	if (f->bad || !message)
		return;
	message->flags = flags;
	message->modseq = ++box->modseq;
}

static void apply_expunge(struct fields *f)
{
	struct mailbox *box = field_mailbox(f);
	struct message *message = box ? db_message(box, field_u32(f)) : NULL;

	if (f->bad || !message)
		return;
	drop_content(message->content);
	box->count--;
	memmove(message, message + 1,
		(size_t)((char *)(box->messages + box->count) - (char *)message));
	box->modseq++;
}

static void apply_transit(struct fields *f)
{
	struct transit *transit = must_zero(sizeof(*transit));
	uint32_t size, count;
	const void *data;
	size_t len;

	transit->id = field_u32(f);
	transit->from = must_copy(field_text(f));
	count = field_u32(f);
	for (uint32_t i = 0; i < count && i < RCPTS_MAX; i++)
		transit->rcpts[transit->count++] = must_copy(field_text(f));
	size = field_u32(f);
	data = field_blob(f, &len);
	transit->lsn = db.lsn;
	if (f->bad || !transit->count || db_transit_find(transit->id)) {
		transit_free(transit);
		return;
	}
	transit->content = content_new(data, len, size);
	*db.transit_last = transit;
	db.transit_last = &transit->next;
	if (transit->id >= db.next_id)
		db.next_id = transit->id + 1;
}

static void remove_transit(struct transit *transit)
{
	struct transit **link = &db.transit;

	while (*link != transit)
		link = &(*link)->next;
	*link = transit->next;
	if (!*link)
		db.transit_last = link;
	transit_free(transit);
}

static void rcpt_done(struct transit *transit, const char *rcpt)
{
	bool left = false;

	for (size_t i = 0; i < transit->count; i++) {
		if (transit->rcpts[i] && !strcmp(transit->rcpts[i], rcpt)) {
			free(transit->rcpts[i]);
			transit->rcpts[i] = NULL;
		}
		left |= transit->rcpts[i] != NULL;
	}
	if (!left)
		remove_transit(transit);
}

static void apply_deliver(struct fields *f)
{
	struct transit *transit = db_transit_find(field_u32(f));
	const char *rcpt = field_text(f), *user = field_text(f);
	uint32_t uid = field_u32(f), date = field_u32(f);
	struct mailbox *box = db_mailbox(user, "INBOX");

	if (f->bad || !transit || !box)
		return;
	transit->content->refs++;
	add(box, uid, 0, date, transit->content);
	rcpt_done(transit, rcpt);
}

static void apply_done(struct fields *f)
{
	struct transit *transit = db_transit_find(field_u32(f));
	const char *rcpt = field_text(f);

	if (!f->bad && transit)
		rcpt_done(transit, rcpt);
}

static void apply_counters(struct fields *f)
{
	db.generation = field_u32(f);
	db.next_id = field_u32(f);
	db.last_uidvalidity = field_u32(f);
}

static const struct {
	uint32_t type;
	void (*apply)(struct fields *fields);
} types[] = {
	{'G', apply_counters},
	{'N', convert_apply_name},
	{'U', apply_user},
	{'u', apply_user_delete},
	{'M', apply_mailbox},
	{'m', apply_mailbox_delete},
	{'A', apply_add},
	{'C', apply_copy},
	{'F', apply_flags},
	{'X', apply_expunge},
	{'Q', apply_transit},
	{'D', apply_deliver},
	{'R', apply_done},
};

void db_apply(struct fields *fields)
{
	uint32_t type = field_u32(fields);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			types[i].apply(fields);
}

uint64_t db_change(struct record *record)
{
	struct fields fields;

	db.lsn = wal_append(record);
	fields = (struct fields){record->bytes.data, record->bytes.data + record->bytes.len, false};
	db_apply(&fields);
	bytes_free(&record->bytes);
	return db.lsn;
}
