/*
 * The points of the C library that librigfault.so covers: one row per point, named as in libfiu's
 * posix tree (libfiu 1.1, preload/posix) where it has the point, and in the same style where it has
 * not. A row is: enum name, point name, what may be done to it, the errnos the call may give by its
 * Linux manual page (5.18). Calls of one meaning share a point: rename, renameat and renameat2 are
 * all posix/io/dir/rename.
 *
 * Part of the board's layout: the enum is an index into it. Names outside this table are a store's
 * own points, reached by fiu_fail().
 */
#pragma once

#include <errno.h>
#include <stdint.h>

enum board_can {
	BOARD_CAN_FAIL = 0,   /* and kill and watch: every point can */
	BOARD_CAN_PARK = 1,   /* the call may block, so it may be parked */
	BOARD_CAN_SHORTEN = 2 /* it transfers a count of bytes */
};

/* clang-format off */
#define BOARD_FILE_ERRNOS EIO, ENOSPC, EDQUOT, EROFS
#define BOARD_PATH_ERRNOS EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENOMEM, EIO
#define BOARD_MAKE_ERRNOS BOARD_PATH_ERRNOS, EEXIST, ENOSPC, EDQUOT, EROFS, EPERM, EMLINK
#define BOARD_GONE_ERRNOS BOARD_PATH_ERRNOS, EBUSY, EROFS, EPERM, EISDIR, ENOTEMPTY
#define BOARD_OPEN_ERRNOS BOARD_MAKE_ERRNOS, EMFILE, ENFILE, EINTR, EISDIR, ENXIO, ETXTBSY, EBUSY, \
	EOVERFLOW, EINVAL, EAGAIN
#define BOARD_READ_ERRNOS EIO, EINTR, EAGAIN, EBADF, EINVAL, EISDIR, ECONNRESET, ETIMEDOUT, ESTALE
#define BOARD_WRITE_ERRNOS EIO, ENOSPC, EDQUOT, EFBIG, EINTR, EAGAIN, EPIPE, EBADF, EINVAL, EPERM, \
	ECONNRESET, ETIMEDOUT, ESTALE
#define BOARD_RECV_ERRNOS EAGAIN, EINTR, ECONNREFUSED, ECONNRESET, ETIMEDOUT, ENOTCONN, ENOMEM, EBADF
#define BOARD_SEND_ERRNOS EAGAIN, EINTR, ECONNRESET, EPIPE, ENOBUFS, ENOMEM, ENOTCONN, EMSGSIZE, \
	ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EACCES, EBADF
#define BOARD_LOCK_ERRNOS EINTR, ENOLCK, EDEADLK, EAGAIN, EACCES, EBADF, EINVAL

#define BOARD_POINTS(X)                                                                            \
	X(FSYNC, "posix/io/sync/fsync", PARK, BOARD_FILE_ERRNOS, EINTR, EBADF, EINVAL)             \
	X(FDATASYNC, "posix/io/sync/fdatasync", PARK, BOARD_FILE_ERRNOS, EINTR, EBADF, EINVAL)     \
	X(SYNCFS, "posix/io/sync/syncfs", PARK, BOARD_FILE_ERRNOS, EBADF)                          \
	X(SYNC_FILE_RANGE, "posix/io/sync/sync_file_range", PARK, EIO, ENOSPC, ENOMEM, EBADF,      \
		EINVAL, ESPIPE)                                                                    \
	X(MSYNC, "posix/mm/msync", PARK, EIO, EBUSY, ENOMEM, EINVAL)                               \
	X(MMAP, "posix/mm/mmap", FAIL, EACCES, EAGAIN, EBADF, EINVAL, ENFILE, ENODEV, ENOMEM,      \
		EPERM)                                                                             \
	X(OPEN, "posix/io/oc/open", PARK, BOARD_OPEN_ERRNOS)                                       \
	X(MKSTEMP, "posix/io/oc/mkstemp", PARK, BOARD_OPEN_ERRNOS)                                 \
	X(CLOSE, "posix/io/oc/close", PARK, EIO, EINTR, EBADF, ENOSPC, EDQUOT)                     \
	X(FOPEN, "posix/stdio/oc/fopen", PARK, BOARD_OPEN_ERRNOS)                                  \
	X(FCLOSE, "posix/stdio/oc/fclose", PARK, BOARD_WRITE_ERRNOS)                               \
	X(FFLUSH, "posix/stdio/fflush", PARK, BOARD_WRITE_ERRNOS)                                  \
	X(REMOVE, "posix/stdio/remove", PARK, BOARD_GONE_ERRNOS)                                   \
	X(READ, "posix/io/rw/read", PARK | BOARD_CAN_SHORTEN, BOARD_READ_ERRNOS)                   \
	X(PREAD, "posix/io/rw/pread", PARK | BOARD_CAN_SHORTEN, BOARD_READ_ERRNOS, ESPIPE)         \
	X(READV, "posix/io/rw/readv", PARK, BOARD_READ_ERRNOS)                                     \
	X(PREADV, "posix/io/rw/preadv", PARK, BOARD_READ_ERRNOS, ESPIPE)                           \
	X(WRITE, "posix/io/rw/write", PARK | BOARD_CAN_SHORTEN, BOARD_WRITE_ERRNOS)                \
	X(PWRITE, "posix/io/rw/pwrite", PARK | BOARD_CAN_SHORTEN, BOARD_WRITE_ERRNOS, ESPIPE)      \
	X(WRITEV, "posix/io/rw/writev", PARK, BOARD_WRITE_ERRNOS)                                  \
	X(PWRITEV, "posix/io/rw/pwritev", PARK, BOARD_WRITE_ERRNOS, ESPIPE)                        \
	X(SENDFILE, "posix/io/rw/sendfile", PARK | BOARD_CAN_SHORTEN, BOARD_WRITE_ERRNOS, ENOMEM,  \
		EOVERFLOW)                                                                         \
	X(SPLICE, "posix/io/rw/splice", PARK | BOARD_CAN_SHORTEN, EAGAIN, EBADF, EINVAL, ENOMEM,   \
		ESPIPE, EIO)                                                                       \
	X(COPY_FILE_RANGE, "posix/io/rw/copy_file_range", PARK | BOARD_CAN_SHORTEN,                \
		BOARD_WRITE_ERRNOS, EXDEV, EOPNOTSUPP)                                             \
	X(TRUNCATE, "posix/io/rw/truncate", PARK, BOARD_PATH_ERRNOS, EINTR, EFBIG, EINVAL, EISDIR, \
		EPERM, EROFS, ETXTBSY)                                                             \
	X(FTRUNCATE, "posix/io/rw/ftruncate", PARK, EIO, EINTR, EFBIG, EINVAL, EBADF, EPERM,       \
		EROFS)                                                                             \
	X(FALLOCATE, "posix/io/rw/fallocate", PARK, BOARD_FILE_ERRNOS, EINTR, EFBIG, EBADF,        \
		EINVAL, ENODEV, EOPNOTSUPP, EPERM)                                                 \
	X(RENAME, "posix/io/dir/rename", PARK, BOARD_MAKE_ERRNOS, EBUSY, EISDIR, ENOTEMPTY,        \
		EXDEV, EINVAL)                                                                     \
	X(LINK, "posix/io/dir/link", PARK, BOARD_MAKE_ERRNOS, EXDEV)                               \
	X(SYMLINK, "posix/io/dir/symlink", PARK, BOARD_MAKE_ERRNOS)                                \
	X(READLINK, "posix/io/dir/readlink", PARK, BOARD_PATH_ERRNOS, EINVAL)                      \
	X(UNLINK, "posix/io/dir/unlink", PARK, BOARD_GONE_ERRNOS)                                  \
	X(RMDIR, "posix/io/dir/rmdir", PARK, BOARD_GONE_ERRNOS, EINVAL)                            \
	X(MKDIR, "posix/io/dir/mkdir", PARK, BOARD_MAKE_ERRNOS)                                    \
	X(OPENDIR, "posix/io/dir/opendir", PARK, BOARD_PATH_ERRNOS, EMFILE, ENFILE)                \
	X(READDIR, "posix/io/dir/readdir", PARK, EBADF, EIO, ENOENT)                               \
	X(CHMOD, "posix/io/attr/chmod", PARK, BOARD_PATH_ERRNOS, EPERM, EROFS, EBADF)              \
	X(CHOWN, "posix/io/attr/chown", PARK, BOARD_PATH_ERRNOS, EPERM, EROFS, EBADF)              \
	X(UTIME, "posix/io/attr/utime", PARK, BOARD_PATH_ERRNOS, EPERM, EROFS, EBADF)              \
	X(STAT, "posix/io/stat/stat", PARK, BOARD_PATH_ERRNOS, EOVERFLOW, EBADF, EINVAL)           \
	X(FSTAT, "posix/io/stat/fstat", PARK, EBADF, EIO, ENOMEM, EOVERFLOW)                       \
	X(ACCESS, "posix/io/stat/access", PARK, BOARD_PATH_ERRNOS, EROFS, EINVAL, EPERM)           \
	X(FLOCK, "posix/io/lock/flock", PARK, EINTR, ENOLCK, EWOULDBLOCK, EBADF, EINVAL)           \
	X(FCNTL_LOCK, "posix/io/lock/fcntl", PARK, BOARD_LOCK_ERRNOS)                              \
	X(LOCKF, "posix/io/lock/lockf", PARK, BOARD_LOCK_ERRNOS)                                   \
	X(SOCKET, "posix/io/net/socket", FAIL, EACCES, EAFNOSUPPORT, EINVAL, EMFILE, ENFILE,       \
		ENOBUFS, ENOMEM, EPROTONOSUPPORT)                                                  \
	X(BIND, "posix/io/net/bind", FAIL, EACCES, EADDRINUSE, EBADF, EINVAL, ENOTSOCK,            \
		EADDRNOTAVAIL, ENOENT, ENOMEM, EROFS)                                              \
	X(LISTEN, "posix/io/net/listen", FAIL, EADDRINUSE, EBADF, ENOTSOCK, EOPNOTSUPP)            \
	X(ACCEPT, "posix/io/net/accept", PARK, EAGAIN, EBADF, ECONNABORTED, EINTR, EINVAL,         \
		EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOTSOCK, EPERM, EPROTO)                          \
	X(CONNECT, "posix/io/net/connect", PARK, EACCES, EPERM, EADDRINUSE, EADDRNOTAVAIL,         \
		EAFNOSUPPORT, EAGAIN, EALREADY, EBADF, ECONNREFUSED, EINPROGRESS, EINTR, EISCONN,  \
		ENETUNREACH, EHOSTUNREACH, ENOTSOCK, ETIMEDOUT, ENOENT, ECONNRESET)                \
	X(RECV, "posix/io/net/recv", PARK | BOARD_CAN_SHORTEN, BOARD_RECV_ERRNOS)                  \
	X(RECVFROM, "posix/io/net/recvfrom", PARK | BOARD_CAN_SHORTEN, BOARD_RECV_ERRNOS)          \
	X(RECVMSG, "posix/io/net/recvmsg", PARK, BOARD_RECV_ERRNOS)                                \
	X(SEND, "posix/io/net/send", PARK | BOARD_CAN_SHORTEN, BOARD_SEND_ERRNOS)                  \
	X(SENDTO, "posix/io/net/sendto", PARK | BOARD_CAN_SHORTEN, BOARD_SEND_ERRNOS)              \
	X(SENDMSG, "posix/io/net/sendmsg", PARK, BOARD_SEND_ERRNOS)                                \
	X(SHUTDOWN, "posix/io/net/shutdown", FAIL, EBADF, EINVAL, ENOTCONN, ENOTSOCK)              \
	X(POLL, "posix/io/net/poll", PARK, EINTR, EINVAL, ENOMEM)                                  \
	X(SELECT, "posix/io/net/select", PARK, EBADF, EINTR, EINVAL, ENOMEM)                       \
	X(EPOLL_WAIT, "posix/io/net/epoll_wait", PARK, EBADF, EINTR, EINVAL)                       \
	X(GETADDRINFO, "posix/io/net/getaddrinfo", PARK, EIO, EMFILE, ENOMEM, ECONNREFUSED,        \
		ETIMEDOUT)                                                                         \
	X(FORK, "posix/proc/fork", PARK, EAGAIN, ENOMEM)                                           \
	X(SPAWN, "posix/proc/posix_spawn", PARK, EAGAIN, ENOMEM, EACCES, ENOENT, ENOEXEC)          \
	X(EXECVE, "posix/proc/execve", PARK, E2BIG, EACCES, EIO, ELOOP, EMFILE, ENAMETOOLONG,      \
		ENFILE, ENOENT, ENOEXEC, ENOMEM, ENOTDIR, EPERM, ETXTBSY)                          \
	X(WAIT, "posix/proc/waitpid", PARK, ECHILD, EINTR, EINVAL)                                 \
	X(KILL, "posix/proc/kill", FAIL, EINVAL, EPERM, ESRCH)                                     \
	X(MUTEX_LOCK, "posix/pthread/mutex_lock", PARK, EDEADLK, EINVAL, EAGAIN, EOWNERDEAD,       \
		ENOTRECOVERABLE)                                                                   \
	X(RWLOCK_RDLOCK, "posix/pthread/rwlock_rdlock", PARK, EAGAIN, EDEADLK, EINVAL)             \
	X(RWLOCK_WRLOCK, "posix/pthread/rwlock_wrlock", PARK, EDEADLK, EINVAL)                     \
	X(COND_WAIT, "posix/pthread/cond_wait", PARK, EINVAL, EPERM)                               \
	X(THREAD_CREATE, "posix/pthread/create", PARK, EAGAIN, EINVAL, EPERM)                      \
	X(INOTIFY, "posix/io/inotify/add_watch", FAIL, EACCES, EBADF, EINVAL, ENOENT, ENOMEM,      \
		ENOSPC)
/* clang-format on */

#define BOARD_POINT_ENUM(id, name, can, ...) POINT_##id,
enum board_point { BOARD_POINTS(BOARD_POINT_ENUM) POINT_COUNT };

struct board_point_row {
	const char *name;
	unsigned int can;  /* enum board_can, or-ed */
	const int *errnos; /* ended by 0 */
};

extern const struct board_point_row board_point_rows[POINT_COUNT];
int board_point_find(const char *name); /* index, or -1: no point of this table */
