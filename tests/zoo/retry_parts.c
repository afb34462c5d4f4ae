#include "tests/zoo/retry_parts.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum manner { BY_USLEEP, BY_SLEEP, BY_SELECT, BY_POLL, BY_NANOSLEEP, MANNERS };

static enum manner manner;
static int period_ms;

void retry_open(void)
{
	store_open();
	manner = (enum manner)zoo_vary(0, MANNERS - 1);
	period_ms = zoo_vary(5, 25) * 10;
}

void retry_pause(int ms)
{
	const struct timespec time = {.tv_nsec = ms * 1000000L};

	nanosleep(&time, NULL);
}

void retry_rest(void)
{
	struct timeval time = {.tv_usec = period_ms * 1000L};

	switch (manner) {
	case BY_USLEEP:
		usleep((useconds_t)period_ms * 1000);
		break;
	case BY_SLEEP:
		sleep(1);
		break;
	case BY_SELECT:
		select(0, NULL, NULL, NULL, &time);
		break;
	case BY_POLL:
		poll(NULL, 0, period_ms);
		break;
	default:
		retry_pause(period_ms);
	}
}

/* ---- asking ---- */

const char *retry_pid(void)
{
	static _Thread_local char text[16];

	snprintf(text, sizeof(text), "%d", (int)getpid());
	return text;
}

const char *retry_numbered(const char *name, long number)
{
	static _Thread_local char text[RETRY_NAME];

	snprintf(text, sizeof(text), "%s-%ld.lock", name, number);
	return text;
}

static bool write_new(const char *name, const char *text)
{
	int fd = open(zoo_path(name), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		return false;
	zoo_must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	return true;
}

static bool link_unique(const char *name, const char *text)
{
	char unique[RETRY_NAME], path[ZOO_PATH_MAX];
	bool ours;

	snprintf(unique, sizeof(unique), "%.24s.mail1.%d", name, zoo_tid());
	zoo_must(write_new(unique, text));
	snprintf(path, sizeof(path), "%s", zoo_path(unique));
	ours = !link(path, zoo_path(name));
	unlink(path);
	return ours;
}

bool retry_dot(const char *name, enum retry_dot how, const char *text)
{
	char inner[RETRY_NAME];

	switch (how) {
	case RETRY_DOT_LINK:
		return link_unique(name, text);
	case RETRY_DOT_FOLDER:
		snprintf(inner, sizeof(inner), "%.40s/owner", name);
		return !mkdir(zoo_path(name), 0700) && write_new(inner, text);
	case RETRY_DOT_TARGET:
		snprintf(inner, sizeof(inner), "mail1.%.24s", text);
		return !symlink(inner, zoo_path(name));
	default:
		return write_new(name, text);
	}
}

bool retry_lock(int fd, enum retry_lock kind)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (kind == RETRY_FLOCK)
		return !flock(fd, LOCK_EX | LOCK_NB);
	return !fcntl(fd, kind == RETRY_RECORD ? F_SETLK : F_OFD_SETLK, &range);
}

int retry_locked_file(const char *name, enum retry_lock kind)
{
	int fd = zoo_open_file(name);

	zoo_must(retry_lock(fd, kind));
	return fd;
}

void retry_wants_dot(const char *name, enum retry_dot how)
{
	zoo_ready();
	while (!retry_dot(name, how, retry_pid()))
		retry_rest();
}

void retry_wants_lock(const char *name, enum retry_lock kind)
{
	int fd = zoo_open_file(name);

	zoo_ready();
	while (!retry_lock(fd, kind))
		retry_rest();
}

void retry_wants_mutex(pthread_mutex_t *lock)
{
	zoo_ready();
	while (pthread_mutex_trylock(lock))
		retry_rest();
}

void retry_wants_gone(const char *name)
{
	struct stat st;

	zoo_ready();
	while (!lstat(zoo_path(name), &st))
		retry_rest();
}

void retry_wants_there(const char *name)
{
	zoo_ready();
	while (access(zoo_path(name), F_OK))
		retry_rest();
}

/* ---- who looks now and then ---- */

static void looks_into_spool(long i)
{
	DIR *dir;

	(void)i;
	mkdir(zoo_path("spool"), 0700);
	zoo_ready();
	for (;;) {
		dir = opendir(zoo_path("spool"));
		zoo_must(dir);
		while (readdir(dir))
			;
		closedir(dir);
		sleep(1);
	}
}

static void beats(long listener)
{
	struct epoll_event event = {.events = EPOLLIN};
	int set = epoll_create1(EPOLL_CLOEXEC);

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, (int)listener, &event));
	zoo_ready();
	while (!epoll_wait(set, &event, 1, 500))
		;
}

void retry_spool(void)
{
	store_process("pickup", looks_into_spool, 0, 1);
}

void retry_heartbeat(void)
{
	static int number;
	char name[RETRY_NAME];

	snprintf(name, sizeof(name), "stats-%d", number++);
	store_service(name, beats, 1);
}

void retry_runs(void)
{
	if (zoo_vary(0, 1))
		retry_spool();
	if (zoo_vary(0, 1))
		retry_heartbeat();
	store_runs_beside_others();
}
