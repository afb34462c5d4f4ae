/*
 * Frames on their way from the thread that must never wait to the thread that may: one producer that never
 * blocks on the consumer's work, one consumer that takes all there is at once. Bounded: what does not fit
 * is dropped and counted. Marks and flush requests travel in the same order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_kind { RECORD_FRAME, RECORD_MARK, RECORD_KEYS, RECORD_FLUSH };

struct record {
	int64_t ns; /* CLOCK_MONOTONIC */
	uint32_t kind;
	uint32_t captured; /* bytes behind this header, or the number of the flush request */
	uint32_t len;
	uint32_t size; /* header, bytes, padding */
	uint8_t data[];
};

struct frame_queue;

struct frame_queue *frame_queue_new(
	size_t max_bytes); /* per batch; address space, touched as used */
void frame_queue_free(struct frame_queue *queue);

/* Any thread. False (and counted, for frames) if there is no room. */
bool frame_queue_put(struct frame_queue *queue, enum record_kind kind, int64_t ns, const void *data,
	size_t captured, size_t len);
void frame_queue_end(struct frame_queue *queue); /* nothing more will come */

/*
 * Wait for records and take all of them (`*ret_bytes` in all): NULL at the end. Walk them by `size`; good until the
 * next call.
 */
const struct record *frame_queue_take(struct frame_queue *queue, size_t *ret_bytes);
bool frame_queue_idle(struct frame_queue *queue);
uint64_t frame_queue_dropped(struct frame_queue *queue);
