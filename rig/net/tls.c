#include "net/tls.h"

#include "base/buf.h"
#include "net/tls_cipher.h"

#include <errno.h>
#include <string.h>

enum content { CHANGE_CIPHER_SPEC = 20, ALERT, HANDSHAKE, APPLICATION_DATA };
enum handshake {
	CLIENT_HELLO = 1,
	SERVER_HELLO = 2,
	FINISHED = 20,
	KEY_UPDATE = 24,
};

#define HANDSHAKE_HEAD	   4
#define SUPPORTED_VERSIONS 43
#define TLS12		   0x0303
#define TLS13		   0x0304

struct side {
	struct buf in;	      /* a record in the making */
	struct buf handshake; /* a handshake message in the making */
	struct tls_cipher cipher;
	bool sealed;   /* its records are protected from here on */
	bool finished; /* TLS 1.3: its Finished was seen, so the traffic secret is used */
};

/* What was fed while secrets were missing. */
struct chunk {
	struct chunk *next;
	enum flow_side from;
	int64_t ns;
	size_t len;
	uint8_t bytes[];
};

struct tls {
	struct tls_keys *keys;
	tls_fn fn;
	void *arg;
	struct side sides[2];
	uint8_t random[2][TLS_RANDOM_SIZE];
	bool hello[2];
	const struct tls_suite *suite;
	bool v13;
	bool lost, hiding;
	struct chunk *oldest, **newest; /* waiting: for secrets of `missing` */
	size_t waiting;
	bool waits;
	enum flow_side missing;
	int64_t missing_ns;
};

struct tls *tls_new(struct tls_keys *keys, tls_fn fn, void *arg)
{
	struct tls *tls = mem_zero(1, sizeof(*tls));

	tls->keys = keys;
	tls->fn = fn;
	tls->arg = arg;
	tls->newest = &tls->oldest;
	return tls;
}

/* No bytes: the side's end. */
static void tell_end(struct tls *tls, const struct chunk *chunk)
{
	if (!chunk->len)
		tls->fn(tls->arg, chunk->from, NULL, 0, chunk->ns);
}

static struct chunk *take_chunk(struct tls *tls)
{
	struct chunk *chunk = tls->oldest;

	if (!chunk)
		return NULL;
	tls->oldest = chunk->next;
	if (!tls->oldest)
		tls->newest = &tls->oldest;
	tls->waiting -= chunk->len;
	tls_keys_release(tls->keys, chunk->len);
	return chunk;
}

static void drop_all(struct tls *tls, bool tells)
{
	struct chunk *chunk;

	while ((chunk = take_chunk(tls))) {
		if (tells)
			tell_end(tls, chunk);
		free(chunk);
	}
	for (int i = 0; i < 2; i++) {
		buf_free(&tls->sides[i].in);
		buf_free(&tls->sides[i].handshake);
		tls_cipher_end(&tls->sides[i].cipher);
	}
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	drop_all(tls, false);
	free(tls);
}

/* With both hellos gone by, more may have followed than the handshake. */
void tls_lose(struct tls *tls)
{
	tls->lost = true;
	tls->waits = false;
	tls->hiding |= tls->hello[FLOW_SERVER];
	drop_all(tls, true);
}

bool tls_is_lost(const struct tls *tls)
{
	return tls->lost;
}

bool tls_is_waiting(const struct tls *tls)
{
	return tls->waits;
}

bool tls_is_hiding(const struct tls *tls)
{
	return tls->hiding || tls->waits;
}

/* ---- the hellos, which anybody may read ---- */

static uint16_t two(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* RFC 8446 4.1.3: a HelloRetryRequest is a ServerHello with this random, the SHA-256 of its name. */
static bool is_retry(const uint8_t *random)
{
	static const uint8_t retry[TLS_RANDOM_SIZE] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61,
		0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a,
		0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};

	return !memcmp(random, retry, sizeof(retry));
}

/* What the extension says, or the ServerHello's own number. */
static uint16_t version_of(const uint8_t *body, size_t len, size_t extensions)
{
	uint16_t version = two(body);
	size_t at = extensions + 2;

	while (extensions + 2 <= len && at + 4 <= len) {
		size_t size = two(body + at + 2);

		if (two(body + at) == SUPPORTED_VERSIONS && size == 2 && at + 6 <= len)
			version = two(body + at + 4);
		at += 4 + size;
	}
	return version;
}

static int on_server_hello(struct tls *tls, const uint8_t *body, size_t len)
{
	size_t session = len > 34 ? body[34] : 0, at = 35 + session;
	uint16_t version;

	if (!tls->hello[FLOW_CLIENT] || tls->hello[FLOW_SERVER] || at + 3 > len)
		return -EPROTO;
	if (is_retry(body + 2))
		return 0;
	version = version_of(body, len, at + 3);
	if (version != TLS12 && version != TLS13)
		return -EPROTO;
	memcpy(tls->random[FLOW_SERVER], body + 2, TLS_RANDOM_SIZE);
	tls->hello[FLOW_SERVER] = true;
	tls->v13 = version == TLS13;
	tls->suite = tls_suite_find(two(body + at), tls->v13);
	if (!tls->suite)
		return -EPROTO;
	if (tls->v13)
		tls->sides[FLOW_CLIENT].sealed = tls->sides[FLOW_SERVER].sealed = true;
	return 0;
}

static int on_client_hello(struct tls *tls, const uint8_t *body, size_t len)
{
	if (len < 2 + TLS_RANDOM_SIZE || tls->hello[FLOW_SERVER])
		return -EPROTO;
	memcpy(tls->random[FLOW_CLIENT], body + 2, TLS_RANDOM_SIZE);
	tls->hello[FLOW_CLIENT] = true;
	return 0;
}

/* One whole handshake message. */
static int on_message(
	struct tls *tls, enum flow_side from, uint8_t type, const uint8_t *body, size_t len)
{
	struct side *side = &tls->sides[from];

	if (!side->sealed && type == CLIENT_HELLO && from == FLOW_CLIENT)
		return on_client_hello(tls, body, len);
	if (!side->sealed && type == SERVER_HELLO && from == FLOW_SERVER)
		return on_server_hello(tls, body, len);
	if (!side->sealed)
		return 0;
	if (!tls->v13) /* a new handshake within the old one would change the keys */
		return type == FINISHED ? 0 : -EPROTO;
	if (type == FINISHED) {
		side->finished = true;
		tls_cipher_end(&side->cipher);
	} else if (type == KEY_UPDATE && side->finished) {
		return tls_cipher_update(&side->cipher);
	}
	return 0;
}

static int on_handshake(struct tls *tls, enum flow_side from, const uint8_t *bytes, size_t len)
{
	struct buf *in = &tls->sides[from].handshake;
	int rc = 0;

	buf_add(in, bytes, len);
	while (!rc && in->len >= HANDSHAKE_HEAD) {
		const uint8_t *at = (const uint8_t *)in->data;
		size_t size = (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];

		if (size > TLS_HANDSHAKE_MAX)
			return -EPROTO;
		if (in->len < HANDSHAKE_HEAD + size)
			return 0;
		rc = on_message(tls, from, at[0], at + HANDSHAKE_HEAD, size);
		buf_consume(in, HANDSHAKE_HEAD + size);
	}
	return rc;
}

/* ---- records ---- */

/* Keys for the next record of that side: 0, -EAGAIN if the secret is not known yet, -ENOKEY if it never will be. */
static int get_keys(struct tls *tls, enum flow_side from)
{
	struct side *side = &tls->sides[from];
	enum tls_label label =
		!tls->v13 ? TLS_MASTER
		: side->finished
			? (from == FLOW_CLIENT ? TLS_CLIENT_TRAFFIC : TLS_SERVER_TRAFFIC)
			: (from == FLOW_CLIENT ? TLS_CLIENT_HANDSHAKE : TLS_SERVER_HANDSHAKE);
	const struct tls_secret *secret;

	if (side->cipher.suite)
		return 0;
	if (!tls->suite)
		return -EPROTO;
	secret = tls_keys_find(tls->keys, tls->random[FLOW_CLIENT], label);
	if (!secret)
		return tls_keys_all(tls->keys) ? -ENOKEY : -EAGAIN;
	if (tls->v13)
		return tls_cipher_begin13(&side->cipher, tls->suite, secret);
	return tls_cipher_begin12(&side->cipher, tls->suite, secret, tls->random[FLOW_CLIENT],
		tls->random[FLOW_SERVER], from == FLOW_SERVER);
}

/* TLS 1.3 hides the type behind the content, and zeroes behind that. */
static int unpad(const uint8_t *content, int len, uint8_t *ret_type)
{
	while (len > 0 && !content[len - 1])
		len--;
	if (len <= 0)
		return -EPROTO;
	*ret_type = content[len - 1];
	return len - 1;
}

static int on_sealed(
	struct tls *tls, enum flow_side from, const uint8_t *record, size_t len, int64_t ns)
{
	uint8_t content[TLS_RECORD_MAX], type = record[0];
	int rc, size;

	if (tls->v13 &&
		type != APPLICATION_DATA) /* the empty gesture of RFC 8446 D.4, or an alert */
		return type == HANDSHAKE ? -EPROTO : 0;
	rc = get_keys(tls, from);
	if (rc)
		return rc;
	size = tls_cipher_open(&tls->sides[from].cipher, record, record + TLS_RECORD_HEAD,
		len - TLS_RECORD_HEAD, content);
	if (size >= 0 && tls->v13)
		size = unpad(content, size, &type);
	if (size < 0)
		return size;
	if (type == HANDSHAKE)
		return on_handshake(tls, from, content, (size_t)size);
	if (type == APPLICATION_DATA && size)
		tls->fn(tls->arg, from, content, (size_t)size, ns);
	return 0;
}

/* One whole record, its head included. */
static int on_record(
	struct tls *tls, enum flow_side from, const uint8_t *record, size_t len, int64_t ns)
{
	struct side *side = &tls->sides[from];

	if (side->sealed)
		return on_sealed(tls, from, record, len, ns);
	switch (record[0]) {
	case HANDSHAKE:
		return on_handshake(tls, from, record + TLS_RECORD_HEAD, len - TLS_RECORD_HEAD);
	case CHANGE_CIPHER_SPEC: /* TLS 1.2; before the hellos are over it says nothing */
		side->sealed = tls->hello[FLOW_SERVER];
		return 0;
	case ALERT:
		return 0;
	default:
		return -EPROTO;
	}
}

/* The records that are whole: 0, -EAGAIN in front of one whose secret is missing, or what it is lost by. */
static int on_bytes(struct tls *tls, enum flow_side from, int64_t ns)
{
	struct buf *in = &tls->sides[from].in;
	size_t at = 0;
	int rc = 0;

	while (!rc && in->len - at >= TLS_RECORD_HEAD) {
		const uint8_t *record = (const uint8_t *)in->data + at;
		size_t len = TLS_RECORD_HEAD + two(record + 3);

		if (record[1] != 3 || len > TLS_RECORD_HEAD + TLS_RECORD_MAX)
			return -EPROTO;
		if (in->len - at < len)
			break;
		rc = on_record(tls, from, record, len, ns);
		if (rc != -EAGAIN)
			at += len;
	}
	buf_consume(in, at);
	return rc;
}

static void take(struct tls *tls, enum flow_side from, int64_t ns)
{
	int rc = on_bytes(tls, from, ns);

	tls->waits = rc == -EAGAIN;
	tls->missing = from;
	tls->missing_ns = ns;
	if (rc && rc != -EAGAIN)
		tls_lose(tls);
}

static void keep(struct tls *tls, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct chunk *chunk;

	if (tls->waiting + len > TLS_CONN_WAITING_MAX || !tls_keys_reserve(tls->keys, len)) {
		tls_lose(tls);
		return;
	}
	chunk = mem_zero(1, sizeof(*chunk) + len);
	chunk->from = from;
	chunk->ns = ns;
	chunk->len = len;
	if (len)
		memcpy(chunk->bytes, bytes, len);
	*tls->newest = chunk;
	tls->newest = &chunk->next;
	tls->waiting += len;
}

void tls_feed(struct tls *tls, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns)
{
	if (tls->lost)
		return;
	if (tls->waits) {
		keep(tls, from, bytes, len, ns);
		return;
	}
	buf_add(&tls->sides[from].in, bytes, len);
	take(tls, from, ns);
}

void tls_end(struct tls *tls, enum flow_side from, int64_t ns)
{
	if (tls->waits)
		keep(tls, from, NULL, 0, ns);
	else
		tls->fn(tls->arg, from, NULL, 0, ns);
}

void tls_retry(struct tls *tls)
{
	struct chunk *chunk;

	if (!tls->waits)
		return;
	take(tls, tls->missing, tls->missing_ns);
	while (!tls->waits && !tls->lost && (chunk = take_chunk(tls))) {
		tell_end(tls, chunk);
		buf_add(&tls->sides[chunk->from].in, chunk->bytes, chunk->len);
		take(tls, chunk->from, chunk->ns);
		free(chunk);
	}
}
