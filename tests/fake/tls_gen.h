/*
 * Mail conversations inside real TLS: OpenSSL speaks both sides in memory, so that what they say is what any
 * server would. Not from the seed: keys and randoms are fresh each time. Owned by the caller; one thread.
 */
#pragma once

#include "tests/fake/mail_gen.h"

struct tls_way {
	const char *name;
	bool v13;
	const char *suites; /* of TLS 1.2 as a cipher list, of 1.3 as cipher suites */
	bool retry;	    /* the server wants another group: HelloRetryRequest */
	bool rekey;	    /* TLS 1.3: KeyUpdate of both sides in the middle */
	bool resume;	    /* a second connection's handshake, resumed from one before */
	bool bare;	    /* TLS from the first byte, no STARTTLS */
};

/* `out` is `in`, but for its greeting, behind STARTTLS; `keys` gets the key log, a line each. */
void tls_wrap(const struct talk *in, const struct tls_way *way, struct talk *out, struct buf *keys);

/* A self-signed certificate for any server, and its context. SSL_CTX_free() it. */
struct ssl_ctx_st;
struct ssl_ctx_st *tls_server_context(void);
