#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <mntent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FROZEN_MAX 16
#define MOUNTS_MAX 256

/* What the witness froze and nobody has thawed yet. The descriptor is kept, so that the thaw needs no
 * path lookup on a frozen file system. */
static struct {
	pthread_mutex_t lock;
	struct {
		char mount[PATH_TEXT_MAX];
		int fd;
		uint64_t serial; /* of this freeze */
	} fs[FROZEN_MAX];
	size_t count;
	uint64_t serial;
} frozen = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The kept descriptor of `mount` (serial 0: whichever freeze), taken out of the table; -1 if there is none. */
static int take_frozen(const char *mount, uint64_t serial)
{
	int fd = -1;

	pthread_mutex_lock(&frozen.lock);
	for (size_t i = 0; i < frozen.count; i++) {
		if (strcmp(frozen.fs[i].mount, mount) || (serial && serial != frozen.fs[i].serial))
			continue;
		fd = frozen.fs[i].fd;
		frozen.fs[i] = frozen.fs[--frozen.count];
		break;
	}
	pthread_mutex_unlock(&frozen.lock);
	return fd;
}

/* The serial number of this freeze, 0 if there is no room. */
static uint64_t keep_frozen(const char *mount, int fd)
{
	uint64_t serial = 0;

	pthread_mutex_lock(&frozen.lock);
	if (frozen.count < FROZEN_MAX) {
		serial = ++frozen.serial;
		snprintf(frozen.fs[frozen.count].mount, PATH_TEXT_MAX, "%s", mount);
		frozen.fs[frozen.count].serial = serial;
		frozen.fs[frozen.count++].fd = fd;
	}
	pthread_mutex_unlock(&frozen.lock);
	return serial;
}

/* In the thread of the request, which has its answer: one timer, so that an idle guest stays idle. */
static void thaw_later(const char *mount, uint64_t serial, int64_t after_ms)
{
	struct timespec left = {after_ms / 1000, after_ms % 1000 * 1000000};
	int fd;

	while (nanosleep(&left, &left) && errno == EINTR)
		;
	fd = take_frozen(mount, serial);
	if (fd < 0)
		return;
	ioctl(fd, FITHAW, 0);
	close(fd);
}

static void say_frozen(struct out *out, const char *mount)
{
	char text[PATH_TEXT_MAX + 32];

	snprintf(text, sizeof(text), "'%s' is still frozen", mount);
	out_text(out, NULL, text);
}

static bool is_ours(const char *mount)
{
	bool found = false;

	for (size_t i = 0; i < frozen.count; i++)
		found = found || !strcmp(frozen.fs[i].mount, mount);
	return found;
}

/*
 * Frozen by somebody else: the guest agent, a command of the store. The kernel (6.1) tells nobody who does not try to
 * thaw: of a file system that is not frozen that is refused and changes nothing. One that was frozen goes on now.
 */
static bool was_frozen(const struct mntent *entry)
{
	int fd = strncmp(entry->mnt_fsname, "/dev/", 5)
			 ? -1
			 : open(entry->mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool thawed = fd >= 0 && !ioctl(fd, FITHAW, 0);

	if (fd >= 0)
		close(fd);
	return thawed;
}

void mount_residue(struct out *out)
{
	FILE *file = setmntent("/proc/self/mounts", "re");
	char room[4096];
	struct mntent entry;

	pthread_mutex_lock(&frozen.lock);
	for (size_t i = 0; i < frozen.count; i++)
		say_frozen(out, frozen.fs[i].mount);
	for (int i = 0; file && i < MOUNTS_MAX && getmntent_r(file, &entry, room, sizeof(room));
		i++)
		if (!is_ours(entry.mnt_dir) && was_frozen(&entry))
			say_frozen(out, entry.mnt_dir);
	pthread_mutex_unlock(&frozen.lock);
	if (file)
		endmntent(file);
}

static void answer_changed(const struct request *request, bool changed)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_bool(&out, "changed", changed);
	answer_send(&out, request);
}

/* A descriptor of the mount, or -1 when the error has been answered. */
static int open_mount(const struct request *request, const char *mount)
{
	int fd = mount[0] == '/' && strlen(mount) < PATH_TEXT_MAX
			 ? open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			 : (errno = EINVAL, -1);

	if (fd < 0)
		answer_error(request, "cannot open mount '%s': %s", mount, strerror(errno));
	return fd;
}

void verb_freeze(const struct request *request)
{
	const char *mount = request_text(request, "mount");
	int64_t thaw_after_ms = request_int(request, "thaw_after_ms", 0);
	int fd = open_mount(request, mount);
	uint64_t serial;

	if (fd < 0)
		return;
	if (ioctl(fd, FIFREEZE, 0)) {
		if (errno == EBUSY)
			answer_changed(request, false);
		else
			answer_error(request, "cannot freeze '%s': %s", mount, strerror(errno));
		close(fd);
		return;
	}
	serial = keep_frozen(mount, fd);
	if (serial) {
		answer_changed(request, true);
		if (thaw_after_ms > 0)
			thaw_later(mount, serial, thaw_after_ms);
		return;
	}
	ioctl(fd, FITHAW, 0);
	close(fd);
	answer_error(request, "%d file systems are frozen already", FROZEN_MAX);
}

void verb_thaw(const struct request *request)
{
	const char *mount = request_text(request, "mount");
	int fd = take_frozen(mount, 0);

	if (fd < 0)
		fd = open_mount(request, mount);
	if (fd < 0)
		return;
	if (!ioctl(fd, FITHAW, 0))
		answer_changed(request, true);
	else if (errno == EINVAL)
		answer_changed(request, false);
	else
		answer_error(request, "cannot thaw '%s': %s", mount, strerror(errno));
	close(fd);
}

void verb_mounts(const struct request *request)
{
	FILE *file = setmntent("/proc/self/mounts", "re");
	char room[4096];
	struct mntent entry;
	auto_out out = {0};

	if (!file) {
		answer_error(request, "cannot read the mounts: %s", strerror(errno));
		return;
	}
	answer_begin(&out, request);
	out_open(&out, "mounts", '[');
	for (int i = 0; i < MOUNTS_MAX && getmntent_r(file, &entry, room, sizeof(room)); i++) {
		out_open(&out, NULL, '{');
		out_text(&out, "mount", entry.mnt_dir);
		out_text(&out, "source", entry.mnt_fsname);
		out_text(&out, "type", entry.mnt_type);
		out_close(&out, '}');
	}
	out_close(&out, ']');
	endmntent(file);
	answer_send(&out, request);
}
