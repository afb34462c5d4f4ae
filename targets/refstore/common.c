#include "common.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG	 128
#define WRITE_MS 600000
#define STACK	 (256u << 10)

/* Absent unless the process runs with a libfiu. */
extern int fiu_fail(const char *name) __attribute__((weak));

void mark(const char *point)
{
	if (fiu_fail)
		(void)fiu_fail(point);
}

/* ---- bytes ---- */

static void bytes_room(struct bytes *bytes, size_t more)
{
	size_t want = bytes->len + more + 1;

	if (want <= bytes->cap)
		return;
	bytes->cap = want > 2 * bytes->cap ? want : 2 * bytes->cap;
	bytes->data = realloc(bytes->data, bytes->cap);
	if (!bytes->data)
		abort();
}

void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
	bytes_room(bytes, len);
	if (len)
		memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
	bytes->data[bytes->len] = '\0';
}

void bytes_vaddf(struct bytes *bytes, const char *fmt, va_list args)
{
	va_list again;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (len < 0)
		abort();
	bytes_room(bytes, (size_t)len);
	vsnprintf(bytes->data + bytes->len, (size_t)len + 1, fmt, args);
	bytes->len += (size_t)len;
}

void bytes_addf(struct bytes *bytes, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	bytes_vaddf(bytes, fmt, args);
	va_end(args);
}

void bytes_free(struct bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct bytes){0};
}

void *must_zero(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

char *must_copy(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	return copy;
}

/* ---- connections ---- */

void conn_open(struct conn *conn, int fd)
{
	conn->fd = fd;
	conn->at = conn->len = 0;
}

void conn_close(struct conn *conn)
{
	if (conn->fd >= 0)
		close(conn->fd);
	conn->fd = -1;
}

int conn_ready(struct conn *conn, int timeout_ms)
{
	struct pollfd wait = {.fd = conn->fd, .events = POLLIN};
	int rc;

	if (conn->at < conn->len)
		return 1;
	do
		rc = poll(&wait, 1, timeout_ms);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

static int fill(struct conn *conn, int timeout_ms)
{
	int rc = conn_ready(conn, timeout_ms);
	ssize_t n;

	if (rc <= 0)
		return rc ? rc : -ETIMEDOUT;
	if (conn->at < conn->len)
		return 0;
	n = recv(conn->fd, conn->in, sizeof(conn->in), 0);
	if (n <= 0)
		return n && errno == EINTR ? 0 : -ECONNRESET;
	conn->at = 0;
	conn->len = (size_t)n;
	return 0;
}

int conn_line(struct conn *conn, char *line, size_t size, int timeout_ms)
{
	size_t len = 0;

	for (;;) {
		int rc = fill(conn, timeout_ms);

		if (rc)
			return rc;
		while (conn->at < conn->len) {
			char c = conn->in[conn->at++];

			if (c == '\n') {
				if (len && line[len - 1] == '\r')
					len--;
				line[len] = '\0';
				return (int)len;
			}
			if (len + 1 >= size)
				return -E2BIG;
			line[len++] = c;
		}
	}
}

int conn_read(struct conn *conn, void *data, size_t len, int timeout_ms)
{
	char *out = data;

	while (len) {
		int rc = fill(conn, timeout_ms);
		size_t n = conn->len - conn->at;

		if (rc)
			return rc;
		n = n < len ? n : len;
		memcpy(out, conn->in + conn->at, n);
		conn->at += n;
		out += n;
		len -= n;
	}
	return 0;
}

int conn_write(struct conn *conn, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		struct pollfd wait = {.fd = conn->fd, .events = POLLOUT};
		ssize_t n = send(conn->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (poll(&wait, 1, WRITE_MS) == 0)
				return -ETIMEDOUT;
			continue;
		}
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int conn_printf(struct conn *conn, const char *fmt, ...)
{
	struct bytes text = {0};
	va_list args;
	int rc;

	va_start(args, fmt);
	bytes_vaddf(&text, fmt, args);
	va_end(args);
	rc = conn_write(conn, text.data, text.len);
	bytes_free(&text);
	return rc;
}

/* ---- listeners ---- */

static int bound(int fd, const struct sockaddr *address, socklen_t len)
{
	int yes = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, address, len) || listen(fd, BACKLOG)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

int listen_tcp(const char *host, int port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, host, &name.sin_addr) != 1)
		return -EINVAL;
	return bound(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&name,
		sizeof(name));
}

static int unix_name(const char *path, struct sockaddr_un *name)
{
	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(name->sun_path))
		return -ENAMETOOLONG;
	memcpy(name->sun_path, path, strlen(path));
	return 0;
}

int listen_unix(const char *path)
{
	struct sockaddr_un name;

	if (unix_name(path, &name))
		return -ENAMETOOLONG;
	unlink(path);
	return bound(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&name,
		sizeof(name));
}

int connect_unix(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un name;
	int rc = fd < 0 ? -errno : unix_name(path, &name);

	if (!rc && connect(fd, (struct sockaddr *)&name, sizeof(name)))
		rc = -errno;
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

int connect_tcp(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
	int fd, rc = 0;

	if (getaddrinfo(host, port, &hints, &list))
		return -EHOSTUNREACH;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen))
		rc = -errno;
	freeaddrinfo(list);
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

/* ---- services ---- */

struct serving {
	struct service service;
	pthread_mutex_t lock;
	pthread_cond_t room;
	unsigned int busy;
};

struct client {
	struct serving *serving;
	int fd;
};

static void *serve_client(void *arg)
{
	struct client *client = arg;
	struct serving *serving = client->serving;

	serving->service.serve(client->fd);
	free(client);
	pthread_mutex_lock(&serving->lock);
	serving->busy--;
	pthread_cond_signal(&serving->room);
	pthread_mutex_unlock(&serving->lock);
	return NULL;
}

static void *accept_clients(void *arg)
{
	struct serving *serving = arg;

	for (;;) {
		struct client *client;
		int fd;

		pthread_mutex_lock(&serving->lock);
		while (serving->busy >= serving->service.max)
			pthread_cond_wait(&serving->room, &serving->lock);
		serving->busy++;
		pthread_mutex_unlock(&serving->lock);
		do
			fd = accept4(serving->service.fd, NULL, NULL, SOCK_CLOEXEC);
		while (fd < 0);
		client = must_zero(sizeof(*client));
		*client = (struct client){serving, fd};
		start_thread_of(serve_client, client);
	}
	return NULL;
}

void service_start(const struct service *service)
{
	struct serving *serving = must_zero(sizeof(*serving));

	serving->service = *service;
	pthread_mutex_init(&serving->lock, NULL);
	pthread_cond_init(&serving->room, NULL);
	start_thread_of(accept_clients, serving);
}

/* ---- the rest ---- */

static const char *log_service = "refstore";

void log_open(const char *service)
{
	log_service = service;
	signal(SIGPIPE, SIG_IGN);
}

void say(const char *fmt, ...)
{
	struct timespec now;
	struct bytes text = {0};
	struct tm tm;
	char when[32];
	va_list args;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	bytes_addf(&text, "%s.%03ldZ %s[%d]: ", when, now.tv_nsec / 1000000, log_service,
		(int)getpid());
	va_start(args, fmt);
	bytes_vaddf(&text, fmt, args);
	va_end(args);
	bytes_add(&text, "\n", 1);
	(void)!write(STDERR_FILENO, text.data, text.len);
	bytes_free(&text);
}

const char *plain_address(const char *rcpt)
{
	return rcpt + (rcpt[0] == NEVER);
}

int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void start_thread_of(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, run, arg)) {
		say("fatal: cannot start a thread");
		abort();
	}
	pthread_attr_destroy(&attr);
}

uint32_t crc32_of(const void *data, size_t len)
{
	const unsigned char *at = data;
	uint32_t crc = ~0u;

	while (len--) {
		crc ^= *at++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
	}
	return ~crc;
}

void block_term(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

void wait_for_term(void)
{
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &got);
}
