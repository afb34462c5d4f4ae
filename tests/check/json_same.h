/* Whether the tape (rig/base/json_tape.h) and jansson read the same from the same bytes. */
#pragma once

#include "base/json_tape.h"

#include <stdbool.h>
#include <string.h>

static inline bool json_same(const json_t *json, const struct tape_value *value);

static inline bool json_same_object(const json_t *json, const struct tape_value *value)
{
	const struct tape_value *at = value + 1;

	for (uint32_t i = 0; i < value->len; i++, at += 1 + at[1].span)
		if (at->type != JSON_STRING ||
			!json_same(json_object_get(json, at->text), at + 1) ||
			tape_get(value, at->text) != at + 1)
			return false;
	return json_object_size(json) == value->len && at == value + value->span;
}

static inline bool json_same_array(const json_t *json, const struct tape_value *value)
{
	const struct tape_value *one = tape_first(value);
	size_t count = 0;

	for (; one; one = tape_next(value, one))
		if (!json_same(json_array_get(json, count++), one))
			return false;
	return json_array_size(json) == count && value->len == count;
}

static inline bool json_same(const json_t *json, const struct tape_value *value)
{
	if (!json || json_typeof(json) != value->type)
		return false;
	switch (value->type) {
	case JSON_OBJECT:
		return json_same_object(json, value);
	case JSON_ARRAY:
		return json_same_array(json, value);
	case JSON_STRING:
		return value->span == 1 && json_string_length(json) == value->len &&
		       !memcmp(json_string_value(json), value->text, value->len + 1);
	case JSON_INTEGER:
		return value->span == 1 && json_integer_value(json) == value->integer;
	case JSON_REAL: /* the same bits: a rounding of its own would be another number */
		return value->span == 1 &&
		       !memcmp(&(double){json_real_value(json)}, &value->real, sizeof(double));
	default:
		return value->span == 1;
	}
}

/* Both refuse it, or both read the same. What only the tape refuses is beyond its own limits, or holds a NUL byte:
 * no JSON does, and jansson passes over one behind a number. */
static inline bool json_read_alike(struct tape *tape, const char *text, size_t len)
{
	const char *why = NULL;
	size_t at = 0;
	const struct tape_value *value = tape_read(tape, text, len, &why, &at);
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	bool alike = value && json_same(json, value);

	if (!value)
		alike = why && at <= len &&
			(!json || memchr(text, '\0', len) || strstr(why, "too deep") ||
				strstr(why, "too many"));
	json_decref(json);
	return alike;
}
