/*
 * What the kernel's log says of a process that it ended because memory ran out (mm/oom_kill.c: __oom_kill_process(),
 * Linux 6.1). The guest's word: bounded. Pure.
 */
#pragma once

#include <stdbool.h>

#define OOM_NAME_SIZE 16 /* of the kernel: TASK_COMM_LEN */

struct oom_killed {
	int pid;
	char name[OOM_NAME_SIZE];
	long long rss_kib; /* 0: not told */
	bool in_group;	   /* the limit was that of a control group */
};

bool oom_read_killed(const char *line, struct oom_killed *ret);
