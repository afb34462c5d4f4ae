/*
 * What the board says now. Everything is read once into locals and checked: any process of the
 * guest may have written anything.
 */
#include "faults/guest/board_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TASK_ROOM  (8 * BOARD_TEXT_SIZE + 512) /* the longest item, every byte escaped */
#define SMALL_ROOM 256

static const char *const action_names[] = {[BOARD_PARK] = "park",
	[BOARD_FAIL] = "fail",
	[BOARD_KILL] = "kill",
	[BOARD_SHORTEN] = "short",
	[BOARD_WATCH] = "watch"};

static void copy_text(char *to, size_t size, const char *from)
{
	memcpy(to, from, size);
	to[size - 1] = '\0';
}

const char *board_status_point_name(uint32_t point, char name[BOARD_NAME_SIZE])
{
	if (point < POINT_COUNT)
		return board_point_rows[point].name;
	if (point < BOARD_FIRST_NAME || point >= BOARD_ANY_NAME)
		return "";
	copy_text(name, BOARD_NAME_SIZE, board_now->names[point - BOARD_FIRST_NAME].name);
	return name;
}

static void add_task(struct board_reply *reply, struct board_park *park, pid_t tid,
	const struct board_task *stat)
{
	char text[BOARD_TEXT_SIZE];

	_Static_assert(BOARD_CALL_SIZE <= BOARD_TEXT_SIZE, "one buffer for all");
	board_put_open(reply, NULL, '{');
	board_put_int(reply, "pid", park->pid);
	board_put_int(reply, "tid", tid);
	board_put_int(reply, "start", stat->start_ns);
	board_put_int(reply, "since_ns", park->since_ns);
	copy_text(text, BOARD_CALL_SIZE, park->call);
	board_put_text(reply, "call", text);
	copy_text(text, sizeof(text), park->exe);
	board_put_text(reply, "exe", text);
	copy_text(text, sizeof(text), park->path);
	board_put_text(reply, "path", text);
	board_put_close(reply, '}');
}

static void add_tasks(struct board_reply *reply, uint32_t slot)
{
	int64_t parked = 0;

	board_put_open(reply, "tasks", '[');
	for (size_t i = 0; i < BOARD_PARKS_MAX; i++) {
		struct board_park *park = &board_now->parks[i];
		struct board_task stat;
		pid_t tid = park->slot == slot ? board_park_owner(park, &stat) : 0;

		if (!tid)
			continue;
		parked++;
		if (board_put_fits(reply, TASK_ROOM))
			add_task(reply, park, tid, &stat);
	}
	board_put_close(reply, ']');
	board_put_int(reply, "parked", parked);
}

static void add_first(struct board_reply *reply, const struct board_slot *slot)
{
	char path[BOARD_TEXT_SIZE] = "";

	if (atomic_load(&slot->first_path_set) == 1)
		copy_text(path, sizeof(path), slot->first_path);
	board_put_int(reply, "pid", atomic_load(&slot->first_pid));
	board_put_int(reply, "tid", atomic_load(&slot->first_tid));
	board_put_text(reply, "path", path);
}

static void add_slot(struct board_reply *reply, uint32_t index)
{
	const struct board_slot *slot = &board_now->slots[index];
	char name[BOARD_NAME_SIZE];
	uint32_t action = slot->action;

	board_put_open(reply, NULL, '{');
	board_put_int(reply, "slot", index + 1);
	board_put_bool(reply, "armed", atomic_load(&slot->epoch) % 2);
	board_put_text(reply, "point", board_status_point_name(slot->point, name));
	board_put_text(reply, "action", action <= BOARD_WATCH ? action_names[action] : "");
	board_put_int(reply, "met", (int64_t)atomic_load(&slot->met));
	board_put_int(reply, "hits", (int64_t)atomic_load(&slot->hits));
	board_put_int(reply, "fired", (int64_t)atomic_load(&slot->fired));
	board_put_int(reply, "strangers", (int64_t)atomic_load(&slot->strangers));
	board_put_int(reply, "missed", (int64_t)atomic_load(&slot->missed));
	board_put_int(reply, "first_ns", atomic_load(&slot->first_ns));
	board_put_int(reply, "last_ns", atomic_load(&slot->last_ns));
	add_first(reply, slot);
	add_tasks(reply, index);
	board_put_close(reply, '}');
}

int board_status_slots(const char *line, struct board_reply *reply, char *why, size_t size)
{
	static const char *const keys[] = {"slot", NULL};
	char word[64];
	int64_t slot;

	if (board_line_unknown(line, keys, word, sizeof(word)) ||
		board_line_number(line, "slot", 1, BOARD_SLOTS_MAX, 0, &slot)) {
		snprintf(
			why, size, "status takes a slot from 1 to %u, or nothing", BOARD_SLOTS_MAX);
		return -EINVAL;
	}
	if (slot) {
		add_slot(reply, (uint32_t)slot - 1);
		return 0;
	}
	board_put_open(reply, NULL, '{');
	board_put_open(reply, "slots", '[');
	for (uint32_t i = 0; i < BOARD_SLOTS_MAX; i++)
		if (atomic_load(&board_now->slots[i].epoch) && board_put_fits(reply, TASK_ROOM))
			add_slot(reply, i);
	board_put_close(reply, ']');
	board_put_bool(reply, "cut", reply->cut);
	board_put_close(reply, '}');
	return 0;
}

void board_status_points(struct board_reply *reply)
{
	board_put_open(reply, NULL, '{');
	board_put_open(reply, "points", '[');
	for (uint32_t i = 0; i < POINT_COUNT; i++) {
		const struct board_point_row *row = &board_point_rows[i];

		if (!board_put_fits(reply, TASK_ROOM))
			break;
		board_put_open(reply, NULL, '{');
		board_put_text(reply, "name", row->name);
		board_put_bool(reply, "park", row->can & BOARD_CAN_PARK);
		board_put_bool(reply, "short", row->can & BOARD_CAN_SHORTEN);
		board_put_open(reply, "errnos", '[');
		for (const int *at = row->errnos; *at; at++)
			board_put_text(reply, NULL, strerrorname_np(*at));
		board_put_close(reply, ']');
		board_put_close(reply, '}');
	}
	board_put_close(reply, ']');
	board_put_close(reply, '}');
}

/* A record of a process that ended, or runs another program by now, is wiped. */
static pid_t process_of(uint32_t index)
{
	struct board_process *process = &board_now->processes[index];
	pid_t pid = atomic_load(&process->pid);
	struct board_task stat;

	if (!pid)
		return 0;
	if (pid > 0 && (uint32_t)pid % BOARD_PROCESSES_MAX == index &&
		board_task_is(pid, atomic_load(&process->boot_ns), &stat) &&
		stat.stack == atomic_load(&process->stack))
		return pid;
	atomic_store(&process->pid, 0);
	return 0;
}

void board_status_processes(struct board_reply *reply)
{
	board_put_open(reply, NULL, '{');
	board_put_open(reply, "processes", '[');
	for (uint32_t i = 0; i < BOARD_PROCESSES_MAX; i++) {
		pid_t pid = process_of(i);

		if (pid && board_put_fits(reply, SMALL_ROOM))
			board_put_int(reply, NULL, pid);
	}
	board_put_close(reply, ']');
	board_put_bool(reply, "cut", reply->cut);
	board_put_close(reply, '}');
}

static void residue_of_slot(struct board_reply *reply, uint32_t index)
{
	const struct board_slot *slot = &board_now->slots[index];
	char name[BOARD_NAME_SIZE], text[BOARD_NAME_SIZE + 64];

	if (!(atomic_load(&slot->epoch) % 2))
		return;
	snprintf(text, sizeof(text), "slot %u of the board is armed on '%s'", index + 1,
		board_status_point_name(slot->point, name));
	board_put_text(reply, NULL, text);
}

static void residue_of_park(struct board_reply *reply, struct board_park *park)
{
	char exe[BOARD_TEXT_SIZE], call[BOARD_CALL_SIZE], text[BOARD_TEXT_SIZE + 128];
	struct board_task stat;
	pid_t tid = board_park_owner(park, &stat);

	if (!tid || !board_put_fits(reply, TASK_ROOM))
		return;
	copy_text(exe, sizeof(exe), park->exe);
	copy_text(call, sizeof(call), park->call);
	snprintf(text, sizeof(text), "task %d of '%s' is parked in %s()", tid, exe, call);
	board_put_text(reply, NULL, text);
}

void board_status_residue(struct board_reply *reply)
{
	bool bits = false;

	board_put_open(reply, NULL, '{');
	board_put_open(reply, "residue", '[');
	for (uint32_t i = 0; i < BOARD_SLOTS_MAX; i++)
		residue_of_slot(reply, i);
	for (uint32_t i = 0; i < BOARD_PARKS_MAX; i++)
		residue_of_park(reply, &board_now->parks[i]);
	for (uint32_t i = 0; i < BOARD_ANY_NAME; i++)
		for (uint32_t armed = atomic_load(&board_now->armed[i]); armed; armed &= armed - 1)
			if (!(atomic_load(&board_now->slots[__builtin_ctz(armed)].epoch) % 2))
				bits = true;
	if (bits)
		board_put_text(reply, NULL, "a point of the board is armed without a rule");
	if (board_trace_left())
		board_put_text(reply, NULL, "the tracer of calls runs still");
	board_put_close(reply, ']');
	board_put_close(reply, '}');
}
