/*
 * A 64-bit little-endian ELF file held in memory, read by what its head says (elf(5)). The file is hostile: nothing is
 * read beyond it, and what points there is not there.
 */
#pragma once

#include "base/buf.h"

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Bytes `at` to `at + len` of the file, or NULL where it is shorter. */
static inline const void *elf_part(const struct buf *file, uint64_t at, uint64_t len)
{
	return at <= file->len && len <= file->len - at ? file->data + at : NULL;
}

/* The text at `at`, or NULL: it has no end in the file. */
static inline const char *elf_text(const struct buf *file, uint64_t at)
{
	return at < file->len && memchr(file->data + at, '\0', file->len - at) ? file->data + at
									       : NULL;
}

/* False: it is no such file. */
static inline bool elf_head(const struct buf *file, Elf64_Ehdr *ret)
{
	const void *at = elf_part(file, 0, sizeof(*ret));

	if (!at || memcmp(at, ELFMAG, SELFMAG) != 0)
		return false;
	memcpy(ret, at, sizeof(*ret));
	return ret->e_ident[EI_CLASS] == ELFCLASS64 && ret->e_ident[EI_DATA] == ELFDATA2LSB;
}

static inline bool elf_section(
	const struct buf *file, const Elf64_Ehdr *head, unsigned int i, Elf64_Shdr *ret)
{
	const void *at =
		elf_part(file, head->e_shoff + (uint64_t)i * head->e_shentsize, sizeof(*ret));

	if (at)
		memcpy(ret, at, sizeof(*ret));
	return at != NULL;
}
