/*
 * Files followed by inotify. A tail holds the file it reads and, after a rotation, the one before, in
 * which a daemon that has not reopened its log goes on writing. When the host is slow a tail waits: the
 * lines are safe in their file.
 */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_EVENTS (IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF)
#define DIR_EVENTS  (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE)

struct stream {
	int fd, wd;
	off_t offset;
	char line[WITNESS_LINE_MAX];
	size_t len;
};

struct tail {
	char path[PATH_TEXT_MAX];
	int dir_wd;
	struct stream now, before;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* tails[] and their streams */
static struct tail *tails[WITNESS_TAILS_MAX];
static int inotify_fd = -1;

/* ---- one stream ---- */

static void add_bytes(struct tail *t, struct stream *s, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != '\n') {
			if (s->len < sizeof(s->line))
				s->line[s->len++] = bytes[i];
			continue;
		}
		line_event(t->path, s->line, s->len, WAIT);
		s->len = 0;
	}
}

static void read_on(struct tail *t, struct stream *s)
{
	static char bytes[16384]; /* only with `lock` held */
	struct stat st;
	ssize_t n;

	if (s->fd < 0 || fstat(s->fd, &st))
		return;
	if (st.st_size < s->offset) { /* truncated */
		s->offset = 0;
		s->len = 0;
	}
	while ((n = pread(s->fd, bytes, sizeof(bytes), s->offset)) > 0) {
		s->offset += n;
		add_bytes(t, s, bytes, (size_t)n);
	}
}

static bool watch_in_use(int wd)
{
	for (size_t i = 0; i < WITNESS_TAILS_MAX; i++)
		if (tails[i] && (tails[i]->dir_wd == wd || tails[i]->now.wd == wd ||
					tails[i]->before.wd == wd))
			return true;
	return false;
}

static void stream_close(struct tail *t, struct stream *s)
{
	int wd = s->wd;

	if (s->fd < 0)
		return;
	if (s->len)
		line_event(t->path, s->line, s->len, WAIT);
	close(s->fd);
	*s = (struct stream){.fd = -1, .wd = -1};
	if (wd >= 0 && !watch_in_use(wd))
		inotify_rm_watch(inotify_fd, wd);
}

/* ---- one tail ---- */

/* Watch first, read then: what is written in between is read, and once more is harmless. */
static void open_now(struct tail *t)
{
	int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			close(fd);
		return;
	}
	t->now = (struct stream){
		.fd = fd, .wd = inotify_add_watch(inotify_fd, t->path, FILE_EVENTS)};
}

static bool rotated(const struct tail *t)
{
	struct stat at_path, opened;

	if (stat(t->path, &at_path))
		return false; /* not there (yet): go on with the old one */
	return t->now.fd < 0 || fstat(t->now.fd, &opened) || at_path.st_dev != opened.st_dev ||
	       at_path.st_ino != opened.st_ino;
}

static void pump(struct tail *t)
{
	read_on(t, &t->before);
	read_on(t, &t->now);
	if (!rotated(t))
		return;
	stream_close(t, &t->before);
	t->before = t->now;
	t->now = (struct stream){.fd = -1, .wd = -1};
	open_now(t);
	read_on(t, &t->before);
	read_on(t, &t->now);
}

static void pump_watch(int wd, bool all)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < WITNESS_TAILS_MAX; i++) {
		struct tail *t = tails[i];

		if (t && (all || t->dir_wd == wd || t->now.wd == wd || t->before.wd == wd))
			pump(t);
	}
	pthread_mutex_unlock(&lock);
}

static void *tail_thread(void *arg)
{
	static union {
		struct inotify_event align;
		char bytes[16384];
	} room;

	(void)arg;
	for (;;) {
		ssize_t n = read(inotify_fd, &room, sizeof(room));
		const struct inotify_event *e;

		for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const void *)(room.bytes + at);
			pump_watch(e->wd, e->mask & IN_Q_OVERFLOW);
		}
	}
	return NULL;
}

int tail_start(void)
{
	inotify_fd = inotify_init1(IN_CLOEXEC);
	if (inotify_fd < 0)
		return -errno;
	return thread_start(tail_thread, NULL) ? 0 : -EAGAIN;
}

/* ---- the verbs ---- */

static size_t slot_of(const char *path)
{
	size_t i = 0;

	while (i < WITNESS_TAILS_MAX && (!tails[i] || strcmp(tails[i]->path, path)))
		i++;
	return i;
}

static int watch_dir(const char *path)
{
	char dir[PATH_TEXT_MAX];
	int wd;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	wd = inotify_add_watch(inotify_fd, dir[0] ? dir : "/", DIR_EVENTS | IN_ONLYDIR);
	return wd < 0 ? -errno : wd;
}

/* 0, or -errno. */
static int add_tail(const char *path)
{
	struct tail *t;
	size_t i = 0;
	int wd;

	if (slot_of(path) < WITNESS_TAILS_MAX)
		return 0;
	while (i < WITNESS_TAILS_MAX && tails[i])
		i++;
	if (i == WITNESS_TAILS_MAX)
		return -ENOSPC;
	wd = watch_dir(path);
	if (wd < 0)
		return wd;
	t = calloc(1, sizeof(*t));
	if (!t)
		abort();
	snprintf(t->path, sizeof(t->path), "%s", path);
	t->dir_wd = wd;
	t->now = t->before = (struct stream){.fd = -1, .wd = -1};
	tails[i] = t;
	pump(t);
	return 0;
}

static void remove_tail(const char *path)
{
	size_t i = slot_of(path);
	struct tail *t;

	if (i == WITNESS_TAILS_MAX)
		return;
	t = tails[i];
	pump(t);
	stream_close(t, &t->before);
	stream_close(t, &t->now);
	tails[i] = NULL;
	if (!watch_in_use(t->dir_wd))
		inotify_rm_watch(inotify_fd, t->dir_wd);
	free(t);
}

static bool path_ok(const struct request *request, const char *path)
{
	if (path[0] == '/' && strlen(path) < PATH_TEXT_MAX)
		return true;
	answer_error(request, "'%.64s' is no absolute path of at most %d bytes", path,
		PATH_TEXT_MAX - 1);
	return false;
}

void verb_tail(const struct request *request)
{
	const char *path = request_text(request, "path");
	int rc;

	if (!path_ok(request, path))
		return;
	pthread_mutex_lock(&lock);
	rc = add_tail(path);
	pthread_mutex_unlock(&lock);
	if (rc == -ENOSPC)
		answer_error(request, "%u files are tailed already", WITNESS_TAILS_MAX);
	else if (rc)
		answer_error(request, "cannot watch the folder of '%s': %s", path, strerror(-rc));
	else
		answer_done(request);
}

void verb_untail(const struct request *request)
{
	const char *path = request_text(request, "path");

	if (!path_ok(request, path))
		return;
	pthread_mutex_lock(&lock);
	remove_tail(path);
	pthread_mutex_unlock(&lock);
	answer_done(request);
}
