#include "vm/network_tap.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "vm/fd_pass.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ADDRESSES_MAX	 26 /* an alias is named by a letter */
#define REPLY_TIMEOUT_MS 10000
#define LISTEN_BACKLOG	 128
#define DEVICE		 "tap0"

/* The rig's side answers ARP with one address, the same in every clone, so that what a template's guest
 * has learnt stays true. */
static const unsigned char device_mac[6] = {0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};

struct network_tap {
	pid_t helper;
	int link; /* the rig's end of the helper's socket */
	int device;
	struct in_addr first; /* where connections come from */
	pthread_mutex_t lock; /* one question at a time */
};

/* A question to the helper; the answer is `struct answer` and, if code is 0, a descriptor. */
struct question {
	bool listens;
	struct in_addr address;
	uint16_t port; /* network order, 0: any */
};

enum step { STEP_NAMESPACE, STEP_TUN, STEP_DEVICE, STEP_ADDRESS, STEP_SOCKET, STEP_BIND };
static const char *const step_text[] = {
	[STEP_NAMESPACE] = "cannot make a network namespace",
	[STEP_TUN] = "cannot open '/dev/net/tun'",
	[STEP_DEVICE] = "cannot make a tap device",
	[STEP_ADDRESS] = "cannot give the tap device its address",
	[STEP_SOCKET] = "cannot make a socket in the namespace",
	[STEP_BIND] = "cannot listen in the namespace",
};

struct answer {
	int32_t code; /* negative errno */
	uint32_t step;
};

/* ---- the helper: forked from a process with threads, so async-signal-safe calls only -------------- */

static int make_namespace(void)
{
	if (!unshare(CLONE_NEWNET))
		return 0;
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) ? -errno : 0;
}

static int set_address(int sock, const char *label, struct in_addr address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, label, strlen(label));
	memcpy(&ifr.ifr_addr, &in, sizeof(in));
	if (ioctl(sock, SIOCSIFADDR, &ifr))
		return -errno;
	in.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&ifr.ifr_netmask, &in, sizeof(in));
	return ioctl(sock, SIOCSIFNETMASK, &ifr) ? -errno : 0;
}

static int bring_up(int sock)
{
	struct ifreq ifr = {.ifr_name = DEVICE};

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, device_mac, sizeof(device_mac));
	if (ioctl(sock, SIOCSIFHWADDR, &ifr))
		return -errno;
	memset(&ifr.ifr_hwaddr, 0, sizeof(ifr.ifr_hwaddr));
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) ? -errno : 0;
}

/* The host's own neighbour discovery would only be noise in every capture. */
static void no_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/" DEVICE "/disable_ipv6", O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : write(fd, "1", 1);

	(void)n; /* a host without IPv6 has no such file */
	if (fd >= 0)
		close(fd);
}

static int configure(const struct in_addr *addresses, size_t count)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char label[] = DEVICE ":\0\0";
	int rc = sock < 0 ? -errno : 0;

	no_ipv6();
	for (size_t i = 0; !rc && i < count; i++) {
		label[sizeof(DEVICE)] = (char)('a' + i); /* an alias per further address */
		rc = set_address(sock, i ? label : DEVICE, addresses[i]);
	}
	if (!rc)
		rc = bring_up(sock);
	if (sock >= 0)
		close(sock);
	return rc;
}

/* No IFF_VNET_HDR: without it QEMU offers the guest no offloads, as with the user back-end, so that the
 * device is the same and the capture holds real frames with real checksums. */
static int make_device(const struct in_addr *addresses, size_t count, struct answer *answer)
{
	struct ifreq ifr = {.ifr_name = DEVICE, .ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, rc;

	*answer = (struct answer){.step = STEP_NAMESPACE};
	rc = make_namespace();
	if (rc)
		return rc;
	answer->step = STEP_TUN;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	answer->step = STEP_DEVICE;
	if (ioctl(fd, TUNSETIFF, &ifr))
		return -errno;
	answer->step = STEP_ADDRESS;
	rc = configure(addresses, count);
	return rc ? rc : fd;
}

static int make_socket(const struct question *question, struct answer *answer)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr = question->address, .sin_port = question->port};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	*answer = (struct answer){.step = STEP_SOCKET};
	if (fd < 0)
		return -errno;
	answer->step = STEP_BIND;
	if (question->listens)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
		(question->listens && listen(fd, LISTEN_BACKLOG))) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

/* Send `answer`, with `fd` if that is none of an error. */
static bool send_answer(int link, struct answer *answer, int fd)
{
	answer->code = fd < 0 ? fd : 0;
	return fd_send(link, answer, sizeof(*answer), fd) == 0;
}

static _Noreturn void helper_main(int link, const struct in_addr *addresses, size_t count)
{
	struct answer answer;
	struct question question;
	int fd;

	setpgid(0, 0); /* Ctrl-C at the terminal is the rig's business */
	for (int sig = 1; sig < _NSIG; sig++)
		signal(sig, SIG_DFL);
	/* Nothing of the rig's may stay open because we live; keep the socket alone. */
	if (dup2(link, 0) || close_range(1, ~0u, 0))
		_exit(1);
	fd = make_device(addresses, count, &answer);
	if (!send_answer(0, &answer, fd) || fd < 0)
		_exit(1);
	close(fd); /* the device lives as long as the rig's copy and QEMU's */
	while (recv(0, &question, sizeof(question), 0) == sizeof(question)) {
		fd = make_socket(&question, &answer);
		if (!send_answer(0, &answer, fd))
			break;
		if (fd >= 0)
			close(fd);
	}
	_exit(0);
}

/* ---- the rig's side ------------------------------------------------------------------------------ */

/* The helper's next answer: its descriptor, or a negative errno with a sentence. */
static int read_answer(int link, struct err *err)
{
	struct answer answer = {0};
	int fd = -1;

	if (io_readable(link, deadline_in_ms(REPLY_TIMEOUT_MS)) <= 0)
		return err_set(err, -ETIMEDOUT, "the network's helper does not answer");
	if (fd_receive(link, &answer, sizeof(answer), &fd) != sizeof(answer))
		return err_set(err, -EPIPE, "the network's helper has died");
	if (answer.code)
		return err_sys(err, answer.code, "%s", step_text[answer.step]);
	assert(fd >= 0);
	return fd;
}

static int ask(struct network_tap *tap, const struct question *question, struct err *err)
{
	int rc;

	pthread_mutex_lock(&tap->lock);
	if (send(tap->link, question, sizeof(*question), MSG_NOSIGNAL) != sizeof(*question))
		rc = err_set(err, -EPIPE, "the network's helper has died");
	else
		rc = read_answer(tap->link, err);
	pthread_mutex_unlock(&tap->lock);
	return rc;
}

static int start_helper(
	struct network_tap *tap, const struct in_addr *addresses, size_t count, struct err *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_sys(err, errno, "cannot make a socket pair");
	tap->link = ends[0];
	tap->helper = fork();
	if (!tap->helper)
		helper_main(ends[1], addresses, count);
	close(ends[1]);
	if (tap->helper < 0)
		return err_sys(err, errno, "cannot fork the network's helper");
	setpgid(tap->helper, tap->helper); /* either of us may be first */
	tap->device = read_answer(tap->link, err);
	return tap->device < 0 ? tap->device : 0;
}

int network_tap_open(
	const char *const *addresses, size_t count, struct network_tap **ret, struct err *err)
{
	struct in_addr numbers[ADDRESSES_MAX];
	struct network_tap *tap;
	int rc;

	assert(count && count <= ADDRESSES_MAX);
	for (size_t i = 0; i < count; i++)
		if (inet_pton(AF_INET, addresses[i], &numbers[i]) != 1)
			assert(!"address");
	tap = mem_zero(1, sizeof(*tap));
	*tap = (struct network_tap){.helper = -1, .link = -1, .device = -1, .first = numbers[0]};
	pthread_mutex_init(&tap->lock, NULL);
	rc = start_helper(tap, numbers, count, err);
	if (rc) {
		network_tap_close(tap);
		return rc;
	}
	*ret = tap;
	return 0;
}

void network_tap_close(struct network_tap *tap)
{
	if (!tap)
		return;
	cleanup_fd(&tap->device);
	cleanup_fd(&tap->link);
	if (tap->helper > 0)
		proc_end(tap->helper, 0);
	pthread_mutex_destroy(&tap->lock);
	free(tap);
}

int network_tap_device(const struct network_tap *tap)
{
	return tap->device;
}

int network_tap_socket(struct network_tap *tap, struct err *err)
{
	struct question question = {.address = tap->first};

	return ask(tap, &question, err);
}

int network_tap_listen(struct network_tap *tap, const char *address, uint16_t port, struct err *err)
{
	struct question question = {.listens = true, .port = htons(port)};
	int fd;

	if (inet_pton(AF_INET, address, &question.address) != 1)
		assert(!"address");
	fd = ask(tap, &question, err);
	return fd < 0 ? err_wrap(err, fd, "'%s' port %u", address, port) : fd;
}
