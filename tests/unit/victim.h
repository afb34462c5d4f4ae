/*
 * A process that a fault is tried on, and what it prints.
 */
#pragma once

#include "base/clock.h"
#include "base/io.h"

#include <sys/types.h>

#define WAIT_MS 20000

struct victim {
	pid_t pid;
	int out; /* what it prints */
	int in;	 /* what it is told, where it listens */
};

/* One line the victim printed; "" at its end. */
static inline const char *victim_line(const struct victim *victim)
{
	static char line[256];
	size_t len = 0;

	while (len + 1 < sizeof(line) &&
		io_read(victim->out, line + len, 1, deadline_in_ms(WAIT_MS)) == 1 &&
		line[len] != '\n')
		len++;
	line[len] = '\0';
	return line;
}
