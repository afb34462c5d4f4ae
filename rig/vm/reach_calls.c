#include "vm/reach.h"

#include "base/fs.h"
#include "vm/disk_file.h"
#include "vm/elf_part.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LIBRARIES_MAX 64
#define LINKS_MAX     4
#define NAMES_MAX     (256u << 10)
#define SYMBOLS_MAX   20000 /* of one file */
#define PLACES_MAX    8

/* The loader's own folders on Debian 12, after RUNPATH. */
static const char *const places[] = {
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"};
/* What calls itself unseen, or is the rig's. */
static const char *const passed[] = {"libc.so.6", "ld-linux-x86-64.so.2", "librigfault.so"};

struct walk {
	const char *disk;
	struct buf needed; /* ... in the order in which they were met */
	struct buf places; /* folders of RUNPATHs */
	size_t count, place_count;
	struct reach_calls *ret;
};

void reach_calls_free(struct reach_calls *calls)
{
	buf_free(&calls->own);
	buf_free(&calls->libraries);
	*calls = (struct reach_calls){0};
}

bool reach_calls_has(const struct buf *names, const char *name)
{
	size_t size = strlen(name) + 1;

	for (size_t at = 0; at < names->len; at += strlen(names->data + at) + 1)
		if (names->len - at >= size && !memcmp(names->data + at, name, size))
			return true;
	return false;
}

static void add_name(struct buf *names, const char *name)
{
	if (*name && names->len < NAMES_MAX && !reach_calls_has(names, name))
		buf_add(names, name, strlen(name) + 1);
}

void reach_calls_add(struct buf *names, const struct buf *more)
{
	for (size_t at = 0; at < more->len; at += strlen(more->data + at) + 1)
		add_name(names, more->data + at);
}

bool reach_is_followed(const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		if (!strcmp(passed[i], slash ? slash + 1 : path))
			return false;
	return true;
}

/* ---- one file ---- */

static void add_imports(const struct buf *file, const Elf64_Shdr *symbols,
	const Elf64_Shdr *strings, struct buf *names)
{
	for (uint64_t at = 0; at < symbols->sh_size && at < SYMBOLS_MAX * sizeof(Elf64_Sym);
		at += sizeof(Elf64_Sym)) {
		const void *bytes = elf_part(file, symbols->sh_offset + at, sizeof(Elf64_Sym));
		const char *name;
		Elf64_Sym symbol;

		if (!bytes)
			return;
		memcpy(&symbol, bytes, sizeof(symbol));
		if (symbol.st_shndx != SHN_UNDEF)
			continue;
		name = elf_text(file, strings->sh_offset + symbol.st_name);
		if (name)
			add_name(names, name);
	}
}

static void add_place(struct walk *w, const char *text)
{
	for (const char *at = text; *at && w->place_count < PLACES_MAX;) {
		size_t len = strcspn(at, ":");
		auto_free char *place = text_fmt("%.*s", (int)len, at);

		if (*place == '/' && !reach_calls_has(&w->places, place)) {
			add_name(&w->places, place);
			w->place_count++;
		}
		at += len + (at[len] == ':');
	}
}

static void add_needed(struct walk *w, const char *name)
{
	if (reach_is_followed(name))
		add_name(&w->needed, name);
}

static void read_dynamic(struct walk *w, const struct buf *file, const Elf64_Shdr *dynamic,
	const Elf64_Shdr *strings)
{
	for (uint64_t at = 0; at < dynamic->sh_size; at += sizeof(Elf64_Dyn)) {
		const void *bytes = elf_part(file, dynamic->sh_offset + at, sizeof(Elf64_Dyn));
		const char *text;
		Elf64_Dyn entry;

		if (!bytes)
			return;
		memcpy(&entry, bytes, sizeof(entry));
		if (entry.d_tag == DT_NULL)
			return;
		if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_RUNPATH &&
			entry.d_tag != DT_RPATH)
			continue;
		text = elf_text(file, strings->sh_offset + entry.d_un.d_val);
		if (text && entry.d_tag == DT_NEEDED)
			add_needed(w, text);
		else if (text)
			add_place(w, text);
	}
}

/* False: it has no table of what it takes from elsewhere. */
static bool read_tables(struct walk *w, const struct buf *file, struct buf *names)
{
	Elf64_Shdr one, strings;
	bool found = false;
	Elf64_Ehdr head;

	if (!elf_head(file, &head))
		return false;
	for (unsigned int i = 0; i < head.e_shnum && elf_section(file, &head, i, &one); i++) {
		if ((one.sh_type != SHT_DYNSYM && one.sh_type != SHT_DYNAMIC) ||
			!elf_section(file, &head, one.sh_link, &strings))
			continue;
		if (one.sh_type == SHT_DYNAMIC) {
			read_dynamic(w, file, &one, &strings);
		} else {
			add_imports(file, &one, &strings, names);
			found = true;
		}
	}
	return found;
}

/* ---- the libraries ---- */

/* The file behind a path of the image, which may be a symbolic link, in `ret`; false: there is none. */
static bool fetch(const char *disk, const char *path, struct buf *ret)
{
	auto_free char *cache = fs_cache_dir();
	auto_free char *copy = text_fmt("%s/reach.%d", cache, (int)getpid());
	auto_free char *at = text_dup(path);

	if (fs_mkdir_p(cache, NULL))
		return false;
	for (int links = 0; links < LINKS_MAX; links++) {
		auto_free char *to = disk_file_link(disk, at);
		char *next;

		if (!to)
			break;
		next = *to == '/' ? text_dup(to)
				  : text_fmt("%.*s/%s", (int)(strrchr(at, '/') - at), at, to);
		free(at);
		at = next;
	}
	ret->len = 0;
	if (!disk_file_copy(disk, at, copy, NULL) && fs_exists(copy) &&
		fs_read(copy, REACH_FILE_MAX, ret, NULL))
		ret->len = 0;
	unlink(copy);
	return ret->len > 0;
}

static bool find_library(struct walk *w, const char *name, struct buf *ret)
{
	if (strchr(name, '/'))
		return fetch(w->disk, name, ret);
	for (size_t at = 0; at < w->places.len; at += strlen(w->places.data + at) + 1) {
		auto_free char *path = path_join(w->places.data + at, name);

		if (fetch(w->disk, path, ret))
			return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		auto_free char *path = path_join(places[i], name);

		if (fetch(w->disk, path, ret))
			return true;
	}
	return false;
}

static void read_libraries(struct walk *w)
{
	for (size_t at = 0; at < w->needed.len && w->count < LIBRARIES_MAX; w->count++) {
		auto_free char *name = text_dup(w->needed.data + at);
		auto_buf struct buf file = {0};

		at += strlen(name) + 1;
		if (!w->disk || !find_library(w, name, &file) ||
			!read_tables(w, &file, &w->ret->libraries))
			w->ret->known = false;
	}
}

static void walk_file(const struct buf *file, const char *disk, struct reach_calls *ret)
{
	struct walk w = {.disk = disk, .ret = ret};

	*ret = (struct reach_calls){0};
	ret->known = read_tables(&w, file, &ret->own);
	if (ret->known)
		read_libraries(&w);
	buf_free(&w.needed);
	buf_free(&w.places);
}

void reach_calls_of_bytes(const char *bytes, size_t len, const char *disk, struct reach_calls *ret)
{
	struct buf file = {.data = (char *)bytes, .len = len};

	walk_file(&file, disk, ret);
}

int reach_calls_of_file(
	const char *path, const char *disk, struct reach_calls *ret, struct err *err)
{
	auto_buf struct buf file = {0};
	int rc = fs_exists(path) ? fs_read(path, REACH_FILE_MAX, &file, err) : 0;

	if (!rc)
		walk_file(&file, disk, ret);
	return rc;
}

int reach_calls_in_disk(
	const char *disk, const char *program, struct reach_calls *ret, struct err *err)
{
	auto_buf struct buf file = {0};

	(void)err;
	fetch(disk, program, &file);
	walk_file(&file, disk, ret);
	return 0;
}
