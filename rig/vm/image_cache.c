#include "vm/image_priv.h"
#include "vm/template_cache.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_MS 10000

static int visible(const struct dirent *entry)
{
	return fs_name_ok(entry->d_name) && strlen(entry->d_name) == IMAGE_KEY_SIZE - 1;
}

/* Blocks that the files take, which is less than their length: disks are sparse. */
static int64_t folder_bytes(const char *dir)
{
	static const char *const names[] = {"vmlinuz", "initrd", "root.img", "manifest.tsv"};
	int64_t total = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		auto_free char *path = path_join(dir, names[i]);
		struct stat st;

		if (!stat(path, &st))
			total += (int64_t)st.st_blocks * 512;
	}
	return total;
}

int image_list(json_t **ret, struct err *err)
{
	auto_free char *images = image_cache_path("images");
	struct dirent **list = NULL;
	json_t *all = json_array();
	int n = scandir(images, &list, visible, alphasort);

	if (n < 0 && errno != ENOENT) {
		json_decref(all);
		return err_sys(err, errno, "cannot read folder '%s'", images);
	}
	for (int i = 0; i < n; i++) {
		auto_free char *dir = path_join(images, list[i]->d_name);
		auto_free char *path = path_join(dir, "image.json");
		json_t *json = json_load_path(path, IMAGE_JSON_MAX, NULL);

		free(list[i]);
		if (!json)
			continue;
		json_object_set_new(json, "path", json_text(dir));
		json_object_set_new(json, "size_bytes", json_integer(folder_bytes(dir)));
		json_array_append_new(all, json);
	}
	free(list);
	*ret = all;
	return 0;
}

static bool is_meant(const json_t *image, const char *which)
{
	const char *key = json_get_text(image, "key", "");

	return !strcmp(json_get_text(image, "name", ""), which) ||
	       !strncmp(key, which, strlen(which));
}

/* Those that `which` means (NULL: all) of those in the cache; a beginning of several keys means none. */
static int find(const char *which, json_t **ret, struct err *err)
{
	auto_json json_t *all = NULL;
	auto_json json_t *found = json_array();
	json_t *image;
	size_t i;
	int rc = image_list(&all, err);

	if (rc)
		return rc;
	json_array_foreach (all, i, image)
		if (!which || is_meant(image, which))
			json_array_append(found, image);
	if (which && (!json_array_size(found) || !*which))
		return err_set(err, -ENOENT, "the cache has no image '%s'", which);
	json_array_foreach (found, i, image)
		if (which && json_array_size(found) > 1 &&
			strcmp(json_get_text(image, "name", ""), which))
			return err_set(
				err, -ENOENT, "'%s' is the beginning of several keys", which);
	*ret = found;
	found = NULL;
	return 0;
}

/* Everything in the folder but the lock, which others may be waiting for. */
static int empty_folder(const char *root, const char *dir, struct err *err)
{
	DIR *d = opendir(dir);
	int rc = 0;

	for (struct dirent *e; d && !rc && (e = readdir(d));) {
		auto_free char *path = path_join(dir, e->d_name);

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lock"))
			rc = image_remove_dir(root, path, err);
	}
	if (d)
		closedir(d);
	return rc;
}

static int remove_all(const char *root, struct err *err)
{
	static const char *const names[] = {"images", "initrds", "packages"};
	auto_free char *templates = image_cache_path("templates");
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !rc; i++) {
		auto_free char *path = image_cache_path(names[i]);

		rc = empty_folder(root, path, err);
	}
	return rc ? rc : template_cache_trim(templates, 0, err); /* what stood on the images */
}

int image_remove(const char *root, const char *which, struct err *err)
{
	auto_close int lock_fd = image_lock(deadline_in_ms(LOCK_MS), NULL, NULL, err);
	auto_json json_t *found = NULL;
	json_t *image;
	size_t i;
	int rc;

	if (lock_fd < 0)
		return err_wrap(err, lock_fd, "an image is being built");
	if (!which)
		return remove_all(root, err);
	rc = find(which, &found, err);
	json_array_foreach (found, i, image) {
		const char *dir = json_get_text(image, "path", NULL);
		auto_free char *log = text_fmt("%s.log", dir);

		unlink(log);
		rc = rc ? rc : image_remove_dir(root, dir, err);
	}
	return rc;
}

static int verify_file(const json_t *image, const char *key, const char *name, struct err *err)
{
	auto_free char *path = path_join(json_get_text(image, "path", ""), name);
	char hex[HASH_HEX_SIZE];
	int rc = hash_file(path, hex, err);

	if (!rc && strcmp(hex, json_get_text(image, key, "")))
		rc = err_set(err, -EBADMSG, "'%s' is not what was built", path);
	return rc;
}

int image_verify(const char *which, struct err *err)
{
	auto_json json_t *found = NULL;
	json_t *image;
	size_t i;
	int rc = find(which, &found, err);

	json_array_foreach (found, i, image) {
		rc = rc ? rc : verify_file(image, "kernel_id", "vmlinuz", err);
		rc = rc ? rc : verify_file(image, "initrd_id", "initrd", err);
		rc = rc ? rc : verify_file(image, "id", "root.img", err);
	}
	return rc;
}
