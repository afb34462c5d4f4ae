#include "net/pcapng.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_MAX	(256u << 10)
#define COMMENT_MAX	4096
#define LINK_ETHERNET	1
#define ETHERTYPE_LOCAL 0x88b5
#define FRAME_MIN	60

#define TLS_LOG 0x544c534b

enum block {
	SECTION = 0x0a0d0d0a,
	INTERFACE = 1,
	NAMES = 4,
	STATISTICS = 5,
	PACKET = 6,
	SECRETS = 10,
};
enum option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	IF_NAME = 2,
	SHB_APPLICATION = 4,
	ISB_RECEIVED = 4,
	ISB_IFDROP = 5,
	IF_TSRESOL = 9,
};

/* Where a block of secrets stands in the file. */
struct extent {
	uint64_t at, len;
};

struct pcapng {
	int fd;
	int error; /* negative errno of the first failed write */
	char *path;
	struct buf out;
	size_t block;	  /* where the current block begins in `out` */
	uint64_t flushed; /* bytes before `out` */
	uint64_t front;	  /* of the first packet, 0: none yet */
	struct extent *secrets;
	size_t secret_count;
};

static void add16(struct pcapng *file, uint32_t v)
{
	uint16_t half = (uint16_t)v;

	buf_add(&file->out, &half, sizeof(half));
}

static void add32(struct pcapng *file, uint32_t v)
{
	buf_add(&file->out, &v, sizeof(v));
}

static void add_padded(struct pcapng *file, const void *bytes, size_t len)
{
	static const char zero[4];

	buf_add(&file->out, bytes, len);
	buf_add(&file->out, zero, (4 - len % 4) % 4);
}

static void add_option(struct pcapng *file, enum option code, const void *bytes, size_t len)
{
	add16(file, code);
	add16(file, (uint32_t)len);
	add_padded(file, bytes, len);
}

static void add_text(struct pcapng *file, enum option code, const char *text)
{
	if (text && *text)
		add_option(file, code, text, strnlen(text, COMMENT_MAX));
}

static void begin_block(struct pcapng *file, enum block type)
{
	file->block = file->out.len;
	add32(file, type);
	add32(file, 0);
}

/* The length stands on both ends of a block. */
static void end_block(struct pcapng *file)
{
	uint32_t len = (uint32_t)(file->out.len - file->block) + 4;

	memcpy(file->out.data + file->block + 4, &len, sizeof(len));
	add32(file, len);
	if (file->out.len > BUFFER_MAX)
		pcapng_flush(file);
}

static void add_time(struct pcapng *file, int64_t real_ns)
{
	add32(file, (uint32_t)((uint64_t)real_ns >> 32));
	add32(file, (uint32_t)real_ns);
}

static void begin_file(struct pcapng *file, const char *comment)
{
	static const uint8_t nanoseconds = 9;
	uint64_t unknown_length = UINT64_MAX;

	begin_block(file, SECTION);
	add32(file, 0x1a2b3c4d); /* in the host's byte order, which tells the reader */
	add16(file, 1);
	add16(file, 0);
	buf_add(&file->out, &unknown_length, sizeof(unknown_length));
	add_text(file, OPT_COMMENT, comment);
	add_text(file, SHB_APPLICATION, "mailrig");
	add_option(file, OPT_END, NULL, 0);
	end_block(file);

	begin_block(file, INTERFACE);
	add16(file, LINK_ETHERNET);
	add16(file, 0);
	add32(file, 0); /* no snap length */
	add_text(file, IF_NAME, "nic");
	add_option(file, IF_TSRESOL, &nanoseconds, 1);
	add_option(file, OPT_END, NULL, 0);
	end_block(file);
}

int pcapng_open(struct pcapng **ret, const char *path, const char *comment, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct pcapng *file;

	if (fd < 0)
		return err_sys(err, errno, "cannot write '%s'", path);
	file = mem_zero(1, sizeof(*file));
	file->fd = fd;
	file->path = text_dup(path);
	begin_file(file, comment);
	*ret = file;
	return 0;
}

void pcapng_name(struct pcapng *file, const char *address, const char *name)
{
	uint8_t record[4 + 256] = {0};
	size_t len = strnlen(name, 255);

	if (inet_pton(AF_INET, address, record) != 1)
		return;
	memcpy(record + 4, name, len);
	begin_block(file, NAMES);
	add16(file, 1); /* an IPv4 address and its name, with a NUL behind */
	add16(file, (uint32_t)(4 + len + 1));
	add_padded(file, record, 4 + len + 1);
	add32(file, 0); /* the end of the records */
	end_block(file);
}

static void note_front(struct pcapng *file)
{
	if (!file->front)
		file->front = file->flushed + file->out.len;
}

void pcapng_keys(struct pcapng *file, const char *text, size_t len)
{
	struct extent *extent;

	if (!len)
		return;
	note_front(file);
	file->secrets = mem_grow(file->secrets, file->secret_count + 1, sizeof(*file->secrets));
	extent = &file->secrets[file->secret_count++];
	extent->at = file->flushed + file->out.len;
	begin_block(file, SECRETS);
	add32(file, TLS_LOG);
	add32(file, (uint32_t)len);
	add_padded(file, text, len);
	extent->len = file->out.len + 4 - file->block;
	end_block(file);
}

static void begin_packet(struct pcapng *file, int64_t real_ns, size_t captured, size_t len)
{
	note_front(file);
	begin_block(file, PACKET);
	add32(file, 0);
	add_time(file, real_ns);
	add32(file, (uint32_t)captured);
	add32(file, (uint32_t)len);
}

void pcapng_frame(
	struct pcapng *file, int64_t real_ns, const uint8_t *data, size_t captured, size_t len)
{
	begin_packet(file, real_ns, captured, len);
	add_padded(file, data, captured);
	end_block(file);
}

void pcapng_comment(struct pcapng *file, int64_t real_ns, const char *text)
{
	uint8_t frame[14 + COMMENT_MAX] = {0};
	size_t len = strnlen(text, COMMENT_MAX);
	size_t size = 14 + len < FRAME_MIN ? FRAME_MIN : 14 + len;

	frame[12] = ETHERTYPE_LOCAL >> 8;
	frame[13] = ETHERTYPE_LOCAL & 0xff;
	memcpy(frame + 14, text, len);
	begin_packet(file, real_ns, size, size);
	add_padded(file, frame, size);
	add_text(file, OPT_COMMENT, text);
	add_option(file, OPT_END, NULL, 0);
	end_block(file);
}

void pcapng_flush(struct pcapng *file)
{
	size_t done = 0;

	while (done < file->out.len && !file->error) {
		ssize_t n = write(file->fd, file->out.data + done, file->out.len - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			file->error = -errno;
	}
	file->flushed += file->out.len;
	buf_reset(&file->out);
}

/* ---- readers that go through the file once must know the secrets before the packets ---- */

static int copy_extent(int from, int to, uint64_t at, uint64_t len)
{
	auto_free char *bytes = mem_zero(1, BUFFER_MAX);

	while (len) {
		ssize_t n = pread(from, bytes, len < BUFFER_MAX ? len : BUFFER_MAX, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		at += (uint64_t)n;
		len -= (uint64_t)n;
		for (ssize_t done = 0; done < n;) {
			ssize_t put = write(to, bytes + done, (size_t)(n - done));

			if (put < 0 && errno != EINTR)
				return -errno;
			done += put > 0 ? put : 0;
		}
	}
	return 0;
}

/* The file's head, its secrets, and all the rest. */
static int copy_sorted(const struct pcapng *file, int from, int to)
{
	uint64_t at = file->front;
	int rc = copy_extent(from, to, 0, file->front);

	for (size_t i = 0; i < file->secret_count && !rc; i++)
		rc = copy_extent(from, to, file->secrets[i].at, file->secrets[i].len);
	for (size_t i = 0; i < file->secret_count && !rc; i++) {
		rc = copy_extent(from, to, at, file->secrets[i].at - at);
		at = file->secrets[i].at + file->secrets[i].len;
	}
	return rc ? rc : copy_extent(from, to, at, file->flushed - at);
}

static int put_secrets_first(const struct pcapng *file)
{
	auto_free char *path = text_fmt("%s.new", file->path);
	int from cleanup(cleanup_fd) = open(file->path, O_RDONLY | O_CLOEXEC);
	int to cleanup(cleanup_fd) = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int rc = from < 0 || to < 0 ? -errno : copy_sorted(file, from, to);

	if (!rc && rename(path, file->path))
		rc = -errno;
	if (rc)
		unlink(path);
	return rc;
}

int pcapng_close(
	struct pcapng *file, int64_t real_ns, uint64_t received, uint64_t dropped, struct err *err)
{
	int rc;

	if (!file)
		return 0;
	begin_block(file, STATISTICS);
	add32(file, 0);
	add_time(file, real_ns);
	add_option(file, ISB_RECEIVED, &received, sizeof(received));
	add_option(file, ISB_IFDROP, &dropped, sizeof(dropped));
	add_option(file, OPT_END, NULL, 0);
	end_block(file);
	pcapng_flush(file);
	rc = file->error;
	if (close(file->fd) && !rc)
		rc = -errno;
	if (!rc && file->secret_count)
		rc = put_secrets_first(file);
	if (rc)
		err_sys(err, rc, "cannot write '%s'", file->path);
	buf_free(&file->out);
	free(file->secrets);
	free(file->path);
	free(file);
	return rc;
}
