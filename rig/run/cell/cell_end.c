/* The settling phases of a cell: stop, start, read everything back. The queue is cell_queue.c. */
#include "run/watch/watch.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <string.h>

#define LOOK_MS	       250 /* between two tries of what may come by itself */
#define PROCESS_ASK_MS 100 /* between two looks for what still runs */
#define BANNER_TRY_MS  2000
#define READ_BACK_MS   120000

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

static void wait_a_look(struct cell *cell)
{
	pthread_mutex_lock(&cell->lock);
	cell_wait(cell, cell_now(cell) + LOOK_MS * NS_PER_MS);
	pthread_mutex_unlock(&cell->lock);
}

/* ---- stop and start ---- */

/* The command may come back a moment before the last of its processes is gone. */
static int wait_processes_gone(struct cell *cell, int64_t limit_ns, json_t *left, struct err *err)
{
	for (;;) {
		int rc = cell->bed->ops->processes(cell->bed, left, err);

		if (rc || !json_array_size(left) || cell_now(cell) >= limit_ns)
			return rc;
		json_array_clear(left);
		pthread_mutex_lock(&cell->lock);
		cell_wait(cell, cell_now(cell) + PROCESS_ASK_MS * NS_PER_MS);
		pthread_mutex_unlock(&cell->lock);
	}
}

static void watch_kills(struct cell *cell, bool on, json_t *ret)
{
	struct err err = {0};

	if (bed_has(cell->bed, watch_kills) &&
		cell->bed->ops->watch_kills(cell->bed, on, ret, &err))
		cell_trouble(cell, "agent-silent", "%s", err.text);
}

int cell_stop_store(struct cell *cell)
{
	/* Twice as long as it may take, to tell late from never. */
	int64_t limit_ms = 2 * cell->objectives.stop_ms, began = cell_now(cell);
	const char *line = target_command(cell->target, "stop");
	struct command_result result = {0};
	auto_json json_t *left = json_array(), *killed = json_array();
	struct err err = {0};
	int rc;

	pthread_mutex_lock(&cell->lock);
	cell->stopping = true;
	cell->stopping_ns = cell->stop_began_ns = began;
	pthread_mutex_unlock(&cell->lock);
	watch_kills(cell, true, NULL);
	rc = cell->bed->ops->run(cell->bed, line, NULL, limit_ms, false, &result, &err);
	if (rc)
		cell_trouble(cell, "agent-silent", "command 'stop': %s", err.text);
	if (!rc && bed_has(cell->bed, processes) &&
		wait_processes_gone(cell, began + cell->objectives.stop_ms * NS_PER_MS, left, &err))
		cell_trouble(cell, "agent-silent", "%s", err.text);
	watch_kills(cell, false, killed);
	/* At its deadline the command is killed by the rig, with all that it started. */
	if (result.timed_out)
		json_array_clear(killed);
	if (!rc)
		history_add(cell->recorder, "stop", "{sb sf si sO so sO}", "ended",
			(int)!result.timed_out, "took_s", seconds(cell_now(cell) - began), "status",
			result.status, "killed", killed, "text",
			json_text(buf_text(&result.output)), "left", left);
	if (!rc && (result.timed_out || json_array_size(left)))
		watch_evidence(cell, "not-stopped", "the stop is overdue", true);
	if (!rc && result.timed_out)
		rc = -ETIMEDOUT;
	/* What the rig does with the stopped store is nothing that the stop takes. */
	pthread_mutex_lock(&cell->lock);
	cell->stop_began_ns = CLOCK_NEVER;
	pthread_mutex_unlock(&cell->lock);
	buf_free(&result.output);
	return rc;
}

/* 0: it greets (a web server does not speak first). -ECONNREFUSED: nobody is there, which some networks show as an end
 * of the stream. Else nobody can say. */
static int try_banner(struct cell *cell, const struct service *service)
{
	int64_t deadline = deadline_in_ms(BANNER_TRY_MS);
	struct err err = {0};
	auto_close int fd = cell->bed->ops->connect(cell->bed, service, deadline, &err);
	ssize_t n;
	char c;

	if (fd < 0)
		return fd;
	if (service->protocol == PROTOCOL_HTTP)
		return 0;
	n = io_read(fd, &c, 1, deadline);
	return n == 1 ? 0 : n == 0 || n == -ECONNRESET ? -ECONNREFUSED : -ETIMEDOUT;
}

static int wait_banner(struct cell *cell, const struct service *service, int64_t limit)
{
	while (cell_now(cell) < limit && !cell_ended(cell)) {
		if (!try_banner(cell, service))
			return 0;
		wait_a_look(cell);
	}
	return -ETIMEDOUT;
}

/* Nobody has been there the whole time. */
static bool is_away(struct cell *cell, const struct service *service, int64_t limit)
{
	while (try_banner(cell, service) == -ECONNREFUSED && !cell_ended(cell)) {
		if (cell_now(cell) >= limit)
			return true;
		wait_a_look(cell);
	}
	return false;
}

void cell_ask_services(struct cell *cell)
{
	int64_t began = cell_now(cell), limit = began + cell_recover_ms(cell) * NS_PER_MS;
	json_t *away = json_array();

	for (size_t i = 0; i < cell->target->service_count && !cell->off_line; i++)
		if (is_away(cell, &cell->target->services[i], limit))
			json_array_append_new(away, json_string(cell->target->services[i].name));
	history_add(cell->recorder, "serving", "{so sb sf}", "away", away, "off_line",
		(int)cell->off_line, "took_s", seconds(cell_now(cell) - began));
}

int cell_start_store(struct cell *cell)
{
	int64_t began = cell_now(cell), ready_ms = cell->target->ready_within_ms;
	int64_t limit = began + ready_ms * NS_PER_MS;
	const char *line = target_command(cell->target, "start");
	struct command_result result = {0};
	struct err err = {0};
	int rc = cell->bed->ops->run(cell->bed, line, NULL, ready_ms, true, &result, &err);

	pthread_mutex_lock(&cell->lock);
	cell->stopping = false;
	pthread_mutex_unlock(&cell->lock);
	if (rc) {
		cell_trouble(cell, "agent-silent", "command 'start': %s", err.text);
		buf_free(&result.output);
		return rc;
	}
	for (size_t i = 0; i < cell->target->service_count && !rc; i++)
		rc = wait_banner(cell, &cell->target->services[i], limit);
	history_add(cell->recorder, "start", "{sb sf si so}", "ready", (int)(rc == 0), "took_s",
		seconds(cell_now(cell) - began), "status", result.status, "text",
		json_text(buf_text(&result.output)));
	buf_free(&result.output);
	if (rc)
		watch_evidence(cell, "not-ready", "the store is not ready after its start", false);
	return rc;
}

/* ---- read-back ---- */

static void record_copy(struct cell *cell, const char *user, const struct imap_copy *copy)
{
	const struct message_seen *seen = &copy->seen;
	json_t *line = json_pack("{ss so sI sI ss sI sb}", "user", user, "mailbox",
		json_text(copy->mailbox), "uidvalidity", (json_int_t)copy->uidvalidity, "uid",
		(json_int_t)copy->uid, "sha256", seen->body_sha256, "bytes",
		(json_int_t)seen->size_bytes, "whole", (int)seen->whole);

	if (copy->flags)
		json_object_set_new(line, "flags", json_text(copy->flags));
	if (*seen->token)
		json_object_set_new(line, "token", json_text(seen->token));
	if (seen->report && *seen->quoted)
		json_object_set_new(line, "bounce_of", json_text(seen->quoted));
	if (*seen->failed)
		json_object_set_new(line, "failed", json_text(seen->failed));
	if (*seen->action)
		json_object_set_new(line, "action", json_text(seen->action));
	history_add_at(cell->recorder, cell_now(cell), "copy", line);
}

static void record_box(struct cell *cell, const char *user, const struct imap_box *box)
{
	history_add_at(cell->recorder, cell_now(cell), "box",
		json_pack("{ss so sI sI sI sI}", "user", user, "mailbox", json_text(box->name),
			"uidvalidity", (json_int_t)box->uidvalidity, "uidnext",
			(json_int_t)box->uidnext, "highestmodseq", (json_int_t)box->highestmodseq,
			"messages", (json_int_t)box->messages));
}

static int try_read_back(struct cell *cell, const struct service *imap, const char *user,
	struct imap_copies *ret, struct err *err)
{
	struct mail_opts opts = {.reply_ms = READ_BACK_MS, .clock_ns = cell_clock, .arg = cell};
	int fd = cell->bed->ops->connect(cell->bed, imap, deadline_in_ms(READ_BACK_MS), err);

	return fd < 0 ? fd : imap_read_back_user(fd, &opts, user, user, ret, err);
}

/* After a power cut a store may find the damage only when somebody comes, refuse him, and mend it for the next
 * (laws U4, M4): within `recover` there may be a next one. */
static int read_back_again(struct cell *cell, const struct service *imap, const char *user,
	struct imap_copies *ret, struct err *err)
{
	int64_t limit = cell_now(cell) + cell->objectives.recover_ms * NS_PER_MS;
	int rc = -EIO;

	while (rc && cell_now(cell) < limit && !cell->broken) {
		imap_copies_free(ret);
		*ret = (struct imap_copies){0};
		history_add(cell->recorder, "note", "{so}", "text", json_text(err->text));
		wait_a_look(cell);
		rc = try_read_back(cell, imap, user, ret, err);
	}
	return rc;
}

static void read_back_user(struct cell *cell, const struct service *imap, const char *user)
{
	struct imap_copies copies = {0};
	struct err err = {0};
	int rc = try_read_back(cell, imap, user, &copies, &err);

	if (rc && cell->rebooted)
		rc = read_back_again(cell, imap, user, &copies, &err);
	for (size_t i = 0; i < copies.mailboxes; i++)
		record_box(cell, user, &copies.boxes[i]);
	for (size_t i = 0; i < copies.count; i++)
		record_copy(cell, user, &copies.copies[i]);
	if (rc)
		history_add(cell->recorder, "unreadable", "{ss so}", "user", user, "text",
			json_text(err.text));
	else
		history_add(cell->recorder, "read", "{ss si si}", "user", user, "copies",
			(int)copies.count, "mailboxes", (int)copies.mailboxes);
	imap_copies_free(&copies);
}

static void read_sink(struct cell *cell)
{
	json_t *mails = NULL, *mail;
	struct err err = {0};
	size_t i;

	if (!bed_has(cell->bed, sunk))
		return;
	if (cell->bed->ops->sunk(cell->bed, &mails, &err)) {
		cell_trouble(cell, "agent-silent", "%s", err.text);
		return;
	}
	json_array_foreach (mails, i, mail)
		history_add_at(cell->recorder, cell_now(cell), "sunk", json_incref(mail));
	history_add(cell->recorder, "sink", "{sI}", "mails", (json_int_t)json_array_size(mails));
	json_decref(mails);
}

void cell_read_back(struct cell *cell)
{
	const struct service *imap = target_service_by(cell->target, PROTOCOL_IMAP);

	/* Along the way of the mail: what leaves the queue meanwhile is then seen at least once. */
	if (!cell->broken)
		cell_read_queue(cell);
	for (size_t i = 0; imap && i < cell->target->users.count && !cell->broken; i++)
		read_back_user(cell, imap, cell->target->users.at[i]);
	if (!cell->broken)
		pop3_read_back(cell);
	read_sink(cell);
}

void cell_residue(struct cell *cell)
{
	json_t *left = NULL, *item;
	struct err err = {0};
	size_t i;
	int rc;

	if (!bed_has(cell->bed, residue))
		return;
	watch_hold(cell, true);
	rc = cell->bed->ops->residue(cell->bed, &left, &err);
	watch_hold(cell, false);
	if (rc) {
		cell_trouble(cell, "residue", "cannot be asked for: %s", err.text);
		return;
	}
	json_array_foreach (left, i, item)
		cell_trouble(cell, "residue", "%s", json_string_value(item));
	cell->residue = json_array_size(left);
	history_add(cell->recorder, "residue", "{sI}", "count", (json_int_t)cell->residue);
	json_decref(left);
}
