/*
 * TLS from the wire. The input: two bytes of length and so much of key log; then records of a byte that says
 * who sends, two bytes of length, and the bytes. Whatever they are: what is told does not depend on the pieces
 * they come in, nor on whether the secrets were there first, and the allowance is given back. The key log also
 * passes by as a pcapng file.
 */
#include "base/buf.h"
#include "net/pcapng_secrets.h"
#include "net/tls.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void note(void *arg, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct buf *out = arg;

	(void)ns;
	buf_addf(out, "%d %zu ", (int)from, len);
	buf_add(out, bytes, len);
}

static size_t two(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

static void tell(struct tls *tls, const uint8_t *data, size_t size, bool bytewise)
{
	while (size > 3) {
		enum flow_side from = data[0] & 1;
		size_t len = two(data + 1);

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		for (size_t at = 0; at < len; at += bytewise ? 1 : len)
			tls_feed(tls, from, data + at, bytewise ? 1 : len, 1);
		data += len;
		size -= len;
	}
}

enum way { WHOLE, BYTEWISE, LATE };

static void run(const uint8_t *data, size_t size, size_t text, enum way way, struct buf *out)
{
	struct tls_keys *keys = tls_keys_new(way != LATE);
	struct tls *tls = tls_new(keys, note, out);

	if (way != LATE)
		tls_keys_text(keys, (const char *)data, text);
	tell(tls, data + text, size - text, way == BYTEWISE);
	if (way == LATE) {
		tls_keys_text(keys, (const char *)data, text);
		tls_retry(tls);
	}
	tls_free(tls);
	assert(tls_keys_reserve(keys, TLS_WAITING_MAX)); /* nothing is still waiting */
	tls_keys_free(keys);
}

static void search(const uint8_t *data, size_t size)
{
	struct tls_keys *keys = tls_keys_new(true);
	struct pcapng_secrets *secrets = pcapng_secrets_new(keys);

	pcapng_secrets_feed(secrets, data, size / 3);
	pcapng_secrets_feed(secrets, data + size / 3, size - size / 3);
	pcapng_secrets_free(secrets);
	tls_keys_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf whole = {0};
	auto_buf struct buf single = {0};
	auto_buf struct buf late = {0};
	size_t text;

	if (size < 2)
		return 0;
	text = two(data) < size - 2 ? two(data) : size - 2;
	data += 2;
	size -= 2;
	run(data, size, text, WHOLE, &whole);
	run(data, size, text, BYTEWISE, &single);
	run(data, size, text, LATE, &late);
	assert(whole.len == single.len && !memcmp(buf_text(&whole), buf_text(&single), whole.len));
	/* More may wait than is allowed: then it is lost. */
	if (size - text < TLS_CONN_WAITING_MAX)
		assert(whole.len == late.len &&
			!memcmp(buf_text(&whole), buf_text(&late), whole.len));
	search(data, size);
	return 0;
}
