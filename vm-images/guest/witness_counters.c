/*
 * System calls that ended with one errno, counted by the kernel: a performance event (perf_event_open(2)) on the
 * tracepoint raw_syscalls/sys_exit with a filter (Linux 6.1, Documentation/trace/events.rst). It needs nothing of
 * the programs, so it counts as well where the preload does not reach. The file system that names the tracepoint
 * is looked at without a mount that anybody sees.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The number of the tracepoint, or -errno. */
static int64_t look_up_tracepoint(void)
{
	char text[32] = "";
	ssize_t n = -1;
	int fs = fsopen("tracefs", FSOPEN_CLOEXEC), top = -1;

	if (fs >= 0 && !fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		top = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	n = top < 0 ? -errno
		    : read_small(top, "events/raw_syscalls/sys_exit/id", text, sizeof(text));
	if (fs >= 0)
		close(fs);
	if (top >= 0)
		close(top);
	return n <= 0 ? (n ? n : -ENOENT) : strtoll(text, NULL, 10);
}

/* It stays as long as the kernel runs: a counter for each thread of a store looks it up once. */
static int64_t tracepoint(void)
{
	static _Atomic int64_t known;

	if (known <= 0)
		known = look_up_tracepoint();
	return known;
}

int counter_open(int tid, int cpu, int errnum)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.disabled = 1, /* until it has its filter */
		.inherit = tid >= 0};
	int64_t point = tracepoint();
	char filter[32];
	int fd;

	if (point < 0)
		return (int)point;
	attr.config = (uint64_t)point;
	snprintf(filter, sizeof(filter), "ret == -%d", errnum);
	fd = (int)syscall(SYS_perf_event_open, &attr, tid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

uint64_t counter_read(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}
