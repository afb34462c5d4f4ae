/*
 * Who is ended by SIGKILL between two calls: a store that is stopped by force looks as if it had stopped by
 * itself, and only the kernel knows better: it tells each exit with its code. The parent may have reaped the task by
 * then, so the names of those that run are noted when the watch begins.
 */
#include "witness.h"

#include "faults/guest/board_connector.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KILLED_MAX 256	/* that are named; more are counted by `lost` */
#define NAMES_MAX  4096 /* processes whose names are noted */

struct name {
	int pid;
	char comm[64];
};

static struct {
	pthread_mutex_t lock; /* one watch at a time */
	pthread_t thread;
	bool on;
	int fd, wake;
	struct name killed[KILLED_MAX];
	size_t count;
	struct name *names;
	size_t name_count;
	bool lost;
} watch = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool read_name(int pid, struct name *ret)
{
	struct task_stat stat;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (task_stat_read(AT_FDCWD, path, &stat))
		return false;
	ret->pid = pid;
	snprintf(ret->comm, sizeof(ret->comm), "%s", stat.comm);
	return true;
}

static struct name name_of(int pid)
{
	struct name name = {.pid = pid, .comm = "?"};

	if (!read_name(pid, &name))
		for (size_t i = 0; i < watch.name_count; i++)
			if (watch.names[i].pid == pid)
				return watch.names[i];
	return name;
}

static void note_names(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	watch.name_count = 0;
	watch.names = calloc(NAMES_MAX, sizeof(*watch.names));
	while (watch.names && proc && watch.name_count < NAMES_MAX && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);

		if (pid > 0 && read_name(pid, &watch.names[watch.name_count]))
			watch.name_count++;
	}
	if (proc)
		closedir(proc);
}

static void note_exit(const struct proc_event *event)
{
	int pid = event->event_data.exit.process_tgid;

	if (event->what != PROC_EVENT_EXIT || event->event_data.exit.process_pid != pid ||
		(event->event_data.exit.exit_code & 0x7f) != SIGKILL)
		return;
	if (watch.count == KILLED_MAX) {
		watch.lost = true;
		return;
	}
	watch.killed[watch.count++] = name_of(pid);
}

static void read_events(void)
{
	board_connector_read(watch.fd, note_exit, &watch.lost);
}

static void *watch_thread(void *arg)
{
	struct pollfd fds[] = {
		{.fd = watch.fd, .events = POLLIN}, {.fd = watch.wake, .events = POLLIN}};

	while (!fds[1].revents)
		if (poll(fds, 2, -1) > 0 && fds[0].revents)
			read_events();
	read_events(); /* what was on its way when the end was asked for */
	return arg;
}

static int watch_begin(void)
{
	int rc;

	note_names();
	watch.lost = false;
	watch.fd = board_connector_open();
	if (watch.fd < 0) {
		free(watch.names);
		return watch.fd;
	}
	watch.wake = eventfd(0, EFD_CLOEXEC);
	rc = watch.wake < 0 ? -errno : 0;
	if (!rc)
		rc = -pthread_create(&watch.thread, NULL, watch_thread, NULL);
	watch.on = !rc;
	if (rc) {
		free(watch.names);
		close(watch.fd);
		if (watch.wake >= 0)
			close(watch.wake);
	}
	return rc;
}

static void watch_end(void)
{
	uint64_t one = 1;

	if (!watch.on)
		return;
	while (write(watch.wake, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	pthread_join(watch.thread, NULL);
	close(watch.fd);
	close(watch.wake);
	free(watch.names);
	watch.on = false;
}

static void answer_killed(const struct request *request)
{
	auto_out out = {0};

	answer_begin(&out, request);
	out_open(&out, "killed", '[');
	for (size_t i = 0; i < watch.count; i++) {
		out_open(&out, NULL, '{');
		out_int(&out, "pid", watch.killed[i].pid);
		out_text(&out, "comm", watch.killed[i].comm);
		out_close(&out, '}');
	}
	out_close(&out, ']');
	out_bool(&out, "lost", watch.lost);
	answer_send(&out, request);
}

void verb_exits(const struct request *request)
{
	bool on = json_is_true(json_object_get(request->args, "watch"));
	int rc = 0;

	pthread_mutex_lock(&watch.lock);
	watch_end();
	if (on) {
		rc = watch_begin();
		watch.count = 0;
	}
	if (rc)
		answer_error(request, "the kernel does not tell who exits: %s", strerror(-rc));
	else
		answer_killed(request);
	if (!on)
		watch.count = 0;
	pthread_mutex_unlock(&watch.lock);
}
