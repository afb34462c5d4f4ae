/* Which programs the preload reaches, told from the file: on this very test, and on files that only look like one. */
#include "base/fs.h"
#include "run/plan/target_reach.h"
#include "tests/check/check.h"

#include <elf.h>
#include <string.h>

static enum reach of(const char *path)
{
	enum reach reach = REACH_MISSING;
	struct err err = {0};

	if (!CHECK_INT(reach_of_file(path, &reach, &err), 0))
		fprintf(stderr, "%s: %s\n", path, err.text);
	return reach;
}

static enum reach of_bytes(const void *bytes, size_t len)
{
	auto_free char *path = path_join(check_dir(), "program");
	struct err err = {0};

	CHECK_INT(fs_write_atomic(path, bytes, len, &err), 0);
	return of(path);
}

static void programs_are_told_apart(void)
{
	CHECK_INT(of("/proc/self/exe"), REACH_CALLS);
	CHECK_INT(of("/nowhere/at/all"), REACH_MISSING);
	CHECK_INT(of_bytes("#!/bin/sh\n", 10), REACH_SCRIPT);
	CHECK_INT(of_bytes("", 0), REACH_SCRIPT);
}

/* A head that points anywhere: nothing is read beyond the file. */
static void a_broken_file_is_no_program_that_is_reached(void)
{
	Elf64_Ehdr head = {0};

	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	head.e_ident[EI_DATA] = ELFDATA2LSB;
	CHECK_INT(of_bytes(&head, sizeof(head)), REACH_STATIC);
	CHECK_INT(of_bytes(&head, sizeof(head) - 1), REACH_SCRIPT);
	head.e_phnum = head.e_shnum = 0xffff;
	head.e_phentsize = head.e_shentsize = 0xffff;
	head.e_phoff = head.e_shoff = UINT64_MAX - 10;
	head.e_shstrndx = 0xfff0;
	CHECK_INT(of_bytes(&head, sizeof(head)), REACH_STATIC);
}

struct go_file {
	Elf64_Ehdr head;
	Elf64_Shdr sections[2];
	char names[32];
};

static void go_is_known_by_its_section(void)
{
	struct go_file file = {0};

	memcpy(file.head.e_ident, ELFMAG, SELFMAG);
	file.head.e_ident[EI_CLASS] = ELFCLASS64;
	file.head.e_ident[EI_DATA] = ELFDATA2LSB;
	file.head.e_shoff = offsetof(struct go_file, sections);
	file.head.e_shentsize = sizeof(Elf64_Shdr);
	file.head.e_shnum = 2;
	file.sections[0].sh_offset = offsetof(struct go_file, names);
	file.sections[1].sh_name = 1;
	strcpy(file.names + 1, ".go.buildinfo");
	CHECK_INT(of_bytes(&file, sizeof(file)), REACH_OWN);
	strcpy(file.names + 1, ".go.buildinf0");
	CHECK_INT(of_bytes(&file, sizeof(file)), REACH_STATIC);
}

static void a_fault_is_refused_only_where_nothing_is_reached(void)
{
	static const struct target_reach known[] = {
		{"deliver", "/a", REACH_STATIC},
		{"read", "/b", REACH_CALLS},
		{"read", "/c", REACH_OWN},
	};
	static const struct {
		const char *role, *point;
		bool refused;
	} cases[] = {
		{"deliver", "posix/io/sync/fsync", true},
		{"read", "posix/io/sync/fsync", false},
		{NULL, "posix/io/sync/fsync", false},
		{"deliver", NULL, false},
		{"nobody", "posix/io/sync/fsync", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct step step = {.what = (char *)"park",
			.role = (char *)cases[i].role,
			.point = (char *)cases[i].point};
		auto_free char *why = target_reach_why_not(known, ARRAY_SIZE(known), &step);

		CHECK_INT(why != NULL, cases[i].refused);
		if (why)
			CHECK_HAS(why, "'/a' cannot be reached by 'park': static");
	}
}

CHECK_MAIN(CHECK_CASE(programs_are_told_apart),
	CHECK_CASE(a_broken_file_is_no_program_that_is_reached),
	CHECK_CASE(go_is_known_by_its_section),
	CHECK_CASE(a_fault_is_refused_only_where_nothing_is_reached))
