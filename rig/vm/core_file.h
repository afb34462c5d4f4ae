/*
 * What a core file tells of a death, from the head of the file alone: whose registers, which signal and about
 * which address, which files were mapped where, and where in the core a piece of memory stands (ELF core of
 * Linux 6.1, x86-64: elf.h, sys/procfs.h; the notes are core(5)'s). And the same of /proc/PID/maps (proc(5)).
 * Pure. All of it is the guest's word: bounded, and what does not fit is left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_REGS	 17 /* DWARF numbers, as in vm/unwind.h */
#define CORE_LOADS_MAX	 4096
#define MAPPED_FILES_MAX 128
#define MAPPED_PATH_MAX	 1024

/* Files whose first byte was mapped, each once, in the order of their places. */
struct mapped_files {
	struct {
		uint64_t base;
		char *path;
	} at[MAPPED_FILES_MAX];
	size_t count;
};

void mapped_files_of_maps(const char *maps, struct mapped_files *ret);
void mapped_files_free(struct mapped_files *files);

struct core_load {
	uint64_t address, offset, size;
};

struct core_file {
	bool has_registers; /* of the thread that died */
	uint64_t regs[CORE_REGS];
	uint32_t known; /* bit n: regs[n] is */
	int tid, signal;
	bool has_address; /* that the signal was about: not every signal has one */
	uint64_t address;
	struct mapped_files files;
	struct core_load *loads;
	size_t load_count;
};

/* The beginning of a core, `len` bytes; false: it is none, or has no registers. Released either way. */
bool core_file_read(const char *head, size_t len, struct core_file *ret);
void core_file_free(struct core_file *core);
/* Where in the file the memory at `address` stands; `ret_size`: how many bytes follow. */
bool core_file_find(
	const struct core_file *core, uint64_t address, uint64_t *ret_offset, uint64_t *ret_size);
