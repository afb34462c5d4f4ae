/* Mount, dismount and checkpoint: the database as a whole. */
#include "db_state.h"

#include "convert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHECKPOINT_BYTES (24 << 20)

static _Thread_local struct bytes path_bytes;

static const char *path_of(const char *fmt, uint32_t number)
{
	path_bytes.len = 0;
	bytes_addf(&path_bytes, "%s/", db.folder);
	if (number)
		bytes_addf(&path_bytes, "%s.%u", fmt, number);
	else
		bytes_addf(&path_bytes, "%s", fmt);
	return path_bytes.data;
}

/* ---- checkpoint ---- */

static void frame(struct record *record, struct bytes *out)
{
	record_frame(record, out);
	bytes_free(&record->bytes);
}

static void dump_message(const struct user *user, const struct mailbox *box,
	const struct message *m, struct bytes *out)
{
	struct record record = {0};

	record_u32(&record, 'A');
	record_text(&record, user->name);
	record_text(&record, box->name);
	record_u32(&record, m->uid);
	record_u32(&record, m->flags);
	record_u32(&record, m->date);
	record_u32(&record, (uint32_t)m->content->size);
	record_blob(&record, m->content->data, m->content->len);
	frame(&record, out);
}

static void dump_user(const struct user *user, struct bytes *out)
{
	struct record record = {0};

	record_u32(&record, 'U');
	record_text(&record, user->name);
	record_text(&record, user->where);
	frame(&record, out);
	for (struct mailbox *box = user->mailboxes; box; box = box->next) {
		record_u32(&record, 'M');
		record_text(&record, user->name);
		record_text(&record, box->name);
		record_u32(&record, box->uidvalidity);
		record_u32(&record, box->uidnext);
		record_u32(&record, box->modseq);
		frame(&record, out);
		for (size_t i = 0; i < box->count; i++)
			dump_message(user, box, &box->messages[i], out);
	}
}

static void dump_transit(const struct transit *transit, struct bytes *out)
{
	struct record record = {0};
	uint32_t count = 0;

	for (size_t i = 0; i < transit->count; i++)
		count += transit->rcpts[i] != NULL;
	record_u32(&record, 'Q');
	record_u32(&record, transit->id);
	record_text(&record, transit->from);
	record_u32(&record, count);
	for (size_t i = 0; i < transit->count; i++)
		if (transit->rcpts[i])
			record_text(&record, transit->rcpts[i]);
	record_u32(&record, (uint32_t)transit->content->size);
	record_blob(&record, transit->content->data, transit->content->len);
	frame(&record, out);
}

static void dump(uint32_t generation, struct bytes *out)
{
	struct record record = {0};

	record_u32(&record, 'G');
	record_u32(&record, generation);
	record_u32(&record, db.next_id);
	record_u32(&record, db.last_uidvalidity);
	frame(&record, out);
	convert_dump_names(out);
	for (struct user *user = db.users; user; user = user->next)
		dump_user(user, out);
	for (struct transit *transit = db.transit; transit; transit = transit->next)
		dump_transit(transit, out);
}

static int write_file(const char *path, const struct bytes *bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = 0;
	size_t at = 0;

	if (fd < 0)
		return -errno;
	while (at < bytes->len && !rc) {
		ssize_t n = write(fd, bytes->data + at, bytes->len - at);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (!rc && fsync(fd))
		rc = -errno;
	close(fd);
	return rc;
}

static int sync_folder(void)
{
	int fd = open(db.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

/* The gate is held for writing and everything logged is flushed: a new database file, a new log. */
static int checkpoint(void)
{
	uint32_t old = db.generation;
	char *fresh = must_copy(path_of("store.db.new", 0));
	struct bytes all = {0};
	int rc;

	dump(old + 1, &all);
	rc = write_file(fresh, &all);
	if (!rc && rename(fresh, path_of("store.db", 0)))
		rc = -errno;
	if (!rc)
		db.generation = old + 1;
	if (!rc)
		rc = wal_open(path_of("log", db.generation), 0);
	if (!rc)
		rc = sync_folder();
	if (!rc)
		unlink(path_of("log", old));
	if (rc)
		say("warning: checkpoint: %s", strerror(-rc));
	bytes_free(&all);
	free(fresh);
	return rc;
}

void db_checkpoint_if_due(void)
{
	if (wal_size() < CHECKPOINT_BYTES || wal_frozen() || pthread_rwlock_trywrlock(&db.gate))
		return;
	if (db.mounted && !wal_frozen()) {
		wal_flush();
		checkpoint();
	}
	pthread_rwlock_unlock(&db.gate);
}

/* ---- mount and dismount ---- */

int db_open(const char *folder)
{
	db.folder = must_copy(folder);
	if (mkdir(folder, 0700) && errno != EEXIST)
		return -errno;
	wal_start();
	return 0;
}

static int recover(void)
{
	int64_t end;
	int rc;

	db_clear();
	db.generation = db.lsn = 0;
	end = records_read(path_of("store.db", 0), db_apply);
	if (end < 0 && end != -ENOENT)
		return (int)end;
	if (!db.generation)
		db.generation = 1;
	end = records_read(path_of("log", db.generation), db_apply);
	if (end < 0 && end != -ENOENT)
		return (int)end;
	rc = wal_open(path_of("log", db.generation), end > 0 ? end : 0);
	return rc ? rc : sync_folder();
}

int db_mount(void)
{
	int rc = 0;

	pthread_rwlock_wrlock(&db.gate);
	if (!db.mounted) {
		rc = recover();
		db.mounted = !rc;
		say("mount: %s", rc ? strerror(-rc) : "ok");
	}
	pthread_rwlock_unlock(&db.gate);
	return rc;
}

int db_dismount(void)
{
	int rc = 0;

	mark("refstore/dismount");
	pthread_rwlock_wrlock(&db.gate);
	if (db.mounted) {
		wal_flush();
		db.mounted = false;
		rc = checkpoint();
		say("dismount: %s", rc ? strerror(-rc) : "ok");
	}
	pthread_rwlock_unlock(&db.gate);
	return rc;
}

int db_begin(void)
{
	pthread_rwlock_rdlock(&db.gate);
	if (db.mounted)
		return 0;
	pthread_rwlock_unlock(&db.gate);
	return -EAGAIN;
}

void db_end(void)
{
	pthread_rwlock_unlock(&db.gate);
}
