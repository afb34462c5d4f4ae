#include "vm/reach.h"

#include "base/buf.h"
#include "base/fs.h"
#include "vm/disk_file.h"
#include "vm/elf_part.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const texts[] = {
	[REACH_CALLS] = "dynamic: its calls of libc are reached, those libc makes itself are not",
	[REACH_STATIC] =
		"static: no call by the preload; ptrace, freeze-process and freeze-disk work",
	[REACH_OWN] =
		"Go: it makes its own system calls; ptrace, freeze-process and freeze-disk work",
	[REACH_SCRIPT] = "a script: name its interpreter if that is meant",
	[REACH_MISSING] = "there is no such program in the image",
};

const char *reach_text(enum reach reach)
{
	return texts[reach];
}

static bool has_loader(const struct buf *file, const Elf64_Ehdr *head)
{
	for (unsigned int i = 0; i < head->e_phnum; i++) {
		const void *at = elf_part(
			file, head->e_phoff + (uint64_t)i * head->e_phentsize, sizeof(Elf64_Phdr));
		Elf64_Phdr segment;

		if (!at)
			return false;
		memcpy(&segment, at, sizeof(segment));
		if (segment.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static bool has_section(const struct buf *file, const Elf64_Ehdr *head, const char *name)
{
	size_t size = strlen(name) + 1;
	Elf64_Shdr names, one;

	if (!elf_section(file, head, head->e_shstrndx, &names))
		return false;
	for (unsigned int i = 0; i < head->e_shnum && elf_section(file, head, i, &one); i++) {
		const char *text = elf_part(file, names.sh_offset + one.sh_name, size);

		if (text && !memcmp(text, name, size))
			return true;
	}
	return false;
}

static enum reach look(const struct buf *file)
{
	const void *at = elf_part(file, 0, sizeof(Elf64_Ehdr));
	Elf64_Ehdr head;

	if (!at || memcmp(at, ELFMAG, SELFMAG) != 0)
		return REACH_SCRIPT;
	memcpy(&head, at, sizeof(head));
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB)
		return REACH_STATIC; /* of another architecture than the library */
	if (has_section(file, &head, ".go.buildinfo"))
		return REACH_OWN;
	return has_loader(file, &head) ? REACH_CALLS : REACH_STATIC;
}

enum reach reach_of_bytes(const char *bytes, size_t len)
{
	struct buf file = {.data = (char *)bytes, .len = len};

	return look(&file);
}

int reach_of_file(const char *path, enum reach *ret, struct err *err)
{
	auto_buf struct buf file = {0};
	int rc = fs_exists(path) ? fs_read(path, REACH_FILE_MAX, &file, err) : -ENOENT;

	if (rc && rc != -ENOENT)
		return rc;
	*ret = rc ? REACH_MISSING : look(&file);
	return 0;
}

int reach_in_disk(const char *disk, const char *program, enum reach *ret, struct err *err)
{
	auto_free char *dir = fs_cache_dir();
	auto_free char *copy = text_fmt("%s/reach.%d", dir, (int)getpid());
	int rc = fs_mkdir_p(dir, err);

	if (!rc)
		rc = disk_file_copy(disk, program, copy, err);
	if (!rc)
		rc = reach_of_file(copy, ret, err);
	unlink(copy);
	return rc;
}
