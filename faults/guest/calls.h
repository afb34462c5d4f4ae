/*
 * The interposed functions, one row each, included with CALL defined (calls.c: the functions; the
 * tests: a walk over all rows). A row is
 *
 *	CALL(type, name, (parameters), (arguments), point, value on error, afterwards, subject)
 *
 * `afterwards` runs before the call that an armed rule let pass: it takes over a smaller count or a
 * time limit that is used up. `subject` initialises struct call: what the call acts on and how it
 * waits. In `value on error` and `afterwards` the struct is `call`. Functions with variable
 * arguments, and those at two points, stand in calls_other.c.
 *
 * Aliases that fortified programs call (_FORTIFY_SOURCE) and the versions of stat() before glibc
 * 2.33 have rows of their own. vfork() returns twice on one stack and has none.
 */

/* clang-format off */

/* ---- to the disk ---- */
CALL(int, fsync, (int fd), (fd), POINT_FSYNC, -1, NOTHING, FD(fd))
CALL(int, fdatasync, (int fd), (fd), POINT_FDATASYNC, -1, NOTHING, FD(fd))
CALL(int, syncfs, (int fd), (fd), POINT_SYNCFS, -1, NOTHING, FD(fd))
CALL(int, sync_file_range, (int fd, off64_t at, off64_t len, unsigned int flags), (fd, at, len,
	flags), POINT_SYNC_FILE_RANGE, -1, NOTHING, FD(fd))
CALL(int, msync, (void *at, size_t len, int flags), (at, len, flags), POINT_MSYNC, -1, NOTHING,
	NO_SUBJECT, .dontwait = !(flags & MS_SYNC))
CALL(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset), (at, len,
	prot, flags, fd, offset), POINT_MMAP, MAP_FAILED, NOTHING, FD(fd), .waits = WAITS_NEVER)
CALL(void *, mmap64, (void *at, size_t len, int prot, int flags, int fd, off64_t offset), (at, len,
	prot, flags, fd, offset), POINT_MMAP, MAP_FAILED, NOTHING, FD(fd), .waits = WAITS_NEVER)

/* ---- open and close ---- */
CALL(int, creat, (const char *path, mode_t mode), (path, mode), POINT_OPEN, -1, NOTHING,
	PATH(path))
CALL(int, creat64, (const char *path, mode_t mode), (path, mode), POINT_OPEN, -1, NOTHING,
	PATH(path))
CALL(int, __open_2, (const char *path, int flags), (path, flags), POINT_OPEN, -1, NOTHING,
	PATH(path))
CALL(int, __open64_2, (const char *path, int flags), (path, flags), POINT_OPEN, -1, NOTHING,
	PATH(path))
CALL(int, __openat_2, (int dir, const char *path, int flags), (dir, path, flags), POINT_OPEN, -1,
	NOTHING, PATH_AT(dir, path))
CALL(int, __openat64_2, (int dir, const char *path, int flags), (dir, path, flags), POINT_OPEN, -1,
	NOTHING, PATH_AT(dir, path))
CALL(int, mkstemp, (char *path), (path), POINT_MKSTEMP, -1, NOTHING, PATH(path))
CALL(int, mkstemp64, (char *path), (path), POINT_MKSTEMP, -1, NOTHING, PATH(path))
CALL(int, mkostemp, (char *path, int flags), (path, flags), POINT_MKSTEMP, -1, NOTHING, PATH(path))
CALL(int, mkostemp64, (char *path, int flags), (path, flags), POINT_MKSTEMP, -1, NOTHING,
	PATH(path))
CALL(int, mkstemps, (char *path, int tail), (path, tail), POINT_MKSTEMP, -1, NOTHING, PATH(path))
CALL(int, mkstemps64, (char *path, int tail), (path, tail), POINT_MKSTEMP, -1, NOTHING, PATH(path))
/* Linux frees the descriptor also when close() gives an error, EBADF apart. */
CALL(int, close, (int fd), (fd), POINT_CLOSE, (call.err != EBADF ? (void)NEXT(close)(fd) : (void)0,
	errno = call.err, -1), NOTHING, FD(fd))
CALL(FILE *, fopen, (const char *path, const char *mode), (path, mode), POINT_FOPEN, NULL, NOTHING,
	PATH(path))
CALL(FILE *, fopen64, (const char *path, const char *mode), (path, mode), POINT_FOPEN, NULL,
	NOTHING, PATH(path))
CALL(int, fclose, (FILE *stream), (stream), POINT_FCLOSE,
	(stream ? (void)NEXT(fclose)(stream) : (void)0, errno = call.err, EOF), NOTHING,
	FD(rig_stream_fd(stream)))
CALL(int, fflush, (FILE *stream), (stream), POINT_FFLUSH, EOF, NOTHING, FD(rig_stream_fd(stream)))

/* ---- read and write ---- */
CALL(ssize_t, read, (int fd, void *to, size_t count), (fd, to, count), POINT_READ, -1,
	count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD,
	.timeout_option = SO_RCVTIMEO)
CALL(ssize_t, __read_chk, (int fd, void *to, size_t count, size_t size), (fd, to, count, size),
	POINT_READ, -1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD,
	.timeout_option = SO_RCVTIMEO)
CALL(ssize_t, pread, (int fd, void *to, size_t count, off_t at), (fd, to, count, at), POINT_PREAD,
	-1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD)
CALL(ssize_t, pread64, (int fd, void *to, size_t count, off64_t at), (fd, to, count, at),
	POINT_PREAD, -1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD)
CALL(ssize_t, __pread_chk, (int fd, void *to, size_t count, off_t at, size_t size), (fd, to, count,
	at, size), POINT_PREAD, -1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD)
CALL(ssize_t, __pread64_chk, (int fd, void *to, size_t count, off64_t at, size_t size), (fd, to,
	count, at, size), POINT_PREAD, -1, count = call.count, FD(fd), COUNT(count),
	.waits = WAITS_BY_FD)
CALL(ssize_t, readv, (int fd, const struct iovec *iov, int iovs), (fd, iov, iovs), POINT_READV, -1,
	NOTHING, FD(fd), .waits = WAITS_BY_FD, .timeout_option = SO_RCVTIMEO)
CALL(ssize_t, preadv, (int fd, const struct iovec *iov, int iovs, off_t at), (fd, iov, iovs, at),
	POINT_PREADV, -1, NOTHING, FD(fd), .waits = WAITS_BY_FD)
CALL(ssize_t, preadv64, (int fd, const struct iovec *iov, int iovs, off64_t at), (fd, iov, iovs,
	at), POINT_PREADV, -1, NOTHING, FD(fd), .waits = WAITS_BY_FD)
CALL(ssize_t, write, (int fd, const void *from, size_t count), (fd, from, count), POINT_WRITE, -1,
	count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD,
	.timeout_option = SO_SNDTIMEO)
CALL(ssize_t, pwrite, (int fd, const void *from, size_t count, off_t at), (fd, from, count, at),
	POINT_PWRITE, -1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD)
CALL(ssize_t, pwrite64, (int fd, const void *from, size_t count, off64_t at), (fd, from, count, at),
	POINT_PWRITE, -1, count = call.count, FD(fd), COUNT(count), .waits = WAITS_BY_FD)
CALL(ssize_t, writev, (int fd, const struct iovec *iov, int iovs), (fd, iov, iovs), POINT_WRITEV,
	-1, NOTHING, FD(fd), .waits = WAITS_BY_FD, .timeout_option = SO_SNDTIMEO)
CALL(ssize_t, pwritev, (int fd, const struct iovec *iov, int iovs, off_t at), (fd, iov, iovs, at),
	POINT_PWRITEV, -1, NOTHING, FD(fd), .waits = WAITS_BY_FD)
CALL(ssize_t, pwritev64, (int fd, const struct iovec *iov, int iovs, off64_t at), (fd, iov, iovs,
	at), POINT_PWRITEV, -1, NOTHING, FD(fd), .waits = WAITS_BY_FD)
CALL(ssize_t, sendfile, (int to, int from, off_t *at, size_t count), (to, from, at, count),
	POINT_SENDFILE, -1, count = call.count, FD(to), COUNT(count), .waits = WAITS_BY_FD,
	.timeout_option = SO_SNDTIMEO)
CALL(ssize_t, sendfile64, (int to, int from, off64_t *at, size_t count), (to, from, at, count),
	POINT_SENDFILE, -1, count = call.count, FD(to), COUNT(count), .waits = WAITS_BY_FD,
	.timeout_option = SO_SNDTIMEO)
CALL(ssize_t, splice, (int from, off64_t *from_at, int to, off64_t *to_at, size_t count,
	unsigned int flags), (from, from_at, to, to_at, count, flags), POINT_SPLICE, -1,
	count = call.count, FD(to), COUNT(count), .waits = WAITS_BY_FD,
	.dontwait = flags & SPLICE_F_NONBLOCK)
CALL(ssize_t, copy_file_range, (int from, off64_t *from_at, int to, off64_t *to_at, size_t count,
	unsigned int flags), (from, from_at, to, to_at, count, flags), POINT_COPY_FILE_RANGE, -1,
	count = call.count, FD(to), COUNT(count))
CALL(int, truncate, (const char *path, off_t len), (path, len), POINT_TRUNCATE, -1, NOTHING,
	PATH(path))
CALL(int, truncate64, (const char *path, off64_t len), (path, len), POINT_TRUNCATE, -1, NOTHING,
	PATH(path))
CALL(int, ftruncate, (int fd, off_t len), (fd, len), POINT_FTRUNCATE, -1, NOTHING, FD(fd))
CALL(int, ftruncate64, (int fd, off64_t len), (fd, len), POINT_FTRUNCATE, -1, NOTHING, FD(fd))
CALL(int, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len), POINT_FALLOCATE,
	-1, NOTHING, FD(fd))
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t len), (fd, mode, at, len),
	POINT_FALLOCATE, -1, NOTHING, FD(fd))
CALL(int, posix_fallocate, (int fd, off_t at, off_t len), (fd, at, len), POINT_FALLOCATE, call.err,
	NOTHING, RETURNS_ERRNO, FD(fd))
CALL(int, posix_fallocate64, (int fd, off64_t at, off64_t len), (fd, at, len), POINT_FALLOCATE,
	call.err, NOTHING, RETURNS_ERRNO, FD(fd))

/* ---- names ---- */
CALL(int, rename, (const char *from, const char *to), (from, to), POINT_RENAME, -1, NOTHING,
	PATHS(AT_FDCWD, from, AT_FDCWD, to))
CALL(int, renameat, (int from_dir, const char *from, int to_dir, const char *to), (from_dir, from,
	to_dir, to), POINT_RENAME, -1, NOTHING, PATHS(from_dir, from, to_dir, to))
CALL(int, renameat2, (int from_dir, const char *from, int to_dir, const char *to,
	unsigned int flags), (from_dir, from, to_dir, to, flags), POINT_RENAME, -1, NOTHING,
	PATHS(from_dir, from, to_dir, to))
CALL(int, link, (const char *from, const char *to), (from, to), POINT_LINK, -1, NOTHING,
	PATHS(AT_FDCWD, from, AT_FDCWD, to))
CALL(int, linkat, (int from_dir, const char *from, int to_dir, const char *to, int flags),
	(from_dir, from, to_dir, to, flags), POINT_LINK, -1, NOTHING, PATHS(from_dir, from, to_dir,
	to))
CALL(int, symlink, (const char *target, const char *path), (target, path), POINT_SYMLINK, -1,
	NOTHING, PATH(path))
CALL(int, symlinkat, (const char *target, int dir, const char *path), (target, dir, path),
	POINT_SYMLINK, -1, NOTHING, PATH_AT(dir, path))
CALL(ssize_t, readlink, (const char *path, char *to, size_t size), (path, to, size), POINT_READLINK,
	-1, NOTHING, PATH(path))
CALL(ssize_t, readlinkat, (int dir, const char *path, char *to, size_t size), (dir, path, to, size),
	POINT_READLINK, -1, NOTHING, PATH_AT(dir, path))
CALL(ssize_t, __readlink_chk, (const char *path, char *to, size_t size, size_t room), (path, to,
	size, room), POINT_READLINK, -1, NOTHING, PATH(path))
CALL(ssize_t, __readlinkat_chk, (int dir, const char *path, char *to, size_t size, size_t room),
	(dir, path, to, size, room), POINT_READLINK, -1, NOTHING, PATH_AT(dir, path))
CALL(int, unlink, (const char *path), (path), POINT_UNLINK, -1, NOTHING, PATH(path))
CALL(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags),
	flags & AT_REMOVEDIR ? POINT_RMDIR : POINT_UNLINK, -1, NOTHING, PATH_AT(dir, path))
CALL(int, rmdir, (const char *path), (path), POINT_RMDIR, -1, NOTHING, PATH(path))
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), POINT_MKDIR, -1, NOTHING,
	PATH(path))
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), POINT_MKDIR, -1,
	NOTHING, PATH_AT(dir, path))
CALL(char *, mkdtemp, (char *path), (path), POINT_MKDIR, NULL, NOTHING, PATH(path))
CALL(DIR *, opendir, (const char *path), (path), POINT_OPENDIR, NULL, NOTHING, PATH(path))
CALL(struct dirent *, readdir, (DIR *dir), (dir), POINT_READDIR, NULL, NOTHING,
	FD(rig_dir_fd(dir)))
CALL(struct dirent64 *, readdir64, (DIR *dir), (dir), POINT_READDIR, NULL, NOTHING,
	FD(rig_dir_fd(dir)))

/* ---- attributes ---- */
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), POINT_CHMOD, -1, NOTHING,
	PATH(path))
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), POINT_CHMOD, -1, NOTHING, FD(fd))
CALL(int, fchmodat, (int dir, const char *path, mode_t mode, int flags), (dir, path, mode, flags),
	POINT_CHMOD, -1, NOTHING, PATH_AT(dir, path))
CALL(int, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid), POINT_CHOWN, -1,
	NOTHING, PATH(path))
CALL(int, lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid), POINT_CHOWN, -1,
	NOTHING, PATH(path))
CALL(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), POINT_CHOWN, -1, NOTHING, FD(fd))
CALL(int, fchownat, (int dir, const char *path, uid_t uid, gid_t gid, int flags), (dir, path, uid,
	gid, flags), POINT_CHOWN, -1, NOTHING, PATH_AT(dir, path))
CALL(int, utime, (const char *path, const struct utimbuf *times), (path, times), POINT_UTIME, -1,
	NOTHING, PATH(path))
CALL(int, utimes, (const char *path, const struct timeval times[2]), (path, times), POINT_UTIME, -1,
	NOTHING, PATH(path))
CALL(int, futimes, (int fd, const struct timeval times[2]), (fd, times), POINT_UTIME, -1, NOTHING,
	FD(fd))
CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times), POINT_UTIME, -1, NOTHING,
	FD(fd))
CALL(int, utimensat, (int dir, const char *path, const struct timespec times[2], int flags), (dir,
	path, times, flags), POINT_UTIME, -1, NOTHING, PATH_AT(dir, path))
CALL(int, stat, (const char *path, struct stat *st), (path, st), POINT_STAT, -1, NOTHING,
	PATH(path))
CALL(int, stat64, (const char *path, struct stat64 *st), (path, st), POINT_STAT, -1, NOTHING,
	PATH(path))
CALL(int, lstat, (const char *path, struct stat *st), (path, st), POINT_STAT, -1, NOTHING,
	PATH(path))
CALL(int, lstat64, (const char *path, struct stat64 *st), (path, st), POINT_STAT, -1, NOTHING,
	PATH(path))
CALL(int, fstatat, (int dir, const char *path, struct stat *st, int flags), (dir, path, st, flags),
	POINT_STAT, -1, NOTHING, PATH_AT(dir, path))
CALL(int, fstatat64, (int dir, const char *path, struct stat64 *st, int flags), (dir, path, st,
	flags), POINT_STAT, -1, NOTHING, PATH_AT(dir, path))
CALL(int, statx, (int dir, const char *path, int flags, unsigned int mask, struct statx *st), (dir,
	path, flags, mask, st), POINT_STAT, -1, NOTHING, PATH_AT(dir, path))
CALL(int, __xstat, (int version, const char *path, struct stat *st), (version, path, st),
	POINT_STAT, -1, NOTHING, PATH(path))
CALL(int, __xstat64, (int version, const char *path, struct stat64 *st), (version, path, st),
	POINT_STAT, -1, NOTHING, PATH(path))
CALL(int, __lxstat, (int version, const char *path, struct stat *st), (version, path, st),
	POINT_STAT, -1, NOTHING, PATH(path))
CALL(int, __lxstat64, (int version, const char *path, struct stat64 *st), (version, path, st),
	POINT_STAT, -1, NOTHING, PATH(path))
CALL(int, __fxstatat, (int version, int dir, const char *path, struct stat *st, int flags),
	(version, dir, path, st, flags), POINT_STAT, -1, NOTHING, PATH_AT(dir, path))
CALL(int, __fxstatat64, (int version, int dir, const char *path, struct stat64 *st, int flags),
	(version, dir, path, st, flags), POINT_STAT, -1, NOTHING, PATH_AT(dir, path))
CALL(int, fstat, (int fd, struct stat *st), (fd, st), POINT_FSTAT, -1, NOTHING, FD(fd))
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), POINT_FSTAT, -1, NOTHING, FD(fd))
CALL(int, __fxstat, (int version, int fd, struct stat *st), (version, fd, st), POINT_FSTAT, -1,
	NOTHING, FD(fd))
CALL(int, __fxstat64, (int version, int fd, struct stat64 *st), (version, fd, st), POINT_FSTAT, -1,
	NOTHING, FD(fd))
CALL(int, access, (const char *path, int mode), (path, mode), POINT_ACCESS, -1, NOTHING,
	PATH(path))
CALL(int, faccessat, (int dir, const char *path, int mode, int flags), (dir, path, mode, flags),
	POINT_ACCESS, -1, NOTHING, PATH_AT(dir, path))
CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask),
	POINT_INOTIFY, -1, NOTHING, PATH(path), .waits = WAITS_NEVER)

/* ---- locks ---- */
CALL(int, flock, (int fd, int how), (fd, how), POINT_FLOCK, -1, NOTHING, FD(fd),
	.waits = WAITS_RESTARTABLE, .dontwait = how & (LOCK_NB | LOCK_UN))
CALL(int, lockf, (int fd, int how, off_t len), (fd, how, len), POINT_LOCKF, -1, NOTHING, FD(fd),
	.waits = WAITS_RESTARTABLE, .dontwait = how != F_LOCK)
CALL(int, lockf64, (int fd, int how, off64_t len), (fd, how, len), POINT_LOCKF, -1, NOTHING, FD(fd),
	.waits = WAITS_RESTARTABLE, .dontwait = how != F_LOCK)

/* ---- sockets ---- */
CALL(int, socket, (int domain, int type, int protocol), (domain, type, protocol), POINT_SOCKET, -1,
	NOTHING, NO_SUBJECT, .waits = WAITS_NEVER)
CALL(int, bind, (int fd, __CONST_SOCKADDR_ARG at, socklen_t len), (fd, at, len), POINT_BIND, -1,
	NOTHING, FD(fd), .waits = WAITS_NEVER)
CALL(int, listen, (int fd, int backlog), (fd, backlog), POINT_LISTEN, -1, NOTHING, FD(fd),
	.waits = WAITS_NEVER)
CALL(int, accept, (int fd, __SOCKADDR_ARG from, socklen_t *len), (fd, from, len), POINT_ACCEPT, -1,
	NOTHING, FD(fd), .waits = WAITS_BY_FD, .timeout_option = SO_RCVTIMEO)
CALL(int, accept4, (int fd, __SOCKADDR_ARG from, socklen_t *len, int flags), (fd, from, len, flags),
	POINT_ACCEPT, -1, NOTHING, FD(fd), .waits = WAITS_BY_FD, .timeout_option = SO_RCVTIMEO)
CALL(int, connect, (int fd, __CONST_SOCKADDR_ARG to, socklen_t len), (fd, to, len), POINT_CONNECT,
	-1, NOTHING, FD(fd), .waits = WAITS_BY_FD, .timeout_option = SO_SNDTIMEO)
CALL(ssize_t, recv, (int fd, void *to, size_t count, int flags), (fd, to, count, flags), POINT_RECV,
	-1, count = call.count, RECEIVES(fd, flags), COUNT(count))
CALL(ssize_t, __recv_chk, (int fd, void *to, size_t count, size_t size, int flags), (fd, to, count,
	size, flags), POINT_RECV, -1, count = call.count, RECEIVES(fd, flags), COUNT(count))
CALL(ssize_t, recvfrom, (int fd, void *to, size_t count, int flags, __SOCKADDR_ARG from,
	socklen_t *len), (fd, to, count, flags, from, len), POINT_RECVFROM, -1, count = call.count,
	RECEIVES(fd, flags), COUNT(count))
CALL(ssize_t, __recvfrom_chk, (int fd, void *to, size_t count, size_t size, int flags,
	__SOCKADDR_ARG from, socklen_t *len), (fd, to, count, size, flags, from, len),
	POINT_RECVFROM, -1, count = call.count, RECEIVES(fd, flags), COUNT(count))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags),
	POINT_RECVMSG, -1, NOTHING, RECEIVES(fd, flags))
CALL(int, recvmmsg, (int fd, struct mmsghdr *messages, unsigned int count, int flags,
	struct timespec *limit), (fd, messages, count, flags, limit), POINT_RECVMSG, -1, NOTHING,
	RECEIVES(fd, flags))
CALL(ssize_t, send, (int fd, const void *from, size_t count, int flags), (fd, from, count, flags),
	POINT_SEND, -1, count = call.count, SENDS(fd, flags), COUNT(count))
CALL(ssize_t, sendto, (int fd, const void *from, size_t count, int flags, __CONST_SOCKADDR_ARG to,
	socklen_t len), (fd, from, count, flags, to, len), POINT_SENDTO, -1, count = call.count,
	SENDS(fd, flags), COUNT(count))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
	POINT_SENDMSG, -1, NOTHING, SENDS(fd, flags))
CALL(int, sendmmsg, (int fd, struct mmsghdr *messages, unsigned int count, int flags), (fd,
	messages, count, flags), POINT_SENDMSG, -1, NOTHING, SENDS(fd, flags))
CALL(int, shutdown, (int fd, int how), (fd, how), POINT_SHUTDOWN, -1, NOTHING, FD(fd),
	.waits = WAITS_NEVER)
CALL(int, poll, (struct pollfd *fds, nfds_t count, int limit_ms), (fds, count, limit_ms),
	POINT_POLL, -1, limit_ms = call.expired ? 0 : limit_ms, LIMIT_MS(limit_ms))
CALL(int, __poll_chk, (struct pollfd *fds, nfds_t count, int limit_ms, size_t size), (fds, count,
	limit_ms, size), POINT_POLL, -1, limit_ms = call.expired ? 0 : limit_ms,
	LIMIT_MS(limit_ms))
CALL(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *limit,
	const sigset_t *mask), (fds, count, limit, mask), POINT_POLL, -1,
	limit = call.expired ? &no_timespec : limit, LIMIT_NS(limit), .mask = mask)
CALL(int, __ppoll_chk, (struct pollfd *fds, nfds_t count, const struct timespec *limit,
	const sigset_t *mask, size_t size), (fds, count, limit, mask, size), POINT_POLL, -1,
	limit = call.expired ? &no_timespec : limit, LIMIT_NS(limit), .mask = mask)
CALL(int, select, (int count, fd_set *reads, fd_set *writes, fd_set *excepts,
	struct timeval *limit), (count, reads, writes, excepts, limit), POINT_SELECT, -1,
	limit = call.expired ? &no_timeval : limit, LIMIT_US(limit))
CALL(int, pselect, (int count, fd_set *reads, fd_set *writes, fd_set *excepts,
	const struct timespec *limit, const sigset_t *mask), (count, reads, writes, excepts, limit,
	mask), POINT_SELECT, -1, limit = call.expired ? &no_timespec : limit, LIMIT_NS(limit),
	.mask = mask)
CALL(int, epoll_wait, (int fd, struct epoll_event *events, int count, int limit_ms), (fd, events,
	count, limit_ms), POINT_EPOLL_WAIT, -1, limit_ms = call.expired ? 0 : limit_ms,
	LIMIT_MS(limit_ms))
CALL(int, epoll_pwait, (int fd, struct epoll_event *events, int count, int limit_ms,
	const sigset_t *mask), (fd, events, count, limit_ms, mask), POINT_EPOLL_WAIT, -1,
	limit_ms = call.expired ? 0 : limit_ms, LIMIT_MS(limit_ms), .mask = mask)
CALL(int, getaddrinfo, (const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **found), (node, service, hints, found), POINT_GETADDRINFO, EAI_SYSTEM,
	NOTHING, NO_SUBJECT, .waits = WAITS_PATIENT)

/* ---- processes and threads ---- */
CALL(pid_t, fork, (void), (), POINT_FORK, -1, NOTHING, NO_SUBJECT)
CALL(int, posix_spawn, (pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const env[]), (pid, path, actions,
	attr, argv, env), POINT_SPAWN, call.err, NOTHING, RETURNS_ERRNO, PATH(path),
	.waits = WAITS_PATIENT)
CALL(int, posix_spawnp, (pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	const posix_spawnattr_t *attr, char *const argv[], char *const env[]), (pid, file, actions,
	attr, argv, env), POINT_SPAWN, call.err, NOTHING, RETURNS_ERRNO, NO_SUBJECT,
	.waits = WAITS_PATIENT)
CALL(int, execve, (const char *path, char *const argv[], char *const env[]), (path, argv, env),
	POINT_EXECVE, -1, NOTHING, PATH(path))
CALL(int, execv, (const char *path, char *const argv[]), (path, argv), POINT_EXECVE, -1, NOTHING,
	PATH(path))
CALL(int, execvp, (const char *file, char *const argv[]), (file, argv), POINT_EXECVE, -1, NOTHING,
	NO_SUBJECT)
CALL(int, execvpe, (const char *file, char *const argv[], char *const env[]), (file, argv, env),
	POINT_EXECVE, -1, NOTHING, NO_SUBJECT)
CALL(int, fexecve, (int fd, char *const argv[], char *const env[]), (fd, argv, env), POINT_EXECVE,
	-1, NOTHING, FD(fd))
CALL(pid_t, wait, (int *status), (status), POINT_WAIT, -1, NOTHING, NO_SUBJECT,
	.waits = WAITS_RESTARTABLE)
CALL(pid_t, waitpid, (pid_t pid, int *status, int options), (pid, status, options), POINT_WAIT, -1,
	NOTHING, NO_SUBJECT, .waits = WAITS_RESTARTABLE, .dontwait = options & WNOHANG)
CALL(pid_t, wait3, (int *status, int options, struct rusage *usage), (status, options, usage),
	POINT_WAIT, -1, NOTHING, NO_SUBJECT, .waits = WAITS_RESTARTABLE,
	.dontwait = options & WNOHANG)
CALL(pid_t, wait4, (pid_t pid, int *status, int options, struct rusage *usage), (pid, status,
	options, usage), POINT_WAIT, -1, NOTHING, NO_SUBJECT, .waits = WAITS_RESTARTABLE,
	.dontwait = options & WNOHANG)
CALL(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options),
	POINT_WAIT, -1, NOTHING, NO_SUBJECT, .waits = WAITS_RESTARTABLE,
	.dontwait = options & WNOHANG)
CALL(int, kill, (pid_t pid, int signal), (pid, signal), POINT_KILL, -1, NOTHING, NO_SUBJECT,
	.waits = WAITS_NEVER)
CALL(int, pthread_mutex_lock, (pthread_mutex_t *mutex), (mutex), POINT_MUTEX_LOCK, call.err,
	NOTHING, RETURNS_ERRNO, NO_SUBJECT, .waits = WAITS_PATIENT)
CALL(int, pthread_rwlock_rdlock, (pthread_rwlock_t *lock), (lock), POINT_RWLOCK_RDLOCK, call.err,
	NOTHING, RETURNS_ERRNO, NO_SUBJECT, .waits = WAITS_PATIENT)
CALL(int, pthread_rwlock_wrlock, (pthread_rwlock_t *lock), (lock), POINT_RWLOCK_WRLOCK, call.err,
	NOTHING, RETURNS_ERRNO, NO_SUBJECT, .waits = WAITS_PATIENT)
CALL(int, pthread_cond_wait, (pthread_cond_t *condition, pthread_mutex_t *mutex), (condition,
	mutex), POINT_COND_WAIT, call.err, NOTHING, RETURNS_ERRNO, NO_SUBJECT,
	.waits = WAITS_PATIENT)
CALL(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
	void *arg), (thread, attr, run, arg), POINT_THREAD_CREATE, call.err, NOTHING, RETURNS_ERRNO,
	NO_SUBJECT)

/* clang-format on */
