/*
 * JSON text (RFC 8259) read onto a tape: its values side by side in the order of the text, each object and array
 * followed by what it holds. Nothing is allocated for a value, so that histories of millions of lines are read at the
 * speed of memory; for one document that is kept or changed there is jansson (base/json.h).
 *
 * Accepts what json_loadb(JSON_REJECT_DUPLICATES) of jansson accepts and reads the same from it, but refuses what is
 * nested deeper than TAPE_DEPTH_MAX or has more than TAPE_KEYS_MAX keys in one object: its time is then bounded by the
 * length of the text. Bytes of any kind may be given to it; the text need not end with NUL and is not changed.
 *
 * Zero-initialise a tape, tape_free() it. The values and their texts are the tape's and hold until it reads again.
 * One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TAPE_DEPTH_MAX 64
#define TAPE_KEYS_MAX  256

struct tape_value {
	json_type type;
	uint32_t span; /* values from here to behind it: 1, and those inside it */
	uint32_t len;  /* JSON_STRING: bytes of text. JSON_OBJECT, JSON_ARRAY: members */
	union {
		const char *text; /* UTF-8 without NUL inside, ends with NUL */
		int64_t integer;
		double real;
	};
};

struct tape {
	struct tape_value *values; /* room for whatever a text of `size` bytes can hold */
	char *texts;
	size_t size;
};

/* The value that `text` is, an object or an array, or NULL; then `*why` says in words what is wrong with it, and
 * `*ret_at` at which byte. Both must be given. A text is shorter than 2 GiB. */
const struct tape_value *tape_read(
	struct tape *tape, const char *text, size_t len, const char **why, size_t *ret_at);
void tape_free(struct tape *tape);

static inline const struct tape_value *tape_get(const struct tape_value *object, const char *key)
{
	size_t len = strlen(key);

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (const struct tape_value *at = object + 1, *end = object + object->span; at < end;
		at += 1 + at[1].span)
		if (at->len == len && !memcmp(at->text, key, len))
			return at + 1;
	return NULL;
}

/* The members of an array in turn, NULL behind the last; of anything else there are none. */
static inline const struct tape_value *tape_first(const struct tape_value *array)
{
	return array && array->type == JSON_ARRAY && array->len ? array + 1 : NULL;
}

static inline const struct tape_value *tape_next(
	const struct tape_value *array, const struct tape_value *member)
{
	member += member->span;
	return member < array + array->span ? member : NULL;
}

/* The text of a string, else NULL. */
static inline const char *tape_string(const struct tape_value *value)
{
	return value && value->type == JSON_STRING ? value->text : NULL;
}

/* NULL-safe getters, as those of base/json.h: the default where the key is absent or of another type. Inline, as the
 * length of a key that is written out is then known. */
static inline const char *tape_text(
	const struct tape_value *object, const char *key, const char *otherwise)
{
	const char *text = tape_string(tape_get(object, key));

	return text ? text : otherwise;
}

static inline int64_t tape_int(const struct tape_value *object, const char *key, int64_t otherwise)
{
	const struct tape_value *value = tape_get(object, key);

	return value && value->type == JSON_INTEGER ? value->integer : otherwise;
}

static inline double tape_real(const struct tape_value *object, const char *key, double otherwise)
{
	const struct tape_value *value = tape_get(object, key);

	if (value && value->type == JSON_INTEGER)
		return (double)value->integer;
	return value && value->type == JSON_REAL ? value->real : otherwise;
}

static inline bool tape_bool(const struct tape_value *object, const char *key, bool otherwise)
{
	const struct tape_value *value = tape_get(object, key);

	if (value && (value->type == JSON_TRUE || value->type == JSON_FALSE))
		return value->type == JSON_TRUE;
	return otherwise;
}
