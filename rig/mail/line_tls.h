/*
 * TLS under a line (mail/line.h), for the client: OpenSSL between two buffers in memory, so that every wait on the
 * descriptor stays ours, with its deadline. Whatever certificate the store shows is taken: who it is is known.
 * For line.c alone.
 */
#pragma once

#include "mail/line.h"

struct line_tls;

/* The handshake: 0 or a negative errno; -EPROTO what the store sends is no TLS, or it refuses. */
int line_tls_open(struct line_tls **ret, int fd, int64_t deadline_ns);
void line_tls_close(struct line_tls *tls); /* NULL is fine; tells the peer nothing */

/* Bytes, 0 at the end of the stream, or a negative errno. */
ssize_t line_tls_read(struct line_tls *tls, void *out, size_t size, int64_t deadline_ns);
/* 1 when a read would not wait, 0 at the deadline, or a negative errno. */
int line_tls_readable(struct line_tls *tls, int64_t deadline_ns);
/* All or an error. */
int line_tls_write(struct line_tls *tls, const void *bytes, size_t len, int64_t deadline_ns);
