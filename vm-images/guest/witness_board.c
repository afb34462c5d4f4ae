/*
 * The fault board: commands of the host go in, what met an armed point comes out. One thread waits on
 * the board's futex without a time limit; it also answers the questions of processes that cannot see
 * their own paths, so it must never wait for the host: events without room are dropped and counted.
 */
#include "witness.h"

#include "faults/guest/board_control.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t commands = PTHREAD_MUTEX_INITIALIZER; /* one at a time */

static void send_event(const struct board_event *e, uint64_t lost)
{
	const char *what = board_event_name(e->what);
	auto_out out = {0};

	event_begin(&out, "board");
	out_int(&out, "slot", e->slot);
	out_text(&out, "what", what ? what : "unknown");
	out_int(&out, "pid", e->pid);
	out_int(&out, "tid", e->tid);
	out_text(&out, "exe", e->exe);
	out_text(&out, "path", e->path);
	out_text(&out, "call", e->call);
	out_int(&out, "count", (int64_t)e->count);
	out_int(&out, "value", e->value);
	out_int(&out, "epoch", e->epoch);
	out_int(&out, "at_ns", e->ns);
	out_int(&out, "lost", (int64_t)lost);
	event_send(&out, DROP);
}

static void send_key(const char *line)
{
	auto_out out = {0};

	event_begin(&out, "key");
	out_text(&out, "line", line);
	event_send(&out, DROP);
}

static void *board_thread(void *arg)
{
	struct board_event event;
	uint64_t lost = 0;
	int rc;

	(void)arg;
	board_control_watch_keys(send_key);
	while ((rc = board_control_wait_event(&event, &lost, -1)) >= 0)
		if (rc)
			send_event(&event, lost);
	return NULL;
}

int board_start(const char *run_dir)
{
	char path[PATH_TEXT_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/board", run_dir);
	rc = board_control_open(path);
	if (rc)
		return rc;
	return thread_start(board_thread, NULL) ? 0 : -EAGAIN;
}

/* Mapped once: memory of this size taken for each command costs a moment on the wire 10 ms and more, as all of it is
 * locked. Of whoever holds `commands`. */
static char reply[BOARD_REPLY_MAX];

static int command(const char *line)
{
	return board_control_command(line, reply, sizeof(reply));
}

/* What a moment may wait for is done at once; the rest walks through /proc, or waits for the tracer. */
bool board_is_quick(const struct request *request)
{
	static const char *const quick[] = {"arm ", "disarm ", "release "};
	const char *line = request_text(request, "command");

	if (board_control_may_wait(line))
		return false;
	for (size_t i = 0; i < sizeof(quick) / sizeof(quick[0]); i++)
		if (!strncmp(line, quick[i], strlen(quick[i])))
			return true;
	return false;
}

void verb_board(const struct request *request)
{
	auto_out out = {0};

	pthread_mutex_lock(&commands);
	if (command(request_text(request, "command"))) {
		answer_error(request, "%s", reply);
	} else {
		answer_begin(&out, request);
		out_text(&out, "reply", reply);
		answer_send(&out, request);
	}
	pthread_mutex_unlock(&commands);
}

void board_residue(struct out *out)
{
	json_t *json, *text;
	size_t i;
	int rc;

	pthread_mutex_lock(&commands);
	rc = command("residue");
	json = json_loads(reply, 0, NULL);
	if (rc)
		out_text(out, NULL, reply);
	json_array_foreach (json_object_get(json, "residue"), i, text)
		if (json_is_string(text))
			out_text(out, NULL, json_string_value(text));
	json_decref(json);
	pthread_mutex_unlock(&commands);
}
