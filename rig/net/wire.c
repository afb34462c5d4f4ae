#include "net/wire.h"

#include "base/buf.h"
#include "base/clock.h"
#include "net/capture.h"
#include "net/frame_queue.h"
#include "net/pcapng.h"
#include "net/tls_keys.h"

#include <fcntl.h>
#include <pcap/dlt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define READ_BUFFER (256 << 10)
#define STOP_MAX_MS 2000
#define DRAIN_NICE  -10

struct wire {
	struct wire_config config;
	char *fifo_path;
	int64_t real_offset_ns; /* wall clock less CLOCK_MONOTONIC, at the start */
	struct frame_queue *queue;
	pthread_t drain, reader;

	/* the drain's */
	int fifo_fd, wake_fd;
	bool connected;		     /* a writer has sent something since the FIFO was opened */
	int64_t read_ns;	     /* when the latest bytes arrived */
	atomic_int_fast64_t stop_ns; /* 0, or asked to stop, and by when even if bytes still come */
	atomic_uint flush_wanted;
	unsigned int flush_passed;
	atomic_uint_fast64_t frames;
	atomic_int_fast64_t stall_ns;

	/* the reader's */
	struct pcapng *file;
	struct decoder *decoder;
	pthread_mutex_t lock; /* of what follows */
	struct reassembly *reassembly;
	struct dialogue_set *dialogues;
	struct tls_keys *keys;

	pthread_mutex_t flush_lock;
	pthread_cond_t flushed; /* or a secret was taken */
	unsigned int flush_done;
	uint64_t secrets;
};

/* ---- the drain ---- */

/* Anew before the last one is closed: the next writer may have come already, and must not find nobody (EPIPE). */
static int open_fifo(struct wire *wire)
{
	int last = wire->fifo_fd;

	wire->connected = false;
	wire->fifo_fd = open(wire->fifo_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (wire->fifo_fd >= 0)
		fcntl(wire->fifo_fd, F_SETPIPE_SZ,
			WIRE_PIPE_SIZE); /* best effort: 64 KiB works too */
	if (last >= 0)
		close(last);
	return wire->fifo_fd;
}

/* The pipe is empty, so all that was in it has been queued: let a flush pass behind it. */
static void on_empty(struct wire *wire)
{
	unsigned int wanted = atomic_load(&wire->flush_wanted);

	if (wanted != wire->flush_passed &&
		frame_queue_put(wire->queue, RECORD_FLUSH, 0, NULL, wanted, 0))
		wire->flush_passed = wanted;
}

/* False if a writer came and went without a word: the FIFO must be opened anew, or poll() never waits. */
static bool wait_for_bytes(struct wire *wire)
{
	struct pollfd fds[] = {
		{.fd = wire->fifo_fd, .events = POLLIN},
		{.fd = wire->wake_fd, .events = POLLIN},
	};
	eventfd_t count;
	/* A flush that found the queue full tries again. */
	int timeout_ms = atomic_load(&wire->flush_wanted) == wire->flush_passed ? -1 : 5;

	if (poll(fds, 2, timeout_ms) > 0 && fds[1].revents)
		eventfd_read(wire->wake_fd, &count);
	return (fds[0].revents & (POLLIN | POLLHUP)) != POLLHUP;
}

static bool must_stop(const struct wire *wire, int64_t now_ns)
{
	int64_t deadline_ns = atomic_load(&wire->stop_ns);

	return deadline_ns && now_ns >= deadline_ns;
}

/* libpcap reads the pipe through this, so that a stop or a flush can wake it. */
static ssize_t read_pipe(void *cookie, char *out, size_t size)
{
	struct wire *wire = cookie;
	int64_t now_ns = clock_mono_ns();

	if (wire->connected && now_ns - wire->read_ns > atomic_load(&wire->stall_ns))
		atomic_store(&wire->stall_ns, now_ns - wire->read_ns);
	for (;;) {
		ssize_t n = read(wire->fifo_fd, out, size);

		if (n > 0) {
			wire->connected = true;
			wire->read_ns = clock_mono_ns();
			return must_stop(wire, wire->read_ns) ? 0 : n;
		}
		if (n == 0 && wire->connected)
			return 0; /* the writer is gone */
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -1;
		on_empty(wire);
		if (atomic_load(&wire->stop_ns))
			return 0;
		if (!wait_for_bytes(wire))
			return 0;
	}
}

static void drain_one_writer(struct wire *wire)
{
	cookie_io_functions_t functions = {.read = read_pipe};
	FILE *file = fopencookie(wire, "r", functions);
	struct capture *capture;
	struct frame frame;

	if (!file)
		abort();
	setvbuf(file, NULL, _IOFBF, READ_BUFFER);
	if (capture_open_stream(&capture, file, wire->fifo_path, NULL))
		return;
	if (wire->config.filter)
		capture_filter(capture, wire->config.filter, NULL); /* wire_open() has checked it */
	while (capture_next(capture, &frame, NULL) == 1) {
		atomic_fetch_add(&wire->frames, 1);
		frame_queue_put(wire->queue, RECORD_FRAME, wire->read_ns, frame.data,
			frame.captured, frame.len);
	}
	capture_close(capture);
}

static void *drain_main(void *arg)
{
	struct wire *wire = arg;

	setpriority(PRIO_PROCESS, (id_t)gettid(), DRAIN_NICE); /* a wish: it needs the right */
	while (!atomic_load(&wire->stop_ns)) {
		drain_one_writer(wire);
		if (!atomic_load(&wire->stop_ns) && open_fifo(wire) < 0)
			break;
	}
	on_empty(wire);
	frame_queue_end(wire->queue);
	return NULL;
}

/* ---- the reader ---- */

static int64_t event_ns(const struct wire *wire, int64_t mono_ns)
{
	return wire->config.clock_ns ? wire->config.clock_ns(wire->config.clock_arg, mono_ns)
				     : mono_ns;
}

static void dissect(struct wire *wire, const struct record *record)
{
	struct segment segment;

	if (!decoder_frame(wire->decoder, record->data, record->captured, record->len, &segment))
		return;
	pthread_mutex_lock(&wire->lock);
	reassembly_segment(wire->reassembly, &segment, event_ns(wire, record->ns));
	pthread_mutex_unlock(&wire->lock);
}

/* A line that is no secret is nobody's. What it opens is told now, with the times of its frames. */
static void take_keys(struct wire *wire, const char *line, size_t len)
{
	auto_free char *text = NULL;

	pthread_mutex_lock(&wire->lock);
	if (tls_keys_line(wire->keys, line, len)) {
		dialogue_set_retry(wire->dialogues);
		text = text_fmt("%.*s\n", (int)len, line);
	}
	pthread_mutex_unlock(&wire->lock);
	if (wire->file && text)
		pcapng_keys(wire->file, text, strlen(text));
	pthread_mutex_lock(&wire->flush_lock);
	wire->secrets += text != NULL;
	pthread_cond_broadcast(&wire->flushed);
	pthread_mutex_unlock(&wire->flush_lock);
}

static void on_record(struct wire *wire, const struct record *record)
{
	int64_t real_ns = record->ns + wire->real_offset_ns;

	switch ((enum record_kind)record->kind) {
	case RECORD_FRAME:
		if (wire->file)
			pcapng_frame(
				wire->file, real_ns, record->data, record->captured, record->len);
		dissect(wire, record);
		return;
	case RECORD_MARK:
		if (wire->file)
			pcapng_comment(wire->file, real_ns, (const char *)record->data);
		return;
	case RECORD_KEYS:
		take_keys(wire, (const char *)record->data, record->captured);
		return;
	case RECORD_FLUSH:
		pthread_mutex_lock(&wire->flush_lock);
		wire->flush_done = record->captured;
		pthread_cond_broadcast(&wire->flushed);
		pthread_mutex_unlock(&wire->flush_lock);
		return;
	}
}

static void *reader_main(void *arg)
{
	struct wire *wire = arg;
	const struct record *batch;
	size_t bytes;

	while ((batch = frame_queue_take(wire->queue, &bytes))) {
		const char *at = (const char *)batch, *end = at + bytes;

		while (at < end) {
			const struct record *record = (const struct record *)(const void *)at;

			on_record(wire, record);
			at += record->size;
		}
		if (wire->file && frame_queue_idle(wire->queue))
			pcapng_flush(wire->file);
	}
	pthread_mutex_lock(&wire->lock);
	reassembly_finish(wire->reassembly);
	pthread_mutex_unlock(&wire->lock);
	return NULL;
}

/* ---- the outside ---- */

static void wire_free(struct wire *wire)
{
	if (wire->fifo_fd >= 0)
		close(wire->fifo_fd);
	if (wire->wake_fd >= 0)
		close(wire->wake_fd);
	unlink(wire->fifo_path);
	frame_queue_free(wire->queue);
	decoder_free(wire->decoder);
	reassembly_free(wire->reassembly);
	dialogue_set_free(wire->dialogues);
	tls_keys_free(wire->keys);
	pthread_mutex_destroy(&wire->lock);
	pthread_mutex_destroy(&wire->flush_lock);
	pthread_cond_destroy(&wire->flushed);
	free(wire->fifo_path);
	free(wire);
}

static struct wire *wire_new(const struct wire_config *config)
{
	struct wire *wire = mem_zero(1, sizeof(*wire));

	wire->config = *config;
	wire->fifo_path = text_dup(config->fifo_path);
	wire->fifo_fd = -1;
	wire->real_offset_ns = clock_real_ns() - clock_mono_ns();
	wire->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	wire->queue = frame_queue_new(WIRE_QUEUE_MAX);
	wire->decoder = decoder_new(DLT_EN10MB);
	wire->dialogues = dialogue_set_new(
		config->ports, config->port_count, config->only_ports, config->fn, config->arg);
	wire->keys = tls_keys_new(false);
	dialogue_set_keys(wire->dialogues, wire->keys);
	wire->reassembly = reassembly_new(&dialogue_reassembly_ops, wire->dialogues);
	pthread_mutex_init(&wire->lock, NULL);
	pthread_mutex_init(&wire->flush_lock, NULL);
	cond_init(&wire->flushed);
	return wire;
}

static int open_files(struct wire *wire, struct err *err)
{
	const struct wire_name *name = wire->config.names;
	int rc;

	unlink(wire->fifo_path);
	if (mkfifo(wire->fifo_path, 0600))
		return err_sys(err, errno, "cannot make the FIFO '%s'", wire->fifo_path);
	if (open_fifo(wire) < 0 || wire->wake_fd < 0)
		return err_sys(err, errno, "cannot open the FIFO '%s'", wire->fifo_path);
	if (!wire->config.capture_path)
		return 0;
	rc = pcapng_open(&wire->file, wire->config.capture_path, wire->config.comment, err);
	for (; !rc && name && name->address; name++)
		pcapng_name(wire->file, name->address, name->name);
	return rc;
}

/* Signals are for the rig's main thread. */
static int start_threads(struct wire *wire, struct err *err)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&wire->reader, NULL, reader_main, wire);
	if (!rc) {
		rc = pthread_create(&wire->drain, NULL, drain_main, wire);
		if (rc) {
			frame_queue_end(wire->queue);
			pthread_join(wire->reader, NULL);
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc ? err_sys(err, rc, "cannot start a thread for the wire") : 0;
}

int wire_open(struct wire **ret, const struct wire_config *config, struct err *err)
{
	struct wire *wire = wire_new(config);
	int rc = config->filter ? capture_check_filter(config->filter, err) : 0;

	if (!rc)
		rc = open_files(wire, err);

	if (!rc)
		rc = start_threads(wire, err);
	if (rc) {
		pcapng_close(wire->file, 0, 0, 0, NULL);
		wire_free(wire);
		return rc;
	}
	*ret = wire;
	return 0;
}

int wire_close(struct wire *wire, struct err *err)
{
	int rc;

	if (!wire)
		return 0;
	atomic_store(&wire->stop_ns, deadline_in_ms(STOP_MAX_MS));
	eventfd_write(wire->wake_fd, 1);
	pthread_join(wire->drain, NULL);
	pthread_join(wire->reader, NULL);
	rc = pcapng_close(wire->file, clock_real_ns(), wire_frames(wire), wire_dropped(wire), err);
	wire_free(wire);
	return rc;
}

static bool waits_for_secrets(struct wire *wire)
{
	bool waits;

	pthread_mutex_lock(&wire->lock);
	waits = dialogue_set_late(wire->dialogues);
	pthread_mutex_unlock(&wire->lock);
	return waits;
}

/* A store that tells its secrets tells the last ones soon. One that never told any is not waited for. */
static void await_secrets(struct wire *wire, int64_t deadline_ns)
{
	uint64_t seen = 0;
	int rc = 0;

	do {
		pthread_mutex_lock(&wire->flush_lock);
		while (seen && wire->secrets == seen && !rc)
			rc = cond_wait(&wire->flushed, &wire->flush_lock, deadline_ns);
		seen = wire->secrets;
		pthread_mutex_unlock(&wire->flush_lock);
	} while (seen && !rc && waits_for_secrets(wire));
}

int wire_flush(struct wire *wire, int64_t deadline_ns)
{
	int64_t secrets_ns = deadline_in_ms(WIRE_SECRETS_MS);
	unsigned int mine = atomic_fetch_add(&wire->flush_wanted, 1) + 1;
	int rc = 0;

	eventfd_write(wire->wake_fd, 1);
	pthread_mutex_lock(&wire->flush_lock);
	while ((int)(wire->flush_done - mine) < 0 && !rc)
		rc = cond_wait(&wire->flushed, &wire->flush_lock, deadline_ns);
	if ((int)(wire->flush_done - mine) >= 0)
		rc = 0;
	pthread_mutex_unlock(&wire->flush_lock);
	if (!rc)
		await_secrets(wire, secrets_ns < deadline_ns ? secrets_ns : deadline_ns);
	return rc;
}

void wire_mark(struct wire *wire, const char *text)
{
	char mark[WIRE_MARK_MAX];

	snprintf(mark, sizeof(mark), "%s", text);
	frame_queue_put(wire->queue, RECORD_MARK, clock_mono_ns(), mark, strlen(mark) + 1, 0);
}

void wire_keys(struct wire *wire, const char *line)
{
	size_t len = strnlen(line, TLS_KEY_LINE_MAX);

	frame_queue_put(wire->queue, RECORD_KEYS, clock_mono_ns(), line, len, 0);
}

size_t wire_owed(struct wire *wire, struct owed *out, size_t max)
{
	size_t count;

	pthread_mutex_lock(&wire->lock);
	count = dialogue_owed(wire->dialogues, out, max);
	pthread_mutex_unlock(&wire->lock);
	return count;
}

uint64_t wire_frames(struct wire *wire)
{
	return atomic_load(&wire->frames);
}

uint64_t wire_dropped(struct wire *wire)
{
	return frame_queue_dropped(wire->queue);
}

int64_t wire_stall_ns(struct wire *wire)
{
	return atomic_load(&wire->stall_ns);
}
