#include "net/fragments.h"

#include "base/buf.h"

#include <string.h>

#define DATAGRAM_MAX 65536
#define UNIT	     8 /* offsets count in these */

struct datagram {
	struct endpoint src, dst;
	uint32_t id;
	uint64_t touched; /* 0: free */
	size_t total;	  /* 0: the last fragment has not come */
	size_t units;	  /* how many of `have` are set */
	uint8_t *data;
	uint8_t have[DATAGRAM_MAX / UNIT];
};

struct fragments {
	size_t max;
	uint64_t clock;
	struct datagram *slots;
};

struct fragments *fragments_new(size_t max)
{
	struct fragments *fragments = mem_zero(1, sizeof(*fragments));

	fragments->max = max;
	return fragments;
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	for (size_t i = 0; fragments->slots && i < fragments->max; i++)
		free(fragments->slots[i].data);
	free(fragments->slots);
	free(fragments);
}

static bool same(const struct datagram *datagram, const struct fragment *fragment)
{
	return datagram->touched && datagram->id == fragment->id &&
	       !memcmp(&datagram->src, &fragment->src, sizeof(fragment->src)) &&
	       !memcmp(&datagram->dst, &fragment->dst, sizeof(fragment->dst));
}

static struct datagram *find(struct fragments *fragments, const struct fragment *fragment)
{
	struct datagram *oldest;

	if (!fragments->slots)
		fragments->slots = mem_zero(fragments->max, sizeof(*fragments->slots));
	oldest = fragments->slots;
	for (size_t i = 0; i < fragments->max; i++) {
		struct datagram *slot = &fragments->slots[i];

		if (same(slot, fragment))
			return slot;
		if (slot->touched < oldest->touched)
			oldest = slot;
	}
	if (!oldest->data)
		oldest->data = mem_zero(1, DATAGRAM_MAX);
	oldest->src = fragment->src;
	oldest->dst = fragment->dst;
	oldest->id = fragment->id;
	oldest->total = oldest->units = 0;
	memset(oldest->have, 0, sizeof(oldest->have));
	return oldest;
}

static void fill(struct datagram *slot, const struct fragment *fragment)
{
	for (size_t at = 0; at < fragment->len; at += UNIT) {
		size_t unit = (fragment->offset + at) / UNIT;
		size_t n = fragment->len - at < UNIT ? fragment->len - at : UNIT;

		if (slot->have[unit])
			continue;
		slot->have[unit] = 1;
		slot->units++;
		memcpy(slot->data + unit * UNIT, fragment->data + at, n);
	}
}

bool fragments_add(struct fragments *fragments, const struct fragment *fragment,
	const uint8_t **ret_data, size_t *ret_len)
{
	struct datagram *slot;

	/* All but the last carry whole units; nothing reaches beyond 64 KiB. */
	if (!fragment->len || fragment->offset + fragment->len > DATAGRAM_MAX ||
		(fragment->more && fragment->len % UNIT))
		return false;
	slot = find(fragments, fragment);
	slot->touched = ++fragments->clock;
	if (!fragment->more && !slot->total)
		slot->total = fragment->offset + fragment->len;
	fill(slot, fragment);
	/* A unit beyond the end (a hostile overlap) would count as one inside: check those inside. */
	if (!slot->total || slot->units < (slot->total + UNIT - 1) / UNIT ||
		memchr(slot->have, 0, (slot->total + UNIT - 1) / UNIT))
		return false;
	slot->touched = 0;
	*ret_data = slot->data;
	*ret_len = slot->total;
	return true;
}
