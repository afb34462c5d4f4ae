/*
 * Who ends with a status that is not 0, again and again, begun by the same parent: what dies of no signal leaves
 * nothing but its log. The kernel is told by a filter to wake us for those exits alone.
 */
#include "witness.h"

#include "faults/guest/board_connector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAILING_MAX  64	  /* of whom it is counted at the same time */
#define FAILURES_MIN 3	  /* one or two are no news */
#define TELL_MS	     1000 /* how often one of them is told */

/* Where the fields of an event lie in what the kernel sends. */
#define EVENT_AT (NLMSG_HDRLEN + sizeof(struct cn_msg))
#define WHAT_AT	 (EVENT_AT + offsetof(struct proc_event, what))
#define CODE_AT	 (EVENT_AT + offsetof(struct proc_event, event_data.exit.exit_code))

struct failing {
	char comm[64];
	int ppid, status, count;
	int64_t told_ns, last_ns;
};

static struct failing failing[FAILING_MAX];

/* Its row, or that of whoever failed longest ago. */
static struct failing *failing_of(const char *comm, int ppid, int status)
{
	struct failing *oldest = failing;

	for (size_t i = 0; i < FAILING_MAX; i++) {
		struct failing *f = &failing[i];

		if (f->count && f->ppid == ppid && f->status == status && !strcmp(f->comm, comm))
			return f;
		if (f->last_ns < oldest->last_ns)
			oldest = f;
	}
	*oldest = (struct failing){.ppid = ppid, .status = status};
	snprintf(oldest->comm, sizeof(oldest->comm), "%s", comm);
	return oldest;
}

static void tell_failing(struct failing *f, int pid, int64_t lived_ms)
{
	struct task_stat parent;
	auto_out out = {0};
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", f->ppid);
	if (task_stat_read(AT_FDCWD, path, &parent))
		snprintf(parent.comm, sizeof(parent.comm), "?");
	event_begin(&out, "exited");
	out_int(&out, "pid", pid);
	out_text(&out, "comm", f->comm);
	out_int(&out, "status", f->status);
	out_int(&out, "ppid", f->ppid);
	out_text(&out, "parent", parent.comm);
	out_int(&out, "count", f->count);
	out_int(&out, "lived_ms", lived_ms);
	event_send(&out, DROP);
	f->told_ns = f->last_ns;
}

/* What we began ourselves are the rig's own commands. */
static void note_failure(const struct proc_event *event)
{
	const int pid = event->event_data.exit.process_tgid;
	const int ppid = event->event_data.exit.parent_tgid;
	const unsigned int code = event->event_data.exit.exit_code;
	const int64_t now_ns = guest_ns();
	struct task_stat stat;
	struct failing *f;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (event->what != PROC_EVENT_EXIT || event->event_data.exit.process_pid != pid ||
		code & 0x7f || !(code >> 8) || ppid == getpid() || ppid <= 0 ||
		task_stat_read(AT_FDCWD, path, &stat))
		return;
	f = failing_of(stat.comm, ppid, (int)(code >> 8 & 0xff));
	f->count++;
	f->last_ns = now_ns;
	if (f->count >= FAILURES_MIN && now_ns - f->told_ns >= TELL_MS * NS_PER_MS)
		tell_failing(f, pid,
			now_ns / NS_PER_MS - (int64_t)(stat.start * 1000) / sysconf(_SC_CLK_TCK));
}

static void *failures_thread(void *arg)
{
	struct pollfd pfd = {.fd = *(const int *)arg, .events = POLLIN};
	bool lost; /* then there is one the less to count */

	while (poll(&pfd, 1, -1) > 0 || errno == EINTR)
		board_connector_read(pfd.fd, note_failure, &lost);
	return NULL;
}

/* Exits with a code alone: of all the forks of a busy store we sleep through. */
static int filter_failures(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, WHAT_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_EXIT), 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CODE_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int failures_start(void)
{
	static int fd;
	int rc;

	fd = board_connector_open();
	if (fd < 0)
		return fd;
	rc = filter_failures(fd);
	if (!rc)
		rc = thread_start(failures_thread, &fd) ? 0 : -EAGAIN;
	if (rc)
		close(fd);
	return rc;
}
