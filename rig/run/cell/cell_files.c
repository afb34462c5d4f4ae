/* Looks at the files of the mailboxes: while the store runs, as a step, and once it has stopped. */
#include "mail/message.h"

#include "base/log.h"
#include "run/cell/cell_core.h"

#include <string.h>

#define GLOBS_MAX 64

struct look {
	struct cell *cell;
	const struct path_set *set;
	uint64_t id;
	size_t files;
};

/* The path's part that {user} of a glob stands for; false where the glob is about something else. */
static bool user_in(const char *glob, const char *path, char *out, size_t size, const char **rest)
{
	const char *mark = strstr(glob, "{user}");
	size_t before = mark ? (size_t)(mark - glob) : 0, len;

	if (!mark || strncmp(glob, path, before))
		return false;
	len = strcspn(path + before, "/");
	if (!len || len >= size)
		return false;
	memcpy(out, path + before, len);
	out[len] = '\0';
	*rest = path + before + len;
	return true;
}

/* The folder between the glob's fixed part and new/ or cur/: "INBOX" where nothing is between. */
static char *folder_of(const char *glob, const char *rest, size_t where_at)
{
	const char *tail = strstr(glob, "{user}") + strlen("{user}");
	size_t fixed = strcspn(tail, "*");

	while (fixed && tail[fixed - 1] == '/')
		fixed--;
	if (where_at <= fixed + 1 || strncmp(tail, rest, fixed))
		return text_dup("INBOX");
	return text_dup_n(rest + fixed + 1, where_at - fixed - 2);
}

static void add_file(
	struct look *look, const char *glob, const char *path, const char *bytes, size_t len)
{
	char user[128];
	const char *rest, *name = strrchr(path, '/') + 1, *info = strchr(name, ':');
	size_t where_at;
	auto_free char *folder = NULL;
	struct message_seen seen;
	json_t *file;

	if (!user_in(glob, path, user, sizeof(user), &rest) || name - rest < 5)
		return;
	where_at = (size_t)(name - rest) - 4; /* "new/" or "cur/" */
	folder = folder_of(glob, rest, where_at);
	message_look(bytes, len, &seen);
	file = json_pack("{sI ss so ss so so sI ss sb}", "look", (json_int_t)look->id, "user", user,
		"folder", json_text(folder), "where",
		strncmp(rest + where_at, "new/", 4) ? "cur" : "new", "base",
		json_text_n(name, info ? (size_t)(info - name) : strlen(name)), "info",
		json_text(info ? info : ""), "bytes", (json_int_t)len, "sha256", seen.body_sha256,
		"whole", (int)seen.whole);
	if (*seen.token)
		json_object_set_new(file, "token", json_string(seen.token));
	history_add_at(look->cell->recorder, cell_now(look->cell), "file", file);
	look->files++;
}

static void on_file(void *arg, const char *path, const char *bytes, size_t len)
{
	struct look *look = arg;
	char user[128];
	const char *rest;

	for (size_t i = 0; i < look->set->globs.count; i++) {
		if (!user_in(look->set->globs.at[i], path, user, sizeof(user), &rest))
			continue;
		add_file(look, look->set->globs.at[i], path, bytes, len);
		return;
	}
}

void files_look(struct cell *cell, bool running)
{
	struct look look = {.cell = cell, .set = target_paths(cell->target, "mailbox")};
	const char *globs[GLOBS_MAX + 1] = {0};
	struct err err = {0};
	size_t count = 0;
	int rc;

	if (!look.set || !bed_has(cell->bed, files))
		return;
	/* A file that is no user's own, of a database that has all mail, says nothing of a mailbox. */
	for (size_t i = 0; i < look.set->globs.count && count < GLOBS_MAX; i++)
		if (strstr(look.set->globs.at[i], "{user}"))
			globs[count++] = look.set->globs.at[i];
	if (!count)
		return;
	look.id = history_new_id(cell->recorder);
	rc = cell->bed->ops->files(cell->bed, globs, running, on_file, &look, &err);
	if (rc)
		cell_trouble(cell, "agent-silent", "the mailboxes' files: %s", err.text);
	else
		history_add(cell->recorder, "look", "{sI ss sI}", "look", (json_int_t)look.id,
			"when", running ? "running" : "stopped", "files", (json_int_t)look.files);
}

/* A freeze of the rig's own that is in force has stopped the files already. */
static bool frozen_by_fault(struct cell *cell)
{
	bool frozen = false;

	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < cell->step_count; i++)
		frozen = frozen || (cell->steps[i].fault && cell->steps[i].state == STEP_IN_FORCE &&
					   cell->steps[i].fault->is & FAULT_HALTS);
	pthread_mutex_unlock(&cell->lock);
	return frozen;
}

void files_step(struct step_run *step)
{
	if (frozen_by_fault(step->cell))
		cell_trouble(step->cell, "set-up",
			"step '%s' cannot look at the files while a freeze is in force",
			step->step->label);
	else
		files_look(step->cell, true);
}
