/*
 * The secrets of TLS sessions: who makes an SSL_CTX in this process gets OpenSSL's key-log callback with it
 * (SSL_CTX_set_keylog_callback(3)), and what it says goes to the board's ring of keys, so that the rig can read
 * the wire. A program that sets a callback of its own keeps it.
 *
 * Nothing here links libssl: where it is not loaded nobody calls these, and where it is, also as a part of a
 * module loaded later, the functions behind are found as those of libc are.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>

typedef void keylog_fn(const void *ssl, const char *line);

static void on_key(const void *ssl, const char *line)
{
	size_t len = strlen(line);
	uint64_t ticket;
	struct board_key *key;

	(void)ssl;
	if (len >= BOARD_KEY_SIZE)
		return;
	ticket = atomic_fetch_add(&rig_board->key_head, 1);
	key = &rig_board->keys[ticket % BOARD_KEYS_MAX];
	atomic_store(&key->ticket, 0);
	memcpy(key->line, line, len + 1);
	atomic_store(&key->ticket, ticket + 1);
	atomic_fetch_add(&rig_board->bell, 1);
	rig_futex_wake(&rig_board->bell, 1);
}

static void listen_to(void *context)
{
	void (*set)(void *context, keylog_fn *fn);
	int keep = errno;

	*(void **)&set = rig_next("SSL_CTX_set_keylog_callback");
	if (context && set && rig_board)
		set(context, on_key);
	errno = keep;
}

EXPORT void *SSL_CTX_new(const void *method);
EXPORT void *SSL_CTX_new_ex(void *library, const char *properties, const void *method);

EXPORT void *SSL_CTX_new(const void *method)
{
	void *(*next)(const void *method);
	void *context;

	*(void **)&next = rig_next("SSL_CTX_new");
	context = next ? next(method) : NULL;
	listen_to(context);
	return context;
}

EXPORT void *SSL_CTX_new_ex(void *library, const char *properties, const void *method)
{
	void *(*next)(void *library, const char *properties, const void *method);
	void *context;

	*(void **)&next = rig_next("SSL_CTX_new_ex");
	context = next ? next(library, properties, method) : NULL;
	listen_to(context);
	return context;
}
