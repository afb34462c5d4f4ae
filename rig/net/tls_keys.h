/*
 * TLS session secrets, as the NSS key log writes them (SSLKEYLOGFILE; draft-ietf-tls-keylogfile): what a
 * server that sets OpenSSL's key-log callback tells, and what the Decryption Secrets Block of a pcapng file
 * holds. Lines are hostile: anything that is no secret of a kind below is passed by and counted.
 *
 * Bounded: TLS_SESSIONS_MAX sessions; further ones are not known. One thread, or one lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_RANDOM_SIZE	  32
#define TLS_SECRET_MAX	  64
#define TLS_SESSIONS_MAX  65536
#define TLS_KEY_LINE_MAX  256
#define TLS_KEY_BLOCK_MAX (64u << 20) /* of key log text in one capture file */

enum tls_label {
	TLS_MASTER, /* CLIENT_RANDOM: of TLS 1.2 and older */
	TLS_CLIENT_HANDSHAKE,
	TLS_SERVER_HANDSHAKE,
	TLS_CLIENT_TRAFFIC,
	TLS_SERVER_TRAFFIC,
};
#define TLS_LABELS 5

struct tls_secret {
	uint8_t len; /* 0: not known */
	uint8_t bytes[TLS_SECRET_MAX];
};

struct tls_keys;

/* `all`: what is added before the first look-up is all there will be, so that nobody waits for a secret. */
struct tls_keys *tls_keys_new(bool all);
void tls_keys_free(struct tls_keys *keys); /* NULL is fine */
bool tls_keys_all(const struct tls_keys *keys);

/* One line without its end. True if it is a secret; then it is known from now on. */
bool tls_keys_line(struct tls_keys *keys, const char *line, size_t len);

/* Text of many lines. Returns how many secrets were in it. */
size_t tls_keys_text(struct tls_keys *keys, const char *text, size_t len);

/* The secret of the session that the client began with that random, or NULL. */
const struct tls_secret *tls_keys_find(
	const struct tls_keys *keys, const uint8_t random[TLS_RANDOM_SIZE], enum tls_label label);

/* Bytes that wait for secrets, over all connections: taken out of one allowance. False: there is no room. */
#define TLS_WAITING_MAX (64u << 20)
bool tls_keys_reserve(struct tls_keys *keys, size_t bytes);
void tls_keys_release(struct tls_keys *keys, size_t bytes);
