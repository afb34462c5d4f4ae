#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "vm/network.h"
#include "vm/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define PATIENCE deadline_in_ms(10000)

static const uint16_t services[] = {25, 143};
static const struct network_server servers[] = {{"lmtp.rig", 24}, {"sink.rig", 25}};

static struct network_spec spec_of(enum network_kind kind)
{
	return (struct network_spec){.kind = kind,
		.services = services,
		.service_count = ARRAY_SIZE(services),
		.servers = servers,
		.server_count = ARRAY_SIZE(servers)};
}

static struct network *open_user(const char *dir)
{
	struct network_spec spec = spec_of(NETWORK_USER);
	struct network *network = NULL;

	CHECK_INT(network_open(&spec, dir, &network, NULL), 0);
	return network;
}

/* ---- the argument ------------------------------------------------------------------------------------ */

static void the_user_network_is_shut_but_for_what_was_declared(void)
{
	struct network_spec spec = spec_of(NETWORK_USER);
	auto_buf struct buf out = {0};

	spec.relay = "/opt/it's, here/mailrig";
	network_netdev(&spec, NETWORK_USER, -1, &out);
	CHECK_STR(buf_text(&out),
		"user,id=net0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-10.0.2.15:25,"
		"hostfwd=tcp:127.0.0.1:0-10.0.2.15:143,"
		"guestfwd=tcp:10.0.2.4:24-cmd:'/opt/it'\\''s,, here/mailrig' relay "
		"lmtp.rig-24.sock,"
		"guestfwd=tcp:10.0.2.5:25-cmd:'/opt/it'\\''s,, here/mailrig' relay "
		"sink.rig-25.sock");
}

static void the_tap_network_is_a_descriptor(void)
{
	struct network_spec spec = spec_of(NETWORK_TAP);
	auto_buf struct buf out = {0}, shown = {0};

	network_netdev(&spec, NETWORK_TAP, 7, &out);
	CHECK_STR(buf_text(&out), "tap,id=net0,fd=7");
	network_netdev(&spec, NETWORK_TAP, -1, &shown);
	CHECK_HAS(buf_text(&shown), "ifname=tap0");
}

static void the_environment_chooses_the_back_end(void)
{
	setenv("MAILRIG_NETWORK", "user", 1);
	CHECK_INT(network_resolve(NETWORK_AUTO), NETWORK_USER);
	CHECK_INT(network_resolve(NETWORK_TAP), NETWORK_TAP);
	setenv("MAILRIG_NETWORK", "tap", 1);
	CHECK_INT(network_resolve(NETWORK_AUTO), NETWORK_TAP);
	CHECK_INT(network_resolve(NETWORK_USER), NETWORK_USER);
	unsetenv("MAILRIG_NETWORK");
	CHECK_INT(network_resolve(NETWORK_AUTO),
		network_probe(NETWORK_TAP, NULL) ? NETWORK_USER : NETWORK_TAP);
	CHECK_INT(network_probe(NETWORK_AUTO, NULL), 0);
	CHECK_STR(network_kind_name(NETWORK_TAP), "tap");
}

/* ---- the forwards' ports ------------------------------------------------------------------------------- */

static const char info[] =
	"Hub -1 (net0):\r\n"
	"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
	"  TCP[HOST_FORWARD]  12       127.0.0.1 39155       10.0.2.15   143     0     0\r\n"
	"  TCP[ESTABLISHED]   14       127.0.0.1 39157       10.0.2.15    25     0     0\r\n"
	"  TCP[HOST_FORWARD]  13       127.0.0.1 %u       10.0.2.15    25     0     0\r\n";

static void a_connection_goes_to_the_port_that_qemu_chose(void)
{
	struct network *network = open_user(check_dir());
	uint16_t port = 0;
	auto_close int listener = io_listen_tcp("127.0.0.1", 0, &port, NULL);
	auto_free char *text = text_fmt(info, port);
	auto_close int fd = -1;
	struct err err = {0};

	CHECK_INT(network_connect(network, 25, PATIENCE, &err), -ENOTCONN);
	CHECK_INT(network_learn(network, text, &err), 0);
	fd = network_connect(network, 25, PATIENCE, &err);
	CHECK(fd >= 0);
	CHECK_INT(io_readable(listener, PATIENCE), 1);
	CHECK_INT(network_connect(network, 110, PATIENCE, &err), -EINVAL);
	CHECK_HAS(err.text, "110");
	network_close(network);
}

static void a_monitor_that_tells_nonsense_is_an_error(void)
{
	static const char *const rows[] = {"", "\n\n\n", "TCP[HOST_FORWARD]", "garbage",
		"  TCP[HOST_FORWARD]  12  127.0.0.1 39155  10.0.2.15 143 0 0\n",
		("  TCP[HOST_FORWARD]  12  127.0.0.1 0  10.0.2.15 143 0 0\n"
		 "  TCP[HOST_FORWARD]  12  127.0.0.1 70000  10.0.2.15 25 0 0\n")};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct network *network = open_user(check_dir());

		CHECK_INT(network_learn(network, rows[i], NULL), -EPROTO);
		network_close(network);
	}
}

/* ---- the rig's servers ---------------------------------------------------------------------------------- */

static void only_declared_servers_can_listen(void)
{
	struct network *network = open_user(check_dir());
	struct err err = {0};
	auto_close int fd = network_listen(network, "lmtp.rig", 24, &err);

	CHECK(fd >= 0);
	CHECK_INT(network_listen(network, "lmtp.rig", 25, &err), -EINVAL);
	CHECK_INT(network_listen(network, "../lmtp.rig", 24, &err), -EINVAL);
	network_close(network);
	network_close(NULL);
}

static void a_folder_with_a_long_path_can_listen_too(void)
{
	struct buf dir = {0};
	struct network *network;
	auto_close int fd = -1;

	buf_add_str(&dir, check_dir());
	for (int i = 0; i < 4; i++)
		buf_addf(&dir, "/%050d", i);
	CHECK_INT(fs_mkdir_p(buf_text(&dir), NULL), 0);
	network = open_user(buf_text(&dir));
	fd = network_listen(network, "sink.rig", 25, NULL);
	CHECK(fd >= 0);
	network_close(network);
	buf_free(&dir);
}

static void a_missing_folder_is_an_error(void)
{
	struct network_spec spec = spec_of(NETWORK_USER);
	struct network *network = NULL;
	struct err err = {0};

	CHECK_INT(network_open(&spec, "/nonexistent", &network, &err), -ENOENT);
	CHECK(!network);
	CHECK_HAS(err.text, "'/nonexistent'");
}

static void the_tap_network_opens_or_says_why_not(void)
{
	struct network_spec spec = spec_of(NETWORK_TAP);
	struct network *network = NULL;
	struct err err = {0};
	int rc = network_open(&spec, check_dir(), &network, &err), first, again;

	CHECK_INT(rc, network_probe(NETWORK_TAP, NULL));
	if (rc) {
		CHECK_HAS(err.text, "cannot ");
		check_skip("%s", err.text);
		return;
	}
	CHECK_INT(network_kind(network), NETWORK_TAP);
	CHECK(network_tap_fd(network) >= 0);
	CHECK_INT(network_learn(network, "anything", NULL), 0);
	first = network_listen(network, "lmtp.rig", 24, &err);
	CHECK(first >= 0);
	CHECK_INT(network_listen(network, "lmtp.rig", 24, &err), -EADDRINUSE);
	close(first);
	again = network_listen(network, "lmtp.rig", 24, &err);
	CHECK(again >= 0);
	close(again);
	/* No guest on the other side, so nobody answers ARP. */
	rc = network_connect(network, 25, deadline_in_ms(20), &err);
	CHECK(rc == -ETIMEDOUT || rc == -EHOSTUNREACH);
	network_close(network);
}

/* ---- the relay -------------------------------------------------------------------------------------------- */

/* A child that relays between its standard streams, our `*ret_end`, and `path`. */
static pid_t start_relay(const char *path, int *ret_end)
{
	char *argv[] = {"relay", (char *)(uintptr_t)path, NULL};
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	pid = fork();
	if (!pid) {
		dup2(ends[1], 0);
		dup2(ends[1], 1);
		close(ends[0]);
		close(ends[1]);
		_exit(cmd_relay(2, argv));
	}
	close(ends[1]);
	io_prepare(ends[0]);
	*ret_end = ends[0];
	return pid;
}

static int code_of(pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_relay_passes_both_ways_and_each_end_for_itself(void)
{
	auto_free char *path = path_join(check_dir(), "s");
	auto_free char *big = mem_zero(1 << 20, 1), *got = mem_zero(1 << 20, 1);
	auto_close int listener = io_listen_unix(path, NULL), end = -1, peer = -1;
	pid_t pid = start_relay(path, &end);
	char text[8] = {0};
	size_t sum = 0;
	ssize_t n;

	CHECK_INT(io_readable(listener, PATIENCE), 1);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK_INT(io_write_all(end, "ping", 4, PATIENCE, NULL), 0);
	CHECK_INT(io_read(peer, text, sizeof(text), PATIENCE), 4);
	CHECK_STR(text, "ping");
	shutdown(end, SHUT_WR);
	CHECK_INT(io_read(peer, text, sizeof(text), PATIENCE), 0);
	memset(big, 'x', 1 << 20);
	for (size_t sent = 0; sent < 1 << 20; sent += 1 << 16) { /* the other way is still open */
		CHECK_INT(io_write_all(peer, big + sent, 1 << 16, PATIENCE, NULL), 0);
		for (size_t want = sent + (1 << 16); sum < want; sum += (size_t)n) {
			n = io_read(end, got + sum, want - sum, PATIENCE);
			if (!CHECK(n > 0))
				break;
		}
	}
	CHECK(!memcmp(big, got, 1 << 20));
	close(peer);
	peer = -1;
	CHECK_INT(io_read(end, text, sizeof(text), PATIENCE), 0);
	CHECK_INT(code_of(pid), 0);
}

static void the_relay_ends_when_nobody_listens(void)
{
	auto_free char *path = path_join(check_dir(), "s");
	auto_close int end = -1;
	pid_t pid = start_relay(path, &end);
	char byte;

	CHECK_INT(io_read(end, &byte, 1, PATIENCE), 0);
	CHECK_INT(code_of(pid), 1);
	CHECK_INT(cmd_relay(1, (char *[]){"relay", NULL}), 64);
}

CHECK_MAIN(CHECK_CASE(the_user_network_is_shut_but_for_what_was_declared),
	CHECK_CASE(the_tap_network_is_a_descriptor),
	CHECK_CASE(the_environment_chooses_the_back_end),
	CHECK_CASE(a_connection_goes_to_the_port_that_qemu_chose),
	CHECK_CASE(a_monitor_that_tells_nonsense_is_an_error),
	CHECK_CASE(only_declared_servers_can_listen),
	CHECK_CASE(a_folder_with_a_long_path_can_listen_too),
	CHECK_CASE(a_missing_folder_is_an_error), CHECK_CASE(the_tap_network_opens_or_says_why_not),
	CHECK_CASE(the_relay_passes_both_ways_and_each_end_for_itself),
	CHECK_CASE(the_relay_ends_when_nobody_listens))
