/* Which programs the preload reaches, told from the file: on this very test, and on files that only look like one. */
#include "base/fs.h"
#include "run/plan/plan.h"
#include "run/plan/target_reach.h"
#include "tests/check/check.h"
#include "vm/image.h"

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

/* A point that everything comes to, one that nobody does, one that has two functions, and a store's own. */
static const char *function_at(const char *point, size_t i)
{
	static const char *const functions[][3] = {
		{"posix/io/sync/fsync", "fsync"},
		{"posix/io/oc/open", "open", "openat64"},
		{"posix/io/sync/syncfs", "syncfs"},
	};

	for (size_t k = 0; k < ARRAY_SIZE(functions); k++)
		if (!strcmp(point, functions[k][0]))
			return i < 2 ? functions[k][1 + i] : NULL;
	return i ? NULL : "fiu_fail";
}

static const struct fault at_call = {.name = "park", .function = function_at};

#define NAMES(list)                                                               \
	{                                                                         \
		.data = (char *)(list), .len = sizeof(list), .size = sizeof(list) \
	}

static void a_fault_is_refused_only_where_nothing_is_reached(void)
{
	static const struct target_reach known[] = {
		{"deliver", "/a", REACH_STATIC, {0}, 0},
		{"read", "/b", REACH_CALLS, {true, NAMES("fsync\0openat64"), NAMES("fiu_fail")}, 0},
		{"read", "/c", REACH_OWN, {0}, 0},
		{"odd", "/d", REACH_CALLS, {0}, 0},
	};
	static const struct {
		const char *role, *point, *refused;
	} cases[] = {
		{"deliver", "posix/io/sync/fsync", "'/a' cannot be reached by 'park': static"},
		{"read", "posix/io/sync/fsync", NULL},
		{"read", "posix/io/oc/open", NULL}, /* by its second function */
		{"read", "store/log/thaw", NULL},   /* a library names it */
		{"read", "posix/io/sync/syncfs",
			"'/b' is never at 'posix/io/sync/syncfs': neither it nor a library it is "
			"linked with calls syncfs"},
		{"odd", "posix/io/sync/syncfs", NULL}, /* its tables could not be read */
		{NULL, "posix/io/sync/fsync", NULL},
		{"deliver", NULL, NULL},
		{"nobody", "posix/io/sync/fsync", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct step step = {.what = (char *)"park",
			.role = (char *)cases[i].role,
			.point = (char *)cases[i].point};
		auto_free char *why =
			target_reach_why_not(known, ARRAY_SIZE(known), &step, &at_call);

		if (cases[i].refused)
			CHECK_HAS(why ? why : "", cases[i].refused);
		else
			CHECK(why == NULL);
	}
}

static void system_calls_by_their_numbers_are_told(void)
{
	static const struct target_reach by_itself = {
		"read", "/b", REACH_CALLS, {true, NAMES("open\0syscall"), {0}}, 0};
	static const struct target_reach by_library = {
		"read", "/b", REACH_CALLS, {true, NAMES("open"), NAMES("syscall")}, 0};
	static const struct target_reach never = {
		"read", "/b", REACH_CALLS, {true, NAMES("open\0syscalls"), {0}}, 0};

	CHECK_HAS(target_reach_raw(&by_itself), "it calls by syscall()");
	CHECK_HAS(target_reach_raw(&by_library), "a library of it calls by syscall()");
	CHECK(!target_reach_raw(&never));
}

static void what_calls_no_function_of_a_point_is_told_from_what_does(void)
{
	struct reach_calls calls;
	struct err err = {0};

	/* This test itself: it reads files and changes no directory's owner. No disk: its libraries are not found. */
	CHECK_INT(reach_calls_of_file("/proc/self/exe", "/nowhere", &calls, &err), 0);
	CHECK(reach_calls_has(&calls.own, "read"));
	CHECK(!reach_calls_has(&calls.own, "lchown"));
	CHECK(!reach_calls_has(&calls.own, "rea"));
	CHECK(!calls.known);
	reach_calls_free(&calls);
	CHECK_INT(reach_calls_of_file("/nowhere/at/all", "/nowhere", &calls, &err), 0);
	CHECK(!calls.known && !calls.own.len);
	reach_calls_free(&calls);
}

struct tables {
	Elf64_Ehdr head;
	Elf64_Shdr sections[2];
	Elf64_Sym symbols[2];
	Elf64_Dyn dynamic[2];
};

/* Tables that point anywhere. */
static void a_broken_table_names_nothing(void)
{
	struct tables file = {0};
	auto_free char *path = path_join(check_dir(), "broken");
	struct reach_calls calls;
	struct err err = {0};

	memcpy(file.head.e_ident, ELFMAG, SELFMAG);
	file.head.e_ident[EI_CLASS] = ELFCLASS64;
	file.head.e_ident[EI_DATA] = ELFDATA2LSB;
	file.head.e_shoff = offsetof(struct tables, sections);
	file.head.e_shentsize = sizeof(Elf64_Shdr);
	file.head.e_shnum = 2;
	file.sections[0] = (Elf64_Shdr){.sh_type = SHT_DYNSYM,
		.sh_size = UINT64_MAX,
		.sh_link = 1,
		.sh_offset = offsetof(struct tables, symbols)};
	file.sections[1] = (Elf64_Shdr){.sh_type = SHT_DYNAMIC,
		.sh_size = UINT64_MAX,
		.sh_link = 1,
		.sh_offset = offsetof(struct tables, dynamic)};
	file.symbols[0].st_name = file.symbols[1].st_name = UINT32_MAX;
	file.dynamic[0] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = UINT64_MAX};
	file.dynamic[1] = (Elf64_Dyn){.d_tag = DT_RUNPATH, .d_un.d_val = sizeof(file)};
	CHECK_INT(fs_write_atomic(path, &file, sizeof(file), &err), 0);
	CHECK_INT(reach_calls_of_file(path, "/nowhere", &calls, &err), 0);
	CHECK(!calls.own.len && !calls.libraries.len);
	reach_calls_free(&calls);
}

/* A root file system of a program and a library that it is not linked with, as the image of a target. */
static bool make_image(const char *root, const char *cache)
{
	char key[IMAGE_KEY_SIZE];
	struct err err = {0};
	auto_free char *files = path_join(check_dir(), "files"), *line = NULL;

	if (!CHECK_INT(image_key(root, "bookworm-postfix-dovecot", key, &err), 0))
		return false;
	line = text_fmt(
		"PATH=$PATH:/sbin:/usr/sbin; mkdir -p %s/bin %s/usr/lib/modules %s/images/%s && "
		"cp /bin/true %s/bin/store && cp $(ldconfig -p | sed -n "
		"'s/.*libpcap.so.*=> //p' | head -1) %s/usr/lib/modules/dict.so && "
		"mke2fs -q -t ext4 -d %s %s/images/%s/root.img 8M",
		files, files, cache, key, files, files, files, cache, key);
	return CHECK_INT(system(line), 0);
}

static enum reach_point at_socket(
	const struct target *target, const char *root, uint32_t *ret_loaded)
{
	static struct target_reach known[TARGET_REACH_MAX];
	const struct fault *park = fault_find("park");
	enum reach_point point = POINT_NOT_KNOWN;
	size_t count = 0;
	struct err err = {0};

	if (CHECK_INT(target_reach(target, root, known, &count, &err), 0) && CHECK_INT(count, 1))
		point = target_reach_point(&known[0], park, "posix/io/net/socket");
	*ret_loaded = count ? known[0].loaded : 0;
	target_reach_free(known, count);
	return point;
}

static void what_a_process_has_loaded_is_reached_too(void)
{
	char program[] = "/bin/store", role_name[] = "read", *programs[] = {program};
	struct role role = {.name = role_name, .programs = {programs, 1}};
	struct target target = {.name = (char *)"loads",
		.image = (char *)"bookworm-postfix-dovecot",
		.roles = &role,
		.role_count = 1};
	struct err err = {0};
	auto_free char *root = plan_root(&err), *cache = path_join(check_dir(), "cache");
	uint32_t loaded;

	setenv("MAILRIG_CACHE", cache, 1);
	if (make_image(root, cache)) {
		CHECK_INT(at_socket(&target, root, &loaded), POINT_NOT);
		/* Lines of who has no role, of no path, and of the rig's own library are nothing. */
		CHECK_INT(target_reach_keep_loaded(&target, root,
				  "/bin/other /usr/lib/modules/dict.so\n/bin/store "
				  "dict.so\n/bin/store\n\n"
				  "/bin/store /run/rig/librigfault.so\n/bin/store "
				  "/usr/lib/libc.so.6\n",
				  &err),
			0);
		CHECK_INT(at_socket(&target, root, &loaded), POINT_NOT);
		CHECK_INT(loaded, 0);
		for (int again = 0; again < 2; again++) { /* the second from what was kept */
			CHECK_INT(target_reach_keep_loaded(&target, root,
					  "/bin/store /usr/lib/modules/dict.so\n", &err),
				0);
			CHECK_INT(at_socket(&target, root, &loaded), POINT_LIBRARY);
			CHECK_INT(loaded, 1);
		}
	}
	unsetenv("MAILRIG_CACHE");
}

CHECK_MAIN(CHECK_CASE(system_calls_by_their_numbers_are_told),
	CHECK_CASE(what_a_process_has_loaded_is_reached_too), CHECK_CASE(programs_are_told_apart),
	CHECK_CASE(a_broken_file_is_no_program_that_is_reached),
	CHECK_CASE(go_is_known_by_its_section),
	CHECK_CASE(a_fault_is_refused_only_where_nothing_is_reached),
	CHECK_CASE(what_calls_no_function_of_a_point_is_told_from_what_does),
	CHECK_CASE(a_broken_table_names_nothing))
