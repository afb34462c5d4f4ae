/*
 * The sockets of the machine and their other ends: of unix sockets by sock_diag(7) (the module unix_diag),
 * of TCP and UDP sockets by /proc/net/tcp, tcp6, udp and udp6, where the two ends of a connection inside the
 * guest are two lines. A connection that nobody accepted has no inode on its far side; it is told by the
 * listening socket in whose queue it stands.
 */
#include "witness_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOWS_BYTES (32u << 10) /* of the table that are read at once */
#define DIAG_BYTES  (32u << 10)
#define ADDRESS_MAX 40
#define LOOKS_MAX   3 /* at the table of TCP, until no connection lacks an end */

/* A line of /proc/net/tcp. */
struct flow {
	char local[ADDRESS_MAX], remote[ADDRESS_MAX]; /* "0100007F:0019" */
	unsigned int state;
	int64_t queue; /* bytes not read; of a listening socket connections not accepted */
	uint64_t ino;
};

static struct sock *add_sock(struct sockets *all)
{
	if (all->count == SOCKETS_MAX)
		return NULL;
	all->at[all->count] = (struct sock){0};
	return &all->at[all->count++];
}

static int compare_socks(const void *a, const void *b)
{
	const struct sock *one = a, *two = b;

	return (one->ino > two->ino) - (one->ino < two->ino);
}

struct sock *sockets_find(const struct sockets *all, uint64_t ino)
{
	struct sock key = {.ino = ino};

	return all->count && ino ? bsearch(&key, all->at, all->count, sizeof(key), compare_socks)
				 : NULL;
}

/* ---- unix ---- */

/* Clients in the accept queues of unix sockets. */
struct pending {
	uint64_t client, listener;
};

struct pendings {
	struct pending at[256];
	size_t count;
};

static void read_icons(const struct rtattr *attr, uint64_t listener, struct pendings *pendings)
{
	const uint32_t *icons = RTA_DATA(attr);

	for (size_t i = 0; i < RTA_PAYLOAD(attr) / sizeof(*icons); i++)
		if (icons[i] && pendings->count < sizeof(pendings->at) / sizeof(pendings->at[0]))
			pendings->at[pendings->count++] = (struct pending){icons[i], listener};
}

/* A name in the abstract name space begins with a zero byte: written as @. */
void socket_name(const char *path, size_t len, char out[DOOR_MAX])
{
	len = len < DOOR_MAX - 1 ? len : DOOR_MAX - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = path[i] ? path[i] : '@';
	while (len > 1 && out[len - 1] == '@')
		len--;
	out[len] = '\0';
}

static void read_unix(
	const struct unix_diag_msg *msg, size_t len, struct sockets *all, struct pendings *pendings)
{
	const struct rtattr *attr = (const struct rtattr *)(msg + 1);
	struct sock *sock = add_sock(all);
	size_t left = len > sizeof(*msg) ? len - sizeof(*msg) : 0; /* RTA_OK() wants it so */

	if (!sock)
		return;
	sock->ino = msg->udiag_ino;
	sock->unix_domain = true;
	sock->datagrams = msg->udiag_type == SOCK_DGRAM;
	sock->listens = msg->udiag_state == TCP_LISTEN;
	sock->established = msg->udiag_state == TCP_ESTABLISHED;
	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == UNIX_DIAG_NAME)
			socket_name(RTA_DATA(attr), RTA_PAYLOAD(attr), sock->name);
		else if (attr->rta_type == UNIX_DIAG_PEER)
			sock->peer = *(const uint32_t *)RTA_DATA(attr);
		else if (attr->rta_type == UNIX_DIAG_RQLEN)
			*(sock->listens ? &sock->backlog : &sock->unread) =
				((const struct unix_diag_rqlen *)RTA_DATA(attr))->udiag_rqueue;
		else if (attr->rta_type == UNIX_DIAG_ICONS)
			read_icons(attr, sock->ino, pendings);
	}
}

/* True while there is more to come. */
static bool read_answers(
	const char *bytes, size_t len, struct sockets *all, struct pendings *pendings)
{
	const struct nlmsghdr *head = (const void *)bytes;

	for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
		if (head->nlmsg_type == NLMSG_ERROR)
			all->no_peers = true;
		if (head->nlmsg_type == NLMSG_ERROR || head->nlmsg_type == NLMSG_DONE)
			return false;
		if (head->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
			head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
			read_unix(NLMSG_DATA(head), head->nlmsg_len - NLMSG_HDRLEN, all, pendings);
	}
	return true;
}

static bool ask_unix(int fd)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.sdiag_family = AF_UNIX,
			.udiag_states = UINT32_MAX,
			.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS |
				      UDIAG_SHOW_RQLEN},
	};

	return send(fd, &ask, sizeof(ask), 0) == sizeof(ask);
}

static void add_unix(struct sockets *all, struct pendings *pendings)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	char *bytes = malloc(DIAG_BYTES);
	ssize_t n = 1;

	if (!bytes)
		abort();
	all->no_peers = fd < 0 || !ask_unix(fd);
	while (!all->no_peers && n > 0) {
		n = recv(fd, bytes, DIAG_BYTES, 0);
		if (n > 0 && !read_answers(bytes, (size_t)n, all, pendings))
			break;
	}
	free(bytes);
	if (fd >= 0)
		close(fd);
}

/* ---- TCP ---- */

/* Of tcp6: an IPv4 address inside an IPv6 one becomes what /proc/net/tcp would write. */
static void plain_address(char address[ADDRESS_MAX])
{
	static const char mapped[] = "0000000000000000FFFF0000";

	if (!strncmp(address, mapped, strlen(mapped)))
		memmove(address, address + strlen(mapped), strlen(address + strlen(mapped)) + 1);
}

static bool read_flow(const char *line, struct flow *ret)
{
	unsigned long long queue, ino;

	if (sscanf(line, " %*u: %39s %39s %x %*x:%llx %*s %*s %*s %*s %llu", ret->local,
		    ret->remote, &ret->state, &queue, &ino) != 5)
		return false;
	ret->queue = (int64_t)queue;
	ret->ino = ino;
	plain_address(ret->local);
	plain_address(ret->remote);
	return true;
}

/* A connection that has ended but for its number, of which a busy machine has thousands. By hand, as they are many. */
static bool is_over(const char *line)
{
	for (int field = 0; field < 3; field++) {
		line += strspn(line, " ");
		line += strcspn(line, " ");
	}
	return strtoul(line, NULL, 16) == TCP_TIME_WAIT;
}

static size_t read_lines(char *text, size_t *len, struct flow *flows, size_t count)
{
	char *line = text, *end;

	for (; (end = memchr(line, '\n', *len - (size_t)(line - text))); line = end + 1) {
		*end = '\0';
		if (count < SOCKETS_MAX && !is_over(line))
			count += read_flow(line, &flows[count]);
	}
	*len -= (size_t)(line - text);
	memmove(text, line, *len);
	return count;
}

static size_t read_flows(const char *path, char *text, struct flow *flows, size_t count)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && len < FLOWS_BYTES) {
		n = read(fd, text + len, FLOWS_BYTES - len);
		len += n > 0 ? (size_t)n : 0;
		count = read_lines(text, &len, flows, count);
	}
	if (fd >= 0)
		close(fd);
	return count;
}

static int compare_flows(const void *a, const void *b)
{
	const struct flow *one = a, *two = b;
	int order = strcmp(one->local, two->local);

	return order ? order : strcmp(one->remote, two->remote);
}

static const struct flow *find_flow(
	const struct flow *flows, size_t count, const char *local, const char *remote)
{
	struct flow key = {0};

	snprintf(key.local, sizeof(key.local), "%s", local);
	snprintf(key.remote, sizeof(key.remote), "%s", remote);
	return bsearch(&key, flows, count, sizeof(key), compare_flows);
}

/* The listening socket of an address "0100007F:0019", itself or the wildcard. */
static uint64_t listener_of(const struct flow *flows, size_t count, const char *address)
{
	const char *port = strchr(address, ':');

	for (size_t i = 0; port && i < count; i++) {
		const char *own = strchr(flows[i].local, ':');

		if (flows[i].state == TCP_LISTEN && own && !strcmp(own, port) &&
			(!strcmp(flows[i].local, address) ||
				strspn(flows[i].local, "0") >= (size_t)(own - flows[i].local)))
			return flows[i].ino;
	}
	return 0;
}

/* An address of the guest itself: of the loop, or the near end of some connection. */
static bool is_own(const struct flow *flows, size_t count, const char *address)
{
	size_t len = strcspn(address, ":");

	if (len == 8 && !strncmp(address + 6, "7F", 2))
		return true;
	for (size_t i = 0; i < count; i++)
		if (!strncmp(flows[i].local, address, len + 1))
			return true;
	return false;
}

/* "0100007F:0019" as "127.0.0.1:25"; what is no IPv4 address stays as it is. */
static void name_address(const char *address, char *out, size_t size)
{
	unsigned int ip, port;

	if (strcspn(address, ":") == 8 && sscanf(address, "%8x:%x", &ip, &port) == 2)
		snprintf(out, size, "%u.%u.%u.%u:%u", ip & 255, ip >> 8 & 255, ip >> 16 & 255,
			ip >> 24, port);
	else
		snprintf(out, size, "%s", address);
}

static unsigned int port_of(const char *address)
{
	const char *colon = strchr(address, ':');

	return colon ? (unsigned int)strtoul(colon + 1, NULL, 16) : 0;
}

static void name_flow(const struct flow *flow, struct sock *sock)
{
	char local[48], remote[48];

	name_address(flow->local, local, sizeof(local));
	name_address(flow->remote, remote, sizeof(remote));
	if (sock->listens)
		snprintf(sock->name, sizeof(sock->name), "%s", local);
	else
		snprintf(sock->name, sizeof(sock->name), "%s-%s", local, remote);
}

static void add_flow(
	struct sockets *all, const struct flow *flow, const struct flow *flows, size_t count)
{
	struct sock *sock = flow->ino ? add_sock(all) : NULL;
	const struct flow *mirror;

	if (!sock)
		return;
	sock->ino = flow->ino;
	sock->listens = flow->state == TCP_LISTEN;
	sock->established = flow->state == TCP_ESTABLISHED;
	sock->port = port_of(flow->local);
	name_flow(flow, sock);
	if (sock->listens) {
		sock->backlog = flow->queue;
		return;
	}
	sock->unread = flow->queue;
	mirror = find_flow(flows, count, flow->remote, flow->local);
	if (mirror && mirror->ino)
		sock->peer = mirror->ino;
	else if (mirror && mirror->state == TCP_ESTABLISHED)
		sock->accept = listener_of(flows, count, mirror->local);
	else if (!mirror && flow->state == TCP_SYN_SENT && is_own(flows, count, flow->remote))
		sock->accept = listener_of(flows, count, flow->remote); /* a full accept queue */
	else if (!mirror)
		sock->outside = !is_own(flows, count, flow->remote);
}

/* Who gets what is sent to `flow`'s other end: a socket that is bound there, connected to it or to nobody. */
static uint64_t datagram_peer(const struct flow *flows, size_t count, const struct flow *flow)
{
	const struct flow *mirror = find_flow(flows, count, flow->remote, flow->local);
	const char *port = strchr(flow->remote, ':');

	for (size_t i = 0; port && !mirror && i < count; i++) {
		const char *own = strchr(flows[i].local, ':');
		size_t len = own ? (size_t)(own - flows[i].local) : 0;

		if (own && flows[i].state != TCP_ESTABLISHED && !strcmp(own, port) &&
			(!strcmp(flows[i].local, flow->remote) ||
				strspn(flows[i].local, "0") >= len))
			mirror = &flows[i];
	}
	return mirror ? mirror->ino : 0;
}

static void add_datagrams(
	struct sockets *all, const struct flow *flow, const struct flow *flows, size_t count)
{
	struct sock *sock = flow->ino ? add_sock(all) : NULL;

	if (!sock)
		return;
	sock->ino = flow->ino;
	sock->datagrams = true;
	name_flow(flow, sock);
	if (flow->state != TCP_ESTABLISHED)
		return;
	sock->established = true;
	sock->peer = datagram_peer(flows, count, flow);
	sock->outside = !sock->peer && !is_own(flows, count, flow->remote);
}

/* The table is read in pieces, between which connections come and go: one inside the guest may lack its other end. */
static bool lacks_end(const struct flow *flows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (flows[i].state == TCP_ESTABLISHED && flows[i].ino &&
			!find_flow(flows, count, flows[i].remote, flows[i].local) &&
			is_own(flows, count, flows[i].remote))
			return true;
	return false;
}

/* Both families of a protocol, sorted by their ends, each given to `add`. */
static void add_flows(struct sockets *all, const char *ipv4, const char *ipv6,
	void (*add)(struct sockets *all, const struct flow *flow, const struct flow *flows,
		size_t count))
{
	struct flow *flows = malloc(SOCKETS_MAX * sizeof(*flows));
	char *text = malloc(FLOWS_BYTES);
	size_t count;
	int looks = add == add_flow ? LOOKS_MAX : 1;

	if (!flows || !text)
		abort();
	do {
		count = read_flows(ipv4, text, flows, 0);
		count = read_flows(ipv6, text, flows, count);
		qsort(flows, count, sizeof(*flows), compare_flows);
	} while (--looks && lacks_end(flows, count));
	for (size_t i = 0; i < count; i++)
		add(all, &flows[i], flows, count);
	free(text);
	free(flows);
}

/* ---- all ---- */

void sockets_read(struct sockets *ret)
{
	struct pendings *pendings = calloc(1, sizeof(*pendings));
	struct sock *client;

	*ret = (struct sockets){.at = malloc(SOCKETS_MAX * sizeof(*ret->at))};
	if (!ret->at || !pendings)
		abort();
	add_unix(ret, pendings);
	add_flows(ret, "/proc/net/tcp", "/proc/net/tcp6", add_flow);
	add_flows(ret, "/proc/net/udp", "/proc/net/udp6", add_datagrams);
	qsort(ret->at, ret->count, sizeof(*ret->at), compare_socks);
	for (size_t i = 0; i < pendings->count; i++)
		if ((client = sockets_find(ret, pendings->at[i].client)))
			client->accept = pendings->at[i].listener;
	free(pendings);
}

static bool same_door(const struct sock *sock, const struct sock *door)
{
	if (!door->listens || sock->unix_domain != door->unix_domain)
		return false;
	return sock->unix_domain ? !strcmp(sock->name, door->name) : sock->port == door->port;
}

/* A unix socket that was accepted has the name of the one that listens, though nobody may have that open any more; who
 * calls has a name but seldom. A TCP socket has its port. */
bool sockets_is_accepted(const struct sockets *all, const struct sock *sock)
{
	const struct sock *peer = sockets_find(all, sock->peer);

	if (sock->listens || sock->datagrams || !sock->name[0])
		return false;
	if (sock->unix_domain && peer && !peer->name[0])
		return true;
	for (size_t i = 0; i < all->count; i++)
		if (same_door(sock, &all->at[i]))
			return true;
	return false;
}

void sockets_free(struct sockets *sockets)
{
	free(sockets->at);
	*sockets = (struct sockets){0};
}
