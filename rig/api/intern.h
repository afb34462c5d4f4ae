/*
 * Texts and keys as small numbers. An interned text has an id from 1 on (0: none) that stays, and
 * equal texts have equal ids, so that a ledger of a million messages compares and counts numbers.
 *
 * Owned by one ledger; one thread while it grows, any number once it does not. Memory that cannot
 * be had aborts. Ids are given in the order of first use: the same input gives the same ids.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* From 64-bit keys to 32-bit values; open addressing, never shrinks. Zero-initialise, free. */
struct key_entry {
	uint64_t key;
	uint32_t value; /* value + 1; 0: the slot is free */
};

struct key_map {
	struct key_entry *entries;
	size_t slots, used;
};

void key_map_free(struct key_map *map);
/* The value of `key`, which is `fresh` if it was not there yet (then it is now). */
uint32_t key_map_put(struct key_map *map, uint64_t key, uint32_t fresh);
/* The value, or UINT32_MAX. */
uint32_t key_map_get(const struct key_map *map, uint64_t key);

/* Half of the hash beside the id: a slot of another text is passed without looking at that text. */
struct intern_slot {
	uint32_t id; /* 0: free */
	uint32_t tag;
};

struct intern {
	char **texts;	  /* by id */
	uint64_t *hashes; /* by id */
	size_t count, room;
	struct intern_slot *slots;
	size_t slot_count;
	char **blocks; /* of memory that hold the texts */
	size_t block_count, block_used;
};

void intern_free(struct intern *intern);
uint32_t intern_id(struct intern *intern, const char *text, size_t len); /* "" is 0 */
/* This text will be asked for soon: the processor may fetch its slot meanwhile. */
void intern_expect(const struct intern *intern, const char *text, size_t len);
/* The id, or 0 if this text was never interned. */
uint32_t intern_find(const struct intern *intern, const char *text, size_t len);

/* From interned texts to 32-bit values: an array by their ids. Zero-initialise, free. */
struct text_map {
	uint32_t *values; /* value + 1; 0: none */
	size_t room;
};

void text_map_free(struct text_map *map);
/* The value of that text, which is `fresh` if it had none yet (then it has now). */
uint32_t text_map_put(struct text_map *map, uint32_t id, uint32_t fresh);

/* The value, or UINT32_MAX. */
static inline uint32_t text_map_get(const struct text_map *map, uint32_t id)
{
	return id < map->room ? map->values[id] - 1 : UINT32_MAX;
}

static inline const char *intern_text(const struct intern *intern, uint32_t id)
{
	return id ? intern->texts[id] : "";
}
