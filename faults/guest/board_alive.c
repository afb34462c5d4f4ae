/*
 * Is the task behind a record still the one that wrote it? By /proc/TID/stat alone, which takes no
 * mmap lock (Linux 5.10 to 6.18, do_task_stat). Its start time is in ticks of CLOCK_BOOTTIME.
 */
#include "faults/guest/board_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAT_MAX      2048
#define FIELD_START   22 /* proc(5), counted from 1 */
#define FIELD_STACK   28
#define FIELD_AT_NAME 2

static ssize_t read_stat(pid_t tid, char *text, size_t size)
{
	char path[40];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	len = read(fd, text, size - 1);
	close(fd);
	if (len > 0)
		text[len] = '\0';
	return len;
}

bool board_task_read(pid_t tid, struct board_task *ret)
{
	char text[STAT_MAX], *at;
	int64_t tick_ns = INT64_C(1000000000) / sysconf(_SC_CLK_TCK);

	*ret = (struct board_task){0};
	if (tid <= 0 || read_stat(tid, text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')'); /* the name may hold anything, also brackets */
	for (int field = FIELD_AT_NAME + 1; at && (at = strchr(at, ' ')); field++) {
		at++;
		if (field == FIELD_AT_NAME + 1)
			ret->state = *at;
		else if (field == FIELD_START)
			ret->start_ns = strtoll(at, NULL, 10) * tick_ns;
		else if (field == FIELD_STACK)
			ret->stack = strtoull(at, NULL, 10);
	}
	return ret->state && ret->state != 'Z' && ret->state != 'X';
}

bool board_task_is(pid_t tid, int64_t boot_ns, struct board_task *ret)
{
	return board_task_read(tid, ret) && (!boot_ns || ret->start_ns <= boot_ns);
}

pid_t board_park_owner(struct board_park *park, struct board_task *ret)
{
	pid_t tid = atomic_load(&park->tid);
	int32_t owner = tid;

	*ret = (struct board_task){0};
	if (!tid)
		return 0;
	if (!board_task_is(tid, atomic_load(&park->boot_ns), ret)) {
		/* Time and state first: the next owner must not be judged by them. */
		atomic_store(&park->boot_ns, 0);
		atomic_store(&park->word, BOARD_CLAIMED);
		atomic_compare_exchange_strong(&park->tid, &owner, 0);
		return 0;
	}
	return atomic_load(&park->word) == BOARD_PARKED ? tid : 0;
}
