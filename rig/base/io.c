#include "base/io.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define LISTEN_BACKLOG 128

int io_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	return 0;
}

static int wait_for(int fd, short events, int64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int n = poll(&p, 1, deadline_left_ms(deadline_ns));

		if (n > 0)
			return 1;
		if (n == 0 && deadline_left_ms(deadline_ns) == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int io_readable(int fd, int64_t deadline_ns)
{
	return wait_for(fd, POLLIN, deadline_ns);
}

ssize_t io_read(int fd, void *out, size_t size, int64_t deadline_ns)
{
	for (;;) {
		ssize_t n = read(fd, out, size);
		int rc;

		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		rc = wait_for(fd, POLLIN, deadline_ns);
		if (rc <= 0)
			return rc ? rc : -ETIMEDOUT;
	}
}

int io_write_all(int fd, const void *bytes, size_t len, int64_t deadline_ns, size_t *done)
{
	const char *at = bytes;
	size_t sent = 0;
	int rc = 0;

	while (sent < len && rc >= 0) {
		ssize_t n = write(fd, at + sent, len - sent);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			rc = wait_for(fd, POLLOUT, deadline_ns);
			if (rc == 0)
				rc = -ETIMEDOUT;
		} else if (errno != EINTR) {
			rc = -errno;
		}
	}
	if (done)
		*done = sent;
	return rc < 0 ? rc : 0;
}

static int finish_connect(int fd, int64_t deadline_ns)
{
	socklen_t len = sizeof(int);
	int code = 0, rc = wait_for(fd, POLLOUT, deadline_ns);

	if (rc <= 0)
		return rc ? rc : -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len))
		return -errno;
	return -code;
}

static int connect_to(const struct sockaddr *addr, socklen_t len, int64_t deadline_ns)
{
	auto_close int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc, keep;

	if (fd < 0)
		return -errno;
	rc = connect(fd, addr, len) ? -errno : 0;
	if (rc == -EINPROGRESS || rc == -EINTR)
		rc = finish_connect(fd, deadline_ns);
	if (rc)
		return rc;
	keep = fd;
	fd = -1;
	return keep;
}

/*
 * A non-blocking connect() to a unix socket whose backlog is full fails with EAGAIN and gives
 * nothing to poll for; a blocking one waits, for at most SO_SNDTIMEO (unix(7), net/unix/af_unix.c).
 */
static int connect_unix(const struct sockaddr_un *addr, int64_t deadline_ns)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc, keep;

	if (fd < 0)
		return -errno;
	do {
		int left = deadline_left_ms(deadline_ns);
		struct timeval limit = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

		if (left < 0)
			limit = (struct timeval){0}; /* none */
		else if (!left)
			limit.tv_usec = 1;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
		rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	} while (rc == -EINTR);
	if (!rc)
		rc = io_prepare(fd);
	if (rc)
		return rc == -EAGAIN ? -ETIMEDOUT : rc;
	keep = fd;
	fd = -1;
	return keep;
}

static int unix_address(const char *path, struct sockaddr_un *addr, struct err *err)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(addr->sun_path))
		return err_set(err, -ENAMETOOLONG, "socket path '%s' is longer than %zu bytes",
			path, sizeof(addr->sun_path) - 1);
	strcpy(addr->sun_path, path);
	return 0;
}

int io_connect_unix(const char *path, int64_t deadline_ns, struct err *err)
{
	struct sockaddr_un addr;
	int fd, rc = unix_address(path, &addr, err);

	if (rc)
		return rc;
	fd = connect_unix(&addr, deadline_ns);
	return fd < 0 ? err_sys(err, fd, "cannot connect to '%s'", path) : fd;
}

static int inet_address(const char *host, uint16_t port, struct sockaddr_in *addr, struct err *err)
{
	*addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
	if (inet_pton(AF_INET, host, &addr->sin_addr) != 1)
		return err_set(err, -EINVAL, "'%s' is no numeric IPv4 address", host);
	return 0;
}

int io_connect_tcp(const char *host, uint16_t port, int64_t deadline_ns, struct err *err)
{
	struct sockaddr_in addr;
	int fd, one = 1, rc = inet_address(host, port, &addr, err);

	if (rc)
		return rc;
	fd = connect_to((struct sockaddr *)&addr, sizeof(addr), deadline_ns);
	if (fd < 0)
		return err_sys(err, fd, "cannot connect to %s port %u", host, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int reusable_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

int io_listen_tcp(const char *host, uint16_t port, uint16_t *ret_port, struct err *err)
{
	auto_close int fd = reusable_socket(), picker = port ? -1 : reusable_socket();
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	int keep, rc = inet_address(host, port, &addr, err);

	if (rc)
		return rc;
	if (fd < 0 || (!port && picker < 0))
		return err_sys(err, errno, "cannot make a socket");
	if (!port && (bind(picker, (struct sockaddr *)&addr, len) ||
			     getsockname(picker, (struct sockaddr *)&addr, &len)))
		return err_sys(err, errno, "cannot find a port on %s", host);
	if (bind(fd, (struct sockaddr *)&addr, len) || listen(fd, LISTEN_BACKLOG))
		return err_sys(err, errno, "cannot listen on %s port %u", host, port);
	if (ret_port)
		*ret_port = ntohs(addr.sin_port);
	keep = fd;
	fd = -1;
	return keep;
}

int io_listen_unix(const char *path, struct err *err)
{
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr;
	int keep, rc = unix_address(path, &addr, err);

	if (rc)
		return rc;
	if (fd < 0)
		return err_sys(err, errno, "cannot make a socket");
	unlink(path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, LISTEN_BACKLOG))
		return err_sys(err, errno, "cannot listen on '%s'", path);
	keep = fd;
	fd = -1;
	return keep;
}
