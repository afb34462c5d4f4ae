/*
 * What a TLS connection carries, from its bytes as they were on the wire and the session's secrets: TLS 1.2 and
 * 1.3 from the ClientHello on, with the suites of tls_cipher.h.
 *
 * Bytes that come before their secrets wait (TLS_CONN_WAITING_MAX of a connection, and the allowance of the
 * keys). What cannot be opened, for whatever reason (other suites, 0-RTT, renegotiation, a gap, a damaged
 * record, no secrets), is lost from there on: never an error, never a guess. Hostile bytes; memory is bounded by
 * one record and one handshake message of each side. One thread.
 */
#pragma once

#include "net/reassembly.h"
#include "net/tls_keys.h"

#define TLS_CONN_WAITING_MAX (1u << 20)
#define TLS_HANDSHAKE_MAX    (64u << 10) /* of one handshake message that is looked at */

struct tls;

/* The content of one record, or its side's end (`len` 0); `ns` is when its last byte came. It must not call back in. */
typedef void (*tls_fn)(
	void *arg, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns);

struct tls *tls_new(struct tls_keys *keys, tls_fn fn, void *arg); /* keys: borrowed */
void tls_free(struct tls *tls);					  /* NULL is fine */

void tls_feed(struct tls *tls, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns);
void tls_end(struct tls *tls, enum flow_side from, int64_t ns); /* FIN; also once it is lost */
void tls_retry(struct tls *tls);				/* new secrets are known */
void tls_lose(struct tls *tls);					/* a gap */

/* Nothing more can be told. */
bool tls_is_lost(const struct tls *tls);

bool tls_is_waiting(const struct tls *tls); /* for a secret that may still come */

/* Content went by that was not told: the handshake was over, and it is lost or still waits. */
bool tls_is_hiding(const struct tls *tls);
