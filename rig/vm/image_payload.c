#include "vm/image_priv.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PAYLOAD_MAX (64u << 20) /* it stays in the guest's memory */
#define INITRD_MAX  (64u << 20)
#define DEPTH_MAX   4
#define UNUSED_S    (30 * 86400) /* after that an initrd goes */
#define FIXED_MTIME 1735689600

/* An archive in cpio's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst). */
struct archive {
	struct buf bytes;
	unsigned int inode;
};

static void pad(struct archive *archive)
{
	while (archive->bytes.len % 4)
		buf_addc(&archive->bytes, '\0');
}

static void add_entry(
	struct archive *archive, const char *name, unsigned int mode, const char *data, size_t len)
{
	buf_addf(&archive->bytes, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		archive->inode++, mode, 0, 0, S_ISDIR(mode) ? 2 : 1, FIXED_MTIME, (unsigned int)len,
		0, 0, 0, 0, (unsigned int)strlen(name) + 1, 0);
	buf_add(&archive->bytes, name, strlen(name) + 1);
	pad(archive);
	buf_add(&archive->bytes, data, len);
	pad(archive);
}

static int add_file(struct archive *archive, const char *path, const char *name, struct err *err)
{
	auto_buf struct buf data = {0};
	struct stat st;
	int rc = fs_read(path, PAYLOAD_MAX, &data, err);

	if (rc)
		return rc;
	if (archive->bytes.len + data.len > PAYLOAD_MAX)
		return err_set(err, -EFBIG, "the guest's files are more than %u MiB at '%s'",
			PAYLOAD_MAX >> 20, path);
	if (stat(path, &st))
		return err_sys(err, errno, "cannot look at '%s'", path);
	add_entry(archive, name, S_IFREG | (st.st_mode & 0100 ? 0755 : 0644), buf_text(&data),
		data.len);
	return 0;
}

/* Sources stay at home; editors' droppings too. */
static int is_payload(const struct dirent *entry)
{
	static const char *const left_out[] = {".c", ".h", ".o", ".d", ".mk", ".md"};
	const char *dot = strrchr(entry->d_name, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(left_out); i++)
		if (!strcmp(dot, left_out[i]))
			return 0;
	return fs_name_ok(entry->d_name);
}

static int add_folder(
	struct archive *archive, const char *dir, const char *name, int depth, struct err *err)
{
	struct dirent **list = NULL;
	int n, rc = 0;

	if (depth > DEPTH_MAX)
		return err_set(err, -ELOOP, "'%s' is more than %d folders deep", dir, DEPTH_MAX);
	n = scandir(dir, &list, is_payload, alphasort);
	if (n < 0)
		return err_sys(err, errno, "cannot read folder '%s'", dir);
	for (int i = 0; i < n; i++) {
		auto_free char *path = path_join(dir, list[i]->d_name);
		auto_free char *inside = path_join(name, list[i]->d_name);
		struct stat st;

		free(list[i]);
		if (rc || stat(path, &st))
			continue;
		if (S_ISDIR(st.st_mode)) {
			add_entry(archive, inside, S_IFDIR | 0755, NULL, 0);
			rc = add_folder(archive, path, inside, depth + 1, err);
		} else if (S_ISREG(st.st_mode)) {
			rc = add_file(archive, path, inside, err);
		}
	}
	free(list);
	return rc;
}

static int make_archive(
	const struct image_payload *payload, struct archive *archive, struct err *err)
{
	static const char *const programs[] = {"init", "witness", "librigfault.so"};
	int rc = 0;

	archive->inode = 1;
	add_entry(archive, "rig", S_IFDIR | 0755, NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(programs) && !rc; i++) {
		auto_free char *path = path_join(payload->guest_dir, programs[i]);
		auto_free char *name = path_join("rig", programs[i]);

		if (i == 0 || fs_exists(path))
			rc = add_file(archive, path, name, err);
	}
	if (!rc)
		add_entry(archive, "rig/target", S_IFDIR | 0755, NULL, 0);
	if (!rc && payload->target_dir)
		rc = add_folder(archive, payload->target_dir, "rig/target", 0, err);
	if (!rc && payload->programs_dir && fs_exists(payload->programs_dir))
		rc = add_folder(archive, payload->programs_dir, "rig/target", 0, err);
	if (!rc)
		add_entry(archive, "TRAILER!!!", 0, NULL, 0);
	return rc;
}

/* Initrds of old builds of the guest code pile up otherwise. Another rig may do the same at once. */
static void forget_unused(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;

		if (fs_name_ok(e->d_name) && !fstatat(dirfd(d), e->d_name, &st, 0) &&
			st.st_mtime < clock_real_ns() / NS_PER_SEC - UNUSED_S)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static int write_initrd(
	const struct image *image, const struct buf *archive, const char *path, struct err *err)
{
	auto_buf struct buf all = {0};
	int rc = fs_read(image->initrd, INITRD_MAX, &all, err);

	if (rc)
		return rc;
	while (all.len % 4) /* where the kernel looks for the next archive */
		buf_addc(&all, '\0');
	buf_add(&all, archive->data, archive->len);
	return fs_write_atomic(path, all.data, all.len, err);
}

int image_payload(const struct image_payload *payload, char **ret_path, char ret_id[HASH_HEX_SIZE],
	struct err *err)
{
	struct archive archive = {0};
	auto_free char *dir = image_cache_path("initrds");
	auto_free char *path = NULL;
	struct hash *hash;
	int rc = make_archive(payload, &archive, err);

	if (!rc) {
		hash = hash_new();
		hash_add_str(hash, payload->image->initrd_id);
		hash_add(hash, archive.bytes.data, archive.bytes.len);
		hash_hex(hash, ret_id);
		hash_free(hash);
		path = path_join(dir, ret_id);
		rc = fs_mkdir_p(dir, err);
	}
	/* Touched on every use, so that its age is how long nobody wanted it. */
	if (!rc && utimensat(AT_FDCWD, path, NULL, 0)) {
		rc = write_initrd(payload->image, &archive.bytes, path, err);
		forget_unused(dir);
	}
	buf_free(&archive.bytes);
	if (rc)
		return err_wrap(err, rc, "cannot make the initrd");
	*ret_path = path;
	path = NULL;
	return 0;
}
