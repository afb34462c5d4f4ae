#include "api/maildir.h"

#include "api/fault.h"
#include "base/buf.h"
#include "base/json.h"

#include <string.h>

struct builder {
	struct maildirs *dirs;
	struct key_map boxes, names; /* (user, folder) and (box, base) */
	size_t file_room, look_room, box_count;
	int64_t *file_looks; /* the number that each file says */
	size_t pending;	     /* first file that no look has taken yet */
};

static uint32_t text_id(struct maildirs *dirs, const json_t *data, const char *key)
{
	const char *text = json_get_text(data, key, "");

	return intern_id(&dirs->texts, text, strlen(text));
}

static uint32_t name_of(struct builder *b, const struct maildir_file *file)
{
	uint64_t box = (uint64_t)file->user << 32 | file->folder;
	uint32_t index = key_map_put(&b->boxes, box, (uint32_t)b->box_count), name;

	b->box_count += index == b->box_count;
	name = key_map_put(
		&b->names, (uint64_t)index << 32 | file->base, (uint32_t)b->dirs->name_count);
	b->dirs->name_count += name == b->dirs->name_count;
	return name;
}

static void add_file(struct builder *b, const struct event *event)
{
	struct maildirs *dirs = b->dirs;
	struct maildir_file *file;

	if (dirs->file_count == b->file_room) {
		b->file_room = b->file_room ? b->file_room * 2 : 256;
		dirs->files = mem_grow(dirs->files, b->file_room, sizeof(*dirs->files));
		b->file_looks = mem_grow(b->file_looks, b->file_room, sizeof(*b->file_looks));
	}
	b->file_looks[dirs->file_count] = json_get_int(event->data, "look", -1);
	file = &dirs->files[dirs->file_count++];
	*file = (struct maildir_file){
		.user = text_id(dirs, event->data, "user"),
		.folder = text_id(dirs, event->data, "folder"),
		.base = text_id(dirs, event->data, "base"),
		.info = text_id(dirs, event->data, "info"),
		.token = text_id(dirs, event->data, "token"),
		.sha = text_id(dirs, event->data, "sha256"),
		.line = event->line,
		.bytes = (uint64_t)json_get_int(event->data, "bytes", 0),
		.whole = json_get_bool(event->data, "whole", false),
	};
	file->name = name_of(b, file);
}

/* A look takes the files before it that say its number; what else stands there was of one that failed. */
static void add_look(struct builder *b, const struct event *event)
{
	struct maildirs *dirs = b->dirs;
	int64_t id = json_get_int(event->data, "look", -2);
	size_t first = b->pending, count = b->pending;

	if (dirs->look_count == b->look_room) {
		b->look_room = b->look_room ? b->look_room * 2 : 16;
		dirs->looks = mem_grow(dirs->looks, b->look_room, sizeof(*dirs->looks));
	}
	for (size_t i = b->pending; i < dirs->file_count; i++)
		if (b->file_looks[i] == id)
			dirs->files[count++] = dirs->files[i];
	dirs->file_count = count;
	b->pending = count;
	dirs->looks[dirs->look_count++] = (struct maildir_look){
		.t = event->t,
		.line = event->line,
		.running = strcmp(json_get_text(event->data, "when", ""), "stopped") != 0,
		.first = first,
		.count = count - first,
	};
}

void maildirs_build(const struct history *history, struct maildirs *ret)
{
	struct builder b = {.dirs = ret};

	*ret = (struct maildirs){0};
	for (size_t i = 0; i < history->rare_count; i++) {
		if (event_is(history->rare[i], "file"))
			add_file(&b, history->rare[i]);
		else if (event_is(history->rare[i], "look"))
			add_look(&b, history->rare[i]);
	}
	ret->file_count = b.pending;
	key_map_free(&b.boxes);
	key_map_free(&b.names);
	free(b.file_looks);
}

void maildirs_free(struct maildirs *dirs)
{
	intern_free(&dirs->texts);
	free(dirs->files);
	free(dirs->looks);
}

enum copy_state maildir_state(const struct maildirs *dirs, const struct ledger *ledger,
	const struct ledger *baseline, const struct maildir_file *file)
{
	const char *token = maildir_text(dirs, file->token);
	const struct ledger_mail *mail = *token ? ledger_mail(ledger, token) : NULL;

	if (!file->whole)
		return COPY_DAMAGED;
	if (!mail)
		return COPY_UNSURE;
	return ledger_content_state(ledger, baseline, mail, maildir_text(dirs, file->sha));
}

uint32_t maildir_crash_line(const struct history *history)
{
	const struct ledger *ledger = history->ledger;
	uint32_t first = 0;

	for (size_t i = 0; i < ledger->force_count; i++)
		if (ledger->forces[i].is & (FAULT_KILLS | FAULT_CUTS_POWER) &&
			(!first || ledger->forces[i].from_line < first))
			first = ledger->forces[i].from_line;
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "died") &&
			!json_get_bool(history->rare[i]->data, "by_rig", false) &&
			(!first || history->rare[i]->line < first))
			first = history->rare[i]->line;
	return first;
}
