/*
 * What the store uses now, counted from /proc by one shell line in the guest: processes, threads, open
 * descriptors, locks, and memory that is theirs alone. The rig's own processes are left out, and those of the
 * line itself.
 */
#include "run/bed/bed_vm_core.h"

#include "base/json.h"
#include "run/rig_programs.h"

#include <stdio.h>
#include <string.h>

#define MEASURE_MS 30000
#define PIDS_MAX   4096

/* "-rwx ... /proc/12/exe -> /usr/sbin/x", "/proc/12/status:Threads: 1", "/proc/12/fd:" and names, locks. */
static const char line[] = "ls -l /proc/[0-9]*/exe 2>/dev/null; "
			   "grep -E '^(Threads|RssAnon):' /proc/[0-9]*/status 2>/dev/null; "
			   "ls /proc/[0-9]*/fd 2>/dev/null; "
			   "sed 's/^/lock /' /proc/locks; true";

struct count {
	int pids[PIDS_MAX]; /* of the store */
	size_t pid_count;
	int fd_pid; /* whose descriptors are being listed, 0: not the store's */
	long long threads, descriptors, locks, memory_kib;
};

static bool of_store(const char *exe)
{
	static const char *const not_theirs[] = {"/usr/bin/dash", "/usr/bin/ls", "/usr/bin/grep",
		"/usr/bin/sed", "/bin/dash", "/bin/ls", "/bin/grep", "/bin/sed"};

	for (size_t i = 0; i < ARRAY_SIZE(not_theirs); i++)
		if (!strcmp(exe, not_theirs[i]))
			return false;
	return !is_rig_program(exe);
}

static bool known(const struct count *count, int pid)
{
	for (size_t i = 0; i < count->pid_count; i++)
		if (count->pids[i] == pid)
			return true;
	return false;
}

static void add_line(struct count *count, const char *text)
{
	const char *at = strstr(text, "/proc/"), *exe = strstr(text, " -> ");
	long long value;
	int pid, end = 0;

	if (exe && at && sscanf(at, "/proc/%d/exe", &pid) == 1) {
		if (pid != 1 && of_store(exe + 4) && count->pid_count < PIDS_MAX)
			count->pids[count->pid_count++] = pid;
	} else if (sscanf(text, "/proc/%d/status:Threads: %lld", &pid, &value) == 2) {
		count->threads += known(count, pid) ? value : 0;
	} else if (sscanf(text, "/proc/%d/status:RssAnon: %lld", &pid, &value) == 2) {
		count->memory_kib += known(count, pid) ? value : 0;
	} else if (sscanf(text, "/proc/%d/fd:%n", &pid, &end) == 1 && end) {
		count->fd_pid = known(count, pid) ? pid : 0;
	} else if (sscanf(text, "lock %*d: %*s %*s %*s %d", &pid) == 1) {
		count->locks += known(count, pid);
	} else if (*text >= '0' && *text <= '9') {
		count->descriptors += count->fd_pid != 0;
	}
}

int vm_measure(struct bed *bed, json_t **ret, struct err *err)
{
	struct count *count = mem_zero(1, sizeof(*count));
	struct command_result result = {0};
	char *save = NULL, *text;
	int rc = bed->ops->run(bed, line, NULL, MEASURE_MS, false, &result, err);

	if (!rc && result.timed_out)
		rc = err_set(err, -ETIMEDOUT, "the guest's /proc could not be read in time");
	text = buf_steal(&result.output);
	for (char *at = rc ? NULL : strtok_r(text, "\n", &save); at;
		at = strtok_r(NULL, "\n", &save))
		add_line(count, at);
	if (!rc)
		*ret = json_pack("{sI sI sI sI sI}", "processes", (json_int_t)count->pid_count,
			"threads", (json_int_t)count->threads, "descriptors",
			(json_int_t)count->descriptors, "locks", (json_int_t)count->locks,
			"memory_kib", (json_int_t)count->memory_kib);
	free(text);
	free(count);
	return rc;
}
