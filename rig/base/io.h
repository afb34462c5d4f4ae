/*
 * Blocking I/O with a deadline, for descriptors of any kind (sockets, pipes, ttys). Descriptors are
 * made non-blocking by io_prepare() once; every call then waits in poll(2) until `deadline_ns`.
 * SIGPIPE is ignored process-wide by main(); a closed peer is -EPIPE or -ECONNRESET.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

int io_prepare(int fd); /* O_NONBLOCK and FD_CLOEXEC */

/* Bytes read (0 = end of stream), or -ETIMEDOUT, or another negative errno. */
ssize_t io_read(int fd, void *out, size_t size, int64_t deadline_ns);

/* All or an error; `*done` (may be NULL) then says how many bytes went out. */
int io_write_all(int fd, const void *bytes, size_t len, int64_t deadline_ns, size_t *done);

/* Wait until readable: 1, or 0 at the deadline, or a negative errno. */
int io_readable(int fd, int64_t deadline_ns);

int io_connect_unix(
	const char *path, int64_t deadline_ns, struct err *err); /* fd or negative errno */

/* `host` is a numeric address: the rig never resolves names. fd or negative errno. */
int io_connect_tcp(const char *host, uint16_t port, int64_t deadline_ns, struct err *err);

/* Listen on a numeric address; port 0 picks a free one, `*ret_port` says which; it is bound by number too, so that
 * Linux leaves it to the socket when shutdown(SHUT_RD) takes it out of LISTEN, until listen() puts it back. fd or
 * negative errno. */
int io_listen_tcp(const char *host, uint16_t port, uint16_t *ret_port, struct err *err);

int io_listen_unix(const char *path, struct err *err); /* removes a stale socket of that name */
