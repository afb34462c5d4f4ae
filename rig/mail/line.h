/*
 * A buffered connection of lines, for text protocols (RFC 5321, 9051, 1939).
 *
 * Owns its descriptor from line_open() to line_close(). One thread uses it. Every call waits until
 * `deadline_ns`, which the user sets before each step. Failures are a negative errno without text:
 * -ETIMEDOUT, -EPIPE (end of stream), -EMSGSIZE (longer than the bound; the connection is then
 * useless), -ECANCELED (its group was cancelled), or what the system said.
 */
#pragma once

#include "base/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define LINE_MAX_BYTES 65536 /* of one line where the protocol gives no smaller bound */

/* Connections that can be ended together by another thread, for example when the cell ends. */
struct line_group {
	pthread_mutex_t lock;
	struct line *first;
	bool cancelled;
};

struct line_tls;

struct line {
	int fd;
	struct line_tls *tls; /* NULL: in the clear */
	bool open;	      /* a zeroed struct line is a closed one */
	int64_t deadline_ns;
	struct buf in;
	size_t at; /* of the first unread byte in `in` */
	struct line_group *group;
	struct line *prev, *next; /* in the group */
};

void line_group_init(struct line_group *group);
void line_group_cancel(struct line_group *group); /* all calls end with -ECANCELED, from now on */
void line_group_end(struct line_group *group);	/* the connections of now end; later ones do not */
void line_group_fini(struct line_group *group); /* all connections are closed by then */

void line_open(struct line *line, int fd, struct line_group *group); /* group may be NULL */
/* From here on in TLS, as its client: after the reply to STARTTLS. 0 or a negative errno, then it is useless. */
int line_start_tls(struct line *line);
void line_close(struct line *line); /* FIN; NULL and closed ones are fine */
void line_reset(struct line *line); /* RST where the descriptor is TCP */

/* Add a line of at most `max` bytes with its end to `out`; the end (CRLF or LF) is dropped. */
int line_read(struct line *line, size_t max, struct buf *out);
int line_read_raw(struct line *line, size_t max, struct buf *out); /* the end is kept */

/* 1 to `size` bytes that came, or a negative errno. */
ssize_t line_read_some(struct line *line, void *out, size_t size);

/* 1 when bytes are there (or the end), 0 at the deadline, or a negative errno. */
int line_readable(struct line *line);

/* All or an error; `*ret_done` (may be NULL) then says how many bytes went out. */
int line_write(struct line *line, const void *bytes, size_t len, size_t *ret_done);
int line_printf(struct line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
