/*
 * SHA-256 (FIPS 180-4) through libcrypto, as lower-case hex. For content addresses and body hashes.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>

#define HASH_HEX_SIZE 65 /* 64 digits and the NUL */

struct hash; /* opaque; one thread */

struct hash *hash_new(void);
void hash_free(struct hash *hash);
void hash_add(struct hash *hash, const void *bytes, size_t len);
void hash_add_str(
	struct hash *hash, const char *text); /* length first, so that "ab","c" != "a","bc" */
int hash_add_file(struct hash *hash, const char *path, struct err *err); /* contents only */
void hash_hex(struct hash *hash, char out[HASH_HEX_SIZE]); /* finishes; only hash_free() after it */

void hash_bytes(const void *bytes, size_t len, char out[HASH_HEX_SIZE]);
int hash_file(const char *path, char out[HASH_HEX_SIZE], struct err *err);
