/*
 * One HTTP/1.1 GET (RFC 9112), for probes of web mail. The answer's body is counted, not kept.
 * Moments: "http/get" before it is sent, "http/get/reply" when the status line is in.
 * Outcome: OK = 2yz or 3yz; NO = 4yz, 5yz or never sent; MAYBE = sent and no whole answer.
 */
#pragma once

#include "mail/mail.h"

#define HTTP_HEADERS_MAX 200
#define HTTP_BODY_MAX	 (16u << 20)

struct http_result {
	enum mail_outcome outcome;
	int status; /* 0: none */
	uint64_t body_bytes;
	int64_t sent_ns, reply_ns, end_ns; /* or MAIL_NOT_REACHED */
	char failure[MAIL_TEXT_MAX];
};

/* `fd` is consumed. `host` goes into the Host header, `path` begins with a slash. */
void http_get(int fd, const char *host, const char *path, const struct mail_opts *opts,
	struct http_result *ret);
