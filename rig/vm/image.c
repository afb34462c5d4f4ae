#include "vm/image_priv.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define RECIPE_FILES_MAX 32

char *image_cache_path(const char *name)
{
	auto_free char *cache = fs_cache_dir();

	return path_join(cache, name);
}

char *image_recipe_dir(const char *root, const char *name)
{
	return text_fmt("%s/vm-images/%s", root, name);
}

/* ---- the key ----------------------------------------------------------------------------------- */

static int plain_files(const struct dirent *entry)
{
	return fs_name_ok(entry->d_name);
}

/* Name and content of each file of a folder, in a fixed order; folders in it are passed over. */
static int hash_folder(struct hash *hash, const char *dir, struct err *err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, plain_files, alphasort), rc = 0;

	if (n < 0)
		return err_sys(err, errno, "cannot read folder '%s'", dir);
	if (n > RECIPE_FILES_MAX)
		rc = err_set(err, -E2BIG, "'%s' holds more than %d files", dir, RECIPE_FILES_MAX);
	for (int i = 0; i < n; i++) {
		auto_free char *path = path_join(dir, list[i]->d_name);
		struct stat st;

		if (!rc && !stat(path, &st) && S_ISREG(st.st_mode)) {
			hash_add_str(hash, list[i]->d_name);
			rc = hash_add_file(hash, path, err);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

int image_key(const char *root, const char *name, char ret[IMAGE_KEY_SIZE], struct err *err)
{
	static const char *const builder[] = {"build.sh", "clean.sh", "mke2fs.conf"};
	auto_free char *recipe = image_recipe_dir(root, name);
	auto_free char *packages = path_join(recipe, "packages");
	auto_free char *initrd = text_fmt("%s/vm-images/initrd", root);
	struct hash *hash;
	struct utsname host;
	char hex[HASH_HEX_SIZE];
	int rc;

	if (!fs_name_ok(name) || !fs_exists(packages))
		return err_set(
			err, -ENOENT, "there is no image '%s' in '%s/vm-images'", name, root);
	uname(&host);
	hash = hash_new();
	hash_add_str(hash, host.machine);
	rc = hash_folder(hash, recipe, err);
	if (!rc)
		rc = hash_folder(hash, initrd, err);
	for (size_t i = 0; i < ARRAY_SIZE(builder) && !rc; i++) {
		auto_free char *path = text_fmt("%s/vm-images/%s", root, builder[i]);

		rc = hash_add_file(hash, path, err);
	}
	if (!rc) {
		hash_hex(hash, hex);
		memcpy(ret, hex, IMAGE_KEY_SIZE - 1);
		ret[IMAGE_KEY_SIZE - 1] = '\0';
	}
	hash_free(hash);
	return rc;
}

/* ---- the cache --------------------------------------------------------------------------------- */

int image_lock(int64_t deadline_ns, void (*waiting)(void *arg), void *arg, struct err *err)
{
	auto_free char *images = image_cache_path("images");
	auto_free char *path = path_join(images, "lock");
	int rc = fs_mkdir_p(images, err);

	if (rc)
		return rc;
	rc = fs_lock(path, clock_mono_ns(), err);
	if (rc != -EWOULDBLOCK)
		return rc;
	if (waiting)
		waiting(arg);
	return fs_lock(path, deadline_ns, err);
}

static void copy_id(char out[HASH_HEX_SIZE], const json_t *json, const char *key)
{
	const char *text = json_get_text(json, key, "");

	memset(out, 0, HASH_HEX_SIZE);
	memcpy(out, text, strnlen(text, HASH_HEX_SIZE - 1));
}

static int load(const char *key, struct image *ret, struct err *err)
{
	auto_free char *images = image_cache_path("images");
	auto_free char *dir = path_join(images, key);
	auto_free char *path = path_join(dir, "image.json");
	json_t *json;

	json = json_load_path(path, IMAGE_JSON_MAX, err);
	if (!json)
		return -EBADMSG;
	*ret = (struct image){.json = json};
	copy_id(ret->id, json, "id");
	copy_id(ret->kernel_id, json, "kernel_id");
	copy_id(ret->initrd_id, json, "initrd_id");
	memcpy(ret->key, key, IMAGE_KEY_SIZE);
	ret->kernel = path_join(dir, "vmlinuz");
	ret->initrd = path_join(dir, "initrd");
	ret->disk = path_join(dir, "root.img");
	ret->dir = dir;
	dir = NULL;
	return 0;
}

static void say_waiting(void *arg)
{
	const struct image_request *request = arg;
	const struct image_progress progress = {.what = "waiting for another build"};

	if (request->progress)
		request->progress(request->arg, &progress);
}

int image_ensure(const struct image_request *request, struct image *ret, struct err *err)
{
	char key[IMAGE_KEY_SIZE];
	auto_close int lock_fd = -1;
	int rc = image_key(request->root, request->name, key, err);

	if (rc)
		return rc;
	if (!request->rebuild && !load(key, ret, NULL))
		return 0;
	lock_fd = image_lock(request->deadline_ns, say_waiting, (void *)request, err);
	if (lock_fd < 0)
		return err_wrap(err, lock_fd, "cannot build image '%s'", request->name);
	/* Somebody else may have built it while we waited. */
	if (!request->rebuild && !load(key, ret, NULL))
		return 0;
	rc = image_build(request, key, lock_fd, err);
	if (rc)
		return err_wrap(err, rc, "cannot build image '%s'", request->name);
	return load(key, ret, err);
}

void image_close(struct image *image)
{
	if (!image)
		return;
	free(image->dir);
	free(image->kernel);
	free(image->initrd);
	free(image->disk);
	json_decref(image->json);
	*image = (struct image){0};
}
