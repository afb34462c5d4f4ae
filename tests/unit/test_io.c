#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define SOON deadline_in_ms(20000)

static void make_pair(int ends[2])
{
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	CHECK_INT(io_prepare(ends[0]), 0);
	CHECK_INT(io_prepare(ends[1]), 0);
}

static void reading_waits_until_the_deadline_and_no_longer(void)
{
	int ends[2];
	char byte;

	make_pair(ends);
	CHECK_INT(io_read(ends[0], &byte, 1, deadline_in_ms(10)), -ETIMEDOUT);
	CHECK_INT(io_readable(ends[0], deadline_in_ms(10)), 0);
	CHECK_INT(io_write_all(ends[1], "x", 1, SOON, NULL), 0);
	CHECK_INT(io_readable(ends[0], SOON), 1);
	CHECK_INT(io_read(ends[0], &byte, 1, deadline_in_ms(0)), 1); /* what is there is read */
	CHECK_INT(byte, 'x');
	close(ends[1]);
	CHECK_INT(io_read(ends[0], &byte, 1, SOON), 0);
	CHECK_INT(io_write_all(ends[0], "x", 1, SOON, NULL), -EPIPE);
	close(ends[0]);
	CHECK_INT(io_read(ends[0], &byte, 1, SOON), -EBADF);
	CHECK_INT(io_prepare(ends[0]), -EBADF);
}

static void a_write_that_gets_stuck_says_how_far_it_came(void)
{
	static char big[4 << 20];
	size_t done = 0;
	int ends[2];

	make_pair(ends);
	CHECK_INT(io_write_all(ends[0], big, sizeof(big), deadline_in_ms(10), &done), -ETIMEDOUT);
	CHECK(done > 0 && done < sizeof(big));
	close(ends[0]);
	close(ends[1]);
}

static void *drain(void *arg)
{
	auto_free char *chunk = mem_zero(1, 65536);
	size_t total = 0;
	ssize_t n;

	while ((n = io_read(*(int *)arg, chunk, 65536, SOON)) > 0)
		total += (size_t)n;
	return (void *)total;
}

static void a_large_write_goes_out_whole_while_the_peer_reads(void)
{
	static char big[4 << 20];
	pthread_t reader;
	void *total = NULL;
	int ends[2];

	make_pair(ends);
	pthread_create(&reader, NULL, drain, &ends[1]);
	CHECK_INT(io_write_all(ends[0], big, sizeof(big), SOON, NULL), 0);
	close(ends[0]);
	pthread_join(reader, &total);
	CHECK_INT((size_t)total, sizeof(big));
	close(ends[1]);
}

static void tcp_connects_to_numbers_only(void)
{
	struct err err = {0};
	uint16_t port = 0;
	int listener = io_listen_tcp("127.0.0.1", 0, &port, &err), fd;

	CHECK(listener >= 0);
	CHECK(port > 0);
	fd = io_connect_tcp("127.0.0.1", port, SOON, &err);
	CHECK(fd >= 0);
	CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK_INT(io_listen_tcp("127.0.0.1", port, NULL, &err), -EADDRINUSE);
	close(fd);
	/* Out of LISTEN, and still its port: nobody else can be given it meanwhile. */
	CHECK_INT(shutdown(listener, SHUT_RD), 0);
	CHECK_INT(io_connect_tcp("127.0.0.1", port, SOON, &err), -ECONNREFUSED);
	CHECK_HAS(err.text, "cannot connect to 127.0.0.1 port");
	CHECK_INT(io_connect_tcp("localhost", port, SOON, &err), -EINVAL);
	CHECK_STR(err.text, "'localhost' is no numeric IPv4 address");
	CHECK_INT(listen(listener, 1), 0);
	fd = io_connect_tcp("127.0.0.1", port, SOON, &err);
	CHECK(fd >= 0);
	close(fd);
	close(listener);
}

static void unix_sockets_replace_a_stale_one(void)
{
	auto_free char *path = path_join(check_dir(), "s");
	struct err err = {0};
	int listener = io_listen_unix(path, &err), fd;

	CHECK(listener >= 0);
	close(listener);
	CHECK_INT(io_connect_unix(path, SOON, &err), -ECONNREFUSED);
	listener = io_listen_unix(path, &err);
	CHECK(listener >= 0);
	fd = io_connect_unix(path, SOON, &err);
	CHECK(fd >= 0);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	close(listener);
}

static void a_full_backlog_is_waited_for_until_the_deadline(void)
{
	auto_free char *path = path_join(check_dir(), "s");
	struct err err = {0};
	int listener = io_listen_unix(path, &err), fds[4096], n = 0, last = 0;

	while (n < 4096 && (last = io_connect_unix(path, deadline_in_ms(20), &err)) >= 0)
		fds[n++] = last;
	CHECK(n > 1);
	CHECK_INT(last, -ETIMEDOUT);
	while (n)
		close(fds[--n]);
	close(listener);
}

static void a_socket_path_that_is_too_long_is_refused(void)
{
	struct err err = {0};
	char path[200];

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	CHECK_INT(io_connect_unix(path, SOON, &err), -ENAMETOOLONG);
	CHECK_INT(io_listen_unix(path, &err), -ENAMETOOLONG);
	CHECK_HAS(err.text, "is longer than 107 bytes");
}

static void deadlines_add_up(void)
{
	CHECK_INT(deadline_in_ms(-1), CLOCK_NEVER);
	CHECK_INT(deadline_in_ms(INT64_MAX), CLOCK_NEVER);
	CHECK_INT(deadline_left_ms(CLOCK_NEVER), -1);
	CHECK_INT(deadline_left_ms(0), 0);
	CHECK_INT(deadline_left_ms(clock_mono_ns() - 1), 0);
	CHECK_INT(deadline_left_ms(CLOCK_NEVER - 1), INT_MAX);
	CHECK(deadline_left_ms(deadline_in_ms(60000)) <= 60000);
	CHECK(deadline_left_ms(deadline_in_ms(60000)) > 0);
	CHECK(deadline_left_ms(clock_mono_ns() + NS_PER_SEC) >= 1); /* rounded up, never early */
}

static void a_condition_waits_until_its_deadline(void)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond;
	int64_t deadline = deadline_in_ms(5);
	int rc = 0;

	cond_init(&cond);
	pthread_mutex_lock(&lock);
	while (!rc)
		rc = cond_wait(&cond, &lock, deadline);
	CHECK_INT(rc, -ETIMEDOUT);
	CHECK(clock_mono_ns() >= deadline);
	CHECK_INT(cond_wait(&cond, &lock, -5), -ETIMEDOUT);
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&cond);
}

CHECK_MAIN(CHECK_CASE(reading_waits_until_the_deadline_and_no_longer),
	CHECK_CASE(a_write_that_gets_stuck_says_how_far_it_came),
	CHECK_CASE(a_large_write_goes_out_whole_while_the_peer_reads),
	CHECK_CASE(tcp_connects_to_numbers_only), CHECK_CASE(unix_sockets_replace_a_stale_one),
	CHECK_CASE(a_full_backlog_is_waited_for_until_the_deadline),
	CHECK_CASE(a_socket_path_that_is_too_long_is_refused), CHECK_CASE(deadlines_add_up),
	CHECK_CASE(a_condition_waits_until_its_deadline))
