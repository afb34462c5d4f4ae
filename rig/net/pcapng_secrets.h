/*
 * The secrets in a pcapng file: Decryption Secrets Blocks of TLS key logs (draft-ietf-opsawg-pcapng 4.7), found
 * while the file's bytes go by, in any byte order and any number of sections. libpcap passes them by. Bytes are
 * hostile: whatever is no pcapng ends the search. Bounded by TLS_KEY_BLOCK_MAX. One thread.
 */
#pragma once

#include "net/tls_keys.h"

struct pcapng_secrets;

struct pcapng_secrets *pcapng_secrets_new(struct tls_keys *keys); /* borrowed */
void pcapng_secrets_free(struct pcapng_secrets *secrets);	  /* NULL is fine */

/* The file's next bytes. True if a secret was among them. */
bool pcapng_secrets_feed(struct pcapng_secrets *secrets, const void *bytes, size_t len);
