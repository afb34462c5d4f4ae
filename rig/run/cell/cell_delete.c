/*
 * What the faults of the concurrent-delete family remove, and who is told of it: a deletion by the rig is in the
 * history with what it removed, or may have removed, before anything is judged.
 */
#include "run/cell/cell_work.h"

#include "base/clock.h"
#include "base/fs.h"
#include "mail/message.h"
#include "run/plan/orders.h"

#include <fnmatch.h>
#include <string.h>

#define COMMAND_MS  60000
#define ENTRIES_MAX 64	       /* of the queue, removed by one step */
#define ANY_NUMBER  0xffffffff /* of messages: who knows which */

static const char *user_of(const struct step_run *step, const struct deletion *d)
{
	return d->user || d->command ? d->user : step->cell->target->users.at[0];
}

static void excuse(struct step_run *step, json_t *line, const char *why)
{
	json_object_set_new(line, "why", json_text(why));
	history_add_at(step->cell->recorder, cell_now(step->cell), "excused", line);
}

/* ---- by a session of the rig's own ---- */

static bool is_verb(const char *line, const char *verb)
{
	size_t len = strlen(verb);

	return !strncmp(line, verb, len) && strchr(" ", line[len]);
}

/* The trace holds these commands: "expunged" says so (rig/api/imap_trace.c). */
static void excuse_mailbox(struct step_run *step, const char *user, const char *mailbox)
{
	excuse(step,
		json_pack("{ss so sI}", "user", user, "mailbox", json_text(mailbox), "count",
			(json_int_t)ANY_NUMBER),
		"perhaps expunged with its mailbox");
}

static uint64_t told_gone(const struct imap_reply *reply)
{
	uint64_t count = 0;

	for (size_t i = 0; i < reply->count; i++)
		count += reply->events[i].kind == IMAP_EXPUNGE ||
			 reply->events[i].kind == IMAP_VANISHED;
	return count;
}

/* The tokens of the messages that the session has seen and is about to remove; "" of one that has none. */
static void note_seen(json_t *seen, const struct imap_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++)
		if (reply->events[i].kind == IMAP_FETCH && reply->events[i].body)
			json_array_append_new(seen, json_text(reply->events[i].body->token));
}

static void excuse_seen(
	struct step_run *step, const char *user, const char *mailbox, json_t *seen, bool maybe)
{
	json_t *token;
	size_t i;

	json_array_foreach (seen, i, token) {
		json_t *line = json_pack("{ss so}", "user", user, "mailbox", json_text(mailbox));

		if (json_string_length(token))
			json_object_set(line, "token", token);
		else
			json_object_set_new(line, "count", json_integer(1));
		excuse(step, line, maybe ? "perhaps expunged" : "expunged");
	}
	json_array_clear(seen);
}

/* What one command removed: messages that it told gone, or a mailbox. */
static uint64_t say(struct session *session, struct imap *imap, const struct deletion *d,
	const char *user, const char *line, json_t *seen)
{
	struct imap_reply reply auto_imap_reply = {0};
	enum mail_outcome outcome = imap_do(session, imap, user, line, &reply);

	if (is_verb(line, "UID FETCH"))
		note_seen(seen, &reply);
	if (outcome != MAIL_NO && (is_verb(line, "UID EXPUNGE") || is_verb(line, "CLOSE")))
		excuse_seen(session->run, user, d->mailbox, seen, outcome != MAIL_OK);
	/* NO says that the mailbox is still there, not that nothing of it went (RFC 9051 6.3.4). */
	if (is_verb(line, "DELETE"))
		excuse_mailbox(session->run, user, d->mailbox);
	if (outcome != MAIL_OK)
		return 0;
	if (is_verb(line, "DELETE") || is_verb(line, "RENAME") || is_verb(line, "CLOSE"))
		return 1;
	return told_gone(&reply);
}

static uint64_t by_imap(struct session *session, const struct deletion *d, const char *user)
{
	struct imap imap = {.line.fd = -1};
	struct imap_reply reply auto_imap_reply = {0};
	auto_json json_t *seen = json_array();
	uint64_t removed = 0;

	session->excuses = true;
	if (!session_login(session, &imap, user)) {
		imap_close(&imap);
		return 0;
	}
	for (size_t i = 0; d->commands[i]; i++) {
		if (i == d->prelude)
			order_gate(session->run);
		removed += say(session, &imap, d, user, d->commands[i], seen);
	}
	if (imap.alive)
		imap_logout(&imap, &reply);
	imap_close(&imap);
	return removed;
}

static uint64_t by_session(struct step_run *step, const struct deletion *d)
{
	struct session session = {.cell = step->cell, .run = step, .step = step->step, .number = 1};
	const char *user = user_of(step, d);

	snprintf(session.who, sizeof(session.who), "%.40s.1", step->step->label);
	return d->commands ? by_imap(&session, d, user) : pop3_delete(&session, user, d->numbers);
}

/* ---- by a command of the target ---- */

static enum mail_outcome run_command(struct step_run *step, const struct deletion *d,
	const char *queue_id, const char *command, struct buf *ret_output)
{
	auto_free char *user = text_fmt("RIG_USER=%s", d->user ? d->user : "");
	auto_free char *mailbox = text_fmt("RIG_MAILBOX=%s", d->mailbox ? d->mailbox : "");
	auto_free char *id = text_fmt("RIG_QUEUE_ID=%s", queue_id ? queue_id : "");
	const char *const vars[] = {user, mailbox, id, NULL};
	const char *line = target_command(step->cell->target, command);
	struct command_result result = {0};
	struct bed *bed = step->cell->bed;
	int rc = bed->ops->run(bed, line, vars, COMMAND_MS, true, &result, NULL);
	enum mail_outcome outcome = rc || result.timed_out ? MAIL_MAYBE
				    : result.status	   ? MAIL_NO
							   : MAIL_OK;

	if (ret_output)
		buf_add(ret_output, buf_text(&result.output), result.output.len);
	buf_free(&result.output);
	return outcome;
}

/* The same as an operation of the history. */
static enum mail_outcome tell_command(
	struct step_run *step, const struct deletion *d, const char *queue_id)
{
	struct cell *cell = step->cell;
	const char *who = step->step->label;
	struct buf output auto_buf = {0};
	enum mail_outcome outcome;
	uint64_t id = op_begin(cell, who, d->command,
		json_pack("{ss ss so}", "service", "action", "user", d->user ? d->user : "",
			"command", json_text(queue_id ? queue_id : "")));

	outcome = run_command(step, d, queue_id, d->command, &output);
	op_end(cell, id, who, d->command, outcome,
		json_pack("{so}", "text", json_text(buf_text(&output))));
	return outcome;
}

struct entry {	       /* of the queue */
	char *id, *to; /* recipients, separated by blanks */
	char token[64];
};

static void look_at_entry(struct step_run *step, struct entry *entry)
{
	const struct deletion nobody = {0};
	struct buf text auto_buf = {0};
	struct message_seen seen = {0};

	if (!target_command(step->cell->target, "queue_show") ||
		run_command(step, &nobody, entry->id, "queue_show", &text) != MAIL_OK)
		return;
	message_look(buf_text(&text), text.len, &seen);
	snprintf(entry->token, sizeof(entry->token), "%s", seen.token);
}

/* Which copies an entry's end takes along: each recipient's, known by token or by the ID alone. */
static void excuse_entry(struct step_run *step, struct entry *entry, const char *why)
{
	char *save = NULL;

	for (char *to = strtok_r(entry->to, " \t", &save); to; to = strtok_r(NULL, " \t", &save))
		excuse(step,
			json_pack("{so so so}", "user", json_text(to), "token",
				json_text(entry->token), "queue_id", json_text(entry->id)),
			why);
}

static void entries_free(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(entries[i].id);
		free(entries[i].to);
	}
}

/* Lines ID STATE RECIPIENT...: those that are being delivered, or the one that is named. */
static size_t list_entries(struct step_run *step, const char *id, struct entry entries[ENTRIES_MAX])
{
	const struct deletion nobody = {0};
	struct buf text auto_buf = {0};
	char *save = NULL, *list;
	size_t count = 0;

	if (!target_command(step->cell->target, "queue_list") ||
		run_command(step, &nobody, NULL, "queue_list", &text) != MAIL_OK)
		return 0;
	list = buf_steal(&text);
	for (char *line = strtok_r(list, "\n", &save); line && count < ENTRIES_MAX;
		line = strtok_r(NULL, "\n", &save)) {
		char *rest = NULL, *name = strtok_r(line, " \t", &rest);
		char *state = strtok_r(NULL, " \t", &rest);

		if (!name || !state || (id ? strcmp(name, id) : strcmp(state, "active")))
			continue;
		entries[count] = (struct entry){.id = text_dup(name), .to = text_dup(rest)};
		look_at_entry(step, &entries[count++]);
	}
	free(list);
	return count;
}

static uint64_t from_queue(struct step_run *step, const struct deletion *d)
{
	struct entry entries[ENTRIES_MAX] = {0};
	size_t count = list_entries(step, NULL, entries);
	uint64_t removed = 0;

	order_gate(step);
	for (size_t i = 0; i < count; i++) {
		enum mail_outcome outcome = tell_command(step, d, entries[i].id);

		removed += outcome == MAIL_OK;
		if (outcome != MAIL_NO)
			excuse_entry(step, &entries[i],
				outcome == MAIL_OK ? "deleted from the queue"
						   : "perhaps deleted from the queue");
	}
	entries_free(entries, count);
	return removed;
}

static uint64_t by_command(struct step_run *step, const struct deletion *d)
{
	enum mail_outcome outcome;

	if (!strcmp(d->command, "queue_delete"))
		return from_queue(step, d);
	order_gate(step);
	outcome = tell_command(step, d, NULL);
	if (outcome != MAIL_NO && d->user)
		excuse(step,
			json_pack("{ss so sI}", "user", d->user, "mailbox",
				json_text(d->mailbox ? d->mailbox : ""), "count",
				(json_int_t)ANY_NUMBER),
			d->command);
	return outcome == MAIL_OK;
}

/* ---- a file, behind the store's back ---- */

static bool is_path_of(
	const struct step_run *step, const char *name, const char *user, const char *file)
{
	const struct path_set *set = target_paths(step->cell->target, name);

	for (size_t i = 0; set && i < set->globs.count; i++) {
		const char *glob = set->globs.at[i], *mark = strstr(glob, "{user}");
		auto_free char *text = mark ? text_fmt("%.*s%s%s", (int)(mark - glob), glob, user,
						      mark + strlen("{user}"))
					    : text_dup(glob);

		if (!fnmatch(text, file, 0))
			return true;
	}
	return false;
}

/* A message's file is a copy of its owner's, a queue file an entry; what else there is holds no mail. */
static void excuse_file(struct step_run *step, const char *file, struct entry *entry)
{
	const struct text_list *users = &step->cell->target->users;

	if (entry->id)
		excuse_entry(step, entry, "its queue file was unlinked");
	for (size_t i = 0; i < users->count && !entry->id; i++)
		if (is_path_of(step, "message", users->at[i], file))
			excuse(step,
				json_pack("{ss ss si}", "user", users->at[i], "mailbox", "INBOX",
					"count", 1),
				"its file was unlinked");
}

static int by_unlink(struct step_run *step, const char *file, struct err *err)
{
	struct entry entries[ENTRIES_MAX] = {0};
	const char *slash = strrchr(file, '/');
	bool queued = slash && is_path_of(step, "queue", "", file);
	size_t count = queued ? list_entries(step, slash + 1, entries) : 0;
	int rc;

	order_gate(step);
	rc = step->cell->bed->ops->unlink(step->cell->bed, file, err);
	if (!rc)
		excuse_file(step, file, &entries[0]);
	entries_free(entries, count);
	return rc;
}

int deletion_do(void *arg, const struct deletion *d, uint64_t *ret_removed, struct err *err)
{
	struct step_run *step = arg;
	int rc;

	if (d->file) {
		rc = by_unlink(step, d->file, err);
		*ret_removed += !rc;
		return rc;
	}
	*ret_removed += d->command ? by_command(step, d) : by_session(step, d);
	return 0;
}
