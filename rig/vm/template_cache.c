#include "vm/template_cache.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define TEMPLATES_MAX \
	4096		/* folders that are looked at; more than that are left for the next time */
#define BLOCK_BYTES 512 /* of st_blocks, stat(2) */

struct kept {
	char key[HASH_HEX_SIZE];
	struct timespec used;
	uint64_t bytes;
};

static char *json_path(const char *dir)
{
	return path_join(dir, "template.json");
}

/* Whoever removes a template renames its folder first: a name that leads elsewhere by now was too late. */
static bool still_there(int fd, const char *path)
{
	struct stat held, named;

	return !fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

int template_hold(const char *dir)
{
	auto_free char *path = json_path(dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_SH | LOCK_NB) || !still_there(fd, path)) {
		close(fd);
		return -ENOENT;
	}
	futimens(fd, NULL); /* of another user's template: as it was */
	return fd;
}

int template_cache_remove(const char *templates, const char *key, struct err *err)
{
	auto_free char *dir = path_join(templates, key);
	auto_free char *gone = text_fmt("%s/.gone-%s", templates, key);

	fs_remove_tree(gone, NULL);
	if (rename(dir, gone))
		return errno == ENOENT ? 0 : err_sys(err, errno, "cannot remove '%s'", dir);
	return fs_remove_tree(gone, err);
}

/* ---- trimming ---- */

static bool is_key(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isxdigit((unsigned char)name[i]))
			return false;
	return len == HASH_HEX_SIZE - 1;
}

static uint64_t bytes_of(const char *dir)
{
	DIR *list = opendir(dir);
	struct dirent *entry;
	uint64_t sum = 0;
	struct stat st;

	while (list && (entry = readdir(list)))
		if (!fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_blocks * BLOCK_BYTES;
	if (list)
		closedir(list);
	return sum;
}

static int lock_of(const char *templates, const char *key)
{
	auto_free char *path = text_fmt("%s/%s.lock", templates, key);

	return fs_lock(path, clock_mono_ns(), NULL);
}

/* 1: gone. 0: somebody holds it, or has just built it. */
static int remove_unheld(const char *templates, const char *key, struct err *err)
{
	auto_free char *dir = path_join(templates, key), *path = json_path(dir);
	auto_close int lock = lock_of(templates, key), fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc;

	if (lock < 0 || fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	rc = template_cache_remove(templates, key, err);
	return rc ? rc : 1;
}

/* ".building-KEY" and ".gone-KEY", unless the one who makes them is still at work. */
static int remove_left_over(const char *templates, const char *name, struct err *err)
{
	const char *dash = strchr(name, '-');
	auto_free char *path = path_join(templates, name);
	auto_close int lock = -1;

	if (name[0] != '.' || !dash || !is_key(dash + 1))
		return 0;
	lock = lock_of(templates, dash + 1);
	return lock < 0 ? 0 : fs_remove_tree(path, err);
}

static bool is_template(const char *templates, const char *key, struct kept *ret)
{
	auto_free char *dir = path_join(templates, key), *path = json_path(dir);
	struct stat st;

	if (!is_key(key) || stat(path, &st))
		return false;
	memcpy(ret->key, key, sizeof(ret->key));
	ret->used = st.st_mtim;
	ret->bytes = bytes_of(dir);
	return true;
}

static int older_first(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
	return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

/* What is there, oldest first. Caller frees. */
static int look(const char *templates, struct kept **ret, size_t *ret_count, struct err *err)
{
	DIR *list = opendir(templates);
	struct kept *kept = mem_zero(TEMPLATES_MAX, sizeof(*kept));
	struct dirent *entry;
	size_t n = 0;
	int rc = list		   ? 0
		 : errno == ENOENT ? 0
				   : err_sys(err, errno, "cannot read '%s'", templates);

	while (list && !rc && n < TEMPLATES_MAX && (entry = readdir(list))) {
		rc = remove_left_over(templates, entry->d_name, err);
		n += is_template(templates, entry->d_name, &kept[n]);
	}
	if (list)
		closedir(list);
	qsort(kept, n, sizeof(*kept), older_first);
	*ret = kept;
	*ret_count = n;
	return rc;
}

int template_cache_trim(const char *templates, uint64_t keep_bytes, struct err *err)
{
	auto_free struct kept *kept = NULL;
	uint64_t sum = 0;
	size_t n;
	int rc = look(templates, &kept, &n, err);

	for (size_t i = 0; i < n; i++)
		sum += kept[i].bytes;
	for (size_t i = 0; i < n && !rc && sum > keep_bytes; i++) {
		rc = remove_unheld(templates, kept[i].key, err);
		if (rc == 1) {
			sum -= kept[i].bytes;
			rc = 0;
		}
	}
	return rc;
}
