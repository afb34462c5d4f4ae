/*
 * Where a thread burns the processor. It is never found in the same place, so one stack of it says little; what it was
 * in at every one of some moments is the loop and whoever called it.
 */
#include "run/bed/stacks.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/log.h"
#include "vm/witness_wire.h"

#include <string.h>

#define ASK_MS	    3000
#define STACK_BYTES (64u << 10)
#define MOMENTS_MIN 4 /* of one that did not run there is nothing to tell */

static bool all_have(const json_t *stacks, const char *name)
{
	const json_t *frames;
	size_t i;

	json_array_foreach ((json_t *)stacks, i, frames)
		if (!stacks_have(frames, name))
			return false;
	return true;
}

json_t *stacks_common(const json_t *stacks)
{
	json_t *common = json_array(), *one;
	size_t i;

	json_array_foreach (json_array_get(stacks, 0), i, one)
		if (json_is_string(one) && !stacks_have(common, json_string_value(one)) &&
			all_have(stacks, json_string_value(one)))
			json_array_append(common, one);
	return common;
}

static json_t *frames_at(const json_t *sample, const struct stack_files *files, json_t **ret_own)
{
	const json_t *hex = json_object_get(sample, "stack");
	size_t len = json_string_length(hex);
	auto_buf struct buf stack = {0};
	char *bytes;

	if (!len || len > 2 * STACK_BYTES)
		return json_array();
	bytes = buf_reserve(&stack, len / 2);
	return stacks_frames(files, (uint64_t)json_get_int(sample, "pc", 0),
		(uint64_t)json_get_int(sample, "sp", 0), (uint64_t)json_get_int(sample, "bp", 0),
		bytes, hex_read(json_string_value(hex), len, bytes, len / 2), ret_own);
}

bool stacks_add_busy(
	const struct stack_source *source, json_t *task, const struct stack_files *files)
{
	auto_json json_t *samples = NULL, *stacks = json_array();
	json_t *common;
	struct err err = {0};
	const json_t *sample;
	size_t i;

	if (witness_profile(source->witness, (int)json_get_int(task, "tid", 0),
		    deadline_in_ms(ASK_MS), &samples, &err)) {
		log_line("no moments of a busy thread: %s", err.text);
		return false;
	}
	json_array_foreach (samples, i, sample) {
		auto_json json_t *own = NULL, *frames = NULL;

		if (i == PROFILE_SAMPLES_MAX)
			break;
		frames = frames_at(sample, files, &own);
		stacks_add_began(task, frames, own);
		json_array_append(stacks, frames);
	}
	if (json_array_size(stacks) < MOMENTS_MIN)
		return false;
	common = stacks_common(stacks);
	if (json_array_size(common)) {
		json_object_set(task, "busy", common);
		json_object_set_new(
			task, "moments", json_integer((json_int_t)json_array_size(stacks)));
	}
	json_decref(common);
	return true;
}
