#include "net/held.h"

#include "base/buf.h"

#include <string.h>

static void insert_after(struct held_queue *queue, struct held *before, const struct held *segment,
	uint64_t from, uint64_t to, const uint8_t *data)
{
	struct held *piece = mem_zero(1, sizeof(*piece) + (size_t)(to - from));

	piece->seq = from;
	piece->len = (size_t)(to - from);
	piece->ack = segment->ack;
	piece->ns = segment->ns;
	memcpy(piece->data, data + (from - segment->seq), piece->len);
	piece->next = before ? before->next : queue->head;
	if (before)
		before->next = piece;
	else
		queue->head = piece;
	if (!piece->next)
		queue->tail = piece;
	queue->bytes += HELD_COST(piece->len);
	queue->count++;
}

bool held_add(struct held_queue *queue, const struct held *segment, const uint8_t *data)
{
	uint64_t at = segment->seq, end = segment->seq + segment->len;
	struct held *before = NULL;
	bool trimmed = false, added = false;

	if (queue->tail && at >= queue->tail->seq + queue->tail->len)
		before = queue->tail;
	for (struct held *e = before ? NULL : queue->head; e && e->seq < end; e = e->next) {
		if (e->seq + e->len > at) {
			if (e->seq > at) {
				insert_after(queue, before, segment, at, e->seq, data);
				added = true;
			}
			trimmed = true;
			at = e->seq + e->len;
		}
		before = e;
	}
	if (at < end) {
		insert_after(queue, before, segment, at, end, data);
		added = true;
	}
	return trimmed && added;
}

struct held *held_pop(struct held_queue *queue)
{
	struct held *first = queue->head;

	if (!first)
		return NULL;
	queue->head = first->next;
	if (!queue->head)
		queue->tail = NULL;
	queue->bytes -= HELD_COST(first->len);
	queue->count--;
	return first;
}

void held_clear(struct held_queue *queue)
{
	struct held *held;

	while ((held = held_pop(queue)))
		free(held);
}
