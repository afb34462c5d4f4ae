#include "wal.h"

#include "settings.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS   200
#define FILE_BYTES (512u << 20)

static struct {
	pthread_mutex_t lock;
	pthread_cond_t flush_signal; /* to the flusher */
	pthread_cond_t flushed;	     /* from the flusher */
	pthread_cond_t quiet;	     /* no flush is running */
	struct bytes buffer;
	uint64_t appended, durable; /* LSN: bytes ever appended, bytes ever durable */
	bool wanted, flushing, frozen;
	unsigned int committing; /* that wait for `flushed` */
	int fd;
	int64_t end; /* of the durable part of the file */
} wal = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.flush_signal = PTHREAD_COND_INITIALIZER,
	.flushed = PTHREAD_COND_INITIALIZER,
	.quiet = PTHREAD_COND_INITIALIZER,
	.fd = -1,
};

/* ---- records ---- */

void record_u32(struct record *record, uint32_t value)
{
	bytes_add(&record->bytes, &value, sizeof(value));
}

void record_text(struct record *record, const char *text)
{
	record_blob(record, text, strlen(text) + 1);
}

void record_blob(struct record *record, const void *data, size_t len)
{
	record_u32(record, (uint32_t)len);
	bytes_add(&record->bytes, data, len);
}

uint32_t field_u32(struct fields *fields)
{
	uint32_t value = 0;

	if (fields->bad || fields->end - fields->at < (ptrdiff_t)sizeof(value)) {
		fields->bad = true;
		return 0;
	}
	memcpy(&value, fields->at, sizeof(value));
	fields->at += sizeof(value);
	return value;
}

const void *field_blob(struct fields *fields, size_t *ret_len)
{
	uint32_t len = field_u32(fields);
	const char *at = fields->at;

	*ret_len = 0;
	if (fields->bad || len > (size_t)(fields->end - at)) {
		fields->bad = true;
		return "";
	}
	fields->at += len;
	*ret_len = len;
	return at;
}

const char *field_text(struct fields *fields)
{
	size_t len;
	const char *text = field_blob(fields, &len);

	if (!len || text[len - 1]) {
		fields->bad = true;
		return "";
	}
	return text;
}

struct frame {
	uint32_t len, crc;
};

void record_frame(const struct record *record, struct bytes *out)
{
	struct frame frame = {
		(uint32_t)record->bytes.len, crc32_of(record->bytes.data, record->bytes.len)};

	bytes_add(out, &frame, sizeof(frame));
	bytes_add(out, record->bytes.data, record->bytes.len);
}

static int64_t apply_all(const char *data, size_t size, void (*apply)(struct fields *fields))
{
	size_t at = 0;

	while (size - at >= sizeof(struct frame)) {
		const char *body = data + at + sizeof(struct frame);
		struct frame frame;
		struct fields fields;

		memcpy(&frame, data + at, sizeof(frame));
		if (!frame.len || frame.len > size - at - sizeof(frame) ||
			crc32_of(body, frame.len) != frame.crc)
			break;
		fields = (struct fields){body, body + frame.len, false};
		apply(&fields);
		at += sizeof(frame) + frame.len;
	}
	return (int64_t)at;
}

int64_t records_read(const char *path, void (*apply)(struct fields *fields))
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct bytes all = {0};
	char part[65536];
	ssize_t n;
	int64_t rc;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, part, sizeof(part))) > 0 && all.len < FILE_BYTES)
		bytes_add(&all, part, (size_t)n);
	rc = n < 0 ? -errno : apply_all(all.data, all.len, apply);
	close(fd);
	bytes_free(&all);
	return rc;
}

/* ---- the flusher ---- */

static int write_out(const struct bytes *part)
{
	size_t at = 0;

	while (at < part->len) {
		ssize_t n = pwrite(wal.fd, part->data + at, part->len - at, wal.end + (int64_t)at);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fdatasync(wal.fd) ? -errno : 0;
}

/* With the lock held, which is given up while the disk works. */
static void flush_buffer(void)
{
	struct bytes part = wal.buffer;
	int rc, last = 0;

	wal.buffer = (struct bytes){0};
	wal.flushing = true;
	pthread_mutex_unlock(&wal.lock);
	while ((rc = write_out(&part))) {
		if (rc != last)
			say("warning: the log cannot be written: %s", strerror(-rc));
		last = rc;
		poll(NULL, 0, RETRY_MS); /* nothing tells when a disk works again */
	}
	pthread_mutex_lock(&wal.lock);
	wal.end += (int64_t)part.len;
	wal.durable += part.len;
	wal.flushing = false;
	bytes_free(&part);
	pthread_cond_broadcast(&wal.flushed);
	pthread_cond_broadcast(&wal.quiet);
	pthread_cond_signal(&wal.flush_signal);
}

static void *log_flusher(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&wal.lock);
	for (;;) {
		while (!wal.wanted || wal.frozen || wal.flushing)
			pthread_cond_wait(&wal.flush_signal, &wal.lock);
		wal.wanted = false;
		if (wal.buffer.len)
			flush_buffer();
	}
	return NULL;
}

/* With the lock held. */
static void signal_flush(void)
{
	wal.wanted = true;
	pthread_cond_signal(&wal.flush_signal);
}

/* ---- for operations ---- */

int wal_open(const char *path, int64_t end)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, end) || fsync(fd)) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	pthread_mutex_lock(&wal.lock); /* who looks how long the log is does not wait for a mount */
	if (wal.fd >= 0)
		close(wal.fd);
	wal.fd = fd;
	wal.end = end;
	pthread_mutex_unlock(&wal.lock);
	return 0;
}

void wal_start(void)
{
	start_thread_of(log_flusher, NULL);
}

uint64_t wal_append(const struct record *record)
{
	uint64_t lsn;
	size_t before;

	pthread_mutex_lock(&wal.lock);
	before = wal.buffer.len;
	record_frame(record, &wal.buffer);
	wal.appended += wal.buffer.len - before;
	lsn = wal.appended;
	pthread_mutex_unlock(&wal.lock);
	return lsn;
}

void wal_commit(uint64_t lsn)
{
	mark("refstore/log/commit");
	pthread_mutex_lock(&wal.lock);
	/* During a freeze no flush may begin. As shipped the signal is not even kept for later. */
	if (!wal.frozen || !setting(SET_F1))
		signal_flush();
	wal.committing++;
	while (wal.durable < lsn)
		pthread_cond_wait(&wal.flushed, &wal.lock);
	wal.committing--;
	pthread_mutex_unlock(&wal.lock);
}

uint64_t wal_durable(void)
{
	uint64_t lsn;

	pthread_mutex_lock(&wal.lock);
	lsn = wal.durable;
	pthread_mutex_unlock(&wal.lock);
	return lsn;
}

void wal_freeze(void)
{
	mark("refstore/log/freeze");
	pthread_mutex_lock(&wal.lock);
	wal.frozen = true;
	while (wal.flushing)
		pthread_cond_wait(&wal.quiet, &wal.lock);
	pthread_mutex_unlock(&wal.lock);
}

void wal_thaw(void)
{
	mark("refstore/log/thaw");
	pthread_mutex_lock(&wal.lock);
	wal.frozen = false;
	pthread_cond_broadcast(&wal.quiet);
	if (!setting(SET_F1))
		signal_flush();
	pthread_mutex_unlock(&wal.lock);
}

bool wal_frozen(void)
{
	bool frozen;

	pthread_mutex_lock(&wal.lock);
	frozen = wal.frozen;
	pthread_mutex_unlock(&wal.lock);
	return frozen;
}

void wal_flush(void)
{
	pthread_mutex_lock(&wal.lock);
	while (wal.flushing || wal.frozen)
		pthread_cond_wait(&wal.quiet, &wal.lock);
	if (wal.buffer.len)
		flush_buffer();
	pthread_mutex_unlock(&wal.lock);
}

bool wal_full(void)
{
	return wal_waiting() >= WAL_BUFFER_MAX;
}

size_t wal_waiting(void)
{
	size_t len;

	pthread_mutex_lock(&wal.lock);
	len = wal.buffer.len;
	pthread_mutex_unlock(&wal.lock);
	return len;
}

unsigned int wal_committing(void)
{
	unsigned int count;

	pthread_mutex_lock(&wal.lock);
	count = wal.committing;
	pthread_mutex_unlock(&wal.lock);
	return count;
}

int64_t wal_size(void)
{
	int64_t size;

	pthread_mutex_lock(&wal.lock);
	size = wal.end;
	pthread_mutex_unlock(&wal.lock);
	return size;
}
