/*
 * The QEMU guest agent's protocol (qga/qapi-schema.json, QEMU 7.2) over a connected stream socket.
 * The agent answers one request at a time and has no ids: after a request that got no answer the
 * next call first finds its place again by 0xFF and guest-sync-delimited.
 *
 * The descriptor is held open as long as the machine runs, used or not: an agent whose port is not
 * connected polls ten times a second. Replies are the guest's bytes: bounded by QGA_REPLY_MAX,
 * never trusted. -ETIMEDOUT says that the agent is silent (no agent, a stuck agent, a frozen
 * guest). Calls of several threads follow one another.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define QGA_REPLY_MAX (1u << 20)

struct qga;

struct qga *qga_new(int fd); /* takes over `fd`; says nothing to the agent yet */
void qga_free(struct qga *qga);

int qga_ping(struct qga *qga, int64_t deadline_ns, struct err *err);

/* `arguments` may be NULL and is stolen; -EREMOTEIO: the agent answered with an error. */
int qga_execute(struct qga *qga, const char *command, json_t *arguments, int64_t deadline_ns,
	json_t **ret, struct err *err);

/* Freeze the file systems mounted at `mounts` (NULL-terminated; NULL: all). `*ret_count`: how many
 * were. */
int qga_freeze(struct qga *qga, const char *const *mounts, int64_t deadline_ns,
	unsigned int *ret_count, struct err *err);
int qga_thaw(struct qga *qga, int64_t deadline_ns, unsigned int *ret_count, struct err *err);
int qga_frozen(struct qga *qga, int64_t deadline_ns, bool *ret_frozen, struct err *err);
