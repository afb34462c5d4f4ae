/*
 * The kernel tells who begins a program and who ends: the process connector (Linux 2.6.15,
 * Documentation/driver-api/connector.rst). Root of the first user namespace alone may listen. libc alone.
 */
#pragma once

#include <linux/cn_proc.h>
#include <stdbool.h>

int board_connector_open(void); /* a descriptor to poll (O_CLOEXEC), or -errno */

/* All that came, one after the other; waits for nothing. `*ret_lost` is set where there was no room for more. */
typedef void board_connector_fn(const struct proc_event *event);
void board_connector_read(int fd, board_connector_fn *fn, bool *ret_lost);
