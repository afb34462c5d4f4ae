/*
 * Scope-bound release: a local that owns something says so in its declaration.
 *
 *	auto_free char *name = NULL;
 *	auto_close int fd = -1;
 *
 * Every helper takes the address of the local, accepts the empty value (NULL, -1), and keeps errno.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free(void *slot)
{
	int keep = errno;

	free(*(void **)slot);
	errno = keep;
}

static inline void cleanup_fd(int *fd)
{
	int keep = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = keep;
}

static inline void cleanup_file(FILE **file)
{
	int keep = errno;

	if (*file)
		fclose(*file);
	*file = NULL;
	errno = keep;
}

#define auto_free  cleanup(cleanup_free)
#define auto_close cleanup(cleanup_fd)
#define auto_file  cleanup(cleanup_file)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
