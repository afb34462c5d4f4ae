/*
 * IP fragments back into datagrams (RFC 791 section 3.2, RFC 8200 section 4.5), in bounded memory: at
 * most `max` datagrams of at most 64 KiB are in the making, and the one touched longest ago gives way.
 * Where fragments overlap the first bytes win. One thread.
 */
#pragma once

#include "net/decode.h"

struct fragment {
	struct endpoint src, dst; /* ports zero */
	uint32_t id;
	size_t offset; /* bytes */
	bool more;
	const uint8_t *data;
	size_t len;
};

struct fragments;

struct fragments *fragments_new(size_t max);
void fragments_free(struct fragments *fragments);

/* True once the datagram is whole; `*ret_data` is then good until the next call. */
bool fragments_add(struct fragments *fragments, const struct fragment *fragment,
	const uint8_t **ret_data, size_t *ret_len);
