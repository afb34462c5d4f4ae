#include "net/tls_keys.h"

#include "base/buf.h"

#include <assert.h>
#include <string.h>

#define BUCKETS 4096

struct session {
	struct session *next;
	uint8_t random[TLS_RANDOM_SIZE];
	struct tls_secret secrets[TLS_LABELS];
};

struct tls_keys {
	struct session *buckets[BUCKETS];
	size_t count, waiting;
	bool all;
};

static const char *const labels[TLS_LABELS] = {
	[TLS_MASTER] = "CLIENT_RANDOM",
	[TLS_CLIENT_HANDSHAKE] = "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
	[TLS_SERVER_HANDSHAKE] = "SERVER_HANDSHAKE_TRAFFIC_SECRET",
	[TLS_CLIENT_TRAFFIC] = "CLIENT_TRAFFIC_SECRET_0",
	[TLS_SERVER_TRAFFIC] = "SERVER_TRAFFIC_SECRET_0",
};

struct tls_keys *tls_keys_new(bool all)
{
	struct tls_keys *keys = mem_zero(1, sizeof(*keys));

	keys->all = all;
	return keys;
}

void tls_keys_free(struct tls_keys *keys)
{
	if (!keys)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (keys->buckets[i]) {
			struct session *next = keys->buckets[i]->next;

			free(keys->buckets[i]);
			keys->buckets[i] = next;
		}
	free(keys);
}

bool tls_keys_all(const struct tls_keys *keys)
{
	return keys->all;
}

/* Randoms are random: their first bytes are as good a hash as any. A hostile file only makes itself slow. */
static size_t bucket_of(const uint8_t random[TLS_RANDOM_SIZE])
{
	uint32_t word;

	memcpy(&word, random + 4, sizeof(word));
	return word % BUCKETS;
}

static struct session *find(const struct tls_keys *keys, const uint8_t random[TLS_RANDOM_SIZE])
{
	struct session *session = keys->buckets[bucket_of(random)];

	while (session && memcmp(session->random, random, TLS_RANDOM_SIZE) != 0)
		session = session->next;
	return session;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* All of `text` as bytes: how many, 0 if it is not hex or too long. */
static size_t unhex(const char *text, size_t len, uint8_t *out, size_t size)
{
	if (len % 2 || len / 2 > size)
		return 0;
	for (size_t i = 0; i < len; i += 2) {
		int high = digit(text[i]), low = digit(text[i + 1]);

		if (high < 0 || low < 0)
			return 0;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return len / 2;
}

static size_t word_end(const char *line, size_t len, size_t from)
{
	const char *blank = memchr(line + from, ' ', len - from);

	return blank ? (size_t)(blank - line) : len;
}

static int label_of(const char *word, size_t len)
{
	for (int i = 0; i < TLS_LABELS; i++)
		if (strlen(labels[i]) == len && !memcmp(labels[i], word, len))
			return i;
	return -1;
}

bool tls_keys_line(struct tls_keys *keys, const char *line, size_t len)
{
	uint8_t random[TLS_RANDOM_SIZE];
	struct tls_secret secret = {0};
	struct session *session;
	size_t first, second;
	int label;

	if (len && line[len - 1] == '\r')
		len--;
	first = word_end(line, len, 0);
	label = label_of(line, first);
	if (label < 0 || first == len)
		return false;
	second = word_end(line, len, first + 1);
	if (second == len || unhex(line + first + 1, second - first - 1, random, sizeof(random)) !=
				     TLS_RANDOM_SIZE)
		return false;
	secret.len = (uint8_t)unhex(
		line + second + 1, len - second - 1, secret.bytes, sizeof(secret.bytes));
	if (!secret.len)
		return false;
	session = find(keys, random);
	if (!session) {
		if (keys->count == TLS_SESSIONS_MAX)
			return false;
		keys->count++;
		session = mem_zero(1, sizeof(*session));
		memcpy(session->random, random, sizeof(random));
		session->next = keys->buckets[bucket_of(random)];
		keys->buckets[bucket_of(random)] = session;
	}
	session->secrets[label] = secret;
	return true;
}

size_t tls_keys_text(struct tls_keys *keys, const char *text, size_t len)
{
	size_t count = 0;

	for (size_t at = 0; at < len;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t line = end ? (size_t)(end - text) - at : len - at;

		count += line <= TLS_KEY_LINE_MAX && tls_keys_line(keys, text + at, line);
		at += line + 1;
	}
	return count;
}

const struct tls_secret *tls_keys_find(
	const struct tls_keys *keys, const uint8_t random[TLS_RANDOM_SIZE], enum tls_label label)
{
	const struct session *session = find(keys, random);

	return session && session->secrets[label].len ? &session->secrets[label] : NULL;
}

bool tls_keys_reserve(struct tls_keys *keys, size_t bytes)
{
	if (keys->waiting + bytes > TLS_WAITING_MAX)
		return false;
	keys->waiting += bytes;
	return true;
}

void tls_keys_release(struct tls_keys *keys, size_t bytes)
{
	assert(bytes <= keys->waiting);
	keys->waiting -= bytes;
}
