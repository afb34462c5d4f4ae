#include "mail/line.h"

#include "base/clock.h"
#include "base/io.h"
#include "mail/line_tls.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define READ_CHUNK 16384

void line_group_init(struct line_group *group)
{
	*group = (struct line_group){0};
	pthread_mutex_init(&group->lock, NULL);
}

static void end_all(struct line_group *group, bool cancel)
{
	pthread_mutex_lock(&group->lock);
	group->cancelled |= cancel;
	for (struct line *line = group->first; line; line = line->next)
		shutdown(line->fd, SHUT_RDWR);
	pthread_mutex_unlock(&group->lock);
}

void line_group_cancel(struct line_group *group)
{
	end_all(group, true);
}

void line_group_end(struct line_group *group)
{
	end_all(group, false);
}

void line_group_fini(struct line_group *group)
{
	assert(!group->first);
	pthread_mutex_destroy(&group->lock);
}

static bool cancelled(const struct line *line)
{
	bool is = false;

	if (line->group) {
		pthread_mutex_lock(&line->group->lock);
		is = line->group->cancelled;
		pthread_mutex_unlock(&line->group->lock);
	}
	return is;
}

void line_open(struct line *line, int fd, struct line_group *group)
{
	*line = (struct line){.fd = fd, .open = true, .deadline_ns = CLOCK_NEVER, .group = group};
	io_prepare(fd);
	/* Requests and replies go out at once; fails on anything but TCP, which is fine. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	line->next = group->first;
	if (line->next)
		line->next->prev = line;
	group->first = line;
	if (group->cancelled)
		shutdown(fd, SHUT_RDWR);
	pthread_mutex_unlock(&group->lock);
}

/* Out of the group first: line_group_cancel() must never see a descriptor that is closed. */
static void leave_group(struct line *line)
{
	if (!line->group)
		return;
	pthread_mutex_lock(&line->group->lock);
	if (line->prev)
		line->prev->next = line->next;
	else
		line->group->first = line->next;
	if (line->next)
		line->next->prev = line->prev;
	pthread_mutex_unlock(&line->group->lock);
	line->group = NULL;
}

void line_close(struct line *line)
{
	if (!line || !line->open)
		return;
	leave_group(line);
	line->open = false;
	line_tls_close(line->tls);
	line->tls = NULL;
	cleanup_fd(&line->fd);
	buf_free(&line->in);
	line->at = 0;
}

void line_reset(struct line *line)
{
	struct linger now = {.l_onoff = 1};

	if (line && line->open)
		setsockopt(line->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	line_close(line);
}

int line_start_tls(struct line *line)
{
	int rc;

	if (!line->open)
		return -EPIPE;
	buf_consume(&line->in, line->in.len); /* said in the clear behind the reply: nobody's */
	line->at = 0;
	rc = line_tls_open(&line->tls, line->fd, line->deadline_ns);
	return rc && cancelled(line) ? -ECANCELED : rc;
}

static size_t unread(const struct line *line)
{
	return line->in.len - line->at;
}

/* Wait for more bytes behind what is unread; 0 or a negative errno. */
static int fill(struct line *line)
{
	ssize_t n;

	if (!line->open)
		return -EPIPE;
	buf_consume(&line->in, line->at);
	line->at = 0;
	buf_reserve(&line->in, READ_CHUNK);
	n = line->tls ? line_tls_read(line->tls, line->in.data + line->in.len, READ_CHUNK,
				line->deadline_ns)
		      : io_read(line->fd, line->in.data + line->in.len, READ_CHUNK,
				line->deadline_ns);
	if (n > 0) {
		line->in.len += (size_t)n;
		line->in.data[line->in.len] = '\0';
		return 0;
	}
	if (cancelled(line))
		return -ECANCELED;
	return n < 0 ? (int)n : -EPIPE;
}

static void take(struct line *line, struct buf *out, size_t len)
{
	buf_add(out, line->in.data + line->at, len);
	line->at += len;
}

int line_read_raw(struct line *line, size_t max, struct buf *out)
{
	size_t looked = 0;

	for (;;) {
		size_t have = unread(line);
		const char *from = have ? line->in.data + line->at : NULL;
		const char *end = have > looked ? memchr(from + looked, '\n', have - looked) : NULL;
		int rc;

		if (end && (size_t)(end - from) < max) {
			take(line, out, (size_t)(end - from) + 1);
			return 0;
		}
		if (end || have >= max)
			return -EMSGSIZE;
		looked = have;
		rc = fill(line);
		if (rc)
			return rc;
	}
}

int line_read(struct line *line, size_t max, struct buf *out)
{
	int rc = line_read_raw(line, max, out);

	if (rc)
		return rc;
	out->data[--out->len] = '\0';
	if (out->len && out->data[out->len - 1] == '\r')
		out->data[--out->len] = '\0';
	return 0;
}

ssize_t line_read_some(struct line *line, void *out, size_t size)
{
	size_t n;
	int rc = unread(line) ? 0 : fill(line);

	if (rc)
		return rc;
	n = unread(line) < size ? unread(line) : size;
	memcpy(out, line->in.data + line->at, n);
	line->at += n;
	return (ssize_t)n;
}

int line_readable(struct line *line)
{
	int rc;

	if (unread(line))
		return 1;
	if (!line->open)
		return -EPIPE;
	rc = line->tls ? line_tls_readable(line->tls, line->deadline_ns)
		       : io_readable(line->fd, line->deadline_ns);
	return rc > 0 && cancelled(line) ? -ECANCELED : rc;
}

int line_write(struct line *line, const void *bytes, size_t len, size_t *ret_done)
{
	int rc;

	if (ret_done)
		*ret_done = 0;
	if (!line->open)
		return -EPIPE;
	if (line->tls) {
		/* Of records that did not go out whole the peer can read nothing. */
		rc = line_tls_write(line->tls, bytes, len, line->deadline_ns);
		if (!rc && ret_done)
			*ret_done = len;
	} else {
		rc = io_write_all(line->fd, bytes, len, line->deadline_ns, ret_done);
	}
	return rc && cancelled(line) ? -ECANCELED : rc;
}

int line_printf(struct line *line, const char *fmt, ...)
{
	struct buf text auto_buf = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	return line_write(line, text.data, text.len, NULL);
}
