#include "net/tls_cipher.h"

#include "base/cleanup.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define TAG_SIZE      16
#define NONCE_SIZE    12
#define EXPLICIT_SIZE 8 /* of the nonce, in each record of AES-GCM in TLS 1.2 */
#define SALT_SIZE     4
#define HASH_MAX      48

struct tls_suite {
	uint16_t id;
	bool v13;
	const EVP_CIPHER *(*cipher)(void);
	const EVP_MD *(*md)(void);
	bool chacha;
};

static const struct tls_suite suites[] = {
	{0x1301, true, EVP_aes_128_gcm, EVP_sha256, false},
	{0x1302, true, EVP_aes_256_gcm, EVP_sha384, false},
	{0x1303, true, EVP_chacha20_poly1305, EVP_sha256, true},
	/* RSA, DHE-RSA, ECDHE-ECDSA, ECDHE-RSA: how the secret came about does not matter */
	{0x009c, false, EVP_aes_128_gcm, EVP_sha256, false},
	{0x009d, false, EVP_aes_256_gcm, EVP_sha384, false},
	{0x009e, false, EVP_aes_128_gcm, EVP_sha256, false},
	{0x009f, false, EVP_aes_256_gcm, EVP_sha384, false},
	{0xc02b, false, EVP_aes_128_gcm, EVP_sha256, false},
	{0xc02c, false, EVP_aes_256_gcm, EVP_sha384, false},
	{0xc02f, false, EVP_aes_128_gcm, EVP_sha256, false},
	{0xc030, false, EVP_aes_256_gcm, EVP_sha384, false},
	{0xcca8, false, EVP_chacha20_poly1305, EVP_sha256, true},
	{0xcca9, false, EVP_chacha20_poly1305, EVP_sha256, true},
	{0xccaa, false, EVP_chacha20_poly1305, EVP_sha256, true},
};

const struct tls_suite *tls_suite_find(uint16_t id, bool v13)
{
	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		if (suites[i].id == id && suites[i].v13 == v13)
			return &suites[i];
	return NULL;
}

void tls_cipher_end(struct tls_cipher *cipher)
{
	EVP_CIPHER_CTX_free(cipher->ctx);
	*cipher = (struct tls_cipher){0};
}

static int begin(struct tls_cipher *cipher, const struct tls_suite *suite, const uint8_t *key)
{
	cipher->suite = suite;
	cipher->number = 0;
	if (!cipher->ctx)
		cipher->ctx = EVP_CIPHER_CTX_new();
	if (!cipher->ctx)
		abort();
	if (EVP_DecryptInit_ex(cipher->ctx, suite->cipher(), NULL, key, NULL) == 1)
		return 0;
	tls_cipher_end(cipher);
	return -EINVAL;
}

static size_t key_size(const struct tls_suite *suite)
{
	return (size_t)EVP_CIPHER_get_key_length(suite->cipher());
}

static size_t hash_size(const struct tls_suite *suite)
{
	return (size_t)EVP_MD_get_size(suite->md());
}

/* ---- TLS 1.3: HKDF-Expand-Label with an empty context (RFC 8446 7.1), never more than one hash ---- */

static void expand(const struct tls_suite *suite, const struct tls_secret *secret,
	const char *label, uint8_t *out, size_t size)
{
	uint8_t info[64], block[HASH_MAX];
	size_t len = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)size;
	info[at++] = (uint8_t)(6 + len);
	memcpy(info + at, "tls13 ", 6);
	memcpy(info + at + 6, label, len);
	at += 6 + len;
	info[at++] = 0; /* the context's length */
	info[at++] = 1; /* the first block of HKDF-Expand */
	HMAC(suite->md(), secret->bytes, secret->len, info, at, block, NULL);
	memcpy(out, block, size);
}

int tls_cipher_begin13(
	struct tls_cipher *cipher, const struct tls_suite *suite, const struct tls_secret *traffic)
{
	uint8_t key[EVP_MAX_KEY_LENGTH];

	if (traffic->len != hash_size(suite))
		return -EINVAL;
	cipher->secret = *traffic;
	expand(suite, traffic, "key", key, key_size(suite));
	expand(suite, traffic, "iv", cipher->iv, NONCE_SIZE);
	return begin(cipher, suite, key);
}

int tls_cipher_update(struct tls_cipher *cipher)
{
	struct tls_secret next = {.len = cipher->secret.len};

	expand(cipher->suite, &cipher->secret, "traffic upd", next.bytes, next.len);
	return tls_cipher_begin13(cipher, cipher->suite, &next);
}

/* ---- TLS 1.2: the key block (RFC 5246 5, 6.3) ---- */

static void expand12(const struct tls_suite *suite, const struct tls_secret *master,
	const uint8_t *client_random, const uint8_t *server_random, uint8_t *out, size_t size)
{
	static const char label[] = "key expansion";
	enum { SEED = sizeof(label) - 1 + 2 * TLS_RANDOM_SIZE };
	uint8_t seeded[HASH_MAX + SEED], block[HASH_MAX];
	size_t hash = hash_size(suite);
	uint8_t *seed = seeded + hash;

	memcpy(seed, label, sizeof(label) - 1);
	memcpy(seed + sizeof(label) - 1, server_random, TLS_RANDOM_SIZE);
	memcpy(seed + sizeof(label) - 1 + TLS_RANDOM_SIZE, client_random, TLS_RANDOM_SIZE);
	HMAC(suite->md(), master->bytes, master->len, seed, SEED, seeded, NULL); /* A(1) */
	for (size_t at = 0; at < size; at += hash) {
		HMAC(suite->md(), master->bytes, master->len, seeded, hash + SEED, block, NULL);
		memcpy(out + at, block, size - at < hash ? size - at : hash);
		HMAC(suite->md(), master->bytes, master->len, seeded, hash, block, NULL);
		memcpy(seeded, block, hash);
	}
}

int tls_cipher_begin12(struct tls_cipher *cipher, const struct tls_suite *suite,
	const struct tls_secret *master, const uint8_t *client_random, const uint8_t *server_random,
	bool of_server)
{
	size_t key = key_size(suite), iv = suite->chacha ? NONCE_SIZE : SALT_SIZE;
	uint8_t block[2 * (EVP_MAX_KEY_LENGTH + NONCE_SIZE)];

	expand12(suite, master, client_random, server_random, block, 2 * (key + iv));
	memcpy(cipher->iv, block + 2 * key + (of_server ? iv : 0), iv);
	return begin(cipher, suite, block + (of_server ? key : 0));
}

/* ---- records ---- */

static void put_number(uint8_t out[8], uint64_t number)
{
	for (int i = 7; i >= 0; i--, number >>= 8)
		out[i] = (uint8_t)number;
}

/* The additional data (RFC 8446 5.2, RFC 5246 6.2.3.3); `len` is the content's. */
static int aad_of(const struct tls_cipher *cipher, const uint8_t *head, size_t len, uint8_t out[13])
{
	if (cipher->suite->v13) {
		memcpy(out, head, TLS_RECORD_HEAD);
		return TLS_RECORD_HEAD;
	}
	put_number(out, cipher->number);
	memcpy(out + 8, head, 3);
	out[11] = (uint8_t)(len >> 8);
	out[12] = (uint8_t)len;
	return 13;
}

int tls_cipher_open(struct tls_cipher *cipher, const uint8_t head[TLS_RECORD_HEAD],
	const uint8_t *bytes, size_t len, uint8_t *out)
{
	bool explicit_nonce = !cipher->suite->v13 && !cipher->suite->chacha;
	uint8_t nonce[NONCE_SIZE], aad[13], tag[TAG_SIZE], last[16];
	int aad_len, done, more = 0;

	if (len < TAG_SIZE + (explicit_nonce ? EXPLICIT_SIZE : 0u) || len > TLS_RECORD_MAX)
		return -EBADMSG;
	memcpy(nonce, cipher->iv, NONCE_SIZE);
	if (explicit_nonce) {
		memcpy(nonce + SALT_SIZE, bytes, EXPLICIT_SIZE);
		bytes += EXPLICIT_SIZE;
		len -= EXPLICIT_SIZE;
	} else {
		uint8_t number[8];

		put_number(number, cipher->number);
		for (int i = 0; i < 8; i++)
			nonce[NONCE_SIZE - 8 + i] ^= number[i];
	}
	len -= TAG_SIZE;
	memcpy(tag, bytes + len, TAG_SIZE);
	aad_len = aad_of(cipher, head, len, aad);
	if (EVP_DecryptInit_ex(cipher->ctx, NULL, NULL, NULL, nonce) != 1 ||
		EVP_DecryptUpdate(cipher->ctx, NULL, &done, aad, aad_len) != 1 ||
		EVP_DecryptUpdate(cipher->ctx, out, &done, bytes, (int)len) != 1 ||
		EVP_CIPHER_CTX_ctrl(cipher->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) != 1 ||
		EVP_DecryptFinal_ex(cipher->ctx, last, &more) != 1)
		return -EBADMSG;
	cipher->number++;
	return done;
}
