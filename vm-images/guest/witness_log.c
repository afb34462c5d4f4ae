/*
 * The system log and the kernel's log. The log socket is always drained, by a thread of its own: a full
 * one stops every process that logs, and then the rig would be what hung the store. So here events may
 * be dropped (and are counted), but no sender ever waits for the host.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RECEIVE_BUFFER (8 << 20)
#define DATAGRAM_MAX   8192 /* of a longer one the rest is cut */
#define QUEUE_LENGTH   "4096\n"

void line_event(const char *path, const char *line, size_t len, enum when_full when_full)
{
	auto_out out = {0};

	event_begin(&out, "log");
	out_text(&out, "path", path);
	out_bytes(&out, "line", line, len < WITNESS_LINE_MAX ? len : WITNESS_LINE_MAX);
	event_send(&out, when_full);
}

/* RFC 3164 4.1.1: "<PRI>" in front. Returns where the text begins. */
static size_t priority(const char *text, size_t len, int *ret)
{
	size_t i = 1;
	int value = 0;

	*ret = -1;
	if (len < 3 || text[0] != '<')
		return 0;
	while (i < len && i < 5 && text[i] >= '0' && text[i] <= '9')
		value = value * 10 + (text[i++] - '0');
	if (i == 1 || i >= len || text[i] != '>')
		return 0;
	*ret = value;
	return i + 1;
}

static void datagram_event(const char *path, const char *text, size_t len, int pid)
{
	auto_out out = {0};
	size_t from;
	int pri;

	while (len && (text[len - 1] == '\n' || text[len - 1] == '\0'))
		len--;
	from = priority(text, len, &pri);
	len -= from;
	event_begin(&out, "log");
	out_text(&out, "path", path);
	out_bytes(&out, "line", text + from, len < WITNESS_LINE_MAX ? len : WITNESS_LINE_MAX);
	out_int(&out, "pid", pid);
	if (pri >= 0)
		out_int(&out, "priority", pri);
	event_send(&out, DROP);
}

static int sender_of(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	struct ucred cred = {0};

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	return cred.pid;
}

static int log_fd = -1;

static void *log_thread(void *arg)
{
	static char text[DATAGRAM_MAX];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;

	for (;;) {
		struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.room,
			.msg_controllen = sizeof(control.room)};
		ssize_t n = recvmsg(log_fd, &msg, MSG_CMSG_CLOEXEC);

		if (n >= 0)
			datagram_event(arg, text, (size_t)n, sender_of(&msg));
	}
	return NULL;
}

/* How many datagrams a socket takes is fixed when it is made, and is 10 by default. */
static void raise_queue_length(void)
{
	int fd = open("/proc/sys/net/unix/max_dgram_qlen", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, QUEUE_LENGTH, strlen(QUEUE_LENGTH));

	(void)n; /* without the right to: the default */
	if (fd >= 0)
		close(fd);
}

int log_start(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int size = RECEIVE_BUFFER, one = 1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	raise_queue_length();
	log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (log_fd < 0)
		return -errno;
	if (setsockopt(log_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(log_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(log_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	unlink(path);
	if (bind(log_fd, (struct sockaddr *)&addr, sizeof(addr)) || chmod(path, 0666))
		return -errno;
	return thread_start(log_thread, (void *)path) ? 0 : -EAGAIN;
}

/* ---- /dev/kmsg ---- */

static int kmsg_fd = -1;

/* "level,sequence,time,flags;text\n continuation" (Documentation/ABI/testing/dev-kmsg, Linux 6.1). Only
 * the kernel's own facility: what processes write there is no news. */
static void kmsg_event(char *record)
{
	unsigned long pri = strtoul(record, NULL, 10);
	char *text = strchr(record, ';');
	auto_out out = {0};

	if (!text || pri >> 3)
		return;
	event_begin(&out, "kernel");
	out_bytes(&out, "line", text + 1, strcspn(text + 1, "\n"));
	out_int(&out, "level", (int64_t)(pri & 7));
	event_send(&out, WAIT);
}

static void *kmsg_thread(void *arg)
{
	static char record[DATAGRAM_MAX + 1];

	(void)arg;
	for (;;) {
		ssize_t n = read(kmsg_fd, record, sizeof(record) - 1);

		/* EPIPE: records were overwritten; the next read goes on with the oldest there is. */
		if (n <= 0 && errno != EPIPE && errno != EINTR)
			return NULL;
		if (n <= 0)
			continue;
		record[n] = '\0';
		kmsg_event(record);
	}
}

int kmsg_start(void)
{
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC);
	if (kmsg_fd < 0 || lseek(kmsg_fd, 0, SEEK_END) < 0)
		return -errno;
	return thread_start(kmsg_thread, NULL) ? 0 : -EAGAIN;
}
