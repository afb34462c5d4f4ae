#include "vm/write_watch.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#define LOOKS_MAX 64 /* until two in a row agree; a machine writes slower than sizes are read */

struct write_watch {
	int fds[WRITE_WATCH_DISKS_MAX];
	size_t disks;
	int inotify_fd, stop_fd;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	struct write_view *views;
	size_t count, room;
};

static bool read_sizes(const struct write_watch *watch, struct write_view *view)
{
	bool same = true;

	for (size_t i = 0; i < watch->disks; i++) {
		struct stat st = {0};
		uint64_t bytes;

		bytes = fstat(watch->fds[i], &st) ? view->bytes[i] : (uint64_t)st.st_size;
		same = same && bytes == view->bytes[i];
		view->bytes[i] = bytes;
	}
	return same;
}

/* The same sizes twice: between the two readings, at that time, they were all so at once. */
static bool view_now(const struct write_watch *watch, struct write_view *view)
{
	*view = (struct write_view){0};
	read_sizes(watch, view);
	for (int i = 0; i < LOOKS_MAX; i++) {
		view->mono_ns = clock_mono_ns();
		if (read_sizes(watch, view))
			return true;
	}
	return false;
}

static void keep(struct write_watch *watch, const struct write_view *view)
{
	struct write_view *last = watch->count ? &watch->views[watch->count - 1] : NULL;

	/* Another thread may have looked later and come first. */
	if (last && last->mono_ns > view->mono_ns)
		return;
	if (last && watch->count == WRITE_VIEWS_MAX) {
		*last = *view;
		return;
	}
	if (watch->count == watch->room) {
		watch->room = watch->room ? 2 * watch->room : 1024;
		watch->views = mem_grow(watch->views, watch->room, sizeof(*watch->views));
	}
	watch->views[watch->count++] = *view;
}

void write_watch_look(struct write_watch *watch)
{
	struct write_view view;
	bool steady = view_now(watch, &view);

	if (!steady)
		return;
	pthread_mutex_lock(&watch->lock);
	keep(watch, &view);
	pthread_mutex_unlock(&watch->lock);
}

static void *watch_main(void *arg)
{
	struct write_watch *watch = arg;
	struct pollfd fds[] = {{.fd = watch->inotify_fd, .events = POLLIN},
		{.fd = watch->stop_fd, .events = POLLIN}};

	for (;;) {
		char events[16384] __attribute__((aligned(__alignof__(struct inotify_event))));

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		/* What they say does not matter: something grew. */
		if (fds[0].revents && read(watch->inotify_fd, events, sizeof(events)) > 0)
			write_watch_look(watch);
	}
	return NULL;
}

static int open_files(struct write_watch *watch, const char *const *paths, struct err *err)
{
	watch->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	watch->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (watch->inotify_fd < 0 || watch->stop_fd < 0)
		return err_sys(err, errno, "cannot watch the logs of writes");
	for (size_t i = 0; i < watch->disks; i++) {
		watch->fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (watch->fds[i] < 0 ||
			inotify_add_watch(watch->inotify_fd, paths[i], IN_MODIFY) < 0)
			return err_sys(err, errno, "cannot watch '%s'", paths[i]);
	}
	return 0;
}

static int start_thread(struct write_watch *watch, struct err *err)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&watch->thread, NULL, watch_main, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	watch->started = !rc;
	return rc ? err_sys(err, rc, "cannot start a thread for the logs of writes") : 0;
}

int write_watch_open(
	const char *const *paths, size_t count, struct write_watch **ret, struct err *err)
{
	struct write_watch *watch = mem_zero(1, sizeof(*watch));
	int rc;

	assert(count <= WRITE_WATCH_DISKS_MAX);
	watch->disks = count;
	watch->inotify_fd = watch->stop_fd = -1;
	for (size_t i = 0; i < count; i++)
		watch->fds[i] = -1;
	pthread_mutex_init(&watch->lock, NULL);
	rc = open_files(watch, paths, err);
	if (!rc)
		rc = start_thread(watch, err);
	if (rc)
		write_watch_close(watch);
	else
		*ret = watch;
	return rc;
}

void write_watch_close(struct write_watch *watch)
{
	if (!watch)
		return;
	if (watch->started) {
		eventfd_write(watch->stop_fd, 1);
		pthread_join(watch->thread, NULL);
	}
	for (size_t i = 0; i < watch->disks; i++)
		cleanup_fd(&watch->fds[i]);
	cleanup_fd(&watch->inotify_fd);
	cleanup_fd(&watch->stop_fd);
	pthread_mutex_destroy(&watch->lock);
	free(watch->views);
	free(watch);
}

size_t write_watch_count(struct write_watch *watch)
{
	size_t count;

	pthread_mutex_lock(&watch->lock);
	count = watch->count;
	pthread_mutex_unlock(&watch->lock);
	return count;
}

bool write_watch_at(struct write_watch *watch, size_t index, struct write_view *ret)
{
	bool there;

	pthread_mutex_lock(&watch->lock);
	there = index < watch->count;
	if (there)
		*ret = watch->views[index];
	pthread_mutex_unlock(&watch->lock);
	return there;
}

void write_watch_since(struct write_watch *watch, int64_t mono_ns, struct write_view *ret)
{
	size_t first = 0, end;

	write_watch_look(watch);
	pthread_mutex_lock(&watch->lock);
	end = watch->count;
	while (first < end) {
		size_t middle = first + (end - first) / 2;

		if (watch->views[middle].mono_ns >= mono_ns)
			end = middle;
		else
			first = middle + 1;
	}
	if (first == watch->count && first)
		first--;
	*ret = watch->count ? watch->views[first] : (struct write_view){0};
	pthread_mutex_unlock(&watch->lock);
}
