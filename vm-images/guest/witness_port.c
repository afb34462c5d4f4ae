/*
 * The port and the main loop.
 *
 * A virtio port without a host is "readable" (read returns 0) and hung up for ever, so a level-triggered
 * loop would spin and one with a pause would poll. Edge-triggered epoll does neither: the driver wakes
 * the port's wait queue when data arrives, when a buffer was consumed and when the host comes or goes
 * (drivers/char/virtio_console.c: in_intr, out_intr, VIRTIO_CONSOLE_PORT_OPEN; Linux 6.1), and each wake
 * is one edge. Whether a host is there is never asked: a new one says so itself, by the reset mark.
 */
#include "witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_DIR	   "/sys/class/virtio-ports"
#define PORT_WAIT_S	   30
#define WRITE_MAX	   (16u << 10) /* the driver copies each write into one contiguous buffer */
#define READS_BEFORE_WRITE 16

static int epoll_fd = -1, wake_fd = -1, port_fd = -1, listen_fd = -1;
static unsigned int session;

static unsigned char *in;
static size_t in_len, mark_run;
static bool lost; /* the host's stream makes no sense: wait for the next mark */

static struct frame *going;
static size_t gone, mark_left;

/* ---- finding the port ---- */

static int open_named_port(void)
{
	DIR *dir = opendir(PORTS_DIR);
	char path[512], name[64];
	struct dirent *entry;
	int fd = -ENOENT;

	if (!dir)
		return -errno;
	while (fd == -ENOENT && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), PORTS_DIR "/%.128s/name", entry->d_name);
		if (read_small(AT_FDCWD, path, name, sizeof(name)) <= 0)
			continue;
		name[strcspn(name, "\n")] = '\0';
		if (strcmp(name, WITNESS_PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%.128s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			fd = -errno;
	}
	closedir(dir);
	return fd;
}

/* The driver makes the ports in the background: wait for the node in /dev. */
static int wait_for_port(void)
{
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), fd;
	int64_t deadline = guest_ns() + PORT_WAIT_S * NS_PER_SEC;
	struct pollfd p = {.fd = watch, .events = POLLIN};
	char events[4096];

	if (watch < 0 || inotify_add_watch(watch, "/dev", IN_CREATE | IN_ATTRIB) < 0)
		return -errno;
	while ((fd = open_named_port()) == -ENOENT) {
		if (poll(&p, 1, left_ms(deadline)) == 0)
			break;
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	close(watch);
	return fd;
}

static int watch(int fd, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static void send_hello(void)
{
	auto_out out = {0};

	event_begin(&out, "hello");
	hello_begin(&out);
	event_send(&out, DROP);
}

int port_open(const struct options *options, char *why, size_t size)
{
	int fd;

	in = malloc(4 + WITNESS_REQUEST_MAX);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fd = options->listen_fd >= 0 ? options->listen_fd : wait_for_port();
	if (!in || epoll_fd < 0 || wake_fd < 0 || fd < 0) {
		snprintf(why, size, "cannot open the port '" WITNESS_PORT_NAME "': %s",
			strerror(fd < 0 ? -fd : errno));
		return fd < 0 ? fd : -ENOMEM;
	}
	queue_init(wake_fd);
	watch(wake_fd, EPOLLIN);
	mark_left = WITNESS_RESET_BYTES;
	send_hello();
	if (options->listen_fd >= 0) {
		listen_fd = fd;
		return watch(fd, EPOLLIN);
	}
	port_fd = fd;
	return watch(fd, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* ---- in ---- */

/* Told like an answer, to this host alone: the next one has nothing to do with it. */
static void break_off(const char *why)
{
	auto_out out = {0};

	lost = true;
	event_begin(&out, "broken");
	out_text(&out, "error", why);
	out_close(&out, '}');
	queue_reply(&out, session);
}

static void reset(void)
{
	session = queue_new_session();
	lost = false;
	in_len = 0;
	if (going && !going->event) {
		frame_free(going);
		going = NULL;
	}
	gone = 0;
	mark_left = WITNESS_RESET_BYTES;
}

static void take_byte(unsigned char byte)
{
	size_t len;

	mark_run = byte == WITNESS_RESET_BYTE ? mark_run + 1 : 0;
	if (mark_run == WITNESS_RESET_MIN)
		reset();
	if (mark_run >= WITNESS_RESET_MIN || lost)
		return;
	in[in_len++] = byte;
	if (in_len < 4)
		return;
	len = witness_get_length(in);
	if (in_len == 4 && (!len || len > WITNESS_REQUEST_MAX) && len >> 24 != WITNESS_RESET_BYTE)
		break_off("a request of no length, or longer than the limit");
	if (in_len == 4 && len > WITNESS_REQUEST_MAX)
		lost = true; /* perhaps the begin of a mark that follows half a length */
	if (lost || in_len < 4 + len)
		return;
	if (byte == WITNESS_RESET_BYTE) {
		lost = true; /* no JSON ends so: the rest of a mark will follow */
		return;
	}
	if (!verbs_dispatch((char *)in + 4, len, session))
		break_off("a frame that is no request");
	in_len = 0;
}

static void hang_up(void)
{
	if (listen_fd < 0)
		return;
	close(port_fd);
	port_fd = -1;
	reset();
}

/* True if there may be more. */
static bool take_bytes(void)
{
	unsigned char bytes[4096];
	ssize_t n = read(port_fd, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		hang_up();
	for (ssize_t i = 0; i < n; i++)
		take_byte(bytes[i]);
	return n > 0 || (n < 0 && errno == EINTR);
}

/* ---- out ---- */

/* Bytes written, 0 if the port takes no more now. */
static size_t put(const void *bytes, size_t len)
{
	ssize_t n = write(port_fd, bytes, len < WRITE_MAX ? len : WRITE_MAX);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		hang_up();
	return n > 0 ? (size_t)n : 0;
}

static bool put_mark(void)
{
	static const char mark[WITNESS_RESET_BYTES] = "\xff\xff\xff\xff\xff\xff\xff\xff";
	size_t n = put(mark, mark_left);

	mark_left -= n;
	return n > 0;
}

static bool put_frame(void)
{
	size_t n;

	if (!going) {
		going = queue_take();
		gone = 0;
	}
	if (!going)
		return false;
	n = put(going->data + gone, going->len - gone);
	/* A hang-up inside put() resets: nothing of this frame has gone then. */
	if (port_fd < 0)
		return false;
	gone += n;
	if (gone == going->len) {
		frame_free(going);
		going = NULL;
	}
	return n > 0;
}

static void flush(void)
{
	while (port_fd >= 0 && (mark_left ? put_mark() : put_frame()))
		;
}

/* ---- the loop ---- */

static void serve_port(void)
{
	bool more = true;

	while (more && port_fd >= 0) {
		for (int i = 0; more && i < READS_BEFORE_WRITE && port_fd >= 0; i++)
			more = take_bytes();
		flush();
	}
}

static void accept_host(void)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (port_fd >= 0)
		hang_up();
	port_fd = fd;
	watch(fd, EPOLLIN | EPOLLOUT | EPOLLET);
}

void port_loop(void)
{
	struct epoll_event e;
	uint64_t count;

	for (;;) {
		if (epoll_wait(epoll_fd, &e, 1, -1) != 1)
			continue;
		if (e.data.fd == wake_fd && read(wake_fd, &count, sizeof(count)) > 0)
			flush();
		else if (e.data.fd == listen_fd)
			accept_host();
		else if (e.data.fd == port_fd)
			serve_port();
	}
}
