#include "faults/guest/board_syscalls.h"

#include "faults/guest/board_points.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#define NONE		       .fd = -1, .count = -1, .dir = {-1, -1}, .path = {-1, -1}
#define FD(f)		       .fd = (f), .count = -1, .dir = {-1, -1}, .path = {-1, -1}
#define COUNTED(f, n)	       .fd = (f), .count = (n), .dir = {-1, -1}, .path = {-1, -1}
#define PATH(p)		       .fd = -1, .count = -1, .dir = {-1, -1}, .path = {(p), -1}
#define AT(d, p)	       .fd = -1, .count = -1, .dir = {(d), -1}, .path = {(p), -1}
#define PATHS(p, q)	       .fd = -1, .count = -1, .dir = {-1, -1}, .path = {(p), (q)}
#define ATS(d, p, e, q)	       .fd = -1, .count = -1, .dir = {(d), (e)}, .path = {(p), (q)}
#define WHEN(arg, bits, value) .when = (arg), .mask = (bits), .want = (value)

#define CALL(call, at, ...)                                                           \
	{                                                                             \
		.name = #call, .number = SYS_##call, .point = POINT_##at, __VA_ARGS__ \
	}

/* clang-format off */
static const struct board_syscall rows[] = {
	CALL(fsync, FSYNC, FD(0)),
	CALL(fdatasync, FDATASYNC, FD(0)),
	CALL(syncfs, SYNCFS, FD(0)),
	CALL(sync_file_range, SYNC_FILE_RANGE, FD(0)),
	CALL(msync, MSYNC, NONE),
	CALL(mmap, MMAP, FD(4)),

	CALL(open, OPEN, PATH(0)),
	CALL(openat, OPEN, AT(0, 1)),
	CALL(openat2, OPEN, AT(0, 1)),
	CALL(creat, OPEN, PATH(0)),
	CALL(close, CLOSE, FD(0)),

	CALL(read, READ, COUNTED(0, 2)),
	CALL(pread64, PREAD, COUNTED(0, 2)),
	CALL(readv, READV, FD(0)),
	CALL(preadv, PREADV, FD(0)),
	CALL(preadv2, PREADV, FD(0)),
	CALL(write, WRITE, COUNTED(0, 2)),
	CALL(pwrite64, PWRITE, COUNTED(0, 2)),
	CALL(writev, WRITEV, FD(0)),
	CALL(pwritev, PWRITEV, FD(0)),
	CALL(pwritev2, PWRITEV, FD(0)),
	CALL(sendfile, SENDFILE, COUNTED(0, 3)),
	CALL(splice, SPLICE, COUNTED(2, 4)),
	CALL(copy_file_range, COPY_FILE_RANGE, COUNTED(2, 4)),
	CALL(truncate, TRUNCATE, PATH(0)),
	CALL(ftruncate, FTRUNCATE, FD(0)),
	CALL(fallocate, FALLOCATE, FD(0)),

	CALL(rename, RENAME, PATHS(0, 1)),
	CALL(renameat, RENAME, ATS(0, 1, 2, 3)),
	CALL(renameat2, RENAME, ATS(0, 1, 2, 3)),
	CALL(link, LINK, PATHS(0, 1)),
	CALL(linkat, LINK, ATS(0, 1, 2, 3)),
	CALL(symlink, SYMLINK, PATH(1)),
	CALL(symlinkat, SYMLINK, AT(1, 2)),
	CALL(readlink, READLINK, PATH(0)),
	CALL(readlinkat, READLINK, AT(0, 1)),
	CALL(unlink, UNLINK, PATH(0)),
	CALL(unlinkat, UNLINK, AT(0, 1), WHEN(2, AT_REMOVEDIR, 0)),
	CALL(unlinkat, RMDIR, AT(0, 1), WHEN(2, AT_REMOVEDIR, AT_REMOVEDIR)),
	CALL(rmdir, RMDIR, PATH(0)),
	CALL(mkdir, MKDIR, PATH(0)),
	CALL(mkdirat, MKDIR, AT(0, 1)),
	CALL(getdents64, READDIR, FD(0)),

	CALL(chmod, CHMOD, PATH(0)),
	CALL(fchmod, CHMOD, FD(0)),
	CALL(fchmodat, CHMOD, AT(0, 1)),
	CALL(chown, CHOWN, PATH(0)),
	CALL(lchown, CHOWN, PATH(0)),
	CALL(fchown, CHOWN, FD(0)),
	CALL(fchownat, CHOWN, AT(0, 1)),
	CALL(utime, UTIME, PATH(0)),
	CALL(utimes, UTIME, PATH(0)),
	CALL(utimensat, UTIME, AT(0, 1)),
	CALL(stat, STAT, PATH(0)),
	CALL(lstat, STAT, PATH(0)),
	CALL(newfstatat, STAT, AT(0, 1), WHEN(3, AT_EMPTY_PATH, 0)),
	CALL(newfstatat, FSTAT, FD(0), WHEN(3, AT_EMPTY_PATH, AT_EMPTY_PATH)), /* fstat() of glibc */
	CALL(statx, STAT, AT(0, 1), WHEN(2, AT_EMPTY_PATH, 0)),
	CALL(statx, FSTAT, FD(0), WHEN(2, AT_EMPTY_PATH, AT_EMPTY_PATH)),
	CALL(fstat, FSTAT, FD(0)),
	CALL(access, ACCESS, PATH(0)),
	CALL(faccessat, ACCESS, AT(0, 1)),
	CALL(faccessat2, ACCESS, AT(0, 1)),
	CALL(inotify_add_watch, INOTIFY, PATH(1)),

	CALL(flock, FLOCK, FD(0)),
	CALL(fcntl, FCNTL_LOCK, FD(0), WHEN(1, UINT32_MAX, F_SETLK)),
	CALL(fcntl, FCNTL_LOCK, FD(0), WHEN(1, UINT32_MAX, F_SETLKW)),
	CALL(fcntl, FCNTL_LOCK, FD(0), WHEN(1, UINT32_MAX, F_OFD_SETLK)),
	CALL(fcntl, FCNTL_LOCK, FD(0), WHEN(1, UINT32_MAX, F_OFD_SETLKW)),

	CALL(socket, SOCKET, NONE),
	CALL(bind, BIND, FD(0)),
	CALL(listen, LISTEN, FD(0)),
	CALL(accept, ACCEPT, FD(0)),
	CALL(accept4, ACCEPT, FD(0)),
	CALL(connect, CONNECT, FD(0)),
	CALL(recvfrom, RECV, COUNTED(0, 2), WHEN(4, UINT64_MAX, 0)),
	CALL(recvfrom, RECVFROM, COUNTED(0, 2)),
	CALL(recvmsg, RECVMSG, FD(0)),
	CALL(recvmmsg, RECVMSG, FD(0)),
	CALL(sendto, SEND, COUNTED(0, 2), WHEN(4, UINT64_MAX, 0)),
	CALL(sendto, SENDTO, COUNTED(0, 2)),
	CALL(sendmsg, SENDMSG, FD(0)),
	CALL(sendmmsg, SENDMSG, FD(0)),
	CALL(shutdown, SHUTDOWN, FD(0)),
	CALL(poll, POLL, NONE),
	CALL(ppoll, POLL, NONE),
	CALL(select, SELECT, NONE),
	CALL(pselect6, SELECT, NONE),
	CALL(epoll_wait, EPOLL_WAIT, NONE),
	CALL(epoll_pwait, EPOLL_WAIT, NONE),
	CALL(epoll_pwait2, EPOLL_WAIT, NONE),

	CALL(fork, FORK, NONE),
	CALL(clone, FORK, NONE, WHEN(0, CLONE_VM, 0)),
	CALL(execve, EXECVE, PATH(0)),
	CALL(execveat, EXECVE, AT(0, 1)),
	CALL(wait4, WAIT, NONE),
	CALL(waitid, WAIT, NONE),
	CALL(kill, KILL, NONE),
};
/* clang-format on */

#define ROWS (sizeof(rows) / sizeof(rows[0]))

bool board_syscall_at(const char *point, bool counted)
{
	int at = board_point_find(point);

	for (size_t i = 0; at >= 0 && i < ROWS; i++)
		if (rows[i].point == at && (!counted || rows[i].count >= 0))
			return true;
	return false;
}

const struct board_syscall *board_syscall_next(
	const struct board_syscall *last, uint64_t number, const uint64_t args[6])
{
	for (const struct board_syscall *row = last ? last + 1 : rows; row < rows + ROWS; row++)
		if (row->number == number && (args[row->when] & row->mask) == row->want)
			return row;
	return NULL;
}
