/*
 * Bytes and one descriptor over a unix socket (SCM_RIGHTS, unix(7)). Async-signal-safe: allocates nothing.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Send all of a short message, with a copy of `fd` unless that is negative. 0 or a negative errno. */
int fd_send(int sock, const void *bytes, size_t len, int fd);

/* As read(2), in one message; `*ret_fd` is what came with it (O_CLOEXEC), or -1. */
ssize_t fd_receive(int sock, void *bytes, size_t size, int *ret_fd);
