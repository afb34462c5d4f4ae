/*
 * Who waits for processes that stand still, from texts of the guest alone: pure, no I/O, allocates nothing. What the
 * guest says is bounded and never trusted: a line that is not understood counts nothing.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define STOPPED_SOCKETS_MAX 4096
#define STOPPED_PIDS_MAX    1024

/*
 * Sockets that keep somebody waiting: bytes unread, connections not accepted, or a reply owed on the wire. `text` has
 * three parts, each after the first begun by a line "==": `ls -l /proc/PID/fd` of the processes; /proc/net/tcp
 * (Documentation/networking/proc_net_tcp.rst: rx_queue is bytes, or the accept queue of a listener); and `ss -xnaH`.
 * `owed`: addresses of clients ("10.0.2.2:1234") to whom a reply is owed.
 */
uint32_t stopped_sockets(const char *text, const char *const *owed, size_t owed_count);

/* Waiters ("->") in /proc/locks behind a lock that one of these processes holds. */
uint32_t stopped_lock_waiters(const char *locks, const int *pids, size_t pid_count);
