#include "mail/http.h"

#include "mail/line.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_LINE_MAX 16384
#define BODY_CHUNK	16384

/* The status of "HTTP/1.1 200 OK", or -EPROTO. */
static int status_of(const struct buf *line)
{
	const char *text = buf_text(line);
	int status;

	if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12 || text[8] != ' ')
		return -EPROTO;
	status = atoi(text + 9);
	return status >= 200 && status <= 599 ? status : -EPROTO;
}

/* Headers up to the empty line; the Content-Length, or -1 where none is told. */
static int headers(struct line *line, int64_t *ret_length)
{
	*ret_length = -1;
	for (size_t i = 0; i < HTTP_HEADERS_MAX; i++) {
		struct buf text auto_buf = {0};
		int rc = line_read(line, HEADER_LINE_MAX, &text);

		if (rc || !text.len)
			return rc;
		if (!strncasecmp(text.data, "Content-Length:", 15))
			*ret_length = strtoll(text.data + 15, NULL, 10);
	}
	return -EMSGSIZE;
}

/* Count the body: as long as announced, or until the server closes (we asked for that). */
static int body(struct line *line, int64_t length, uint64_t *ret_bytes)
{
	char chunk[BODY_CHUNK];

	while (length < 0 || *ret_bytes < (uint64_t)length) {
		ssize_t n = line_read_some(line, chunk, sizeof(chunk));

		if (n == -EPIPE && length < 0)
			return 0;
		if (n < 0)
			return (int)n;
		*ret_bytes += (uint64_t)n;
		if (*ret_bytes > HTTP_BODY_MAX)
			return -EMSGSIZE;
	}
	return 0;
}

static int answer(struct line *line, const struct mail_opts *opts, struct http_result *ret)
{
	struct buf text auto_buf = {0};
	int64_t length;
	int rc = line_read(line, HEADER_LINE_MAX, &text);

	if (rc)
		return rc;
	ret->reply_ns = mail_now(opts);
	rc = status_of(&text);
	if (rc < 0)
		return rc;
	ret->status = rc;
	if (mail_moment(opts, "http", "get/reply", NULL))
		return -ECANCELED;
	rc = headers(line, &length);
	return rc ? rc : body(line, length, &ret->body_bytes);
}

/* Request and answer; ret->outcome is set to MAYBE once the request is out. */
static int get(struct line *line, const char *host, const char *path, const struct mail_opts *opts,
	struct http_result *ret)
{
	int rc = mail_moment(opts, "http", "get", NULL) ? -ECANCELED : 0;

	line->deadline_ns = mail_reply_deadline(opts);
	if (!rc)
		rc = line_printf(line, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
			path, host);
	if (rc)
		return rc;
	ret->outcome = MAIL_MAYBE;
	ret->sent_ns = mail_now(opts);
	return answer(line, opts, ret);
}

void http_get(int fd, const char *host, const char *path, const struct mail_opts *opts,
	struct http_result *ret)
{
	struct line line;
	int rc;

	*ret = (struct http_result){
		.outcome = MAIL_NO,
		.sent_ns = MAIL_NOT_REACHED,
		.reply_ns = MAIL_NOT_REACHED,
		.end_ns = MAIL_NOT_REACHED,
	};
	line_open(&line, fd, opts->group);
	rc = get(&line, host, path, opts, ret);
	if (rc) {
		mail_failure(ret->failure, "GET", rc, opts);
		line_reset(&line);
		return;
	}
	ret->end_ns = mail_now(opts);
	ret->outcome = ret->status < 400 ? MAIL_OK : MAIL_NO;
	line_close(&line);
}
