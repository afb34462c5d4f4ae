#include "base/hash.h"

#include "base/buf.h"

#include <assert.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

struct hash {
	EVP_MD_CTX *ctx;
};

struct hash *hash_new(void)
{
	struct hash *hash = mem_zero(1, sizeof(*hash));

	hash->ctx = EVP_MD_CTX_new();
	if (!hash->ctx || EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) != 1)
		abort();
	return hash;
}

void hash_free(struct hash *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->ctx);
	free(hash);
}

void hash_add(struct hash *hash, const void *bytes, size_t len)
{
	int ok = EVP_DigestUpdate(hash->ctx, bytes, len);

	assert(ok == 1);
}

void hash_add_str(struct hash *hash, const char *text)
{
	uint64_t len = strlen(text);

	hash_add(hash, &len, sizeof(len));
	hash_add(hash, text, len);
}

int hash_add_file(struct hash *hash, const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *chunk = mem_zero(1, 1 << 20);

	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	for (;;) {
		ssize_t n = read(fd, chunk, 1 << 20);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", path);
		if (n == 0)
			return 0;
		hash_add(hash, chunk, (size_t)n);
	}
}

void hash_hex(struct hash *hash, char out[HASH_HEX_SIZE])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	int ok = EVP_DigestFinal_ex(hash->ctx, raw, &len);

	assert(ok == 1 && len == 32);
	for (unsigned int i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

void hash_bytes(const void *bytes, size_t len, char out[HASH_HEX_SIZE])
{
	struct hash *hash = hash_new();

	hash_add(hash, bytes, len);
	hash_hex(hash, out);
	hash_free(hash);
}

int hash_file(const char *path, char out[HASH_HEX_SIZE], struct err *err)
{
	struct hash *hash = hash_new();
	int rc = hash_add_file(hash, path, err);

	if (!rc)
		hash_hex(hash, out);
	hash_free(hash);
	return rc;
}
