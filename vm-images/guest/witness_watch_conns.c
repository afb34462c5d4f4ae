/*
 * The connections of a watch (witness_watch.c): a packet socket sees what the guest sends; what is new of it, or
 * the end, is told.
 */
#include "witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SENT_TEXT_MAX 200
#define PACKET_BYTES  2048
#define SOCKETS_TEXT  (256u << 10)

struct watched_conn {
	uint16_t port, peer_port;
	struct in_addr peer;
	uint32_t unacked; /* bytes that may be sent once more, from the first packet on */
	uint32_t next;	  /* sequence number up to which nothing is news, once `based` */
	bool based, known, closed;
	unsigned int told;
};

static struct {
	struct watched_conn at[WATCH_CONNS_MAX];
	size_t count;
	int fd;
} conns = {.fd = -1};

/* "10.0.2.2:40001" */
static bool parse_peer(const char *text, struct watched_conn *conn)
{
	char host[INET_ADDRSTRLEN];
	unsigned int port;

	if (sscanf(text, "%15[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX)
		return false;
	conn->peer_port = (uint16_t)port;
	return inet_pton(AF_INET, host, &conn->peer) == 1;
}

void watch_conns_take(const json_t *list)
{
	json_t *one;
	size_t i;

	conns.count = 0;
	json_array_foreach (list, i, one) {
		const char *peer = json_string_value(json_object_get(one, "peer"));
		struct watched_conn conn = {
			.port = (uint16_t)json_integer_value(json_object_get(one, "port"))};

		if (conns.count < WATCH_CONNS_MAX && peer && parse_peer(peer, &conn))
			conns.at[conns.count++] = conn;
	}
}

/* "  4: 0F02000A:0019 0202000A:AC62 01 00000000:00000000 ...": tx_queue is what is not acknowledged. */
static void read_unacked(const char *path, char *text)
{
	unsigned int port, peer, state, unacked;

	if (read_small(AT_FDCWD, path, text, SOCKETS_TEXT) <= 0)
		return;
	for (char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
		if (sscanf(line + 1, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%x %x %x:", &port, &peer,
			    &state, &unacked) != 4)
			continue;
		for (size_t i = 0; i < conns.count; i++)
			if (conns.at[i].port == port && conns.at[i].peer_port == peer) {
				conns.at[i].known = true;
				conns.at[i].unacked = unacked;
			}
	}
}

int watch_conns_open(void)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	char *text = malloc(SOCKETS_TEXT);

	if (!text)
		return -ENOMEM;
	/* Without the link layer's header; all protocols, as only those taps see what goes out. */
	conns.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (conns.fd < 0 || bind(conns.fd, (struct sockaddr *)&any, sizeof(any))) {
		free(text);
		return -errno;
	}
	read_unacked("/proc/net/tcp", text);
	read_unacked("/proc/net/tcp6", text);
	free(text);
	return conns.fd;
}

static void tell_sent(struct watched_conn *conn, const char *payload, size_t len, bool end)
{
	char peer[64], text[INET_ADDRSTRLEN];
	auto_out out = {0};

	if ((len ? conn->told >= WATCH_SENT_MAX : true) && (end ? conn->closed : true))
		return;
	conn->told += len > 0;
	conn->closed |= end;
	inet_ntop(AF_INET, &conn->peer, text, sizeof(text));
	snprintf(peer, sizeof(peer), "%s:%u", text, conn->peer_port);
	event_begin(&out, "sent");
	out_int(&out, "port", conn->port);
	out_text(&out, "peer", peer);
	out_int(&out, "bytes", (int64_t)len);
	out_bool(&out, "end", end);
	out_bytes(&out, "text", payload, len < SENT_TEXT_MAX ? len : SENT_TEXT_MAX);
	event_send(&out, WAIT);
}

/* What was sent before comes again, as nobody acknowledges it: that is no news. */
static bool is_news(struct watched_conn *conn, uint32_t seq, size_t len)
{
	uint32_t end = seq + (uint32_t)len;

	if (!conn->based)
		conn->next = seq + conn->unacked;
	conn->based = true;
	if ((int32_t)(end - conn->next) <= 0)
		return false;
	conn->next = end;
	return true;
}

static void look_at_packet(const char *bytes, size_t size)
{
	struct iphdr ip;
	struct tcphdr tcp;
	size_t at, begin, end;

	if (size < sizeof(ip))
		return;
	memcpy(&ip, bytes, sizeof(ip));
	at = ip.ihl * 4u;
	end = ntohs(ip.tot_len);
	if (ip.version != 4 || ip.protocol != IPPROTO_TCP || at + sizeof(tcp) > size)
		return;
	memcpy(&tcp, bytes + at, sizeof(tcp));
	begin = at + tcp.doff * 4u;
	if (begin > end)
		return;
	for (size_t i = 0; i < conns.count; i++) {
		struct watched_conn *conn = &conns.at[i];
		size_t len = end - begin, kept = begin < size ? size - begin : 0;

		if (ntohs(tcp.source) != conn->port || ntohs(tcp.dest) != conn->peer_port ||
			ip.daddr != conn->peer.s_addr || (!len && !tcp.fin && !tcp.rst))
			continue;
		if (tcp.rst || is_news(conn, ntohl(tcp.seq), len + tcp.fin))
			tell_sent(conn, bytes + begin, len < kept ? len : kept, tcp.fin || tcp.rst);
	}
}

void watch_conns_read(void)
{
	char bytes[PACKET_BYTES];
	struct sockaddr_ll from;
	socklen_t size = sizeof(from);
	ssize_t n;

	while ((n = recvfrom(conns.fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size)) >
		0) {
		if (from.sll_pkttype == PACKET_OUTGOING && from.sll_protocol == htons(ETH_P_IP))
			look_at_packet(bytes, (size_t)n);
		size = sizeof(from);
	}
}

void watch_conns_answer(struct out *out)
{
	out_open(out, "conns", '[');
	for (size_t i = 0; i < conns.count; i++)
		out_bool(out, NULL, conns.at[i].known);
	out_close(out, ']');
}
