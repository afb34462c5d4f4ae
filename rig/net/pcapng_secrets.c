#include "net/pcapng_secrets.h"

#include "base/buf.h"

#include <byteswap.h>
#include <string.h>

#define SECTION		 0x0a0d0d0au
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define SECRETS		 0x0000000au
#define TLS_LOG		 0x544c534bu
#define HEAD		 12u /* type, length, and the section's byte order or the secrets' type */
#define BLOCK_MIN	 12u

struct pcapng_secrets {
	struct tls_keys *keys;
	uint8_t head[HEAD];
	size_t have;   /* of the head */
	uint64_t left; /* of the block, behind its head */
	struct buf body;
	bool begun, over, swapped, wanted;
};

struct pcapng_secrets *pcapng_secrets_new(struct tls_keys *keys)
{
	struct pcapng_secrets *secrets = mem_zero(1, sizeof(*secrets));

	secrets->keys = keys;
	return secrets;
}

void pcapng_secrets_free(struct pcapng_secrets *secrets)
{
	if (!secrets)
		return;
	buf_free(&secrets->body);
	free(secrets);
}

static uint32_t word(const struct pcapng_secrets *secrets, const void *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return secrets->swapped ? bswap_32(value) : value;
}

/* False: this is no pcapng, or nobody could read it further. */
static bool on_head(struct pcapng_secrets *secrets)
{
	uint32_t type = word(secrets, secrets->head), len;

	if (type == SECTION) { /* reads the same both ways */
		secrets->swapped = false;
		secrets->swapped = word(secrets, secrets->head + 8) != BYTE_ORDER_MAGIC;
		if (word(secrets, secrets->head + 8) != BYTE_ORDER_MAGIC)
			return false;
		secrets->begun = true;
	}
	len = word(secrets, secrets->head + 4);
	if (!secrets->begun || len < BLOCK_MIN || len % 4)
		return false;
	secrets->left = len - HEAD;
	secrets->wanted = type == SECRETS && word(secrets, secrets->head + 8) == TLS_LOG &&
			  len <= TLS_KEY_BLOCK_MAX;
	return true;
}

/* The text's length, the text, and behind it what nobody needs. */
static bool on_body(struct pcapng_secrets *secrets)
{
	const struct buf *body = &secrets->body;
	size_t len = body->len < 4 ? 0 : word(secrets, body->data);
	bool found = false;

	if (body->len >= 4 && len <= body->len - 4)
		found = tls_keys_text(secrets->keys, body->data + 4, len);
	buf_reset(&secrets->body);
	return found;
}

static size_t take_head(struct pcapng_secrets *secrets, const uint8_t *bytes, size_t len)
{
	size_t n = len < HEAD - secrets->have ? len : HEAD - secrets->have;

	memcpy(secrets->head + secrets->have, bytes, n);
	secrets->have += n;
	if (secrets->have == HEAD)
		secrets->over = !on_head(secrets);
	return n;
}

bool pcapng_secrets_feed(struct pcapng_secrets *secrets, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	bool found = false;

	while (len && !secrets->over) {
		size_t n;

		if (secrets->have < HEAD) {
			n = take_head(secrets, at, len);
		} else {
			n = len < secrets->left ? len : (size_t)secrets->left;
			if (secrets->wanted)
				buf_add(&secrets->body, at, n);
			secrets->left -= n;
		}
		if (secrets->have == HEAD && !secrets->left) {
			found |= secrets->wanted && on_body(secrets);
			secrets->have = 0;
		}
		at += n;
		len -= n;
	}
	return found;
}
