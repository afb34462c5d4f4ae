/*
 * One direction of a TLS connection: keys from the session's secrets, and records opened with them. AEAD suites
 * alone: AES-GCM (RFC 5288, 5289) and ChaCha20-Poly1305 (RFC 7905) of TLS 1.2 (RFC 5246), and those of TLS 1.3
 * (RFC 8446). Through libcrypto.
 */
#pragma once

#include "net/tls_keys.h"

#include <openssl/evp.h>

#define TLS_RECORD_HEAD 5
#define TLS_RECORD_MAX	(16384 + 2048) /* of a record's protected content, RFC 5246 6.2.3 */

struct tls_suite;

/* NULL: not one that can be opened. */
const struct tls_suite *tls_suite_find(uint16_t id, bool v13);

struct tls_cipher {
	const struct tls_suite *suite; /* NULL: no keys yet */
	EVP_CIPHER_CTX *ctx;
	uint8_t iv[12];
	uint64_t number;	  /* of the next record */
	struct tls_secret secret; /* TLS 1.3: the traffic secret, for KeyUpdate */
};

void tls_cipher_end(struct tls_cipher *cipher); /* a zeroed one is fine, and may be begun again */

/* 0, or -EINVAL if the secret cannot be one of the suite. */
int tls_cipher_begin13(
	struct tls_cipher *cipher, const struct tls_suite *suite, const struct tls_secret *traffic);
int tls_cipher_begin12(struct tls_cipher *cipher, const struct tls_suite *suite,
	const struct tls_secret *master, const uint8_t *client_random, const uint8_t *server_random,
	bool of_server);
int tls_cipher_update(struct tls_cipher *cipher); /* RFC 8446 7.2 */

/* The record's content into `out` (TLS_RECORD_MAX bytes): its length, or -EBADMSG. `head` is the record's. */
int tls_cipher_open(struct tls_cipher *cipher, const uint8_t head[TLS_RECORD_HEAD],
	const uint8_t *bytes, size_t len, uint8_t *out);
