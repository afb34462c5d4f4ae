#include "mail/line_tls.h"

#include "base/io.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#define CHUNK 16384

struct line_tls {
	SSL *ssl; /* owns both */
	BIO *in, *out;
	int fd;
	bool ended;
};

static SSL_CTX *context;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_context(void)
{
	context = SSL_CTX_new(TLS_client_method());
	if (!context)
		abort();
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
}

static struct line_tls *tls_new(int fd)
{
	struct line_tls *tls = mem_zero(1, sizeof(*tls));

	pthread_once(&once, make_context);
	tls->fd = fd;
	tls->ssl = SSL_new(context);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out)
		abort();
	SSL_set_bio(tls->ssl, tls->in, tls->out);
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void line_tls_close(struct line_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

/* What OpenSSL wants to say goes out. */
static int flush(struct line_tls *tls, int64_t deadline_ns)
{
	char bytes[CHUNK];
	int n, rc = 0;

	while (!rc && (n = BIO_read(tls->out, bytes, sizeof(bytes))) > 0)
		rc = io_write_all(tls->fd, bytes, (size_t)n, deadline_ns, NULL);
	return rc;
}

/* More from the peer: 0, -EPIPE at the end, or another negative errno. */
static int feed(struct line_tls *tls, int64_t deadline_ns)
{
	char bytes[CHUNK];
	ssize_t n = io_read(tls->fd, bytes, sizeof(bytes), deadline_ns);

	if (n <= 0)
		return n ? (int)n : -EPIPE;
	if (BIO_write(tls->in, bytes, (int)n) != n)
		abort();
	return 0;
}

/* What a call of OpenSSL came to: -EAGAIN if it wants more from the peer. */
static int result(struct line_tls *tls, int returned)
{
	int error = SSL_get_error(tls->ssl, returned);

	ERR_clear_error();
	if (error == SSL_ERROR_ZERO_RETURN)
		return -EPIPE;
	return error == SSL_ERROR_WANT_READ ? -EAGAIN : -EPROTO;
}

int line_tls_open(struct line_tls **ret, int fd, int64_t deadline_ns)
{
	struct line_tls *tls = tls_new(fd);
	int rc = -EAGAIN;

	while (rc == -EAGAIN) {
		int returned = SSL_do_handshake(tls->ssl);

		rc = returned == 1 ? 0 : result(tls, returned);
		if (rc == 0 || rc == -EAGAIN) {
			int flushed = flush(tls, deadline_ns);

			rc = flushed ? flushed : rc;
		}
		if (rc == -EAGAIN) {
			int fed = feed(tls, deadline_ns);

			rc = fed ? fed : rc;
		}
	}
	if (rc) {
		line_tls_close(tls);
		return rc;
	}
	*ret = tls;
	return 0;
}

ssize_t line_tls_read(struct line_tls *tls, void *out, size_t size, int64_t deadline_ns)
{
	for (;;) {
		size_t done = 0;
		int rc = SSL_read_ex(tls->ssl, out, size, &done) == 1 ? 0 : result(tls, 0);

		if (!rc)
			return (ssize_t)done;
		if (rc == -EPIPE || tls->ended)
			return 0;
		if (rc != -EAGAIN)
			return rc;
		rc = flush(tls, deadline_ns); /* an answer to a KeyUpdate */
		if (!rc)
			rc = feed(tls, deadline_ns);
		if (rc == -EPIPE)
			return 0;
		if (rc)
			return rc;
	}
}

int line_tls_readable(struct line_tls *tls, int64_t deadline_ns)
{
	for (;;) {
		size_t done = 0;
		char byte;
		int rc = SSL_peek_ex(tls->ssl, &byte, 1, &done) == 1 ? 0 : result(tls, 0);

		if (rc != -EAGAIN || tls->ended)
			return 1;
		rc = io_readable(tls->fd, deadline_ns);
		if (rc <= 0)
			return rc;
		rc = feed(tls, deadline_ns);
		tls->ended = rc == -EPIPE;
		if (rc && !tls->ended)
			return rc;
	}
}

int line_tls_write(struct line_tls *tls, const void *bytes, size_t len, int64_t deadline_ns)
{
	size_t done;

	if (!len)
		return 0;
	if (SSL_write_ex(tls->ssl, bytes, len, &done) != 1)
		return result(tls, 0) == -EPIPE ? -EPIPE : -EPROTO;
	return flush(tls, deadline_ns);
}
