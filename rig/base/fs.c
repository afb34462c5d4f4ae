#include "base/fs.h"

#include "base/clock.h"

#include <ctype.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <poll.h>

#define NAME_LEN_MAX  128
#define LOCK_RETRY_MS 50
#define COPY_CHUNK    (1 << 20)

char *path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	return text_fmt("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

bool fs_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > NAME_LEN_MAX || name[0] == '.')
		return false;
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return true;
}

bool fs_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* 0 also if it is there already; a file of that name is -ENOTDIR. */
static int make_dir(const char *path)
{
	struct stat st;

	if (!mkdir(path, 0777))
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st))
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int fs_mkdir_p(const char *path, struct err *err)
{
	auto_free char *copy = text_dup(path);
	int rc = 0;

	for (char *p = *copy ? copy + 1 : copy; *p && !rc; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		rc = make_dir(copy);
		*p = '/';
	}
	if (!rc)
		rc = make_dir(copy);
	return rc ? err_sys(err, rc, "cannot make directory '%s'", path) : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	/* Positive: nftw()'s own failure is -1, which is -EPERM too. */
	return remove(path) && errno != ENOENT ? errno : 0;
}

int fs_remove_tree(const char *path, struct err *err)
{
	struct stat st;
	int rc;

	if (lstat(path, &st) && errno == ENOENT)
		return 0;
	rc = nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (rc == -1)
		rc = -errno;
	return rc ? err_sys(err, rc, "cannot remove '%s'", path) : 0;
}

int fs_read(const char *path, size_t max, struct buf *out, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t total = 0;

	if (fd < 0)
		return err_sys(err, errno, "cannot open '%s'", path);
	for (;;) {
		ssize_t n = read(fd, buf_reserve(out, 65536), 65536);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot read '%s'", path);
		if (n == 0)
			return 0;
		total += (size_t)n;
		if (total > max)
			return err_set(err, -EFBIG, "'%s' is larger than %zu bytes", path, max);
		out->len += (size_t)n;
		out->data[out->len] = '\0';
	}
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

int fs_write_atomic(const char *path, const void *bytes, size_t len, struct err *err)
{
	auto_free char *temp = text_fmt("%s.XXXXXX", path);
	auto_close int fd = mkostemp(temp, O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "cannot write '%s'", path);
	rc = write_all(fd, bytes, len);
	if (!rc && fchmod(fd, 0644))
		rc = -errno;
	if (!rc && fsync(fd))
		rc = -errno;
	if (!rc && rename(temp, path))
		rc = -errno;
	if (rc)
		unlink(temp);
	return rc ? err_sys(err, rc, "cannot write '%s'", path) : 0;
}

/* Copy [at, end) where the kernel cannot do it itself (other file systems, other kinds of file). */
static int copy_by_hand(int in, int out, off_t at, off_t end)
{
	auto_free char *chunk = mem_zero(1, COPY_CHUNK);

	while (at < end) {
		size_t want = end - at < COPY_CHUNK ? (size_t)(end - at) : COPY_CHUNK;
		ssize_t n = pread(in, chunk, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0; /* it was cut meanwhile */
		for (ssize_t done = 0; done < n;) {
			ssize_t m = pwrite(out, chunk + done, (size_t)(n - done), at + done);

			if (m < 0 && errno != EINTR)
				return -errno;
			done += m > 0 ? m : 0;
		}
		at += n;
	}
	return 0;
}

static int copy_extent(int in, int out, off_t at, off_t end)
{
	while (at < end) {
		off_t to = at;
		ssize_t n = copy_file_range(in, &at, out, &to, (size_t)(end - at), 0);

		if (n <= 0) /* EXDEV, EOPNOTSUPP, EINVAL ...: a real error shows again by hand */
			return copy_by_hand(in, out, at, end);
	}
	return 0;
}

/* Copy the data extents of a sparse file; SEEK_DATA skips the holes. */
static int copy_extents(int in, int out, off_t size)
{
	off_t at = 0;

	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA), end;
		int rc;

		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(in, data, SEEK_HOLE);
		if (end < 0)
			return -errno;
		rc = copy_extent(in, out, data, end);
		if (rc)
			return rc;
		at = end;
	}
	return 0;
}

int fs_copy(const char *from, const char *to, struct err *err)
{
	auto_close int in = open(from, O_RDONLY | O_CLOEXEC);
	auto_close int out = -1;
	struct stat st;
	int rc = 0;

	if (in < 0 || fstat(in, &st))
		return err_sys(err, errno, "cannot open '%s'", from);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0777);
	if (out < 0)
		return err_sys(err, errno, "cannot make '%s'", to);
	if (ioctl(out, FICLONE, in)) {
		rc = copy_extents(in, out, st.st_size);
		if (!rc && ftruncate(out, st.st_size))
			rc = -errno;
	}
	if (rc)
		unlink(to);
	return rc ? err_sys(err, rc, "cannot copy '%s' to '%s'", from, to) : 0;
}

int fs_symlink(const char *target, const char *path, struct err *err)
{
	auto_free char *temp = text_fmt("%s.%d.tmp", path, (int)getpid());

	unlink(temp);
	if (symlink(target, temp) || rename(temp, path)) {
		int rc = err_sys(err, errno, "cannot link '%s'", path);

		unlink(temp);
		return rc;
	}
	return 0;
}

int64_t fs_free_bytes(const char *path, struct err *err)
{
	struct statvfs st;

	if (statvfs(path, &st))
		return err_sys(err, errno, "cannot ask for the free space of '%s'", path);
	return (int64_t)st.f_bavail * (int64_t)st.f_frsize;
}

int fs_lock(const char *path, int64_t deadline_ns, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		return err_sys(err, errno, "cannot open lock '%s'", path);
	/* flock() has no time limit and a signal would race, so ask again; another rig holds it for
	 * seconds. */
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		int why = errno, left = deadline_left_ms(deadline_ns);

		if (why != EWOULDBLOCK && why != EINTR) {
			close(fd);
			return err_sys(err, why, "cannot lock '%s'", path);
		}
		if (!left) {
			close(fd);
			return err_set(
				err, -EWOULDBLOCK, "'%s' is locked by another process", path);
		}
		poll(NULL, 0, left < 0 || left > LOCK_RETRY_MS ? LOCK_RETRY_MS : left);
	}
	return fd;
}

char *fs_cache_dir(void)
{
	const char *dir = getenv("MAILRIG_CACHE");
	const char *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	struct passwd *pw;

	if (dir && *dir)
		return text_dup(dir);
	if (xdg && *xdg)
		return path_join(xdg, "mailrig");
	if (!home || !*home) {
		pw = getpwuid(getuid());
		home = pw ? pw->pw_dir : "/var/tmp";
	}
	return path_join(home, ".cache/mailrig");
}
