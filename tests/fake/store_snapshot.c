/* The fake store's disks as they were: a copy of mailboxes and queue, and its return. */
#include "tests/fake/store_private.h"

#include <string.h>

#define VALIDITY_STEP 1000 /* above what any mailbox has been called before */

struct fake_snapshot {
	struct fake_box **boxes;
	struct fake_entry **queue;
	size_t box_count, queue_count;
	bool taken;
};

static struct fake_box *copy_box(const struct fake_box *box)
{
	struct fake_box *copy = mem_zero(1, sizeof(*copy));

	*copy = *box;
	copy->user = text_dup(box->user);
	copy->name = text_dup(box->name);
	copy->locked = false;
	copy->mails = mem_zero(box->count, sizeof(struct fake_mail *));
	for (size_t i = 0; i < box->count; i++) {
		copy->mails[i] = mem_zero(1, sizeof(struct fake_mail));
		*copy->mails[i] = *box->mails[i];
		copy->mails[i]->text = (struct buf){0};
		buf_add(&copy->mails[i]->text, box->mails[i]->text.data, box->mails[i]->text.len);
	}
	copy->gone = mem_zero(box->gone_count, sizeof(*copy->gone));
	if (box->gone_count)
		memcpy(copy->gone, box->gone, box->gone_count * sizeof(*copy->gone));
	return copy;
}

static struct fake_entry *copy_entry(const struct fake_entry *entry)
{
	struct fake_entry *copy = mem_zero(1, sizeof(*copy));

	*copy = *entry;
	copy->from = text_dup(entry->from);
	copy->to = mem_zero(entry->to_count, sizeof(char *));
	for (size_t i = 0; i < entry->to_count; i++)
		copy->to[i] = text_dup(entry->to[i]);
	copy->text = (struct buf){0};
	buf_add(&copy->text, entry->text.data, entry->text.len);
	copy->active = false;
	return copy;
}

static void drop(struct fake_box ***boxes, size_t *box_count, struct fake_entry ***queue,
	size_t *queue_count)
{
	for (size_t i = 0; i < *box_count; i++)
		fake_box_free((*boxes)[i]);
	for (size_t i = 0; i < *queue_count; i++)
		fake_entry_free((*queue)[i]);
	free(*boxes);
	free(*queue);
	*boxes = NULL;
	*queue = NULL;
	*box_count = *queue_count = 0;
}

void fake_save(struct fake *fake)
{
	struct fake_snapshot *s;

	pthread_mutex_lock(&fake->lock);
	if (!fake->snapshot)
		fake->snapshot = mem_zero(1, sizeof(*fake->snapshot));
	s = fake->snapshot;
	drop(&s->boxes, &s->box_count, &s->queue, &s->queue_count);
	s->boxes = mem_zero(fake->box_count, sizeof(struct fake_box *));
	for (; s->box_count < fake->box_count; s->box_count++)
		s->boxes[s->box_count] = copy_box(fake->boxes[s->box_count]);
	s->queue = mem_zero(fake->queue_count, sizeof(struct fake_entry *));
	for (; s->queue_count < fake->queue_count; s->queue_count++)
		s->queue[s->queue_count] = copy_entry(fake->queue[s->queue_count]);
	s->taken = true;
	pthread_mutex_unlock(&fake->lock);
}

/* No thread of the store runs. */
void fake_put_back(struct fake *fake)
{
	struct fake_snapshot *s = fake->snapshot;

	if (!s || !s->taken)
		return;
	drop(&fake->boxes, &fake->box_count, &fake->queue, &fake->queue_count);
	fake->boxes = s->boxes;
	fake->box_count = s->box_count;
	fake->queue = s->queue;
	fake->queue_count = s->queue_count;
	*s = (struct fake_snapshot){0};
}

void fake_restored(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < fake->box_count; i++)
		fake->boxes[i]->uidvalidity += VALIDITY_STEP;
	pthread_mutex_unlock(&fake->lock);
}

void fake_snapshot_free(struct fake *fake)
{
	struct fake_snapshot *s = fake->snapshot;

	if (s)
		drop(&s->boxes, &s->box_count, &s->queue, &s->queue_count);
	free(s);
}
