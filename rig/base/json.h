/*
 * What the rig needs beside jansson: scoped references, bounded loading with a file name in the
 * error, atomic saving, and getters that never trust a type. Ownership follows jansson: json_t is
 * counted.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define auto_json cleanup(json_cleanup)

void json_cleanup(json_t **json);

/* A new reference, or NULL with an error that names file, line and what jansson said. */
json_t *json_load_path(const char *path, size_t max_bytes, struct err *err);
int json_save_path(const char *path, const json_t *json,
	struct err *err); /* indented, keys in order of insertion */

/* NULL-safe getters: the default where the key is absent or of another type. Text is borrowed. */
const char *json_get_text(const json_t *object, const char *key, const char *otherwise);
int64_t json_get_int(const json_t *object, const char *key, int64_t otherwise);
double json_get_real(const json_t *object, const char *key, double otherwise);
bool json_get_bool(const json_t *object, const char *key, bool otherwise);
/* True if one of an array's elements is that text. */
bool json_has_text(const json_t *array, const char *text);

/* Text that need not be UTF-8 (it came from a guest): invalid bytes become \xNN. Never NULL. */
json_t *json_text(const char *text);
json_t *json_text_n(const char *bytes, size_t len);
