#include "vm/relay.h"

#include "base/clock.h"
#include "base/io.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define CHUNK 65536

/* One direction: bytes that were read and not written yet. */
struct way {
	int from, to;
	char bytes[CHUNK];
	size_t start, end;
	bool ended; /* `from` is at its end and all was written */
};

static bool way_read(struct way *way)
{
	ssize_t n = read(way->from, way->bytes, CHUNK);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	way->start = 0;
	way->end = (size_t)n;
	if (!n) {
		way->ended = true;
		/* The other side sees the end and may still answer. */
		if (shutdown(way->to, SHUT_WR))
			close(way->to);
	}
	return true;
}

static bool way_write(struct way *way)
{
	ssize_t n = write(way->to, way->bytes + way->start, way->end - way->start);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	way->start += (size_t)n;
	return true;
}

static bool way_go(struct way *way, const struct pollfd *p)
{
	if (!p->revents)
		return true;
	return way->start < way->end ? way_write(way) : way_read(way);
}

static struct pollfd way_wait(const struct way *way)
{
	if (way->ended)
		return (struct pollfd){.fd = -1};
	if (way->start < way->end)
		return (struct pollfd){.fd = way->to, .events = POLLOUT};
	return (struct pollfd){.fd = way->from, .events = POLLIN};
}

/* Until both directions have ended, or one failed. */
static int pump(struct way ways[2])
{
	while (!ways[0].ended || !ways[1].ended) {
		struct pollfd p[2] = {way_wait(&ways[0]), way_wait(&ways[1])};

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (!way_go(&ways[0], &p[0]) || !way_go(&ways[1], &p[1]))
			return 1;
	}
	return 0;
}

int cmd_relay(int argc, char **argv)
{
	static struct way ways[2];
	int sock;

	if (argc != 2)
		return 64;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	sock = io_connect_unix(argv[1], deadline_in_ms(10000), NULL);
	if (sock < 0 || io_prepare(STDIN_FILENO) || io_prepare(STDOUT_FILENO))
		return 1;
	ways[0] = (struct way){.from = STDIN_FILENO, .to = sock};
	ways[1] = (struct way){.from = sock, .to = STDOUT_FILENO};
	return pump(ways);
}
