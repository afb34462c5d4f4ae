/*
 * The store's queue at the end of a cell: how it drains, and what is left in it. To list a long queue takes the store
 * long and takes from what it drains by, so it is asked the more seldom the longer it takes; what it does not
 * tell within its time is told as not known (`unlisted` of history.h) and is no trouble of the rig.
 */
#include "run/cell/cell_core.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_MS	    250 /* between two looks at the queue, at least */
#define LOOK_SHARE  2	/* ... and so many times what the last one took */
#define LOOK_MAX_MS 5000
#define COMMAND_MS  30000
#define SHOW_ALL_MS 60000 /* to look into the entries that are left, one after the other */
#define LINES_MAX   100000

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

static void tell_unlisted(struct cell *cell, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void tell_unlisted(struct cell *cell, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	history_add(cell->recorder, "unlisted", "{so}", "text", json_text(buf_text(&text)));
}

/* A command of the target. 0; 1: it took too long, which is told; or negative with trouble recorded. */
static int ask(
	struct cell *cell, const char *name, const char *const *env, struct command_result *ret)
{
	const char *line = target_command(cell->target, name);
	struct err err = {0};
	int rc = cell->bed->ops->run(cell->bed, line, env, COMMAND_MS, false, ret, &err);

	if (rc)
		cell_trouble(cell, "agent-silent", "command '%s': %s", name, err.text);
	else if (ret->timed_out)
		tell_unlisted(cell, "'%s' did not end within %d s", name, COMMAND_MS / 1000);
	return rc ? rc : ret->timed_out;
}

/* ---- how much there is ---- */

static int ask_depth(struct cell *cell, const char *name, uint64_t *ret)
{
	struct command_result result = {0};
	int rc = ask(cell, name, NULL, &result);
	char *end = NULL;

	if (!rc && result.status) {
		cell_trouble(
			cell, "agent-silent", "command '%s' ended with %d", name, result.status);
		rc = -EIO;
	}
	if (!rc && !strcmp(name, "queue_count")) {
		*ret = strtoull(buf_text(&result.output), &end, 10);
		if (end == buf_text(&result.output)) {
			cell_trouble(cell, "agent-silent", "command '%s' told no number", name);
			rc = -EPROTO;
		}
	} else if (!rc) {
		*ret = cell_count_lines(buf_text(&result.output));
	}
	buf_free(&result.output);
	return rc;
}

/* As ask(). That nothing is left is only believed of queue_list: entries move while files are counted. */
static int queue_depth(struct cell *cell, uint64_t *ret)
{
	int rc;

	if (target_command(cell->target, "queue_count")) {
		rc = ask_depth(cell, "queue_count", ret);
		if (rc || *ret)
			return rc;
	}
	return ask_depth(cell, "queue_list", ret);
}

/* ---- drain ---- */

/* Until the next look, which takes as long as this one. True: the cell has ended. */
static bool pause_looking(struct cell *cell, int64_t took_ns)
{
	int64_t pause = took_ns * LOOK_SHARE;
	bool ended;

	pause = pause < LOOK_MS * NS_PER_MS ? LOOK_MS * NS_PER_MS : pause;
	pause = pause > LOOK_MAX_MS * NS_PER_MS ? LOOK_MAX_MS * NS_PER_MS : pause;
	pthread_mutex_lock(&cell->lock);
	if (!cell_ended(cell))
		cell_wait(cell, cell_now(cell) + pause);
	ended = cell_ended(cell);
	pthread_mutex_unlock(&cell->lock);
	return ended;
}

void cell_drain(struct cell *cell)
{
	int64_t began = cell_now(cell), limit, retry = cell->target->timers.retry_longest_ms;
	uint64_t depth = 0, last = UINT64_MAX;
	int rc = 0;

	if (!target_command(cell->target, "queue_list"))
		return;
	limit = began + (cell->objectives.drain_ms + (retry > 0 ? retry : 0)) * NS_PER_MS;
	for (;;) {
		int64_t asked = cell_now(cell);

		rc = queue_depth(cell, &depth);
		if (rc < 0)
			return;
		if (!rc && depth != last)
			history_add(cell->recorder, "queue", "{sI}", "depth", (json_int_t)depth);
		last = rc ? last : depth;
		if ((!rc && !depth) || cell_now(cell) >= limit)
			break;
		if (pause_looking(cell, cell_now(cell) - asked))
			return;
	}
	if (cell->asks_again)
		cell_figures(cell);
	last = last == UINT64_MAX ? 0 : last;
	history_add(cell->recorder, "drained", "{sb sb sf sI sf}", "empty", (int)(!rc && !depth),
		"told", (int)!rc, "took_s", seconds(cell_now(cell) - began), "depth",
		(json_int_t)last, "limit_s", seconds(limit - began));
}

/* ---- what is left ---- */

/* The mail of an entry, unless there is no time left for it. */
static void look_into(struct cell *cell, const char *id, int64_t limit, struct message_seen *seen)
{
	auto_free char *env = text_fmt("RIG_QUEUE_ID=%s", id);
	struct command_result shown = {0};

	if (target_command(cell->target, "queue_show") && cell_now(cell) < limit &&
		!ask(cell, "queue_show", (const char *const[]){env, NULL}, &shown))
		message_look(buf_text(&shown.output), shown.output.len, seen);
	buf_free(&shown.output);
}

/* One line of queue_list: ID STATE RECIPIENT... */
static void record_queued(struct cell *cell, char *entry, int64_t limit)
{
	char *save = NULL, *id = strtok_r(entry, " \t", &save),
	     *state = strtok_r(NULL, " \t", &save);
	struct message_seen seen = {0};
	json_t *to;

	if (!id || !state)
		return;
	to = json_array();
	for (char *word; (word = strtok_r(NULL, " \t", &save));)
		json_array_append_new(to, json_text(word));
	look_into(cell, id, limit, &seen);
	history_add(cell->recorder, "queued", "{so so so so ss}", "id", json_text(id), "state",
		json_text(state), "to", to, "token", json_text(seen.token), "bounce_of",
		seen.report ? seen.quoted : "");
}

void cell_read_queue(struct cell *cell)
{
	int64_t limit = cell_now(cell) + SHOW_ALL_MS * NS_PER_MS;
	struct command_result result = {0};
	char *save = NULL, *text, *line;
	int lines = 0;

	if (!target_command(cell->target, "queue_list"))
		return;
	if (!ask(cell, "queue_list", NULL, &result)) {
		if (result.cut)
			tell_unlisted(cell, "'queue_list' told more than is kept of it");
		text = buf_steal(&result.output);
		for (line = strtok_r(text, "\n", &save); line && lines < LINES_MAX && !cell->broken;
			line = strtok_r(NULL, "\n", &save), lines++)
			record_queued(cell, line, limit);
		if (line && !cell->broken)
			tell_unlisted(cell, "the queue has more than %d entries", LINES_MAX);
		if (cell_now(cell) >= limit)
			history_add(cell->recorder, "note", "{ss}", "text",
				"not every entry left in the queue was looked into: there are too "
				"many");
		free(text);
	}
	buf_free(&result.output);
}
