/*
 * What is left lying about, asked for without a shell: paths that should not be there, and what stands on a network
 * interface (rtnetlink(7), RTM_GETQDISC; tc would be one more program with its libraries).
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QDISC_BYTES 16384
#define KIND_MAX    32

/* They are looked up in the request's thread: where a disk does not let it come back there is no answer, and the caller
 * says so. What cannot be told to be absent is there. */
void verb_there(const struct request *request)
{
	const json_t *paths = json_object_get(request->args, "paths"), *path;
	struct stat stat;
	auto_out out = {0};
	size_t i;

	answer_begin(&out, request);
	out_open(&out, "there", '[');
	json_array_foreach (paths, i, path) {
		const char *text = json_string_value(path);

		if (text && (!lstat(text, &stat) || (errno != ENOENT && errno != ENOTDIR)))
			out_text(&out, NULL, text);
	}
	out_close(&out, ']');
	answer_send(&out, request);
}

static void read_kind(const struct tcmsg *msg, size_t len, struct out *out)
{
	struct rtattr *attr = TCA_RTA(msg);
	int left = (int)(len - NLMSG_ALIGN(sizeof(*msg)));
	char kind[KIND_MAX];

	for (; RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type != TCA_KIND)
			continue;
		snprintf(kind, sizeof(kind), "%.*s", (int)RTA_PAYLOAD(attr),
			(const char *)RTA_DATA(attr));
		out_text(out, NULL, kind);
	}
}

/* 1: there is more to come. 0: that was all. -1: the kernel does not tell. */
static int read_qdiscs(const char *bytes, size_t len, int index, struct out *out)
{
	const struct nlmsghdr *head = (const void *)bytes;

	for (; NLMSG_OK(head, len); head = NLMSG_NEXT(head, len)) {
		const struct tcmsg *msg = NLMSG_DATA(head);

		if (head->nlmsg_type == NLMSG_ERROR)
			return -1;
		if (head->nlmsg_type == NLMSG_DONE)
			return 0;
		if (head->nlmsg_type == RTM_NEWQDISC &&
			head->nlmsg_len >= NLMSG_LENGTH(sizeof(*msg)) && msg->tcm_ifindex == index)
			read_kind(msg, head->nlmsg_len - NLMSG_HDRLEN, out);
	}
	return 1;
}

static bool ask_qdiscs(int fd)
{
	struct {
		struct nlmsghdr head;
		struct tcmsg msg;
	} ask = {.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = RTM_GETQDISC,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	return send(fd, &ask, sizeof(ask), 0) == sizeof(ask);
}

static bool add_qdiscs(int index, struct out *out)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), more = 1;
	char bytes[QDISC_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));

	if (fd < 0 || !ask_qdiscs(fd))
		more = -1;
	while (more > 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		more = n > 0 ? read_qdiscs(bytes, (size_t)n, index, out) : -1;
	}
	if (fd >= 0)
		close(fd);
	return !more;
}

void verb_link(const struct request *request)
{
	const char *name = request_text(request, "name");
	unsigned int index = strchr(name, '/') ? 0 : if_nametoindex(name);
	char path[64], carrier[8] = "";
	auto_out out = {0};
	bool known;

	answer_begin(&out, request);
	snprintf(path, sizeof(path), "/sys/class/net/%.32s/carrier", name);
	if (index)
		read_once(AT_FDCWD, path, carrier, sizeof(carrier));
	out_bool(&out, "carrier", carrier[0] == '1');
	out_open(&out, "qdiscs", '[');
	known = index && add_qdiscs((int)index, &out);
	out_close(&out, ']');
	if (known)
		answer_send(&out, request);
	else
		answer_error(request, "the link '%.32s' could not be asked", name);
}
