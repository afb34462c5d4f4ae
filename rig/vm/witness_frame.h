/*
 * Splits the bytes that come from a witness into frames (witness_wire.h). No I/O: bytes in, frames
 * out. Whatever the bytes are, memory is bounded by WITNESS_FRAME_MAX, and after the first byte that
 * cannot be, nothing more comes out. One thread.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct witness_frames {
	struct buf in;	 /* what is not whole yet, at most one frame */
	size_t mark_run; /* reset bytes in a row */
	bool begun;	 /* a reset mark was seen; all before is another connection's */
	bool broken;
};

/* `json` is an object; the only reference to it is handed over. */
typedef void (*witness_frame_fn)(void *arg, json_t *json);

void witness_frames_free(struct witness_frames *frames);

/* Calls `fn` for each frame that became whole. 0, or -EPROTO once and for ever. */
int witness_frames_feed(struct witness_frames *frames, const void *bytes, size_t len,
	witness_frame_fn fn, void *arg, struct err *err);

/* The frame of `json`, added to `out`: 0, or -EMSGSIZE above `max` bytes. */
int witness_frame_add(struct buf *out, const json_t *json, size_t max, struct err *err);
