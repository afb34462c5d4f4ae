/*
 * Where a thread burns the processor. It is never found in the same place, so one stack of it says little; what it was
 * in at every one of some moments is the loop and whoever called it. Which function of the program's own goes round is
 * told by most of them: one moment may have met it on its way in or out, and its stack ends early then.
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
/* In how many of them the loop is met. What it calls has less, or does all of its work and has nearly all: where the
 * line lies between the two, another run finds the same. */
#define MOST	9
#define MOST_OF 10

static size_t moments_in(const json_t *stacks, const char *name)
{
	const json_t *frames;
	size_t i, count = 0;

	json_array_foreach ((json_t *)stacks, i, frames)
		count += json_has_text(frames, name);
	return count;
}

json_t *stacks_common(const json_t *stacks)
{
	json_t *common = json_array(), *one;
	size_t i;

	json_array_foreach (json_array_get(stacks, 0), i, one)
		if (json_is_string(one) && !json_has_text(common, json_string_value(one)) &&
			moments_in(stacks, json_string_value(one)) == json_array_size(stacks))
			json_array_append(common, one);
	return common;
}

/* The first of these names that nearly all stacks have; borrowed, or NULL. */
static json_t *first_of_most(const json_t *frames, const json_t *stacks)
{
	json_t *one;
	size_t i;

	json_array_foreach ((json_t *)frames, i, one)
		if (json_is_string(one) && MOST_OF * moments_in(stacks, json_string_value(one)) >=
						   MOST * json_array_size(stacks))
			return one;
	return NULL;
}

/* In whatever order a stack has them, most meet the same one first. */
json_t *stacks_loop(const json_t *stacks)
{
	auto_json json_t *firsts = json_array();
	json_t *frames, *one;
	size_t i;

	json_array_foreach ((json_t *)stacks, i, frames) {
		one = first_of_most(frames, stacks);
		if (one)
			json_array_append_new(firsts, json_pack("[O]", one));
	}
	json_array_foreach (firsts, i, frames) {
		one = json_array_get(frames, 0);
		if (2 * moments_in(firsts, json_string_value(one)) > json_array_size(stacks))
			return json_incref(one);
	}
	return NULL;
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
	auto_json json_t *samples = NULL, *stacks = json_array(), *owns = json_array();
	json_t *common, *loop;
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
		if (!json_array_size(frames))
			continue;
		stacks_add_began(task, frames, own);
		json_array_append(stacks, frames);
		json_array_append(owns, own);
	}
	if (json_array_size(stacks) < MOMENTS_MIN)
		return false;
	loop = stacks_loop(owns);
	if (loop)
		json_object_set_new(task, "loop", loop);
	common = stacks_common(stacks);
	if (json_array_size(common)) {
		json_object_set(task, "busy", common);
		json_object_set_new(
			task, "moments", json_integer((json_int_t)json_array_size(stacks)));
	}
	json_decref(common);
	return true;
}
