#include "vm/qmp.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "vm/fd_pass.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define READ_CHUNK 65536
#define WHY_MAX	   200
#define TRACE_MS   1000

struct request {
	uint64_t id;	/* 0: the slot is free */
	bool abandoned; /* its caller gave up; the reply only frees the slot */
	json_t *reply;
};

struct qmp {
	int fd;
	int trace_fd;
	qmp_event_fn on_event;
	void *arg;
	pthread_t reader;
	bool reading; /* the reader thread exists */

	pthread_mutex_t send_lock; /* taken before `lock`, held while bytes go out */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int broken; /* 0 while usable, else what later calls return */
	char why[WHY_MAX];
	json_t *greeting;
	uint64_t last_id;
	struct request requests[QMP_PENDING_MAX];
	json_t **events;
	size_t event_count, event_size;
};

/* ---- the reader -------------------------------------------------------------------------------
 */

static void trace(struct qmp *qmp, char direction, const char *bytes, size_t len)
{
	auto_buf struct buf line = {0};

	if (qmp->trace_fd < 0 || !len)
		return;
	buf_addf(&line, "%d %c ", qmp->fd, direction);
	buf_add(&line, bytes, len);
	buf_add(&line, "\n", bytes[len - 1] != '\n');
	/* A mirror that fails must not change what it shows. */
	io_write_all(qmp->trace_fd, line.data, line.len, deadline_in_ms(TRACE_MS), NULL);
}

static void break_connection(struct qmp *qmp, int code, const char *why)
{
	pthread_mutex_lock(&qmp->lock);
	if (!qmp->broken) {
		qmp->broken = code;
		snprintf(qmp->why, sizeof(qmp->why), "%s", why);
	}
	pthread_cond_broadcast(&qmp->changed);
	pthread_mutex_unlock(&qmp->lock);
}

/* The take_*() functions hand `*message` over, the reader keeps no reference to what others can
 * see. */
static json_t *steal(json_t **message)
{
	json_t *taken = *message;

	*message = NULL;
	return taken;
}

static const char *take_greeting(struct qmp *qmp, json_t **message)
{
	if (!json_is_object(json_object_get(*message, "QMP")))
		return "what came is no greeting";
	pthread_mutex_lock(&qmp->lock);
	qmp->greeting = steal(message);
	pthread_cond_broadcast(&qmp->changed);
	pthread_mutex_unlock(&qmp->lock);
	return NULL;
}

static const char *take_event(struct qmp *qmp, json_t **message, const char *name)
{
	int64_t now = clock_mono_ns();

	if (qmp->event_count == QMP_EVENTS_MAX)
		return "more events came than are kept";
	if (qmp->on_event)
		qmp->on_event(qmp->arg, name, json_object_get(*message, "data"), now);
	pthread_mutex_lock(&qmp->lock);
	if (qmp->event_count == qmp->event_size) {
		qmp->event_size = qmp->event_size ? 2 * qmp->event_size : 32;
		qmp->events = mem_grow(qmp->events, qmp->event_size, sizeof(*qmp->events));
	}
	qmp->events[qmp->event_count++] = steal(message);
	pthread_cond_broadcast(&qmp->changed);
	pthread_mutex_unlock(&qmp->lock);
	return NULL;
}

static struct request *find_request(struct qmp *qmp, const json_t *id)
{
	json_int_t want = json_integer_value(id); /* 0 for what is no integer */

	for (size_t i = 0; want > 0 && i < QMP_PENDING_MAX; i++)
		if (qmp->requests[i].id == (uint64_t)want && !qmp->requests[i].reply)
			return &qmp->requests[i];
	return NULL;
}

static const char *take_reply(struct qmp *qmp, json_t **message)
{
	struct request *request;

	pthread_mutex_lock(&qmp->lock);
	request = find_request(qmp, json_object_get(*message, "id"));
	if (request && request->abandoned)
		*request = (struct request){0};
	else if (request)
		request->reply = steal(message);
	pthread_cond_broadcast(&qmp->changed);
	pthread_mutex_unlock(&qmp->lock);
	return request ? NULL : "a reply came with an unknown id";
}

/* One line of the peer. NULL, or what is wrong with it. */
static const char *take_line(struct qmp *qmp, const char *line, size_t len)
{
	auto_json json_t *message = NULL;
	const char *event;

	while (len && strchr("\r \t", line[len - 1]))
		len--;
	if (!len)
		return NULL;
	message = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
	if (!json_is_object(message))
		return message ? "a line is no JSON object" : "a line is not JSON";
	event = json_string_value(json_object_get(message, "event"));
	if (!event && !json_object_get(message, "QMP") && !json_object_get(message, "return") &&
		!json_object_get(message, "error"))
		return "a message is neither reply nor event";
	if (!qmp->greeting)
		return take_greeting(qmp, &message);
	return event ? take_event(qmp, &message, event) : take_reply(qmp, &message);
}

/* All whole lines of `in`; what is behind the last newline stays. */
static const char *take_lines(struct qmp *qmp, struct buf *in, size_t searched)
{
	size_t start = 0;
	const char *wrong = NULL;
	char *end;

	while (!wrong && searched < in->len &&
		(end = memchr(in->data + searched, '\n', in->len - searched))) {
		size_t stop = (size_t)(end - in->data);

		wrong = take_line(qmp, in->data + start, stop - start);
		start = searched = stop + 1;
	}
	buf_consume(in, start);
	return wrong ? wrong : in->len > QMP_FRAME_MAX ? "a line is longer than allowed" : NULL;
}

static void *reader_main(void *arg)
{
	struct qmp *qmp = arg;
	auto_buf struct buf in = {0};
	const char *wrong = NULL;
	ssize_t n = 0;

	while (!wrong) {
		size_t searched = in.len;

		n = io_read(qmp->fd, buf_reserve(&in, READ_CHUNK), READ_CHUNK, CLOCK_NEVER);
		if (n <= 0)
			break;
		trace(qmp, '<', in.data + in.len, (size_t)n);
		in.len += (size_t)n;
		in.data[in.len] = '\0';
		wrong = take_lines(qmp, &in, searched);
	}
	if (wrong)
		break_connection(qmp, -EPROTO, wrong);
	else
		break_connection(qmp, -EPIPE, n ? strerror((int)-n) : "the connection has ended");
	if (qmp->on_event)
		qmp->on_event(qmp->arg, NULL, NULL, clock_mono_ns());
	return NULL;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static int say_broken(struct qmp *qmp, const char *subject, struct err *err)
{
	return err_set(err, qmp->broken, "cannot do '%s': QMP: %s", subject, qmp->why);
}

/* A slot and an id, or NULL with the reason in `*ret_code`. */
static struct request *begin_request(
	struct qmp *qmp, const char *command, int *ret_code, struct err *err)
{
	struct request *free_slot = NULL;

	pthread_mutex_lock(&qmp->lock);
	for (size_t i = 0; i < QMP_PENDING_MAX && !free_slot; i++)
		if (!qmp->requests[i].id)
			free_slot = &qmp->requests[i];
	*ret_code = 0;
	if (qmp->broken) {
		*ret_code = say_broken(qmp, command, err);
		free_slot = NULL;
	} else if (!free_slot) {
		*ret_code = err_set(err, -EBUSY, "cannot do '%s': QMP: %u requests are unanswered",
			command, QMP_PENDING_MAX);
	} else {
		*free_slot = (struct request){.id = ++qmp->last_id};
	}
	pthread_mutex_unlock(&qmp->lock);
	return free_slot;
}

static char *request_text(uint64_t id, const char *command, json_t *arguments, size_t *ret_len)
{
	auto_json json_t *message = json_pack("{s:s, s:I, s:o*}", "execute", command, "id",
		(json_int_t)id, "arguments", arguments);
	auto_free char *text = message ? json_dumps(message, 0) : NULL;
	char *line;

	assert(text); /* our own words */
	line = text_fmt("%s\n", text);
	*ret_len = strlen(line);
	return line;
}

static int send_request(struct qmp *qmp, const char *text, size_t len, int fd, int64_t deadline_ns)
{
	size_t done = 0;
	int rc = 0;

	pthread_mutex_lock(&qmp->send_lock);
	trace(qmp, '>', text, len);
	if (fd >= 0)
		rc = fd_send(qmp->fd, text, 1, fd); /* the first byte carries it */
	if (!rc)
		rc = io_write_all(qmp->fd, text + (fd >= 0), len - (fd >= 0), deadline_ns, &done);
	pthread_mutex_unlock(&qmp->send_lock);
	/* Half a request cannot be taken back. A peer that hung up is told by the reader, who may
	 * still find its last words. */
	if (rc == -ETIMEDOUT && (done || fd >= 0))
		break_connection(qmp, -EPROTO, "a request went out in part");
	return rc == -EPIPE || rc == -ECONNRESET ? 0 : rc;
}

/* Wait for the reply and free the slot. The reply (new reference), or NULL with the reason. */
static json_t *await_reply(struct qmp *qmp, struct request *request, const char *command,
	int64_t deadline_ns, int *ret_code, struct err *err)
{
	json_t *reply;

	*ret_code = 0;
	pthread_mutex_lock(&qmp->lock);
	while (!request->reply && !qmp->broken && *ret_code != -ETIMEDOUT)
		*ret_code = cond_wait(&qmp->changed, &qmp->lock, deadline_ns);
	reply = request->reply;
	if (reply || qmp->broken)
		*request = (struct request){0};
	else
		request->abandoned = true;
	if (reply)
		*ret_code = 0;
	else if (qmp->broken)
		*ret_code = say_broken(qmp, command, err);
	else
		*ret_code = err_set(err, -ETIMEDOUT, "QEMU did not answer '%s' in time", command);
	pthread_mutex_unlock(&qmp->lock);
	return reply;
}

static int read_reply(const json_t *reply, const char *command, json_t **ret, struct err *err)
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
	return err_set(err, -EREMOTEIO, "QEMU refused '%s': %s", command, buf_text(&said));
}

int qmp_execute_fd(struct qmp *qmp, const char *command, json_t *arguments, int fd,
	int64_t deadline_ns, json_t **ret, struct err *err)
{
	auto_json json_t *owned = arguments;
	auto_json json_t *reply = NULL;
	auto_free char *text = NULL;
	struct request *request;
	size_t len;
	int rc;

	request = begin_request(qmp, command, &rc, err);
	if (!request)
		return rc;
	text = request_text(request->id, command, json_incref(owned), &len);
	rc = send_request(qmp, text, len, fd, deadline_ns);
	if (rc) {
		pthread_mutex_lock(&qmp->lock);
		*request = (struct request){0};
		pthread_mutex_unlock(&qmp->lock);
		return err_sys(err, rc, "cannot send '%s' to QEMU", command);
	}
	reply = await_reply(qmp, request, command, deadline_ns, &rc, err);
	return reply ? read_reply(reply, command, ret, err) : rc;
}

int qmp_execute(struct qmp *qmp, const char *command, json_t *arguments, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	return qmp_execute_fd(qmp, command, arguments, -1, deadline_ns, ret, err);
}

int qmp_human(
	struct qmp *qmp, const char *line, int64_t deadline_ns, char **ret_text, struct err *err)
{
	auto_json json_t *ret = NULL;
	int rc = qmp_execute(qmp, "human-monitor-command", json_pack("{s:s}", "command-line", line),
		deadline_ns, &ret, err);

	if (rc)
		return err_wrap(err, rc, "'%s'", line);
	if (!json_is_string(ret))
		return err_set(err, -EPROTO, "QEMU's answer to '%s' is no text", line);
	*ret_text = text_dup(json_string_value(ret));
	return 0;
}

/* ---- events ------------------------------------------------------------------------------------
 */

uint64_t qmp_mark(struct qmp *qmp)
{
	uint64_t mark;

	pthread_mutex_lock(&qmp->lock);
	mark = qmp->event_count;
	pthread_mutex_unlock(&qmp->lock);
	return mark;
}

/* Under the lock. Moves `*at` behind the event, or to the end. */
static json_t *find_event(struct qmp *qmp, const char *name, uint64_t *at)
{
	for (; *at < qmp->event_count; ++*at) {
		json_t *event = qmp->events[*at];

		if (!strcmp(json_get_text(event, "event", ""), name)) {
			++*at;
			return event;
		}
	}
	return NULL;
}

int qmp_wait_event(struct qmp *qmp, const char *event, uint64_t *mark, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	uint64_t at = mark ? *mark : 0;
	json_t *found;
	int rc = 0;

	pthread_mutex_lock(&qmp->lock);
	while (!(found = find_event(qmp, event, &at)) && !qmp->broken && rc != -ETIMEDOUT)
		rc = cond_wait(&qmp->changed, &qmp->lock, deadline_ns);
	if (found)
		rc = 0;
	else if (qmp->broken)
		rc = say_broken(qmp, event, err);
	else
		rc = err_set(err, -ETIMEDOUT, "QEMU did not report '%s' in time", event);
	if (found && mark)
		*mark = at;
	if (found && ret)
		*ret = json_incref(found);
	pthread_mutex_unlock(&qmp->lock);
	return rc;
}

/* ---- life
 * ---------------------------------------------------------------------------------------- */

bool qmp_alive(struct qmp *qmp)
{
	bool alive;

	pthread_mutex_lock(&qmp->lock);
	alive = !qmp->broken;
	pthread_mutex_unlock(&qmp->lock);
	return alive;
}

static int open_trace(void)
{
	const char *where = getenv("MAILRIG_QMP_TRACE");

	if (!where || !*where)
		return -1;
	if (!strcmp(where, "2"))
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	return open(where, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int await_greeting(struct qmp *qmp, int64_t deadline_ns, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&qmp->lock);
	while (!qmp->greeting && !qmp->broken && rc != -ETIMEDOUT)
		rc = cond_wait(&qmp->changed, &qmp->lock, deadline_ns);
	if (qmp->greeting)
		rc = 0;
	else if (qmp->broken)
		rc = say_broken(qmp, "greeting", err);
	else
		rc = err_set(err, -ETIMEDOUT, "QEMU sent no QMP 'greeting' in time");
	pthread_mutex_unlock(&qmp->lock);
	return rc;
}

int qmp_open(int fd, qmp_event_fn on_event, void *arg, int64_t deadline_ns, struct qmp **ret,
	struct err *err)
{
	struct qmp *qmp = mem_zero(1, sizeof(*qmp));
	int rc;

	qmp->fd = fd;
	qmp->on_event = on_event;
	qmp->arg = arg;
	qmp->trace_fd = open_trace();
	pthread_mutex_init(&qmp->send_lock, NULL);
	pthread_mutex_init(&qmp->lock, NULL);
	cond_init(&qmp->changed);
	rc = io_prepare(fd);
	if (!rc)
		rc = -pthread_create(&qmp->reader, NULL, reader_main, qmp);
	if (rc) {
		qmp_close(qmp);
		return err_sys(err, rc, "cannot start reading QMP");
	}
	qmp->reading = true;
	rc = await_greeting(qmp, deadline_ns, err);
	if (!rc)
		rc = qmp_execute(qmp, "qmp_capabilities", NULL, deadline_ns, NULL, err);
	if (rc) {
		qmp_close(qmp);
		return rc;
	}
	*ret = qmp;
	return 0;
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	if (qmp->reading) {
		shutdown(qmp->fd, SHUT_RDWR); /* ends the reader's read() */
		pthread_join(qmp->reader, NULL);
	}
	close(qmp->fd);
	cleanup_fd(&qmp->trace_fd);
	for (size_t i = 0; i < QMP_PENDING_MAX; i++)
		json_decref(qmp->requests[i].reply);
	for (size_t i = 0; i < qmp->event_count; i++)
		json_decref(qmp->events[i]);
	free(qmp->events);
	json_decref(qmp->greeting);
	pthread_cond_destroy(&qmp->changed);
	pthread_mutex_destroy(&qmp->lock);
	pthread_mutex_destroy(&qmp->send_lock);
	free(qmp);
}
