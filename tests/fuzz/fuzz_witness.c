/*
 * The witness's stream, as a hostile guest may write it (rig/vm/witness_frame.h). The first byte is the size
 * of the pieces it comes in. Whatever the bytes: no more memory than one frame, only objects come out, the
 * pieces do not matter, and a broken stream stays broken.
 */
#include "vm/witness_frame.h"
#include "vm/witness_wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void take(void *arg, json_t *json)
{
	size_t *count = arg;

	assert(json_is_object(json));
	(*count)++;
	json_decref(json);
}

static int feed(const uint8_t *bytes, size_t len, size_t piece, size_t *ret_count)
{
	struct witness_frames frames = {0};
	int rc = 0;

	for (size_t i = 0; i < len; i += piece) {
		size_t n = len - i < piece ? len - i : piece;
		int now = witness_frames_feed(&frames, bytes + i, n, take, ret_count, NULL);

		assert(!rc || now == rc);
		assert(frames.in.len <= WITNESS_FRAME_MAX + 8);
		rc = now;
	}
	witness_frames_free(&frames);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t whole = 0, pieces = 0;
	int rc;

	if (!len)
		return 0;
	rc = feed(bytes + 1, len - 1, len, &whole);
	assert(feed(bytes + 1, len - 1, bytes[0] ? bytes[0] : 1, &pieces) == rc);
	assert(whole == pieces);
	return 0;
}
