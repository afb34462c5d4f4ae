/*
 * Segments of one direction that wait for their turn, sorted by sequence number and free of overlaps: of
 * bytes that come twice the first are kept. Sequence numbers are unwrapped to 64 bits by the caller.
 * Memory belongs to the queue; the caller bounds it by `bytes` and `count`. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct held {
	struct held *next;
	uint64_t seq;
	uint64_t ack; /* of the other direction, to be seen first; 0: none */
	int64_t ns;
	size_t len;
	uint8_t data[];
};

struct held_queue {
	struct held *head, *tail;
	size_t bytes; /* what the queue costs, overhead included */
	size_t count;
};

#define HELD_COST(len) ((len) + sizeof(struct held) + 16)

/* Returns true if some of the bytes were there already and others were not: an overlap. */
bool held_add(struct held_queue *queue, const struct held *segment, const uint8_t *data);

/* Take the first out; the caller frees it. */
struct held *held_pop(struct held_queue *queue);
void held_clear(struct held_queue *queue);
