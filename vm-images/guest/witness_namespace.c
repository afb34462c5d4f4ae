/*
 * How a thread of another PID namespace than the witness's calls itself: that number, and not the one in /proc, is
 * what it writes into a lock that it takes, what joins it waits for, and what its process names it by in a file.
 * A namespace and a number stay as long as the thread, so it is no matter when they are read. `ns/pid` and `status`
 * take no mmap lock (fs/proc/namespaces.c, fs/proc/array.c, Linux 6.1).
 */
#include "witness_scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MAX 2048 /* up to the line, which stands behind that of the groups */

/* "pid:[4026531836]"; 0: it cannot be told. */
static uint64_t read_namespace(int dir, const char *path)
{
	char text[64];
	ssize_t n = readlinkat(dir, path, text, sizeof(text) - 1);
	const char *bracket;

	text[n > 0 ? n : 0] = '\0';
	bracket = strchr(text, '[');
	return bracket ? strtoull(bracket + 1, NULL, 10) : 0;
}

/* "NSpid:	731	41	7": from the namespace of /proc down to its own (proc(5)); 0: it cannot be told. */
static int read_own_number(int dir, int tid)
{
	char path[32], status[STATUS_MAX];
	const char *at;
	int number = 0;

	snprintf(path, sizeof(path), "%d/status", tid);
	read_once(dir, path, status, sizeof(status));
	at = strstr(status, "\nNSpid:");
	at = at && strchr(at + 1, '\n') ? at + strlen("\nNSpid:") : "";
	while (*at == '\t')
		number = (int)strtol(at + 1, (char **)&at, 10);
	return number;
}

void namespaces_begin(struct namespaces *ns)
{
	*ns = (struct namespaces){.own = read_namespace(AT_FDCWD, "/proc/self/ns/pid")};
}

void namespaces_look(struct namespaces *ns, int dir, struct row *row)
{
	if (!ns->own)
		return;
	if (ns->pid != row->pid) {
		ns->pid = row->pid;
		ns->at = read_namespace(dir, "../ns/pid");
	}
	if (!ns->at || ns->at == ns->own)
		return;
	row->pid_ns = ns->at;
	row->ns_tid = read_own_number(dir, row->tid);
}
