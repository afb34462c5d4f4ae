/*
 * What the rows of calls.h are written with, and the headers and prototypes they need. Large-file
 * macros must be off: open() and open64() are two functions here.
 */
#pragma once

#ifdef _FILE_OFFSET_BITS
#error "the interposed functions must keep their own names"
#endif

#include "faults/guest/rigfault.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#define NOTHING		  (void)0
#define NO_SUBJECT	  .on.has_fd = false
#define FD(d)		  .on.has_fd = true, .on.fd = (d)
#define PATH(p)		  PATH_AT(AT_FDCWD, p)
#define PATH_AT(d, p)	  .on.dir = {(d)}, .on.path = {(p)}
#define PATHS(d, p, e, q) .on.dir = {(d), (e)}, .on.path = {(p), (q)}
#define COUNT(n)	  .counted = true, .count = (n)
#define RETURNS_ERRNO	  .keeps_errno = true
#define RECEIVES(d, f) \
	FD(d), .waits = WAITS_BY_FD, .dontwait = (f)&MSG_DONTWAIT, .timeout_option = SO_RCVTIMEO
#define SENDS(d, f) \
	FD(d), .waits = WAITS_BY_FD, .dontwait = (f)&MSG_DONTWAIT, .timeout_option = SO_SNDTIMEO
#define LIMITED(has, ns)                                                      \
	.waits = WAITS_EINTR, .limited = (has), .limit_ns = (has) ? (ns) : 0, \
	.dontwait = (has) && (ns) <= 0
#define LIMIT_MS(t) LIMITED((t) >= 0, (t)*INT64_C(1000000))
#define LIMIT_US(t) LIMITED((t) != NULL, (t)->tv_sec * INT64_C(1000000000) + (t)->tv_usec * 1000)
#define LIMIT_NS(t) LIMITED((t) != NULL, (t)->tv_sec * INT64_C(1000000000) + (t)->tv_nsec)

/* Exported by glibc 2.36, declared by no header without _FORTIFY_SOURCE, or by none at all. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
ssize_t __read_chk(int fd, void *to, size_t count, size_t size);
ssize_t __pread_chk(int fd, void *to, size_t count, off_t at, size_t size);
ssize_t __pread64_chk(int fd, void *to, size_t count, off64_t at, size_t size);
ssize_t __readlink_chk(const char *path, char *to, size_t size, size_t room);
ssize_t __readlinkat_chk(int dir, const char *path, char *to, size_t size, size_t room);
ssize_t __recv_chk(int fd, void *to, size_t count, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *to, size_t count, size_t size, int flags, __SOCKADDR_ARG from,
	socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t count, int limit_ms, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *limit,
	const sigset_t *mask, size_t size);
int __xstat(int version, const char *path, struct stat *st);
int __xstat64(int version, const char *path, struct stat64 *st);
int __lxstat(int version, const char *path, struct stat *st);
int __lxstat64(int version, const char *path, struct stat64 *st);
int __fxstat(int version, int fd, struct stat *st);
int __fxstat64(int version, int fd, struct stat64 *st);
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags);
int __fxstatat64(int version, int dir, const char *path, struct stat64 *st, int flags);

/* The descriptor of a stream or directory, -1 for NULL. Functions, since glibc declares those
 * arguments as never NULL and the compiler believes it. */
int rig_stream_fd(FILE *stream);
int rig_dir_fd(DIR *dir);

/* The function behind this library. Which thread finds it first does not matter. Without one (an
 * older libc) the call says so. */
#define NEXT(function) \
	((__typeof__(&function))(intptr_t)rig_next_once(&next_of_##function, #function))

long rig_no_such_call(void);

static inline void *rig_next_once(_Atomic(void *) *slot, const char *name)
{
	void *at = atomic_load_explicit(slot, memory_order_relaxed);

	if (UNLIKELY(!at)) {
		at = rig_next(name);
		if (!at)
			at = (void *)(intptr_t)rig_no_such_call;
		atomic_store_explicit(slot, at, memory_order_relaxed);
	}
	return at;
}
