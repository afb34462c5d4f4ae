#include "net/spool.h"

#include <fcntl.h>

struct spool_chunk {
	off_t at;
	size_t len;
};

struct spool {
	int fd;
	int error;
	off_t end;
};

struct spool *spool_new(void)
{
	struct spool *spool = mem_zero(1, sizeof(*spool));

	spool->fd = -1;
	return spool;
}

void spool_free(struct spool *spool)
{
	if (!spool)
		return;
	if (spool->fd >= 0)
		close(spool->fd);
	free(spool);
}

int spool_error(const struct spool *spool, struct err *err)
{
	return spool->error ? err_sys(err, spool->error, "cannot use a temporary file") : 0;
}

static void open_file(struct spool *spool)
{
	const char *dir = getenv("TMPDIR");
	auto_free char *path = text_fmt("%s/mailrig-spool.XXXXXX", dir && *dir ? dir : "/tmp");

	spool->fd = mkostemp(path, O_CLOEXEC);
	if (spool->fd < 0)
		spool->error = -errno;
	else
		unlink(path);
}

static void write_all(struct spool *spool, const char *bytes, size_t len)
{
	while (len && !spool->error) {
		ssize_t n = pwrite(spool->fd, bytes, len, spool->end);

		if (n < 0 && errno != EINTR)
			spool->error = -errno;
		if (n < 0)
			continue;
		bytes += n;
		len -= (size_t)n;
		spool->end += n;
	}
}

void spool_trim(struct spool *spool, struct spooled *text)
{
	if (text->tail.len < SPOOL_MEMORY_MAX)
		return;
	if (spool->fd < 0 && !spool->error)
		open_file(spool);
	if (text->count == text->size) {
		text->size = text->size ? text->size * 2 : 4;
		text->chunks = mem_grow(text->chunks, text->size, sizeof(*text->chunks));
	}
	text->chunks[text->count++] = (struct spool_chunk){spool->end, text->tail.len};
	write_all(spool, text->tail.data, text->tail.len);
	buf_reset(&text->tail);
}

static void print_chunk(struct spool *spool, struct spool_chunk chunk, FILE *out)
{
	char bytes[4096];

	while (chunk.len && !spool->error) {
		size_t want = chunk.len < sizeof(bytes) ? chunk.len : sizeof(bytes);
		ssize_t n = pread(spool->fd, bytes, want, chunk.at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			spool->error = n ? -errno : -EIO;
			return;
		}
		fwrite(bytes, 1, (size_t)n, out);
		chunk.at += n;
		chunk.len -= (size_t)n;
	}
}

void spool_print(struct spool *spool, struct spooled *text, FILE *out)
{
	for (size_t i = 0; i < text->count; i++)
		print_chunk(spool, text->chunks[i], out);
	fwrite(buf_text(&text->tail), 1, text->tail.len, out);
	spooled_free(text);
}

void spooled_free(struct spooled *text)
{
	buf_free(&text->tail);
	free(text->chunks);
	*text = (struct spooled){0};
}
