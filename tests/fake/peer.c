#include "tests/fake/peer.h"

#include "base/clock.h"

#include <string.h>
#include <sys/socket.h>

#define PEER_MS 20000

static int read_one(struct peer *peer, struct buf *line)
{
	int rc = line_read_raw(&peer->line, LINE_MAX_BYTES, line);

	buf_add(&peer->got, buf_text(line), line->len);
	return rc;
}

static int expect(struct peer *peer, const char *word)
{
	struct buf line auto_buf = {0};
	int rc = read_one(peer, &line);

	if (!rc && !strncmp(line.data, word, strlen(word)))
		return 0;
	snprintf(peer->wrong, sizeof(peer->wrong), "wanted '%s', got '%.100s'", word,
		buf_text(&line));
	return -1;
}

static int until_dot(struct peer *peer)
{
	for (;;) {
		struct buf line auto_buf = {0};

		if (read_one(peer, &line))
			return -1;
		if (!strcmp(line.data, ".\r\n"))
			return 0;
	}
}

static void until_close(struct peer *peer)
{
	char bytes[512];

	while (line_read_some(&peer->line, bytes, sizeof(bytes)) > 0)
		;
}

static int play(struct peer *peer, const char *step)
{
	if (!strncmp(step, ">>", 2))
		return line_write(&peer->line, step + 2, strlen(step + 2), NULL);
	if (!strncmp(step, "> ", 2))
		return line_printf(&peer->line, "%s\r\n", step + 2);
	if (!strncmp(step, "< ", 2))
		return expect(peer, step + 2);
	if (!strcmp(step, "."))
		return until_dot(peer);
	if (!strcmp(step, "!hang"))
		until_close(peer);
	return -1;
}

static void *run(void *arg)
{
	struct peer *peer = arg;

	peer->line.deadline_ns = deadline_in_ms(PEER_MS);
	for (const char *const *step = peer->script; *step; step++)
		if (play(peer, *step))
			break;
	line_close(&peer->line);
	return NULL;
}

int peer_start(struct peer *peer, const char *const *script)
{
	int fds[2];

	*peer = (struct peer){.script = script};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	line_open(&peer->line, fds[1], NULL);
	if (pthread_create(&peer->thread, NULL, run, peer))
		abort();
	return fds[0];
}

void peer_end(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
}

void peer_free(struct peer *peer)
{
	buf_free(&peer->got);
}
