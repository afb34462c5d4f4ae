#include "vm/network.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "vm/network_tap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define SOCKET_NAME_MAX 100
#define LOOPBACK	"127.0.0.1"

/* slirp keeps 10.0.2.2 and .3 for itself, so servers have addresses of their own from .4 on. */
const struct network_name network_names[] = {
	{"rig", NETWORK_RIG_ADDRESS},
	{"lmtp.rig", "10.0.2.4"},
	{"sink.rig", "10.0.2.5"},
	{"mx.rig", "10.0.2.6"},
	{"dns.rig", "10.0.2.7"},
	{"relay.rig", "10.0.2.8"},
	{NULL, NULL},
};

struct service {
	uint16_t port;
	uint16_t forwarded; /* the loopback port; 0: not known yet */
};

struct network {
	enum network_kind kind;
	struct network_tap *tap;
	int dir_fd; /* of the machine's folder */
	pthread_mutex_t lock;
	struct service services[NETWORK_SERVICES_MAX];
	size_t service_count;
	struct network_server servers[NETWORK_SERVERS_MAX]; /* names are network_names[]'s */
	size_t server_count;
};

const char *network_kind_name(enum network_kind kind)
{
	static const char *const names[] = {
		[NETWORK_AUTO] = "auto", [NETWORK_TAP] = "tap", [NETWORK_USER] = "user"};

	return names[kind];
}

static const struct network_name *find_name(const char *name)
{
	for (const struct network_name *at = network_names; at->name; at++)
		if (!strcmp(at->name, name))
			return at;
	return NULL;
}

/* ---- which back-end ---------------------------------------------------------------------------- */

static int open_tap(struct network_tap **ret, struct err *err)
{
	const char *addresses[ARRAY_SIZE(network_names)];
	size_t count = 0;

	for (const struct network_name *at = network_names; at->name; at++)
		addresses[count++] = at->address;
	return network_tap_open(addresses, count, ret, err);
}

int network_probe(enum network_kind kind, struct err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool asked;
	static int answer;
	static struct err why;

	if (kind != NETWORK_TAP)
		return 0;
	pthread_mutex_lock(&lock);
	if (!asked) {
		struct network_tap *tap = NULL;

		answer = open_tap(&tap, &why);
		network_tap_close(tap);
		asked = true;
	}
	if (err)
		*err = why;
	pthread_mutex_unlock(&lock);
	return answer;
}

enum network_kind network_resolve(enum network_kind kind)
{
	const char *wish = getenv("MAILRIG_NETWORK");

	if (kind != NETWORK_AUTO)
		return kind;
	if (wish && !strcmp(wish, "user"))
		return NETWORK_USER;
	if (wish && !strcmp(wish, "tap"))
		return NETWORK_TAP;
	return network_probe(NETWORK_TAP, NULL) ? NETWORK_USER : NETWORK_TAP;
}

/* ---- QEMU's argument ---------------------------------------------------------------------------- */

static void socket_name(const struct network_server *server, char ret[SOCKET_NAME_MAX])
{
	snprintf(ret, SOCKET_NAME_MAX, "%s-%u.sock", server->name, server->port);
}

/* Quoted once for slirp's shell-like parser; commas are doubled for QEMU's option parser. */
static void add_relay(const struct network_spec *spec, const char *socket, struct buf *out)
{
	auto_free char *self = spec->relay ? NULL : realpath("/proc/self/exe", NULL);
	const char *program = spec->relay ? spec->relay : self ? self : "mailrig";

	buf_addc(out, '\'');
	for (; *program; program++)
		if (*program == '\'')
			buf_add_str(out, "'\\''");
		else if (*program == ',')
			buf_add_str(out, ",,");
		else
			buf_addc(out, *program);
	buf_addf(out, "' relay %s", socket);
}

static void add_user(const struct network_spec *spec, struct buf *out)
{
	buf_add_str(out, "user,id=net0,restrict=on,ipv6=off");
	for (size_t i = 0; i < spec->service_count; i++)
		buf_addf(out, ",hostfwd=tcp:" LOOPBACK ":0-" NETWORK_GUEST_ADDRESS ":%u",
			spec->services[i]);
	for (size_t i = 0; i < spec->server_count; i++) {
		char socket[SOCKET_NAME_MAX];

		socket_name(&spec->servers[i], socket);
		buf_addf(out, ",guestfwd=tcp:%s:%u-cmd:", find_name(spec->servers[i].name)->address,
			spec->servers[i].port);
		add_relay(spec, socket, out);
	}
}

void network_netdev(
	const struct network_spec *spec, enum network_kind kind, int tap_fd, struct buf *out)
{
	assert(kind != NETWORK_AUTO);
	if (kind == NETWORK_USER)
		add_user(spec, out);
	else if (tap_fd >= 0)
		buf_addf(out, "tap,id=net0,fd=%d", tap_fd);
	else
		buf_add_str(out, "tap,id=net0,ifname=tap0,script=no,downscript=no");
}

/* libslirp 4.7, src/state.c: of guestfwd only those with a character device behind are in the stream; ours
 * have none. */
void network_spare(enum network_kind kind, struct buf *out)
{
	assert(kind != NETWORK_AUTO);
	if (kind == NETWORK_USER)
		buf_add_str(out, "user,id=net0,restrict=on,ipv6=off");
}

int network_tap_fd(const struct network *network)
{
	return network->tap ? network_tap_device(network->tap) : -1;
}

static struct service *find_service(struct network *network, unsigned int port)
{
	for (size_t i = 0; i < network->service_count; i++)
		if (network->services[i].port == port)
			return &network->services[i];
	return NULL;
}

int network_learn(struct network *network, const char *info_usernet, struct err *err)
{
	size_t known = 0;

	if (network->kind != NETWORK_USER)
		return 0;
	pthread_mutex_lock(&network->lock);
	for (const char *line = info_usernet; line; line = strchr(line, '\n')) {
		unsigned int from, to;
		struct service *service;

		line += *line == '\n';
		if (sscanf(line, " TCP[HOST_FORWARD] %*d %*s %u %*s %u", &from, &to) != 2)
			continue;
		service = find_service(network, to);
		if (service && from && from <= UINT16_MAX) {
			service->forwarded = (uint16_t)from;
			known++;
		}
	}
	pthread_mutex_unlock(&network->lock);
	if (known < network->service_count)
		return err_set(err, -EPROTO, "QEMU forwards %zu of %zu ports", known,
			network->service_count);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------------ */

static void copy_spec(struct network *network, const struct network_spec *spec)
{
	assert(spec->service_count <= NETWORK_SERVICES_MAX);
	assert(spec->server_count <= NETWORK_SERVERS_MAX);
	for (size_t i = 0; i < spec->service_count; i++)
		network->services[network->service_count++].port = spec->services[i];
	for (size_t i = 0; i < spec->server_count; i++) {
		const struct network_name *name = find_name(spec->servers[i].name);

		assert(name); /* scenarios do not name them, the rig does */
		network->servers[network->server_count++] =
			(struct network_server){name->name, spec->servers[i].port};
	}
}

int network_open(
	const struct network_spec *spec, const char *dir, struct network **ret, struct err *err)
{
	struct network *network = mem_zero(1, sizeof(*network));
	int rc = 0;

	pthread_mutex_init(&network->lock, NULL);
	network->kind = network_resolve(spec->kind);
	copy_spec(network, spec);
	network->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (network->dir_fd < 0)
		rc = err_sys(err, errno, "cannot open '%s'", dir);
	else if (network->kind == NETWORK_TAP)
		rc = open_tap(&network->tap, err);
	if (rc) {
		network_close(network);
		return err_wrap(err, rc, "network '%s'", network_kind_name(spec->kind));
	}
	*ret = network;
	return 0;
}

void network_close(struct network *network)
{
	if (!network)
		return;
	network_tap_close(network->tap);
	cleanup_fd(&network->dir_fd);
	pthread_mutex_destroy(&network->lock);
	free(network);
}

enum network_kind network_kind(const struct network *network)
{
	return network->kind;
}

/* ---- connections ------------------------------------------------------------------------------------ */

static int wait_connected(int fd, int64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int code = 0, n;

	do {
		int left = deadline_left_ms(deadline_ns);

		n = poll(&p, 1, left);
		if (!n && !left)
			return -ETIMEDOUT;
	} while (!n || (n < 0 && errno == EINTR));
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len))
		return -errno;
	return -code;
}

static int connect_tap(struct network *network, uint16_t port, int64_t deadline_ns, struct err *err)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
	auto_close int fd = network_tap_socket(network->tap, err);
	int one = 1, keep, rc;

	if (fd < 0)
		return fd;
	inet_pton(AF_INET, NETWORK_GUEST_ADDRESS, &addr.sin_addr);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	rc = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	if (rc == -EINPROGRESS || rc == -EINTR)
		rc = wait_connected(fd, deadline_ns);
	if (rc)
		return err_sys(err, rc, "cannot connect to the guest's port %u", port);
	keep = fd;
	fd = -1;
	return keep;
}

int network_connect(struct network *network, uint16_t port, int64_t deadline_ns, struct err *err)
{
	struct service *service = find_service(network, port);
	uint16_t forwarded;

	if (!service)
		return err_set(err, -EINVAL, "port %u of the guest was not declared", port);
	if (network->kind == NETWORK_TAP)
		return connect_tap(network, port, deadline_ns, err);
	pthread_mutex_lock(&network->lock);
	forwarded = service->forwarded;
	pthread_mutex_unlock(&network->lock);
	if (!forwarded)
		return err_set(err, -ENOTCONN, "the guest's port %u is not forwarded yet", port);
	return io_connect_tcp(LOOPBACK, forwarded, deadline_ns, err);
}

static int listen_user(
	struct network *network, const struct network_server *server, struct err *err)
{
	char name[SOCKET_NAME_MAX];
	auto_free char *path = NULL;

	/* Through the folder's descriptor: the folder's own path may be too long for a socket. */
	socket_name(server, name);
	path = text_fmt("/proc/self/fd/%d/%s", network->dir_fd, name);
	return io_listen_unix(path, err);
}

int network_listen(struct network *network, const char *name, uint16_t port, struct err *err)
{
	for (size_t i = 0; i < network->server_count; i++) {
		const struct network_server *server = &network->servers[i];

		if (server->port != port || strcmp(server->name, name) != 0)
			continue;
		if (network->kind == NETWORK_TAP)
			return network_tap_listen(
				network->tap, find_name(name)->address, port, err);
		return listen_user(network, server, err);
	}
	return err_set(err, -EINVAL, "server '%s' port %u was not declared", name, port);
}
