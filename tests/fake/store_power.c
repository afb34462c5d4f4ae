/* What a power cut does to the fake store. It flushes what it acknowledges, so only its bugs lose anything. */
#include "tests/fake/store_private.h"

#include "base/rng.h"
#include "mail/message.h"

#include <string.h>

struct fake_unflushed { /* a message that is in no disk's keeping */
	char token[64];
	bool copies_only; /* its queue entry was flushed, and so was the entry's removal */
};

void fake_not_flushed(struct fake *fake, const char *token, bool copies_only)
{
	struct fake_unflushed *one;

	pthread_mutex_lock(&fake->lock);
	fake->unflushed =
		mem_grow(fake->unflushed, fake->unflushed_count + 1, sizeof(*fake->unflushed));
	one = &fake->unflushed[fake->unflushed_count++];
	*one = (struct fake_unflushed){.copies_only = copies_only};
	snprintf(one->token, sizeof(one->token), "%s", token);
	pthread_mutex_unlock(&fake->lock);
}

void fake_fail_sync(struct fake *fake, bool fail)
{
	pthread_mutex_lock(&fake->lock);
	fake->sync_fails = fail;
	pthread_mutex_unlock(&fake->lock);
}

bool fake_sync_fails(struct fake *fake)
{
	bool fails;

	pthread_mutex_lock(&fake->lock);
	fails = fake->sync_fails;
	pthread_mutex_unlock(&fake->lock);
	return fails && !fake_fires(fake, FAKE_IGNORES_SYNC, false);
}

static bool has_token(const struct buf *text, const char *token)
{
	struct message_seen seen;

	message_look(text->data, text->len, &seen);
	return !strcmp(seen.token, token);
}

static void lose_copies(struct fake *fake, const char *token)
{
	for (size_t i = 0; i < fake->box_count; i++) {
		struct fake_box *box = fake->boxes[i];

		for (size_t m = box->count; m-- > 0;)
			if (has_token(&box->mails[m]->text, token))
				fake_box_drop(box, box->mails[m]->uid);
	}
}

static void lose_entry(struct fake *fake, const char *token)
{
	for (size_t i = fake->queue_count; i-- > 0;) {
		if (strcmp(fake->queue[i]->token, token) != 0)
			continue;
		fake_entry_free(fake->queue[i]);
		memmove(&fake->queue[i], &fake->queue[i + 1],
			(fake->queue_count - i - 1) * sizeof(*fake->queue));
		fake->queue_count--;
	}
}

/* No thread of the store runs any more. */
void fake_cut_power(struct fake *fake, int lost, uint64_t seed)
{
	struct rng rng = rng_stream(seed, "fake power cut");
	size_t kept;

	fake_kill(fake);
	kept = lost == 0   ? fake->unflushed_count
	       : lost == 2 ? 0
			   : rng_below(&rng, fake->unflushed_count + 1);
	for (size_t i = kept; i < fake->unflushed_count; i++) {
		lose_copies(fake, fake->unflushed[i].token);
		if (!fake->unflushed[i].copies_only)
			lose_entry(fake, fake->unflushed[i].token);
	}
	fake->unflushed_count = 0;
	fake->beyond_help = fake->beyond_help || fake_fires(fake, FAKE_NEEDS_OPERATOR, false);
}

void fake_power_free(struct fake *fake)
{
	free(fake->unflushed);
}
