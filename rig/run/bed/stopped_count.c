#include "run/bed/stopped_count.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LINE_SIZE 1024

struct sockets { /* of the processes that stand still */
	uint64_t inode[STOPPED_SOCKETS_MAX];
	size_t count;
};

/* The next line of `*text` into `out`, cut if it is too long; false at the end. */
static bool next_line(const char **text, char out[LINE_SIZE])
{
	size_t len = strcspn(*text, "\n");

	if (!**text)
		return false;
	snprintf(out, LINE_SIZE, "%.*s", (int)(len < LINE_SIZE ? len : LINE_SIZE - 1), *text);
	*text += len + ((*text)[len] == '\n');
	return true;
}

static void add_socket(struct sockets *own, const char *line)
{
	const char *at = strstr(line, "socket:[");
	uint64_t inode;

	if (at && sscanf(at, "socket:[%" SCNu64 "]", &inode) == 1 &&
		own->count < STOPPED_SOCKETS_MAX)
		own->inode[own->count++] = inode;
}

static bool is_own(const struct sockets *own, uint64_t inode)
{
	for (size_t i = 0; i < own->count; i++)
		if (own->inode[i] == inode)
			return true;
	return false;
}

static bool is_owed(uint32_t address, unsigned int port, const char *const *owed, size_t count)
{
	const unsigned char *b = (const unsigned char *)&address; /* network order in memory */
	char text[32];

	snprintf(text, sizeof(text), "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3], port);
	for (size_t i = 0; i < count; i++)
		if (!strcmp(owed[i], text))
			return true;
	return false;
}

static bool tcp_waits(
	const struct sockets *own, const char *line, const char *const *owed, size_t count)
{
	unsigned int port, state, rx;
	uint32_t address;
	uint64_t inode;

	if (sscanf(line, " %*u: %*x:%*x %" SCNx32 ":%x %x %*x:%x %*x:%*x %*x %*u %*u %" SCNu64,
		    &address, &port, &state, &rx, &inode) != 5 ||
		!is_own(own, inode))
		return false;
	return rx || (state == 1 && is_owed(address, port, owed, count));
}

static bool unix_waits(const struct sockets *own, const char *line)
{
	uint64_t inode;
	unsigned int rx;

	return sscanf(line, "u_%*s %*s %u %*u %*s %" SCNu64, &rx, &inode) == 2 && rx &&
	       is_own(own, inode);
}

uint32_t stopped_sockets(const char *text, const char *const *owed, size_t owed_count)
{
	struct sockets own = {.count = 0};
	char line[LINE_SIZE];
	uint32_t waiting = 0;
	int part = 0;

	while (next_line(&text, line)) {
		if (!strcmp(line, "=="))
			part++;
		else if (part == 0)
			add_socket(&own, line);
		else if (part == 1)
			waiting += tcp_waits(&own, line, owed, owed_count);
		else
			waiting += unix_waits(&own, line);
	}
	return waiting;
}

static bool in_pids(int pid, const int *pids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF"; those that wait for it follow as "1: -> FLOCK ...". */
uint32_t stopped_lock_waiters(const char *locks, const int *pids, size_t pid_count)
{
	char line[LINE_SIZE];
	uint32_t waiting = 0;
	bool held = false;
	int pid;

	while (next_line(&locks, line)) {
		if (strstr(line, "-> "))
			waiting += held;
		else
			held = sscanf(line, "%*u: %*s %*s %*s %d", &pid) == 1 &&
			       in_pids(pid, pids, pid_count);
	}
	return waiting;
}
