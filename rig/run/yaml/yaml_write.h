/*
 * Plain data out: quantities in the form users write, and JSON as YAML that reads the same everywhere.
 */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdint.h>

char *size_text(uint64_t bytes); /* "64KiB"; caller frees */

/* Texts with the largest unit that keeps the value whole; nothing is put for a value that is not given. */
void put_text(json_t *object, const char *key, const char *text); /* NULL: nothing */
void put_duration(json_t *object, const char *key, int64_t ms);	  /* negative: nothing */
void put_size(json_t *object, const char *key, uint64_t bytes);	  /* 0: nothing */
void put_rate(json_t *object, const char *key, double per_s);	  /* 0: nothing */
void put_count(json_t *object, const char *key, uint64_t count);  /* 0: nothing */
void put_words(json_t *object, const char *key, char *const *words, size_t count); /* 0: nothing */
/* The same where an empty list says something else than none. */
void put_list_of_words(json_t *object, const char *key, char *const *words, size_t count);

/*
 * An object as YAML: its own lists of objects one entry a line in flow style, texts quoted where a YAML
 * 1.1 reader needs it. "line" of an object is left out at every level.
 */
void yaml_write(const json_t *object, struct buf *out);
