#include "tests/zoo/parts_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S	120 /* of a case under test: nothing outlives a test that died */
#define LOOK_MS 10
#define QUIET	2 /* looks in a row at which nobody runs */

const struct zoo_case *const zoo_groups[] = {zoo_file_locks, zoo_mutexes, zoo_events, zoo_peers,
	zoo_pools, zoo_deaths, zoo_idlers, zoo_workers, zoo_held_out, zoo_held_out_healthy,
	zoo_strangers, zoo_strangers_more, zoo_strangers_healthy, zoo_unseen, zoo_unseen_more,
	zoo_unseen_calls, zoo_unseen_healthy, zoo_afresh, zoo_afresh_served, zoo_afresh_rings,
	zoo_afresh_more, zoo_afresh_ends, zoo_afresh_healthy, zoo_stores, zoo_stores_more,
	zoo_stores_healthy, zoo_odd, zoo_odd_more, zoo_odd_busy, zoo_odd_healthy, zoo_services,
	zoo_services_more, zoo_services_filters, zoo_services_slow, zoo_services_healthy, zoo_plain,
	zoo_plain_more, zoo_plain_ends, zoo_plain_healthy, zoo_daemons, zoo_daemons_more,
	zoo_daemons_healthy, zoo_judged, zoo_judged_more, zoo_judged_ends, zoo_judged_healthy,
	zoo_tries, zoo_retry, zoo_retry_more, zoo_retry_healthy, zoo_fallen, zoo_fallen_left,
	zoo_fallen_master, zoo_fallen_slow, zoo_fallen_healthy, zoo_scarce, zoo_scarce_more,
	zoo_scarce_healthy, NULL};

const struct zoo_case *zoo_find(const char *name)
{
	for (size_t g = 0; zoo_groups[g]; g++)
		for (const struct zoo_case *zoo = zoo_groups[g]; zoo->name; zoo++)
			if (!strcmp(zoo->name, name))
				return zoo;
	return NULL;
}

void zoo_lead(
	const struct zoo_case *zoo, struct zoo_board *board, const char *dir, unsigned int seed)
{
	zoo_board = board;
	zoo_dir = dir;
	zoo_seed(seed);
	zoo->run();
	zoo_stand_for_ever();
}

pid_t zoo_start(
	const struct zoo_case *zoo, struct zoo_board *board, const char *dir, unsigned int seed)
{
	pid_t pid = fork();

	zoo_must(pid >= 0);
	if (pid) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIFE_S);
	zoo_lead(zoo, board, dir, seed);
}

void zoo_end(pid_t leader)
{
	kill(-leader, SIGKILL);
	waitpid(leader, NULL, 0);
}

/* ---- coming to stand ---- */

/* In state D for as long as another process likes: vfork(2), and an open that fanotify(7) asks about. */
static bool waits_for_process(const char *wchan)
{
	return !strcmp(wchan, "kernel_clone") || !strcmp(wchan, "fanotify_handle_event");
}

/* Of a file of /proc; false: the task has gone. */
static bool read_task(const char *path, const char *file, char *ret, size_t size)
{
	char name[128];
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "%s/%s", path, file);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret, size - 1);
	if (fd >= 0)
		close(fd);
	ret[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* It runs, or will as soon as a disk has answered. */
static bool task_runs(const char *path, pid_t group, bool disk)
{
	char text[512], wchan[64], *end, state;
	int its_group;

	if (!read_task(path, "stat", text, sizeof(text)))
		return false;
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %c %*d %d", &state, &its_group) != 2 || its_group != group)
		return false;
	return state == 'R' ||
	       (disk && state == 'D' && read_task(path, "wchan", wchan, sizeof(wchan)) &&
		       !waits_for_process(wchan));
}

static bool process_runs(const char *pid, pid_t group, bool disk)
{
	char path[64], task[96];
	struct dirent *entry;
	bool runs = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/task", pid);
	dir = opendir(path);
	while (dir && !runs && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(task, sizeof(task), "%s/%.16s", path, entry->d_name);
		runs = task_runs(task, group, disk);
	}
	if (dir)
		closedir(dir);
	return runs;
}

static bool somebody_runs(pid_t group, bool disk)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool runs = false;

	while (proc && !runs && (entry = readdir(proc)))
		runs = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		       process_runs(entry->d_name, group, disk);
	if (proc)
		closedir(proc);
	return runs;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool zoo_settled(
	const struct zoo_case *zoo, pid_t group, const struct zoo_board *board, int timeout_ms)
{
	bool spins = zoo->flags & ZOO_SPINS;
	bool disk = !(zoo->flags & (ZOO_FROZEN | ZOO_THAWED | ZOO_SLOW_DISK));
	int64_t deadline = now_ms() + timeout_ms;
	int quiet = 0;

	while (quiet < QUIET && now_ms() < deadline) {
		int stand = atomic_load(&board->stand);

		poll(NULL, 0, LOOK_MS);
		if (!stand || atomic_load(&board->ready) < stand)
			continue;
		quiet = spins || !somebody_runs(group, disk) ? quiet + 1 : 0;
	}
	return quiet == QUIET;
}
