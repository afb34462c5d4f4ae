/*
 * What the services of the reference store share: byte buffers, lines over sockets, listeners, the
 * text log and the marks for schedules.
 *
 * Thread context: any thread; a struct bytes or struct conn belongs to one thread at a time.
 * Errors: negative errno. Running out of memory ends the process (abort), as it must be seen.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_MAX_BYTES 8192u
#define MAIL_MAX_BYTES (16u << 20) /* one message */
#define ADDRESS_MAX    256u
/* Stands before the address of a recipient of whom no failure is to be told (RFC 3461, NOTIFY=NEVER), in the queue and
 * in the store: no address has this byte. */
#define NEVER	  '\001'
#define RCPTS_MAX 100u

struct bytes {
	char *data; /* owned; always ended by a NUL that is not counted */
	size_t len, cap;
};

void bytes_add(struct bytes *bytes, const void *data, size_t len);
void bytes_addf(struct bytes *bytes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bytes_vaddf(struct bytes *bytes, const char *fmt, va_list args)
	__attribute__((format(printf, 2, 0)));
void bytes_free(struct bytes *bytes); /* what it holds */

const char *plain_address(const char *rcpt); /* without NEVER */

void *must_zero(size_t size); /* zeroed memory, or abort */
char *must_copy(const char *text);

/* A buffered stream socket. conn_close() takes a conn that was never opened (fd -1). */
struct conn {
	int fd;
	size_t at, len;
	char in[16384];
};

void conn_open(struct conn *conn, int fd);
void conn_close(struct conn *conn);
/* One line without its CRLF or LF: its length, or -ECONNRESET at the end, -ETIMEDOUT, -E2BIG. */
int conn_line(struct conn *conn, char *line, size_t size, int timeout_ms);
int conn_read(struct conn *conn, void *data, size_t len, int timeout_ms); /* 0 or negative */
/* The next byte is there, or comes within the time: 1; 0: not; negative errno. */
int conn_ready(struct conn *conn, int timeout_ms);
int conn_write(struct conn *conn, const void *data, size_t len);
int conn_printf(struct conn *conn, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int listen_tcp(const char *host, int port); /* descriptor, or negative errno */
int listen_unix(const char *path);
int connect_unix(const char *path);
int connect_tcp(const char *host, const char *port);

/* Accept for ever; each connection is handed to `serve` on a thread of its own, at most `max` at once. */
struct service {
	const char *name;
	int fd;
	unsigned int max;
	void (*serve)(int fd); /* owns fd */
};
void service_start(const struct service *service);

/* One line to standard error with time, service and pid. */
void log_open(const char *service);
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

int64_t now_ms(void); /* monotonic */
void start_thread_of(void *(*run)(void *), void *arg);
uint32_t crc32_of(const void *data, size_t len);
void wait_for_term(void); /* SIGTERM, blocked for every thread by block_term() */
void block_term(void);

/*
 * A mark at a place where a schedule matters. libfiu's point of that name, if a libfiu is loaded;
 * otherwise nothing happens.
 */
void mark(const char *point);
