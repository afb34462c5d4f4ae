/*
 * What dlsym(RTLD_NEXT) does, without its lock and its memory, so that the first call of a function
 * may be made in a signal handler, in a child of vfork, or inside the loader's own locks.
 * Objects loaded at start stay for ever, and libc is one of them, so the walk needs no lock.
 * Sources: ELF gABI, the GNU hash section, and glibc's rule that a version index with bit 15 set is
 * not the default version.
 */
#include "faults/guest/rigfault.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct object {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *hash; /* DT_GNU_HASH */
	const ElfW(Half) * versions;
};

static const void *dynamic_pointer(const struct link_map *map, const ElfW(Dyn) * entry)
{
	/* glibc has relocated it in place, but for objects whose dynamic section is read-only. */
	ElfW(Addr) at = entry->d_un.d_ptr;

	if (at < map->l_addr)
		at += map->l_addr;
	return (const void *)at; /* NOLINT: the loader's own number */
}

static bool object_read(const struct link_map *map, struct object *object)
{
	*object = (struct object){0};
	for (const ElfW(Dyn) *entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
		if (entry->d_tag == DT_SYMTAB)
			object->symbols = dynamic_pointer(map, entry);
		else if (entry->d_tag == DT_STRTAB)
			object->strings = dynamic_pointer(map, entry);
		else if (entry->d_tag == DT_GNU_HASH)
			object->hash = dynamic_pointer(map, entry);
		else if (entry->d_tag == DT_VERSYM)
			object->versions = dynamic_pointer(map, entry);
	}
	return object->symbols && object->strings && object->hash;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

static bool is_it(const struct object *object, uint32_t index, const char *name)
{
	const ElfW(Sym) *symbol = &object->symbols[index];

	if (symbol->st_shndx == SHN_UNDEF || strcmp(object->strings + symbol->st_name, name) != 0)
		return false;
	return !object->versions || !(object->versions[index] & 0x8000);
}

static const ElfW(Sym) * object_find(const struct object *object, const char *name, uint32_t hash)
{
	uint32_t buckets = object->hash[0], first = object->hash[1], bloom = object->hash[2];
	const uint32_t *bucket =
		object->hash + 4 + (size_t)bloom * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
	const uint32_t *chain = bucket + buckets;
	uint32_t index = buckets ? bucket[hash % buckets] : 0;

	if (index < first)
		return NULL;
	for (;; index++) {
		uint32_t here = chain[index - first];

		if ((here | 1) == (hash | 1) && is_it(object, index, name))
			return &object->symbols[index];
		if (here & 1)
			return NULL;
	}
}

static void *address_of(const struct link_map *map, const ElfW(Sym) * symbol)
{
	void *at = (void *)(map->l_addr + symbol->st_value); /* NOLINT: the loader's own number */
	void *(*choose)(void);

	if (ELF64_ST_TYPE(symbol->st_info) != STT_GNU_IFUNC)
		return at;
	memcpy(&choose, &at, sizeof(choose));
	return choose();
}

void *rig_next(const char *name)
{
	uint32_t hash = gnu_hash(name);
	const struct link_map *map = _r_debug.r_map;

	while (map && map->l_ld != _DYNAMIC)
		map = map->l_next;
	for (map = map ? map->l_next : NULL; map; map = map->l_next) {
		struct object object;
		const ElfW(Sym) *symbol = NULL;

		if (object_read(map, &object))
			symbol = object_find(&object, name, hash);
		if (symbol)
			return address_of(map, symbol);
	}
	return NULL;
}

int rig_is_inside(const char *name, const void *at)
{
	uint32_t hash = gnu_hash(name);
	ElfW(Addr) here = (ElfW(Addr))at;
	int found = -1;

	for (const struct link_map *map = _r_debug.r_map; map && found <= 0; map = map->l_next) {
		struct object object;
		const ElfW(Sym) *symbol = NULL;
		ElfW(Addr) from;

		if (map->l_ld != _DYNAMIC && object_read(map, &object))
			symbol = object_find(&object, name, hash);
		if (!symbol || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
			continue;
		from = map->l_addr + symbol->st_value;
		/* A call that is the last of its function returns to the byte behind it. */
		found = here > from && here <= from + symbol->st_size;
	}
	return found;
}
