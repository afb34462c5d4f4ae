#include "diagnose/oom.h"

#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "Out of memory: Killed process 812 (imap) total-vm:20kB, anon-rss:10kB, file-rss:0kB, shmem-rss:0kB, ..." */
bool oom_read_killed(const char *line, struct oom_killed *ret)
{
	static const char *const keys[] = {"anon-rss:", "file-rss:", "shmem-rss:"};
	const char *at = strstr(line, "Killed process ");
	int pid;
	char name[OOM_NAME_SIZE];

	if (!at || !strstr(line, "ut of memory") ||
		sscanf(at, "Killed process %9d (%15[^)])", &pid, name) != 2 || pid <= 0)
		return false;
	ret->pid = pid;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->in_group = strstr(line, "Memory cgroup") != NULL;
	ret->rss_kib = 0;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *value = strstr(at, keys[i]);
		long long kib = value ? strtoll(value + strlen(keys[i]), NULL, 10) : 0;

		if (kib > 0 && kib < INT64_C(1) << 40)
			ret->rss_kib += kib;
	}
	return true;
}
