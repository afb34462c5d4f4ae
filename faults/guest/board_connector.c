#include "faults/guest/board_connector.h"

#include <errno.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG	    (1 << 20) /* bytes of events that wait for us */
#define MESSAGE_MAX 4096

static int ask(int fd)
{
	const enum proc_cn_mcast_op op = PROC_CN_MCAST_LISTEN;
	const struct cn_msg message = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = sizeof(op)};
	union {
		struct nlmsghdr head;
		char bytes[NLMSG_LENGTH(sizeof(message) + sizeof(op))];
	} ask = {.head = {.nlmsg_len = sizeof(ask.bytes), .nlmsg_type = NLMSG_DONE}};
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
	int size = BACKLOG;

	memcpy(NLMSG_DATA(&ask.head), &message, sizeof(message));
	memcpy((char *)NLMSG_DATA(&ask.head) + sizeof(message), &op, sizeof(op));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		send(fd, &ask, sizeof(ask.bytes), 0) < 0)
		return -errno;
	return 0;
}

int board_connector_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
	int rc = fd < 0 ? -errno : ask(fd);

	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}

static void tell(const struct nlmsghdr *head, board_connector_fn *fn)
{
	const struct cn_msg *message = NLMSG_DATA(head);
	struct proc_event event = {0};

	if (NLMSG_PAYLOAD(head, 0) < sizeof(*message) || message->len < sizeof(event) ||
		NLMSG_PAYLOAD(head, sizeof(*message)) < sizeof(event))
		return;
	memcpy(&event, message->data, sizeof(event));
	fn(&event);
}

void board_connector_read(int fd, board_connector_fn *fn, bool *ret_lost)
{
	union {
		struct nlmsghdr head;
		char bytes[MESSAGE_MAX];
	} in;
	ssize_t got;

	while ((got = recv(fd, &in, sizeof(in), MSG_DONTWAIT)) != 0) {
		size_t left = got > 0 ? (size_t)got : 0;

		if (got < 0 && errno == ENOBUFS)
			*ret_lost = true;
		else if (got < 0)
			return;
		for (struct nlmsghdr *head = &in.head; NLMSG_OK(head, left);
			head = NLMSG_NEXT(head, left))
			tell(head, fn);
	}
}
