/*
 * QMP, the QEMU Machine Protocol (docs/interop/qmp-spec.txt, QEMU 7.2): the protocol only, over a
 * connected stream socket. A thread of its own reads all the time: no event is ever lost, replies
 * find their request by id, whatever the order.
 *
 * The peer is trusted with nothing: frames are bounded by QMP_FRAME_MAX, kept events by
 * QMP_EVENTS_MAX. What cannot be parsed, is out of bounds or has no known id breaks the connection:
 * the call in progress and all later ones return -EPROTO with the reason. End of stream is -EPIPE
 * likewise. A request that timed out stays known, so that its late reply is dropped in silence.
 * $MAILRIG_QMP_TRACE=FILE (or 2 for standard error) mirrors every byte, with direction.
 *
 * Any number of threads may execute and wait at once.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define QMP_FRAME_MAX	(4u << 20)
#define QMP_EVENTS_MAX	65536u
#define QMP_PENDING_MAX 64u

struct qmp;

/* Called by the reader thread for each event, in order, and once with `event` NULL when the
 * connection has ended or broken. Must not call qmp_execute(), qmp_wait_event() or qmp_close(). */
typedef void (*qmp_event_fn)(void *arg, const char *event, const json_t *data, int64_t mono_ns);

/* Takes over `fd` (also on failure), waits for the greeting, negotiates capabilities. */
int qmp_open(int fd, qmp_event_fn on_event, void *arg, int64_t deadline_ns, struct qmp **ret,
	struct err *err);
void qmp_close(struct qmp *qmp);

/*
 * Send a command and wait for its reply. `arguments` may be NULL and is stolen in any case. `*ret`
 * (may be NULL) gets a new reference to the return value. -EREMOTEIO: QEMU answered with an error,
 * which is the sentence; -ETIMEDOUT; -EPIPE, -EPROTO: the connection is no more.
 */
int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int64_t deadline_ns,
	json_t **ret, struct err *err);

/* As above, and hand over a copy of `fd` with it (SCM_RIGHTS; for getfd). */
int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
	int64_t deadline_ns, json_t **ret, struct err *err);

/* A human monitor command; its text in `*ret_text`, caller frees. */
int qmp_human(
	struct qmp *qmp, const char *line, int64_t deadline_ns, char **ret_text, struct err *err);

/* How many events have come so far: a mark to wait from. */
uint64_t qmp_mark(struct qmp *qmp);

/*
 * The first event of that name at or after `*mark` (NULL: since the beginning), come or still to
 * come;
 * `*mark` then stands behind it. `*ret` (may be NULL): new reference to
 * {"event","data","timestamp"}.
 */
int qmp_wait_event(struct qmp *qmp, const char *event, uint64_t *mark, int64_t deadline_ns,
	json_t **ret, struct err *err);

bool qmp_alive(struct qmp *qmp);
