#include "api/intern.h"

#include "base/buf.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST   64
#define KEYS_TOGETHER 8
#define BLOCK_BYTES   ((size_t)64 << 10)

/* The finaliser of splitmix64: every bit of the key reaches every bit of the result. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

void key_map_free(struct key_map *map)
{
	free(map->entries);
	*map = (struct key_map){0};
}

/* Neighbours among the keys (UIDs, ids) are neighbours in memory: they are asked for one after the other. */
static size_t key_home(const struct key_map *map, uint64_t key)
{
	uint64_t hash = mix(key / KEYS_TOGETHER), at = key + (hash >> 32);

	return (hash * KEYS_TOGETHER + at % KEYS_TOGETHER) & (map->slots - 1);
}

static struct key_entry *key_slot(const struct key_map *map, uint64_t key)
{
	size_t slot = key_home(map, key);

	while (map->entries[slot].value && map->entries[slot].key != key)
		slot = (slot + 1) & (map->slots - 1);
	return &map->entries[slot];
}

static void key_map_grow(struct key_map *map)
{
	struct key_map old = *map;

	map->slots = old.slots ? old.slots * 2 : SLOTS_FIRST;
	map->entries = mem_zero(map->slots, sizeof(*map->entries));
	for (size_t i = 0; i < old.slots; i++)
		if (old.entries[i].value)
			*key_slot(map, old.entries[i].key) = old.entries[i];
	key_map_free(&old);
}

uint32_t key_map_put(struct key_map *map, uint64_t key, uint32_t fresh)
{
	struct key_entry *entry;

	assert(fresh < UINT32_MAX);
	if (map->used * 2 >= map->slots)
		key_map_grow(map);
	entry = key_slot(map, key);
	if (entry->value)
		return entry->value - 1;
	*entry = (struct key_entry){.key = key, .value = fresh + 1};
	map->used++;
	return fresh;
}

uint32_t key_map_get(const struct key_map *map, uint64_t key)
{
	return map->slots ? key_slot(map, key)->value - 1 : UINT32_MAX;
}

void text_map_free(struct text_map *map)
{
	free(map->values);
	*map = (struct text_map){0};
}

uint32_t text_map_put(struct text_map *map, uint32_t id, uint32_t fresh)
{
	assert(fresh < UINT32_MAX);
	if (id >= map->room) {
		size_t before = map->room;

		while (map->room <= id)
			map->room = map->room ? map->room * 2 : SLOTS_FIRST;
		map->values = mem_grow(map->values, map->room, sizeof(*map->values));
		memset(map->values + before, 0, (map->room - before) * sizeof(*map->values));
	}
	if (!map->values[id])
		map->values[id] = fresh + 1;
	return map->values[id] - 1;
}

void intern_free(struct intern *intern)
{
	for (size_t i = 0; i < intern->block_count; i++)
		free(intern->blocks[i]);
	free(intern->blocks);
	free(intern->texts);
	free(intern->hashes);
	free(intern->slots);
	*intern = (struct intern){0};
}

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t hash = len, word;

	for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 32;
	}
	word = 0;
	if (len)
		memcpy(&word, text, len);
	return mix(hash ^ word);
}

static size_t text_slot(const struct intern *intern, const char *text, size_t len, uint64_t hash)
{
	size_t slot = hash & (intern->slot_count - 1);
	uint32_t id;

	while ((id = intern->slots[slot].id)) {
		if (intern->slots[slot].tag == hash >> 32 &&
			!strncmp(intern->texts[id], text, len) && !intern->texts[id][len])
			break;
		slot = (slot + 1) & (intern->slot_count - 1);
	}
	return slot;
}

static void intern_grow(struct intern *intern)
{
	free(intern->slots);
	intern->slot_count = intern->slot_count ? intern->slot_count * 2 : SLOTS_FIRST;
	intern->slots = mem_zero(intern->slot_count, sizeof(*intern->slots));
	for (uint32_t id = 1; id < intern->count; id++) {
		size_t slot = intern->hashes[id] & (intern->slot_count - 1);

		while (intern->slots[slot].id)
			slot = (slot + 1) & (intern->slot_count - 1);
		intern->slots[slot] =
			(struct intern_slot){id, (uint32_t)(intern->hashes[id] >> 32)};
	}
}

/* A long text gets a block of its own, before the one that is being filled. */
static char *keep(struct intern *intern, const char *text, size_t len)
{
	bool own = len + 1 > BLOCK_BYTES / 4;
	char *copy;

	if (own || !intern->block_count || BLOCK_BYTES - intern->block_used < len + 1) {
		intern->blocks =
			mem_grow(intern->blocks, intern->block_count + 1, sizeof(*intern->blocks));
		copy = mem_zero(own ? len + 1 : BLOCK_BYTES, 1);
		if (own && intern->block_count) {
			intern->blocks[intern->block_count] =
				intern->blocks[intern->block_count - 1];
			intern->blocks[intern->block_count - 1] = copy;
		} else {
			intern->blocks[intern->block_count] = copy;
			intern->block_used = own ? BLOCK_BYTES : 0;
		}
		intern->block_count++;
	}
	if (!own) {
		copy = intern->blocks[intern->block_count - 1] + intern->block_used;
		intern->block_used += len + 1;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

uint32_t intern_id(struct intern *intern, const char *text, size_t len)
{
	uint64_t hash = hash_text(text, len);
	uint32_t id;
	size_t slot;

	if (!len)
		return 0;
	if (intern->count * 4 >= intern->slot_count * 3)
		intern_grow(intern);
	slot = text_slot(intern, text, len, hash);
	if (intern->slots[slot].id)
		return intern->slots[slot].id;
	if (!intern->count)
		intern->count = 1;
	if (intern->count >= intern->room) {
		intern->room = intern->room ? intern->room * 2 : SLOTS_FIRST;
		intern->texts = mem_grow(intern->texts, intern->room, sizeof(*intern->texts));
		intern->hashes = mem_grow(intern->hashes, intern->room, sizeof(*intern->hashes));
		intern->texts[0] = NULL;
		intern->hashes[0] = 0;
	}
	id = (uint32_t)intern->count++;
	intern->texts[id] = keep(intern, text, len);
	intern->hashes[id] = hash;
	intern->slots[slot] = (struct intern_slot){id, (uint32_t)(hash >> 32)};
	return id;
}

void intern_expect(const struct intern *intern, const char *text, size_t len)
{
	if (intern->slot_count)
		__builtin_prefetch(&intern->slots[hash_text(text, len) & (intern->slot_count - 1)]);
}

uint32_t intern_find(const struct intern *intern, const char *text, size_t len)
{
	if (!len || !intern->slot_count)
		return 0;
	return intern->slots[text_slot(intern, text, len, hash_text(text, len))].id;
}
