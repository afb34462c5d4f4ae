#include "vm/witness_frame.h"

#include "vm/witness_wire.h"

#include <string.h>

#define HEAD 4

void witness_frames_free(struct witness_frames *frames)
{
	buf_free(&frames->in);
	*frames = (struct witness_frames){0};
}

static int broken(struct witness_frames *frames, struct err *err, const char *what)
{
	frames->broken = true;
	buf_free(&frames->in);
	return err_set(err, -EPROTO, "the witness sent %s", what);
}

static int take_frame(
	struct witness_frames *frames, witness_frame_fn fn, void *arg, struct err *err)
{
	json_t *json = json_loadb(
		frames->in.data + HEAD, frames->in.len - HEAD, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(json)) {
		json_decref(json);
		return broken(frames, err, "a frame that is no JSON object");
	}
	buf_reset(&frames->in);
	fn(arg, json);
	return 0;
}

/* A run of reset bytes is a mark also where a frame was cut short, so it is looked for everywhere. */
static bool is_mark(struct witness_frames *frames, unsigned char byte)
{
	frames->mark_run = byte == WITNESS_RESET_BYTE ? frames->mark_run + 1 : 0;
	if (frames->mark_run == WITNESS_RESET_MIN) {
		frames->begun = true;
		buf_reset(&frames->in);
	}
	return frames->mark_run >= WITNESS_RESET_MIN;
}

static int take_byte(struct witness_frames *frames, unsigned char byte, witness_frame_fn fn,
	void *arg, struct err *err)
{
	size_t len;

	if (is_mark(frames, byte) || !frames->begun)
		return 0;
	buf_addc(&frames->in, (char)byte);
	if (frames->in.len < HEAD)
		return 0;
	len = witness_get_length((unsigned char *)frames->in.data);
	/* Where a mark cuts a frame short, its first bytes look like a length or like JSON. */
	if (byte == WITNESS_RESET_BYTE)
		return 0;
	if (!len || len > WITNESS_FRAME_MAX)
		return broken(frames, err, "a frame of no length, or longer than the limit");
	if (frames->in.len < HEAD + len)
		return 0;
	return take_frame(frames, fn, arg, err);
}

/* The body of a frame in one piece, where no reset byte is in the way: the common case, kept fast. */
static size_t take_plain(struct witness_frames *frames, const unsigned char *bytes, size_t len)
{
	const unsigned char *mark;
	size_t want;

	if (!frames->begun || frames->in.len < HEAD)
		return 0;
	want = HEAD + witness_get_length((unsigned char *)frames->in.data);
	if (want <= frames->in.len + 1 || want > HEAD + WITNESS_FRAME_MAX)
		return 0;
	want -= frames->in.len + 1; /* the last byte goes the long way, which ends the frame */
	want = len < want ? len : want;
	mark = memchr(bytes, WITNESS_RESET_BYTE, want);
	want = mark ? (size_t)(mark - bytes) : want;
	if (want) {
		buf_add(&frames->in, bytes, want);
		frames->mark_run = 0;
	}
	return want;
}

int witness_frames_feed(struct witness_frames *frames, const void *bytes, size_t len,
	witness_frame_fn fn, void *arg, struct err *err)
{
	const unsigned char *at = bytes;
	int rc = frames->broken ? err_set(err, -EPROTO, "the witness's stream is broken") : 0;

	for (size_t i = 0; i < len && !rc;) {
		size_t n = take_plain(frames, at + i, len - i);

		if (!n) {
			rc = take_byte(frames, at[i], fn, arg, err);
			n = 1;
		}
		i += n;
	}
	return rc;
}

int witness_frame_add(struct buf *out, const json_t *json, size_t max, struct err *err)
{
	size_t head = out->len, len;
	auto_free char *text = json_dumps(json, JSON_COMPACT);

	if (!text)
		return err_set(err, -EINVAL, "a request cannot be written as JSON");
	len = strlen(text);
	if (len + 1 > max)
		return err_set(
			err, -EMSGSIZE, "a request of %zu bytes is longer than %zu", len, max);
	buf_add(out, "\0\0\0\0", HEAD);
	buf_add(out, text, len);
	/* A length of which 0xff is the low byte could be taken for the tail of a reset mark. */
	if ((len & 0xff) == WITNESS_RESET_BYTE)
		buf_addc(out, ' ');
	witness_put_length((unsigned char *)out->data + head, (uint32_t)(out->len - head - HEAD));
	return 0;
}
