#include "vm/core_file.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <elf.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

#define SI_KERNEL_CODE 0x80 /* a fault without an address: a pointer that is none */
#define SIGINFO_MIN    24

/* ---- mapped files ---- */

static void add_file(struct mapped_files *files, const char *path, uint64_t base)
{
	for (size_t i = 0; i < files->count; i++)
		if (!strcmp(files->at[i].path, path))
			return;
	if (files->count == MAPPED_FILES_MAX || strlen(path) >= MAPPED_PATH_MAX)
		return;
	files->at[files->count].base = base;
	files->at[files->count++].path = text_dup(path);
}

/* "start-end perms offset dev inode   path" */
static void read_map(const char *line, size_t len, struct mapped_files *ret)
{
	char text[MAPPED_PATH_MAX + 128];
	uint64_t start, offset;
	int at = 0;

	if (len >= sizeof(text))
		return;
	memcpy(text, line, len);
	text[len] = '\0';
	if (sscanf(text, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %*s %n", &start, &offset, &at) == 2 &&
		at && text[at] == '/' && !offset)
		add_file(ret, text + at, start);
}

void mapped_files_of_maps(const char *maps, struct mapped_files *ret)
{
	*ret = (struct mapped_files){0};
	while (*maps) {
		size_t len = strcspn(maps, "\n");

		read_map(maps, len, ret);
		maps += len + (maps[len] == '\n');
	}
}

void mapped_files_free(struct mapped_files *files)
{
	for (size_t i = 0; i < files->count; i++)
		free(files->at[i].path);
	files->count = 0;
}

/* ---- notes ---- */

/* The first is of the thread that died. From sys/user.h's order to DWARF's (System V ABI AMD64, figure 3.36). */
static void read_registers(struct core_file *core, const char *desc, size_t size)
{
	static const int dwarf[] = {
		15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, -1, 16, -1, -1, 7};
	prstatus_t status;

	if (core->has_registers || size < sizeof(status))
		return;
	memcpy(&status, desc, sizeof(status));
	for (size_t i = 0; i < ARRAY_SIZE(dwarf); i++)
		if (dwarf[i] >= 0) {
			core->regs[dwarf[i]] = status.pr_reg[i];
			core->known |= 1u << dwarf[i];
		}
	core->tid = status.pr_pid;
	core->has_registers = true;
}

static void read_signal(struct core_file *core, const char *desc, size_t size)
{
	int32_t words[3]; /* si_signo, si_errno, si_code */

	if (core->signal || size < SIGINFO_MIN)
		return;
	memcpy(words, desc, sizeof(words));
	core->signal = words[0];
	if ((words[0] != SIGSEGV && words[0] != SIGBUS && words[0] != SIGILL &&
		    words[0] != SIGFPE) ||
		words[2] <= 0 || words[2] >= SI_KERNEL_CODE)
		return;
	memcpy(&core->address, desc + 16, sizeof(core->address));
	core->has_address = true;
}

/* NT_FILE: count, page size, then start, end, offset in pages for each, then the names. */
static void read_files(struct core_file *core, const char *desc, size_t size)
{
	uint64_t count, row[3];
	size_t name;

	if (size < 16)
		return;
	memcpy(&count, desc, sizeof(count));
	if (count > (size - 16) / sizeof(row))
		return;
	name = 16 + count * sizeof(row);
	for (uint64_t i = 0; i < count && name < size; i++) {
		size_t len = strnlen(desc + name, size - name);

		if (name + len >= size)
			return;
		memcpy(row, desc + 16 + i * sizeof(row), sizeof(row));
		if (!row[2])
			add_file(&core->files, desc + name, row[0]);
		name += len + 1;
	}
}

static void read_note(struct core_file *core, uint32_t type, const char *desc, size_t size)
{
	if (type == NT_PRSTATUS)
		read_registers(core, desc, size);
	else if (type == NT_SIGINFO)
		read_signal(core, desc, size);
	else if (type == NT_FILE)
		read_files(core, desc, size);
}

static void read_notes(struct core_file *core, const char *bytes, size_t size)
{
	Elf64_Nhdr note;

	for (size_t at = 0; size - at >= sizeof(note);) {
		size_t name, desc;

		memcpy(&note, bytes + at, sizeof(note));
		name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		at += sizeof(note);
		if (name > size - at || desc > size - at - name)
			return;
		read_note(core, note.n_type, bytes + at + name, note.n_descsz);
		at += name + desc;
	}
}

/* ---- the file ---- */

static bool is_core(const char *head, size_t len, Elf64_Ehdr *ret)
{
	if (len < sizeof(*ret))
		return false;
	memcpy(ret, head, sizeof(*ret));
	return !memcmp(ret->e_ident, ELFMAG, SELFMAG) && ret->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ret->e_phentsize == sizeof(Elf64_Phdr) && ret->e_phoff <= len &&
	       ret->e_phnum <= CORE_LOADS_MAX &&
	       ret->e_phnum <= (len - ret->e_phoff) / sizeof(Elf64_Phdr);
}

bool core_file_read(const char *head, size_t len, struct core_file *ret)
{
	Elf64_Ehdr elf;
	Elf64_Phdr row;

	*ret = (struct core_file){0};
	if (!is_core(head, len, &elf))
		return false;
	ret->loads = mem_zero(elf.e_phnum, sizeof(*ret->loads));
	for (size_t i = 0; i < elf.e_phnum; i++) {
		memcpy(&row, head + elf.e_phoff + i * sizeof(row), sizeof(row));
		if (row.p_type == PT_NOTE && row.p_offset <= len &&
			row.p_filesz <= len - row.p_offset)
			read_notes(ret, head + row.p_offset, row.p_filesz);
		else if (row.p_type == PT_LOAD && row.p_filesz)
			ret->loads[ret->load_count++] =
				(struct core_load){row.p_vaddr, row.p_offset, row.p_filesz};
	}
	return ret->has_registers;
}

void core_file_free(struct core_file *core)
{
	mapped_files_free(&core->files);
	free(core->loads);
	*core = (struct core_file){0};
}

bool core_file_find(
	const struct core_file *core, uint64_t address, uint64_t *ret_offset, uint64_t *ret_size)
{
	for (size_t i = 0; i < core->load_count; i++) {
		const struct core_load *load = &core->loads[i];

		if (address < load->address || address - load->address >= load->size ||
			load->offset > INT64_MAX - load->size)
			continue;
		*ret_offset = load->offset + (address - load->address);
		*ret_size = load->size - (address - load->address);
		return true;
	}
	return false;
}
