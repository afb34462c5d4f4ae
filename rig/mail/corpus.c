#include "mail/corpus.h"

#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct corpus {
	char *dir;
	char **names;
	size_t count;
};

char *corpus_default_dir(void)
{
	auto_free char *cache = fs_cache_dir();

	return path_join(cache, "corpus");
}

static void add_file(struct corpus *corpus, const char *package, const char *name)
{
	auto_free char *relative = path_join(package, name);
	auto_free char *path = path_join(corpus->dir, relative);
	struct stat st;

	if (corpus->count == CORPUS_FILES_MAX || lstat(path, &st) || !S_ISREG(st.st_mode) ||
		!st.st_size || st.st_size > CORPUS_MESSAGE_MAX)
		return;
	corpus->names = mem_grow(corpus->names, corpus->count + 1, sizeof(*corpus->names));
	corpus->names[corpus->count++] = relative;
	relative = NULL;
}

static void add_package(struct corpus *corpus, const char *package)
{
	auto_free char *path = path_join(corpus->dir, package);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			add_file(corpus, package, entry->d_name);
	if (dir)
		closedir(dir);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int corpus_open(struct corpus **ret, const char *dir, struct err *err)
{
	struct corpus *corpus = mem_zero(1, sizeof(*corpus));
	DIR *packages = opendir(dir);
	struct dirent *entry;

	corpus->dir = text_dup(dir);
	while (packages && (entry = readdir(packages)))
		if (entry->d_name[0] != '.')
			add_package(corpus, entry->d_name);
	if (packages)
		closedir(packages);
	if (!corpus->count) {
		corpus_close(corpus);
		return err_set(err, -ENOENT, "there is no real mail in '%s'; run make corpus", dir);
	}
	qsort(corpus->names, corpus->count, sizeof(*corpus->names), by_name);
	*ret = corpus;
	return 0;
}

void corpus_close(struct corpus *corpus)
{
	if (!corpus)
		return;
	for (size_t i = 0; i < corpus->count; i++)
		free(corpus->names[i]);
	free(corpus->names);
	free(corpus->dir);
	free(corpus);
}

size_t corpus_count(const struct corpus *corpus)
{
	return corpus->count;
}

int corpus_read(const struct corpus *corpus, size_t index, struct buf *out, const char **ret_name,
	struct err *err)
{
	const char *name = corpus->names[index % corpus->count];
	auto_free char *path = path_join(corpus->dir, name);

	*ret_name = name;
	return fs_read(path, CORPUS_MESSAGE_MAX, out, err);
}
