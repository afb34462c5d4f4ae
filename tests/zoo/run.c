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
	NULL};

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

static bool task_runs(const char *path, pid_t group)
{
	char text[512], *end, state;
	int fd = open(path, O_RDONLY | O_CLOEXEC), its_group;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %c %*d %d", &state, &its_group) == 2 &&
	       its_group == group && state == 'R';
}

static bool process_runs(const char *pid, pid_t group)
{
	char path[64], stat[96];
	struct dirent *entry;
	bool runs = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/task", pid);
	dir = opendir(path);
	while (dir && !runs && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(stat, sizeof(stat), "%s/%.16s/stat", path, entry->d_name);
		runs = task_runs(stat, group);
	}
	if (dir)
		closedir(dir);
	return runs;
}

static bool somebody_runs(pid_t group)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	bool runs = false;

	while (proc && !runs && (entry = readdir(proc)))
		runs = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		       process_runs(entry->d_name, group);
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

bool zoo_settled(pid_t group, const struct zoo_board *board, bool spins, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	int quiet = 0;

	while (quiet < QUIET && now_ms() < deadline) {
		int stand = atomic_load(&board->stand);

		poll(NULL, 0, LOOK_MS);
		if (!stand || atomic_load(&board->ready) < stand)
			continue;
		quiet = spins || !somebody_runs(group) ? quiet + 1 : 0;
	}
	return quiet == QUIET;
}
