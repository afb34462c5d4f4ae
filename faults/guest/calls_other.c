/*
 * The interposed functions that are no row of calls.h: open() and its kind and fcntl(), which have
 * variable arguments, and remove(), which is at two points. And what the rows ask.
 */
#include "faults/guest/calls_names.h"

#include <stdarg.h>

int rig_stream_fd(FILE *stream)
{
	return stream ? fileno(stream) : -1;
}

int rig_dir_fd(DIR *dir)
{
	return dir ? dirfd(dir) : -1;
}

static bool takes_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

/* Read without a mode too, as glibc does: its value is not used then. */
#define OPEN(function, params, last, at, ...)                  \
	static _Atomic(void *) next_of_##function;             \
	EXPORT int function params                             \
	{                                                      \
		mode_t mode = 0;                               \
		va_list ap;                                    \
                                                               \
		if (takes_mode(flags)) {                       \
			va_start(ap, last);                    \
			mode = va_arg(ap, mode_t);             \
			va_end(ap);                            \
		}                                              \
		if (rig_is_armed(POINT_OPEN)) {                \
			struct call call = {.name = #function, \
				.point = POINT_OPEN,           \
				.from = FROM,                  \
				PATH_AT(at, path)};            \
                                                               \
			if (rig_meet(&call))                   \
				return -1;                     \
		}                                              \
		return NEXT(function)(__VA_ARGS__, mode);      \
	}

OPEN(open, (const char *path, int flags, ...), flags, AT_FDCWD, path, flags)
OPEN(open64, (const char *path, int flags, ...), flags, AT_FDCWD, path, flags)
OPEN(openat, (int dir, const char *path, int flags, ...), flags, dir, dir, path, flags)
OPEN(openat64, (int dir, const char *path, int flags, ...), flags, dir, dir, path, flags)

/* Of fcntl() only the commands that set locks are a point. */
static bool sets_lock(int command, void *arg, bool *ret_dontwait)
{
	const struct flock *lock = arg;

	if (command != F_SETLK && command != F_SETLKW && command != F_OFD_SETLK &&
		command != F_OFD_SETLKW)
		return false;
	*ret_dontwait =
		command == F_SETLK || command == F_OFD_SETLK || !lock || lock->l_type == F_UNLCK;
	return true;
}

/* Every argument of fcntl() fits a pointer, which is how glibc reads it. */
#define FCNTL(function)                                                                     \
	static _Atomic(void *) next_of_##function;                                          \
	EXPORT int function(int fd, int command, ...)                                       \
	{                                                                                   \
		bool dontwait;                                                              \
		va_list ap;                                                                 \
		void *arg;                                                                  \
                                                                                            \
		va_start(ap, command);                                                      \
		arg = va_arg(ap, void *);                                                   \
		va_end(ap);                                                                 \
		if (rig_is_armed(POINT_FCNTL_LOCK) && sets_lock(command, arg, &dontwait)) { \
			struct call call = {.name = #function,                              \
				.point = POINT_FCNTL_LOCK,                                  \
				.from = FROM,                                               \
				FD(fd),                                                     \
				.waits = WAITS_RESTARTABLE,                                 \
				.dontwait = dontwait};                                      \
                                                                                            \
			if (rig_meet(&call))                                                \
				return -1;                                                  \
		}                                                                           \
		return NEXT(function)(fd, command, arg);                                    \
	}

FCNTL(fcntl)
FCNTL(fcntl64)

static bool removal_fails(uint32_t point, const char *path, const void *from)
{
	struct call call = {.name = "remove", .point = point, .from = from, PATH(path)};

	return rig_is_armed(point) && rig_meet(&call);
}

/* Inside glibc it calls unlink(), which no rule would see. */
static _Atomic(void *) next_of_remove;
EXPORT int remove(const char *path)
{
	const void *from = FROM;

	if (removal_fails(POINT_REMOVE, path, from) || removal_fails(POINT_UNLINK, path, from))
		return -1;
	return NEXT(remove)(path);
}
