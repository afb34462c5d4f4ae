#include "vm/qga.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define SENTINEL   '\xff' /* never part of UTF-8: both sides drop what they had collected so far */
#define READ_CHUNK 4096

struct qga {
	int fd;
	pthread_mutex_t lock; /* one request at a time */
	bool in_step;	      /* the next line of the agent answers our next request */
	int64_t last_id;
	struct buf in;
};

struct qga *qga_new(int fd)
{
	struct qga *qga = mem_zero(1, sizeof(*qga));

	qga->fd = fd;
	io_prepare(fd);
	pthread_mutex_init(&qga->lock, NULL);
	return qga;
}

void qga_free(struct qga *qga)
{
	if (!qga)
		return;
	close(qga->fd);
	buf_free(&qga->in);
	pthread_mutex_destroy(&qga->lock);
	free(qga);
}

static int read_more(struct qga *qga, int64_t deadline_ns)
{
	ssize_t n;

	if (qga->in.len > QGA_REPLY_MAX)
		return -EPROTO;
	n = io_read(qga->fd, buf_reserve(&qga->in, READ_CHUNK), READ_CHUNK, deadline_ns);
	if (n <= 0)
		return n ? (int)n : -EPIPE;
	qga->in.len += (size_t)n;
	qga->in.data[qga->in.len] = '\0';
	return 0;
}

/* The agent's next line as an object in `*ret`, NULL if it is none. A sentinel voids what is before it. */
static int read_line(struct qga *qga, int64_t deadline_ns, json_t **ret)
{
	char *start, *end;
	int rc;

	while (!(end = qga->in.len ? memchr(qga->in.data, '\n', qga->in.len) : NULL)) {
		rc = read_more(qga, deadline_ns);
		if (rc)
			return rc;
	}
	start = memrchr(qga->in.data, SENTINEL, (size_t)(end - qga->in.data));
	start = start ? start + 1 : qga->in.data;
	*ret = json_loadb(start, (size_t)(end - start), 0, NULL);
	buf_consume(&qga->in, (size_t)(end - qga->in.data) + 1);
	return 0;
}

static int skip_to_sentinel(struct qga *qga, int64_t deadline_ns)
{
	char *at;
	int rc;

	while (!(at = qga->in.len ? memchr(qga->in.data, SENTINEL, qga->in.len) : NULL)) {
		buf_reset(&qga->in);
		rc = read_more(qga, deadline_ns);
		if (rc)
			return rc;
	}
	buf_consume(&qga->in, (size_t)(at - qga->in.data) + 1);
	return 0;
}

static int send_json(struct qga *qga, bool sentinel, const json_t *message, int64_t deadline_ns)
{
	auto_free char *text = json_dumps(message, JSON_COMPACT);
	auto_buf struct buf line = {0};

	assert(text);
	if (sentinel)
		buf_addc(&line, SENTINEL);
	buf_add_str(&line, text);
	buf_addc(&line, '\n');
	return io_write_all(qga->fd, line.data, line.len, deadline_ns, NULL);
}

/* Answers to requests we gave up on may still be on their way: skip to the answer of this very one. */
static int synchronise(struct qga *qga, int64_t deadline_ns)
{
	json_int_t id = ++qga->last_id;
	auto_json json_t *message = json_pack(
		"{s:s, s:{s:I}}", "execute", "guest-sync-delimited", "arguments", "id", id);
	int rc = send_json(qga, true, message, deadline_ns);

	while (!rc) {
		auto_json json_t *reply = NULL;

		rc = skip_to_sentinel(qga, deadline_ns);
		if (!rc)
			rc = read_line(qga, deadline_ns, &reply);
		if (!rc && json_get_int(reply, "return", 0) == id) {
			qga->in_step = true;
			return 0;
		}
	}
	return rc;
}

static int take_reply(const json_t *reply, const char *command, json_t **ret, struct err *err)
{
	json_t *result = json_object_get(reply, "return");
	auto_buf struct buf said = {0};
	const char *desc;

	if (result) {
		if (ret)
			*ret = json_incref(result);
		return 0;
	}
	desc = json_get_text(json_object_get(reply, "error"), "desc", "an error without words");
	buf_add_escaped(&said, desc, strlen(desc));
	return err_set(
		err, -EREMOTEIO, "the guest agent refused '%s': %s", command, buf_text(&said));
}

static int exchange(struct qga *qga, const json_t *message, int64_t deadline_ns, json_t **ret_reply)
{
	int rc = qga->in_step ? 0 : synchronise(qga, deadline_ns);

	qga->in_step = false;
	if (!rc)
		rc = send_json(qga, false, message, deadline_ns);
	if (!rc)
		rc = read_line(qga, deadline_ns, ret_reply);
	if (rc)
		return rc;
	if (!json_object_get(*ret_reply, "return") && !json_object_get(*ret_reply, "error"))
		return -EPROTO;
	qga->in_step = true;
	return 0;
}

static int say_failed(int rc, const char *command, struct err *err)
{
	switch (rc) {
	case -ETIMEDOUT:
		return err_set(err, rc, "the guest agent did not answer '%s' in time", command);
	case -EPROTO:
		return err_set(err, rc, "the guest agent answered '%s' with garbage", command);
	case -EPIPE:
	case -ECONNRESET:
		return err_set(err, -EPIPE, "the guest agent's port is closed, '%s'", command);
	default:
		return err_sys(err, rc, "cannot ask the guest agent for '%s'", command);
	}
}

int qga_execute(struct qga *qga, const char *command, json_t *arguments, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	auto_json json_t *message =
		json_pack("{s:s, s:o*}", "execute", command, "arguments", arguments);
	auto_json json_t *reply = NULL;
	int rc;

	assert(message);
	pthread_mutex_lock(&qga->lock);
	rc = exchange(qga, message, deadline_ns, &reply);
	pthread_mutex_unlock(&qga->lock);
	return rc ? say_failed(rc, command, err) : take_reply(reply, command, ret, err);
}

int qga_ping(struct qga *qga, int64_t deadline_ns, struct err *err)
{
	return qga_execute(qga, "guest-ping", NULL, deadline_ns, NULL, err);
}

/* A command whose answer is a count of file systems. */
static int execute_count(struct qga *qga, const char *command, json_t *arguments,
	int64_t deadline_ns, unsigned int *ret_count, struct err *err)
{
	auto_json json_t *ret = NULL;
	int rc = qga_execute(qga, command, arguments, deadline_ns, &ret, err);
	json_int_t count;

	if (rc)
		return rc;
	count = json_is_integer(ret) ? json_integer_value(ret) : -1;
	if (count < 0 || count > INT32_MAX)
		return say_failed(-EPROTO, command, err);
	if (ret_count)
		*ret_count = (unsigned int)count;
	return 0;
}

int qga_freeze(struct qga *qga, const char *const *mounts, int64_t deadline_ns,
	unsigned int *ret_count, struct err *err)
{
	json_t *list;

	if (!mounts)
		return execute_count(
			qga, "guest-fsfreeze-freeze", NULL, deadline_ns, ret_count, err);
	list = json_array();
	for (; *mounts; mounts++)
		json_array_append_new(list, json_string(*mounts));
	return execute_count(qga, "guest-fsfreeze-freeze-list",
		json_pack("{s:o}", "mountpoints", list), deadline_ns, ret_count, err);
}

int qga_thaw(struct qga *qga, int64_t deadline_ns, unsigned int *ret_count, struct err *err)
{
	return execute_count(qga, "guest-fsfreeze-thaw", NULL, deadline_ns, ret_count, err);
}

int qga_frozen(struct qga *qga, int64_t deadline_ns, bool *ret_frozen, struct err *err)
{
	auto_json json_t *ret = NULL;
	int rc = qga_execute(qga, "guest-fsfreeze-status", NULL, deadline_ns, &ret, err);
	const char *status = json_string_value(ret);

	if (rc)
		return rc;
	if (!status || (strcmp(status, "frozen") != 0 && strcmp(status, "thawed") != 0))
		return say_failed(-EPROTO, "guest-fsfreeze-status", err);
	*ret_frozen = !strcmp(status, "frozen");
	return 0;
}
