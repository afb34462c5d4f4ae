#include "vm/witness.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "vm/witness_frame.h"
#include "vm/witness_wire.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <poll.h>

#define READ_SIZE (64u << 10)
#define OUT_MAX	  (4u << 20) /* bytes of requests that the port has not taken yet */

/* One call that waits; on its caller's stack. */
struct waiter {
	int64_t id;
	json_t *answer;
	struct waiter *next;
};

struct witness {
	int fd, wake_fd; /* wake_fd: there is something to send, or `closing` */
	pthread_t thread;
	witness_event_fn fn;
	void *arg;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	bool closing;
	bool begun; /* hello was answered */
	struct buf
		out; /* whole frames; the thread sends them, so that no caller waits for the port */
	struct waiter *waiters;
	int64_t next_id;
	int64_t seq;	     /* of the last event; -1: none yet */
	uint64_t lost;	     /* events */
	unsigned int hellos; /* hello events so far */
	int broken;	     /* 0, or why calls fail */
	struct err why;
};

/* ---- the link's thread ---- */

/* The reference goes to whoever waits: two threads that let go of one object would need an order. */
static void take_answer(struct witness *w, json_t *json)
{
	int64_t id = json_get_int(json, "id", -1);

	pthread_mutex_lock(&w->lock);
	for (struct waiter *at = w->waiters; at && json; at = at->next)
		if (at->id == id && !at->answer) {
			at->answer = json;
			json = NULL;
			w->begun = true;
		}
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	json_decref(json);
}

static void count_event(struct witness *w, const json_t *json, const char *name)
{
	int64_t seq = json_get_int(json, "seq", -1);

	pthread_mutex_lock(&w->lock);
	if (!strcmp(name, "hello")) {
		w->hellos++;
		w->seq = -1; /* a witness that begins anew begins to count anew */
		pthread_cond_broadcast(&w->changed);
	}
	if (w->seq >= 0 && seq > w->seq + 1)
		w->lost += (uint64_t)(seq - w->seq - 1);
	if (seq > w->seq)
		w->seq = seq;
	pthread_mutex_unlock(&w->lock);
}

static void break_off(struct witness *w, int code, const char *why)
{
	pthread_mutex_lock(&w->lock);
	if (!w->broken)
		w->broken = err_set(&w->why, code, "%s", why);
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

/* Before the answer to hello it may be about the connection before this one. */
static void take_complaint(struct witness *w)
{
	bool begun;

	pthread_mutex_lock(&w->lock);
	begun = w->begun;
	pthread_mutex_unlock(&w->lock);
	if (begun)
		break_off(w, -EPROTO, "the witness could not read what the rig sent");
}

static void take_event(struct witness *w, const char *name, const json_t *json)
{
	count_event(w, json, name);
	if (!strcmp(name, "broken"))
		take_complaint(w);
	else if (w->fn)
		w->fn(w->arg, name, json, clock_mono_ns());
}

static void take_frame(void *arg, json_t *json)
{
	const char *name = json_get_text(json, "event", NULL);

	if (!name) {
		take_answer(arg, json);
		return;
	}
	take_event(arg, name, json);
	json_decref(json);
}

static void tell_gone(struct witness *w, const char *why)
{
	auto_json json_t *json = json_object();

	log_line("witness: %s", why);
	if (!w->fn)
		return;
	json_object_set_new(json, "error", json_text(why));
	w->fn(w->arg, "gone", json, clock_mono_ns());
}

static void wake(struct witness *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->wake_fd, &one, sizeof(one));

	assert(n == sizeof(one));
}

static int read_some(struct witness *w, struct witness_frames *frames, char *bytes, struct err *err)
{
	ssize_t n = io_read(w->fd, bytes, READ_SIZE, deadline_in_ms(0));

	if (n == 0)
		return err_set(err, -EPIPE, "the witness's port was closed by QEMU");
	if (n == -ETIMEDOUT)
		return 0;
	if (n < 0)
		return err_sys(err, (int)n, "cannot read from the witness's port");
	return witness_frames_feed(frames, bytes, (size_t)n, take_frame, w, err);
}

static int write_some(struct witness *w, struct err *err)
{
	size_t done = 0;
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	if (w->out.len)
		rc = io_write_all(w->fd, w->out.data, w->out.len, deadline_in_ms(0), &done);
	buf_consume(&w->out, done);
	pthread_mutex_unlock(&w->lock);
	if (rc && rc != -ETIMEDOUT)
		return err_sys(err, rc, "cannot write to the witness's port");
	return 0;
}

/* What to wait for at the port; 0: the link is being closed. */
static short wanted(struct witness *w)
{
	short events;

	pthread_mutex_lock(&w->lock);
	events = w->closing ? 0 : w->out.len ? POLLIN | POLLOUT : POLLIN;
	pthread_mutex_unlock(&w->lock);
	return events;
}

static int serve(struct witness *w, struct witness_frames *frames, char *bytes, struct err *err)
{
	struct pollfd p[2] = {{.fd = w->fd}, {.fd = w->wake_fd, .events = POLLIN}};
	uint64_t count;
	int rc = 0;

	while (!rc && (p[0].events = wanted(w))) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents && read(w->wake_fd, &count, sizeof(count)) < 0)
			continue;
		rc = write_some(w, err);
		if (!rc && p[0].revents & ~POLLOUT)
			rc = read_some(w, frames, bytes, err);
	}
	return rc;
}

static void *link_thread(void *arg)
{
	struct witness_frames frames = {0};
	auto_free char *bytes = mem_zero(READ_SIZE, 1);
	struct witness *w = arg;
	struct err err = {0};
	int rc = serve(w, &frames, bytes, &err);

	witness_frames_free(&frames);
	if (rc) {
		break_off(w, rc, err.text);
		tell_gone(w, err.text);
	}
	return NULL;
}

/* ---- calls ---- */

static int send_bytes(struct witness *w, const struct buf *frame, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	if (w->broken)
		rc = err_set(err, w->broken, "%s", w->why.text);
	else if (w->out.len + frame->len > OUT_MAX)
		rc = err_set(err, -ETIMEDOUT, "the witness's port takes no more bytes");
	else
		buf_add(&w->out, frame->data, frame->len);
	pthread_mutex_unlock(&w->lock);
	if (!rc)
		wake(w);
	return rc;
}

static void enter(struct witness *w, struct waiter *waiter)
{
	pthread_mutex_lock(&w->lock);
	waiter->id = w->next_id++;
	waiter->next = w->waiters;
	w->waiters = waiter;
	pthread_mutex_unlock(&w->lock);
}

static void leave(struct witness *w, struct waiter *waiter)
{
	struct waiter **at = &w->waiters;

	pthread_mutex_lock(&w->lock);
	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	pthread_mutex_unlock(&w->lock);
}

/* Until the answer is there, or the connection broke, or `hellos` hello events have come. */
static int wait_answer(struct witness *w, struct waiter *waiter, unsigned int hellos,
	int64_t deadline_ns, const char *verb, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!waiter->answer && !w->broken && w->hellos < hellos && rc != -ETIMEDOUT)
		rc = cond_wait(&w->changed, &w->lock, deadline_ns);
	if (waiter->answer)
		rc = 0;
	else if (w->broken)
		rc = err_set(err, w->broken, "%s", w->why.text);
	else if (rc == -ETIMEDOUT)
		err_set(err, rc, "the witness did not answer '%s' in time", verb);
	else
		rc = -EAGAIN;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static int request_frame(
	struct buf *out, const char *verb, json_t *args, int64_t id, struct err *err)
{
	auto_json json_t *request = args ? args : json_object();

	json_object_set_new(request, "id", json_integer(id));
	json_object_set_new(request, "verb", json_string(verb));
	return witness_frame_add(out, request, WITNESS_REQUEST_MAX, err);
}

static int judge_answer(json_t *answer, json_t **ret, struct err *err)
{
	int rc = 0;

	if (!json_get_bool(answer, "ok", false))
		rc = err_set(err, -EREMOTEIO, "%s",
			json_get_text(answer, "error", "the witness refused without a reason"));
	if (!rc && ret)
		*ret = answer;
	else
		json_decref(answer);
	return rc;
}

int witness_call(struct witness *w, const char *verb, json_t *args, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	auto_buf struct buf frame = {0};
	struct waiter waiter = {0};
	int rc;

	assert(!pthread_equal(pthread_self(), w->thread));
	enter(w, &waiter);
	rc = request_frame(&frame, verb, args, waiter.id, err);
	if (!rc)
		rc = send_bytes(w, &frame, err);
	if (!rc)
		rc = wait_answer(w, &waiter, UINT32_MAX, deadline_ns, verb, err);
	leave(w, &waiter);
	if (rc) {
		json_decref(waiter.answer);
		return rc;
	}
	return judge_answer(waiter.answer, ret, err);
}

int witness_state(struct witness *w, struct err *err)
{
	int rc;

	pthread_mutex_lock(&w->lock);
	rc = w->broken;
	if (rc)
		err_set(err, rc, "%s", w->why.text);
	pthread_mutex_unlock(&w->lock);
	return rc;
}

uint64_t witness_events_lost(struct witness *w)
{
	uint64_t lost;

	pthread_mutex_lock(&w->lock);
	lost = w->lost;
	pthread_mutex_unlock(&w->lock);
	return lost;
}

/* ---- open and close ---- */

static int send_hello(struct witness *w, struct waiter *waiter, struct err *err)
{
	auto_buf struct buf bytes = {0};
	int rc;

	for (unsigned int i = 0; i < WITNESS_RESET_BYTES; i++)
		buf_addc(&bytes, (char)WITNESS_RESET_BYTE);
	rc = request_frame(&bytes, "hello", NULL, waiter->id, err);
	return rc ? rc : send_bytes(w, &bytes, err);
}

/* What is sent before the guest has opened its port is lost, so every hello event of the witness
 * begins the handshake again. */
static int shake_hands(struct witness *w, int64_t deadline_ns, struct err *err)
{
	struct waiter waiter = {0};
	unsigned int hellos = 0;
	int64_t version;
	int rc = -EAGAIN;

	enter(w, &waiter);
	while (rc == -EAGAIN) {
		rc = send_hello(w, &waiter, err);
		if (!rc)
			rc = wait_answer(w, &waiter, ++hellos, deadline_ns, "hello", err);
		if (rc == -EAGAIN && !deadline_left_ms(deadline_ns))
			rc = err_set(err, -ETIMEDOUT, "the witness says nothing but hello");
	}
	leave(w, &waiter);
	version = json_get_int(waiter.answer, "version", -1);
	json_decref(waiter.answer);
	if (!rc && version != WITNESS_VERSION)
		rc = err_set(err, -EPROTO, "the guest's witness has version %lld, not %d",
			(long long)version, WITNESS_VERSION);
	return rc;
}

static struct witness *witness_new(int fd, witness_event_fn fn, void *arg)
{
	struct witness *w = mem_zero(1, sizeof(*w));

	w->fd = fd;
	w->wake_fd = eventfd(0, EFD_CLOEXEC);
	w->fn = fn;
	w->arg = arg;
	w->seq = -1;
	/* An answer to a connection before this one must not fit a call of this one. */
	w->next_id = clock_real_ns() & INT64_C(0x1fffffffffffff);
	pthread_mutex_init(&w->lock, NULL);
	cond_init(&w->changed);
	return w;
}

static void witness_free(struct witness *w)
{
	cleanup_fd(&w->fd);
	cleanup_fd(&w->wake_fd);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	buf_free(&w->out);
	free(w);
}

int witness_attach(int fd, witness_event_fn fn, void *arg, int64_t deadline_ns,
	struct witness **ret, struct err *err)
{
	struct witness *w = witness_new(fd, fn, arg);
	int rc = w->wake_fd < 0 ? -errno : io_prepare(fd);

	if (!rc)
		rc = -pthread_create(&w->thread, NULL, link_thread, w);
	if (rc) {
		witness_free(w);
		return err_sys(err, rc, "cannot start the witness's thread");
	}
	rc = shake_hands(w, deadline_ns, err);
	if (rc) {
		witness_close(w);
		return rc;
	}
	*ret = w;
	return 0;
}

int witness_open(const char *path, witness_event_fn fn, void *arg, int64_t deadline_ns,
	struct witness **ret, struct err *err)
{
	int fd = io_connect_unix(path, deadline_ns, err), rc;

	if (fd < 0)
		return fd;
	rc = witness_attach(fd, fn, arg, deadline_ns, ret, err);
	return rc ? err_wrap(err, rc, "'%s'", path) : 0;
}

void witness_close(struct witness *w)
{
	if (!w)
		return;
	break_off(w, -EPIPE, "the witness was closed");
	pthread_mutex_lock(&w->lock);
	w->closing = true;
	pthread_mutex_unlock(&w->lock);
	wake(w);
	pthread_join(w->thread, NULL);
	witness_free(w);
}
