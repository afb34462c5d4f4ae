#include "tests/zoo/scarce_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define APPEND_MAX 4096

void scarce_descriptors(int more)
{
	struct rlimit limit;
	int fd = zoo_open_file("spool");

	zoo_must(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = (rlim_t)(fd + more);
	close(fd);
	zoo_must(!setrlimit(RLIMIT_NOFILE, &limit));
}

void scarce_room(size_t bytes)
{
	const struct rlimit limit = {bytes, bytes};

	signal(SIGXFSZ, SIG_IGN);
	zoo_must(!setrlimit(RLIMIT_FSIZE, &limit));
}

bool scarce_append(int fd, size_t size)
{
	static const char text[APPEND_MAX];

	lseek(fd, 0, SEEK_END);
	if (write(fd, text, size) > 0)
		return true;
	zoo_must(errno == EFBIG);
	return false;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
}

int scarce_udp(int *ret_port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);

	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len) &&
		 !getsockname(fd, (struct sockaddr *)&addr, &len));
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

int scarce_dead_port(void)
{
	int port;

	close(scarce_udp(&port));
	return port;
}

void scarce_send(int fd, int port)
{
	const struct sockaddr_in addr = loopback(port);

	zoo_must(sendto(fd, "?", 1, 0, (const struct sockaddr *)&addr, sizeof(addr)) == 1);
}

bool scarce_answered(int fd, int timeout_ms)
{
	struct pollfd answer = {.fd = fd, .events = POLLIN};
	char text;

	return poll(&answer, 1, timeout_ms) == 1 && recv(fd, &text, 1, 0) == 1;
}
