#include "run/watch/evidence_keep.h"

#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOGS_MAX 16

/* ---- logs ---- */

static void add_tail(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char bytes[LOG_TAIL_BYTES];
	struct stat st = {0};
	const char *text = bytes;
	ssize_t n = -1;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		n = pread(fd, bytes, sizeof(bytes),
			st.st_size > (off_t)sizeof(bytes) ? st.st_size - (off_t)sizeof(bytes) : 0);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	if (st.st_size > n) { /* not with half a line */
		text = memchr(bytes, '\n', (size_t)n);
		text = text ? text + 1 : bytes;
	}
	buf_add(out, text, (size_t)(bytes + n - text));
}

int evidence_log_tail(const char *logs, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "log-tail.txt");
	auto_buf struct buf out = {0};
	DIR *folder = opendir(logs);
	int left = LOGS_MAX;

	for (struct dirent *entry; folder && left && (entry = readdir(folder));) {
		auto_free char *log = path_join(logs, entry->d_name);

		if (!fs_name_ok(entry->d_name))
			continue;
		buf_addf(&out, "== %s\n", entry->d_name);
		add_tail(log, &out);
		left--;
	}
	if (folder)
		closedir(folder);
	return out.len ? fs_write_atomic(path, out.data, out.len, err) : 0;
}

/* ---- the limit ---- */

static uint64_t size_of(const char *dir)
{
	DIR *folder = opendir(dir);
	uint64_t bytes = 0;
	struct stat st;

	for (struct dirent *entry; folder && (entry = readdir(folder));)
		if (!fstatat(dirfd(folder), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISREG(st.st_mode) && !strstr(entry->d_name, ".kdump"))
			bytes += (uint64_t)st.st_size;
	if (folder)
		closedir(folder);
	return bytes;
}

int evidence_bound(const char *dir, uint64_t max_bytes, uint64_t *ret_bytes, struct err *err)
{
	static const char *const spare[] = {
		"tasks.txt", "locks.txt", "blocked.txt", "earlier.json", "log-tail.txt", NULL};
	auto_free char *note = path_join(dir, "left-out.txt");
	auto_buf struct buf gone = {0};

	*ret_bytes = size_of(dir);
	for (const char *const *name = spare; *name && *ret_bytes > max_bytes; name++) {
		auto_free char *path = path_join(dir, *name);

		if (unlink(path))
			continue;
		buf_addf(&gone, "%s: the evidence was bigger than %llu bytes\n", *name,
			(unsigned long long)max_bytes);
		*ret_bytes = size_of(dir);
	}
	if (*ret_bytes > max_bytes)
		buf_addf(
			&gone, "nothing more can go: %llu bytes\n", (unsigned long long)*ret_bytes);
	return gone.len ? fs_write_atomic(note, gone.data, gone.len, err) : 0;
}
