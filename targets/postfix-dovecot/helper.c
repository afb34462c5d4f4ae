/*
 * Three services that Postfix asks on the way of a mail, as a site has them: a content filter, a policy service, and
 * the directory of recipients. Each is a program of its own, made from this file with another ASKED; all say yes, so
 * what they are for is to be dead or silent (faults). One process each, all connections in one loop; it becomes a
 * daemon once it listens, so whoever starts it need not wait.
 *
 *	filter		the milter protocol, version 6, of Sendmail's libmilter (mfdef.h): asked for each sender and
 *			at the end of each mail
 *	policy		Postfix, SMTPD_POLICY_README: asked for each recipient
 *	directory	Postfix, socketmap_table(5), netstrings: asked whether a recipient exists; USER, USER+BOX,
 *			either with @store, is a line "USER OK" of /etc/postfix/recipients
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS_MAX   128
#define REQUEST_MAX 16384
#define RECIPIENTS  "/etc/postfix/recipients"

struct conn {
	int fd;
	size_t len;
	char bytes[REQUEST_MAX + 1];
};

static bool answer(struct conn *conn, const void *bytes, size_t len)
{
	return send(conn->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool answer_text(struct conn *conn, const char *text)
{
	return answer(conn, text, strlen(text));
}

/*
 * What a service does with the bytes that came: answers the first whole request and returns its length; 0: none is
 * whole yet; -1: the connection is done.
 */
static ssize_t take_policy(struct conn *conn)
{
	const char *end = memmem(conn->bytes, conn->len, "\n\n", 2);

	if (!end)
		return 0;
	return answer_text(conn, "action=DUNNO\n\n") ? end + 2 - conn->bytes : -1;
}

/* ---- the milter protocol: length, command, data ---- */

#define MILTER_VERSION 6
/* Only sender and end are wanted: SMFIP_NOCONNECT NOHELO NORCPT NOBODY NOHDRS NOEOH NOUNKNOWN NODATA. */
#define MILTER_SKIPS (0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200)

static bool negotiate(struct conn *conn)
{
	struct {
		uint32_t len;
		unsigned char command;
		uint32_t version, actions, skips;
	} __attribute__((packed))
	reply = {htonl(13), 'O', htonl(MILTER_VERSION), htonl(0), htonl(MILTER_SKIPS)};

	return answer(conn, &reply, sizeof(reply));
}

static ssize_t take_milter(struct conn *conn)
{
	static const char go_on[] = {0, 0, 0, 1, 'c'};
	uint32_t len;
	bool well = true;

	if (conn->len < 5)
		return 0;
	memcpy(&len, conn->bytes, 4);
	len = ntohl(len);
	if (!len || len > REQUEST_MAX - 4)
		return -1;
	if (conn->len < 4 + (size_t)len)
		return 0;
	switch (conn->bytes[4]) {
	case 'O':
		well = negotiate(conn);
		break;
	case 'A': /* abort */
	case 'D': /* macros */
	case 'K': /* another client on this connection */
		break;
	case 'Q':
		return -1;
	default:
		well = answer(conn, go_on, sizeof(go_on));
	}
	return well ? (ssize_t)len + 4 : -1;
}

/* ---- socketmap: a netstring "MAP KEY" ---- */

static bool is_recipient(const char *key)
{
	const char *domain = strchr(key, '@');
	size_t len = strcspn(key, "+@"); /* Postfix takes no extension off for a map of this kind */
	bool found = false;
	char line[256];
	FILE *file;

	if (domain && strcmp(domain, "@store") != 0)
		return false;
	file = fopen(RECIPIENTS, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = strcspn(line, " ") == len && !strncasecmp(line, key, len);
	if (file)
		fclose(file);
	return found;
}

static ssize_t take_socketmap(struct conn *conn)
{
	char *colon = memchr(conn->bytes, ':', conn->len), *key, *after;
	size_t len, all;

	if (!colon)
		return conn->len < 8 ? 0 : -1;
	len = strtoul(conn->bytes, NULL, 10);
	all = (size_t)(colon + 1 - conn->bytes) + len + 1;
	if (len > REQUEST_MAX || all > REQUEST_MAX)
		return -1;
	if (conn->len < all)
		return 0;
	after = colon + 1 + len;
	*after = '\0'; /* the comma */
	key = strchr(colon + 1, ' ');
	if (!key)
		return -1;
	return answer_text(conn, is_recipient(key + 1) ? "5:OK OK," : "9:NOTFOUND ,") ? (ssize_t)all
										      : -1;
}

static const struct service {
	const char *name;
	uint16_t port;
	ssize_t (*take)(struct conn *conn);
} services[] = {
	{"filter", 2525, take_milter},
	{"policy", 2526, take_policy},
	{"directory", 2527, take_socketmap},
};

/* ---- connections ---- */

static struct conn *conns[CONNS_MAX];
static size_t conn_count;

static void hang_up(size_t at)
{
	close(conns[at]->fd);
	free(conns[at]);
	conns[at] = conns[--conn_count];
}

static void welcome(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct conn *conn = fd < 0 || conn_count == CONNS_MAX ? NULL : calloc(1, sizeof(*conn));

	if (conn) {
		conn->fd = fd;
		conns[conn_count++] = conn;
	} else if (fd >= 0) {
		close(fd);
	}
}

static bool serve(const struct service *service, struct conn *conn)
{
	ssize_t got = recv(conn->fd, conn->bytes + conn->len, REQUEST_MAX - conn->len, 0), taken;

	if (got <= 0)
		return false;
	conn->len += (size_t)got;
	while (conn->len && (taken = service->take(conn)) != 0) {
		if (taken < 0 || (size_t)taken > conn->len)
			return false;
		conn->len -= (size_t)taken;
		memmove(conn->bytes, conn->bytes + taken, conn->len);
	}
	return conn->len < REQUEST_MAX;
}

static void live(const struct service *service, int listener)
{
	for (;;) {
		struct pollfd waits[CONNS_MAX + 1] = {{listener, POLLIN, 0}};
		size_t count = conn_count;

		for (size_t i = 0; i < count; i++)
			waits[i + 1] = (struct pollfd){conns[i]->fd, POLLIN, 0};
		if (poll(waits, count + 1, -1) < 0)
			continue;
		/* From the end: the last takes the place of whoever hangs up. */
		for (size_t i = count; i > 0; i--)
			if (waits[i].revents && !serve(service, conns[i - 1]))
				hang_up(i - 1);
		if (waits[0].revents)
			welcome(listener);
	}
}

static int listen_at(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, CONNS_MAX))
		return -1;
	return fd;
}

int main(void)
{
	const struct service *service = NULL;
	int listener;

	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (!strcmp(services[i].name, ASKED))
			service = &services[i];
	listener = service ? listen_at(service->port) : -1;
	if (listener < 0) {
		perror(ASKED ": cannot listen");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	if (daemon(0, 0))
		return 1;
	live(service, listener);
}
